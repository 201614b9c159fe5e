import CheckpointFormats
import TensorIO

/// A checkpoint as torch 1.6 and later write it; ``TorchArchive`` has the layout.
enum TorchZip {
  /// The path of the pickle, if this is such an archive. As torch does, the first entry names the folder.
  static func folder(of archive: ZipArchive) -> String? {
    guard let first = archive.entries.first?.name else { return nil }
    let folder = first.contains("/") ? String(first[...(first.firstIndex(of: "/") ?? first.startIndex)]) : ""
    return archive.index(ofEntry: folder + TorchArchive.pickle) == nil ? nil : folder
  }

  static func open(_ archive: ZipArchive, path: String) throws(FormatError) -> TorchSource {
    guard let folder = folder(of: archive), let pickle = archive.index(ofEntry: folder + TorchArchive.pickle) else {
      throw FormatError(
        .unrecognized, "the archive has no data.pkl", file: path, advice: "It was not written by torch.save.")
    }
    var warnings: [String] = []
    if !archive.hasChecksums {
      warnings.append("the archive has no checksums, so damage to its data cannot be detected")
    }
    var machine = PickleMachine(file: path)
    machine.outsideValues = .storages
    var cursor = ByteCursor(try archive.bytes(ofEntryAt: pickle))
    let root: PickleValue
    do throws(FormatError) { root = try machine.load(&cursor) } catch { throw machine.explained(error) }
    let isScript = archive.index(ofEntry: folder + TorchArchive.scriptConstants) != nil
    let constants = isScript ? try scriptConstants(archive, folder, &machine) : nil
    let script = isScript ? try scriptCode(archive, folder, &warnings) : nil
    var imports = ImportList()
    imports.add(script == nil ? machine.judgedImports : machine.judgedImports.map(Self.ofScript))
    if !cursor.isAtEnd {
      warnings.append("\(cursor.remaining) bytes follow the end of the pickle; they are not used")
      imports.add(Self.imports(of: cursor, path: path))
    }
    addOtherImports(of: archive, except: pickle, path: path, to: &imports, &warnings)
    let metadata = try metadata(of: archive, folder, path: path, &warnings)
    let isBigEndian = try byteOrder(archive, folder, path: path)
    return try TorchSource(
      format: .pyTorchZip, file: archive.file, path: path, root: root, machine: machine,
      contents: try contents(of: machine.storages, in: archive, folder, path: path), archive: archive,
      isBigEndian: isBigEndian, imports: imports.items, code: script ?? [], warnings: warnings,
      metadata: metadata + (isBigEndian ? [("byte order", "big-endian")] : []), constants: constants)
  }

  // MARK: TorchScript

  /// The constants of the code as a dictionary of the names that the code has for them: `c0`, `c1`, … Their storages are in
  /// a folder of their own.
  private static func scriptConstants(
    _ archive: ZipArchive, _ folder: String, _ machine: inout PickleMachine
  ) throws(FormatError) -> PickleValue? {
    guard let index = archive.index(ofEntry: folder + TorchArchive.scriptConstants) else { return nil }
    var cursor = ByteCursor(try archive.bytes(ofEntryAt: index))
    machine.storagePrefix = TorchArchive.constants
    defer { machine.storagePrefix = "" }
    let constants: PickleValue
    do throws(FormatError) { constants = try machine.load(&cursor) } catch { throw machine.explained(error) }
    guard let items = machine.sequence(constants).map(Array.init) else { return nil }
    var pairs: [PickleValue] = []
    for (number, item) in items.enumerated() { pairs += [try machine.make(.string("c\(number)")), item] }
    return try machine.makeDict(pairs)
  }

  /// What the code of the archive uses.
  private static func scriptCode(
    _ archive: ZipArchive, _ folder: String, _ warnings: inout [String]
  ) throws(FormatError) -> [ContainedCode] {
    var script = TorchScriptCode()
    var remainingBytes = (64 << 20) + 16 * archive.file.count
    for (index, entry) in archive.entries.enumerated()
    where entry.name.hasPrefix(folder + TorchArchive.code) && entry.name.hasSuffix(".py") {
      remainingBytes -= entry.size
      guard remainingBytes >= 0 else {
        warnings.append("'\(withoutMiddle(entry.name))' was not examined: it and others unpack to too many bytes")
        break
      }
      script.read(try archive.bytes(ofEntryAt: index))
    }
    return script.finished()
  }

  /// A class that the archive's own code defines: that code is judged itself.
  private static func ofScript(_ item: ImportedGlobal) -> ImportedGlobal {
    item.name.hasPrefix("__torch__.") && item.verdict == .unknown
      ? ImportedGlobal(name: item.name, verdict: .known) : item
  }

  private static func imports(of cursor: ByteCursor, path: String) -> [ImportedGlobal] {
    var machine = PickleMachine(file: path)
    machine.collectImports(cursor)
    return machine.judgedImports
  }

  /// Adds the imports of other pickles in the archive, which a loader might be made to run.
  private static func addOtherImports(
    of archive: ZipArchive, except pickle: Int, path: String, to imports: inout ImportList, _ warnings: inout [String]
  ) {
    // All of them are read before the first tensor is known.
    var remainingBytes = (64 << 20) + 16 * archive.file.count
    for (index, entry) in archive.entries.enumerated() where index != pickle && entry.name.hasSuffix(".pkl") {
      remainingBytes -= entry.size
      guard remainingBytes >= 0 else {
        warnings.append("'\(withoutMiddle(entry.name))' was not examined: it and others unpack to too many bytes")
        return
      }
      guard let bytes = try? archive.bytes(ofEntryAt: index) else { continue }
      imports.add(Self.imports(of: ByteCursor(bytes), path: path))
    }
  }

  /// What the entries other than pickle and storages show.
  private static func metadata(
    of archive: ZipArchive, _ folder: String, path: String, _ warnings: inout [String]
  ) throws(FormatError) -> [(key: String, value: String)] {
    let outside = archive.entries.filter { !$0.name.hasPrefix(folder) }
    if let first = outside.first {
      warnings.append(
        "\(outside.count) entries of the archive are outside its folder, the first is '\(first.name)'")
    }
    if let newer = try newerVersion(archive, folder, path: path) {
      warnings.append(
        "the archive has the unknown version \(newer) and is read like version \(newestVersion)")
    }
    let isScript = archive.index(ofEntry: folder + TorchArchive.scriptConstants) != nil
    return isScript ? [("torchscript", "True")] : []
  }

  /// For each storage its entry; `nil` for one that is a view or has its bytes in the pickle.
  private static func contents(
    of storages: [TorchStorage], in archive: ZipArchive, _ folder: String, path: String
  ) throws(FormatError) -> [TorchSource.Content?] {
    var contents: [TorchSource.Content?] = []
    for storage in storages {
      guard storage.base == nil, storage.inline == nil else {
        contents.append(nil)
        continue
      }
      let name =
        storage.key.hasPrefix(TorchArchive.constants) ? storage.key : TorchArchive.storage(storage.key)
      guard let index = archive.index(ofEntry: folder + name) else {
        throw FormatError(
          .damaged, "a storage that the pickle refers to is not in the archive", file: path, found: name,
          advice: "The archive is incomplete: fetch it again.")
      }
      let size = archive.entries[index].size
      guard size == storage.byteCount else {
        throw FormatError(
          .damaged, "a storage and the pickle differ in size", file: path,
          offset: archive.dataOffset(ofEntryAt: index).map(UInt64.init), found: "\(size) bytes in \(name)",
          expected: "\(storage.byteCount)")
      }
      contents.append(.entry(index))
    }
    return contents
  }

  /// The newest version of the archive that torch reads (kMaxSupportedFileFormatVersion of caffe2/serialize/versions.h).
  private static let newestVersion = 10

  /// The archive's version, a number and a newline, where it is beyond those known.
  private static func newerVersion(_ archive: ZipArchive, _ folder: String, path: String) throws(FormatError) -> Int? {
    guard
      let index = [".data/version", TorchArchive.version].lazy.compactMap({ archive.index(ofEntry: folder + $0) }).first
    else { return nil }
    let size = archive.entries[index].size
    let text = size <= 16 ? try archive.bytes(ofEntryAt: index).utf8String() : nil
    // As torch does: what follows the digits does not count.
    guard let text, let version = Int(text.prefix { $0.isASCII && $0.isWholeNumber }) else {
      throw FormatError(
        .damaged, "the version of the archive is not a number", file: path, found: text ?? "\(size) bytes",
        expected: "a number up to \(newestVersion)", advice: "The archive is damaged: fetch it again.")
    }
    return version > newestVersion ? version : nil
  }

  private static func byteOrder(_ archive: ZipArchive, _ folder: String, path: String) throws(FormatError) -> Bool {
    guard let index = archive.index(ofEntry: folder + TorchArchive.byteOrder) else { return false }
    let size = archive.entries[index].size
    switch size <= 16 ? try archive.bytes(ofEntryAt: index).utf8String() : nil {
    case TorchArchive.littleEndian: return false
    case TorchArchive.bigEndian: return true
    case let text:
      throw FormatError(
        .unsupported, "the byte order is unknown", file: path, found: text ?? "\(size) bytes",
        expected: "'little' or 'big'")
    }
  }
}
