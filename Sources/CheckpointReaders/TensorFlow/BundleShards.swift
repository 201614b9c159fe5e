import CheckpointFormats
import TensorIO

/// The data files of a bundle that exist. One that is missing is a warning: its tensors can still be listed.
struct BundleShards {
  let prefix: String
  /// The mapped files; `nil` for one that is missing.
  private(set) var contents: [Bytes?] = []
  private(set) var files: [SourceFile] = []
  /// For each shard that exists, its index among the files of the checkpoint, of which the index file is the first.
  private(set) var fileIndices: [Int: Int] = [:]
  private var missing: [String] = []

  /// A damaged index may declare thousands of shards: after this many missing ones it stops looking.
  private static let maxMissing = 100

  init(ofIndex path: String, count: Int) throws(FormatError) {
    prefix = path.hasSuffix(BundleFiles.indexSuffix) ? String(path.dropLast(BundleFiles.indexSuffix.count)) : path
    for number in 0..<count where missing.count <= Self.maxMissing { try open(number, of: count) }
    contents += [Bytes?](repeating: nil, count: count - contents.count)
  }

  private mutating func open(_ number: Int, of count: Int) throws(FormatError) {
    let path = BundleFiles.shard(prefix, number, of: count)
    guard FileSystem.isFile(path) else {
      contents.append(nil)
      missing.append(path)
      return
    }
    let shard = try MappedFile.open(path)
    if let pointer = gitLFSPointer(shard) { throw pointer.inFile(path) }
    files.append(SourceFile(path: path, size: UInt64(shard.count)))
    fileIndices[number] = files.count
    contents.append(shard)
  }

  var count: Int { contents.count }

  var warnings: [String] {
    if missing.isEmpty { return [] }
    let subject = missing.count == 1 ? "a data file is" : "\(missing.count) data files are"
    return [
      "\(subject) missing, so the values cannot be read: " + missing.prefix(4).joined(separator: ", ")
    ]
  }

  /// No two tensors may claim the same bytes, and all must lie in their file.
  func checkExtents(of entries: BundleEntries, index path: String) throws(FormatError) {
    var extents: [Int: [(offset: Int, size: Int, name: String)]] = [:]
    for (info, parts) in zip(entries.infos, entries.parts) {
      for part in parts where part.size > 0 {
        extents[part.shard, default: []].append((part.offset, part.size, info.name))
      }
    }
    for (shard, list) in extents {
      var end = 0
      var last = ""
      for extent in list.sorted(by: { ($0.offset, $0.size) < ($1.offset, $1.size) }) {
        guard extent.offset >= end else {
          throw FormatError(
            .damaged, "the data overlaps that of '\(last)'", file: path, tensor: extent.name,
            found: "offset \(extent.offset)", expected: "at least \(end)")
        }
        end = extent.offset + extent.size
        last = extent.name
      }
      if let bytes = contents[shard], end > bytes.count {
        let name = list.first { $0.offset + $0.size > bytes.count }?.name ?? last
        throw FormatError(
          .damaged, "the data lies beyond the end of its file", file: bytes.file, tensor: name,
          found: "a file of \(bytes.count) bytes", expected: "at least \(end)",
          advice: "The data file was not copied or downloaded whole: fetch it again.")
      }
    }
  }
}
