import TensorIO

/// A checkpoint as torch 1.6 and later write it (caffe2/serialize/inline_container.cc, torch/serialization.py): a zip
/// archive with one folder of any name:
///
///     NAME/data.pkl            the pickle; storages are ('storage', type, key, device, number of elements)
///     NAME/data/KEY            the bytes of a storage
///     NAME/byteorder           'little' or 'big'; little when it is not there
///     NAME/version, NAME/.format_version, NAME/.storage_alignment, NAME/.data/serialization_id
///     NAME/constants.pkl, NAME/code/…    in TorchScript archives alone
enum TorchZip {
  /// The path of the pickle, if this is such an archive. As torch does, the first entry names the folder.
  static func folder(of archive: ZipArchive) -> String? {
    guard let first = archive.entries.first?.name else { return nil }
    let folder = first.contains("/") ? String(first[...(first.firstIndex(of: "/") ?? first.startIndex)]) : ""
    return archive.index(ofEntry: folder + "data.pkl") == nil ? nil : folder
  }

  static func open(_ archive: ZipArchive, path: String) throws(FormatError) -> TorchSource {
    guard let folder = folder(of: archive), let pickle = archive.index(ofEntry: folder + "data.pkl") else {
      throw FormatError("the archive has no data.pkl", file: path, advice: "It is no checkpoint of torch.save.")
    }
    var warnings: [String] = []
    if !archive.hasChecksums { warnings.append("the archive has no checksums, so damage to its data cannot be seen") }

    // 1. The pickle
    var machine = PickleMachine(file: path)
    machine.outsideValues = .storages
    var cursor = ByteCursor(try archive.bytes(ofEntryAt: pickle))
    let root: PickleValue
    do throws(FormatError) {
      root = try machine.load(&cursor)
    } catch {
      throw machine.explained(error)
    }
    var imports = ImportList()
    imports.add(machine.imports)
    if !cursor.isAtEnd {
      warnings.append("\(cursor.remaining) bytes follow the end of the pickle; they are not used")
      var second = PickleMachine(file: path)
      second.collectImports(cursor)
      imports.add(second.imports)
    }
    // Others that a loader might be made to run
    var room = (64 << 20) + 16 * archive.file.count
    for (index, entry) in archive.entries.enumerated() where index != pickle && entry.name.hasSuffix(".pkl") {
      // They are all gone through before the first tensor is known.
      room -= entry.size
      guard room >= 0 else {
        warnings.append("'\(withoutMiddle(entry.name))' was not looked into: it and others unpack to very much")
        break
      }
      guard let bytes = try? archive.bytes(ofEntryAt: index) else { continue }
      var other = PickleMachine(file: path)
      other.collectImports(ByteCursor(bytes))
      imports.add(other.imports)
    }

    // 2. What lies around it
    var metadata: [(key: String, value: String)] = []
    if archive.index(ofEntry: folder + "constants.pkl") != nil { metadata.append(("torchscript", "True")) }
    let outside = archive.entries.filter { !$0.name.hasPrefix(folder) }
    if let first = outside.first {
      warnings.append(
        "\(outside.count) entries of the archive lie outside of its folder, the first being '\(first.name)'")
    }
    if let newer = try newerVersion(archive, folder, path: path) {
      warnings.append(
        "the archive is of version \(newer), of which nothing is known: it is read like version \(newestVersion)")
    }
    let isBigEndian = try byteOrder(archive, folder, path: path)
    if isBigEndian { metadata.append(("byte order", "big-endian")) }

    // 3. The storages
    var contents: [TorchSource.Content?] = []
    for storage in machine.storages {
      guard storage.base == nil, storage.inline == nil else {
        contents.append(nil)
        continue
      }
      guard let index = archive.index(ofEntry: folder + "data/" + storage.key) else {
        throw FormatError(
          "a storage that the pickle refers to is not in the archive", file: path, found: "data/\(storage.key)",
          advice: "The archive is not whole: fetch it again.")
      }
      let size = archive.entries[index].size
      guard size == storage.byteCount else {
        throw FormatError(
          "a storage is not as large as the pickle says", file: path,
          offset: archive.place(ofEntryAt: index).map(UInt64.init),
          found: "\(size) bytes in data/\(storage.key)", expected: "\(storage.byteCount)")
      }
      contents.append(.entry(index))
    }
    return try TorchSource(
      format: .pyTorchZip, file: archive.file, path: path, root: root, machine: machine, contents: contents,
      archive: archive, isBigEndian: isBigEndian, imports: imports.items, warnings: warnings, metadata: metadata)
  }

  /// The newest version of the archive that torch reads (kMaxSupportedFileFormatVersion of caffe2/serialize/versions.h).
  private static let newestVersion = 10

  /// The archive's version, a number and a newline, where it is beyond those known.
  private static func newerVersion(_ archive: ZipArchive, _ folder: String, path: String) throws(FormatError) -> Int? {
    guard
      let index = [".data/version", "version"].lazy.compactMap({ archive.index(ofEntry: folder + $0) }).first
    else { return nil }
    let size = archive.entries[index].size
    let text = size <= 16 ? try archive.bytes(ofEntryAt: index).utf8String() : nil
    // As torch does: what follows the digits does not count.
    guard let text, let version = Int(text.prefix { $0.isASCII && $0.isWholeNumber }) else {
      throw FormatError(
        "the version of the archive is no number", file: path, found: text ?? "\(size) bytes",
        expected: "a number up to \(newestVersion)", advice: "The archive is damaged: fetch it again.")
    }
    return version > newestVersion ? version : nil
  }

  private static func byteOrder(_ archive: ZipArchive, _ folder: String, path: String) throws(FormatError) -> Bool {
    guard let index = archive.index(ofEntry: folder + "byteorder") else { return false }
    let size = archive.entries[index].size
    switch size <= 16 ? try archive.bytes(ofEntryAt: index).utf8String() : nil {
    case "little": return false
    case "big": return true
    case let text:
      throw FormatError(
        "the byte order is unknown", file: path, found: text ?? "\(size) bytes", expected: "'little' or 'big'")
    }
  }
}
