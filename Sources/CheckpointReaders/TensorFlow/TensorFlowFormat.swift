import CheckpointFormats
import TensorIO

/// Both TensorFlow formats are tables; the value at the empty key distinguishes them: a `BundleHeader` begins with its
/// shard count, a `SavedTensorSlices` with its message `meta`.
public struct TensorFlowFormat: CheckpointFormat {
  public init() {}

  public func recognizes(_ file: Bytes, path: String) -> Bool { Table.recognizes(file) }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    let table = try Table(file)
    guard let first = table.entries.first, first.key.isEmpty else {
      throw FormatError(
        .unrecognized, "the table has no header", file: path,
        advice: "It is a table in LevelDB's format, but not a TensorFlow checkpoint.")
    }
    if first.value.byte(at: 0) == 0x0A {
      return try TensorFlowV1(try Self.siblings(path, file, table))
    }
    return try TensorFlowBundle(index: file, path: path, table: table)
  }

  /// The files of a V1 checkpoint that was saved in several: `NAME-00000-of-00002` and so on.
  private static func siblings(
    _ path: String, _ file: Bytes, _ table: Table
  ) throws(FormatError) -> [(path: String, file: Bytes, table: Table)] {
    let name = FileSystem.baseName(path)
    let parts = name.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count >= 4, parts[parts.count - 2] == "of", let count = Int(parts[parts.count - 1]), count > 1,
      Int(parts[parts.count - 3]) != nil, parts[parts.count - 3].count == 5, count <= BundleFiles.maxShards
    else { return [(path, file, table)] }
    let stem = parts.dropLast(3).joined(separator: "-")
    var result: [(path: String, file: Bytes, table: Table)] = []
    for number in 0..<count {
      let sibling = FileSystem.join(FileSystem.folder(of: path), BundleFiles.partV1(stem, number, of: count))
      if FileSystem.isSameFile(sibling, path) {
        result.append((path, file, table))
        continue
      }
      let bytes = try MappedFile.open(sibling)
      result.append((sibling, bytes, try Table(bytes)))
    }
    return result
  }
}

/// The error for a git-lfs pointer, which `git clone` without git-lfs leaves instead of a large file; `nil` for any other
/// file.
public func gitLFSPointer(_ file: Bytes) -> FormatError? {
  guard file.count < 1024, file.count > 40, let text = file.utf8String(),
    text.hasPrefix("version https://git-lfs.github.com/spec/")
  else { return nil }
  let size = text.split(separator: "\n").first { $0.hasPrefix("size ") }.map { String($0.dropFirst(5)) }
  return FormatError(
    .unrecognized, "this is a git-lfs pointer, not the file itself", file: file.file,
    found: "\(file.count) bytes of text",
    expected: size.map { "\($0) bytes of data" },
    advice: "Fetch the real file: run 'git lfs install' and 'git lfs pull' in the clone, or download it from the site.")
}
