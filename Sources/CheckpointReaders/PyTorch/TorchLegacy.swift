import TensorIO

/// A checkpoint as torch wrote it before 1.6 (torch/serialization.py, _legacy_save): pickles one after another, and
/// then the storages:
///
///     | magic 0x1950a86a20f9469cfc6c | protocol 1001 | system info | the object | keys of the storages, sorted |
///     | storage … = number of elements: 8 bytes | the elements, little-endian on any machine |
///
/// Storages are ('storage', type, key, device, number of elements, view), a view being None or (key, offset, size).
/// A file that begins with another pickle is read as that alone: NumPy arrays and plain values may be in it.
enum TorchLegacy {
  /// 0x1950a86a20f9469cfc6c.
  private static let magic = "119547037146038801333356"

  static func recognizes(_ file: Bytes) -> Bool {
    guard let head = file.slice(0, min(27, file.count))?.array(), head.count >= 4 else { return false }
    if head[0] == 0x80, (2...5).contains(head[1]) { return true }
    // Protocols 0 and 1 write the magic number as text.
    return head.starts(with: Array("L\(magic)".utf8)) || isOldPickle(head, file)
  }

  /// Whether a file is a pickle of protocol 0 or 1, which have no signature: it begins with a container, a mark or a name,
  /// ends with STOP, and can be evaluated.
  private static func isOldPickle(_ head: [UInt8], _ file: Bytes) -> Bool {
    guard file.byte(at: file.count - 1) == UInt8(ascii: "."), Array("(c]}".utf8).contains(head[0]) else { return false }
    // Long ones are known by what writers begin with.
    let beginnings = [
      "(dp", "(lp", "(tp", "}q\u{0}", "]q\u{0}", "ccopy_reg\n", "ccollections\n", "cnumpy", "c__main__\n",
    ]
    if beginnings.contains(where: { head.starts(with: Array($0.utf8)) }) { return true }
    guard file.count <= 4 << 20 else { return false }
    var machine = PickleMachine(file: file.file)
    var cursor = ByteCursor(file)
    return (try? machine.load(&cursor)) != nil
  }

  /// `storedSize` is the size of the file, where `file` was unpacked from it.
  static func open(_ file: Bytes, storedSize: Int? = nil, path: String) throws(FormatError) -> TorchSource {
    var machine = PickleMachine(file: path)
    var cursor = ByteCursor(file)
    do throws(FormatError) {
      let first = try machine.load(&cursor)
      guard case .integer(let number) = machine.node(first), number == magic else {
        return try bare(first, file, storedSize, cursor, machine, path: path)
      }
      let (root, contents) = try stream(&cursor, &machine, path: path)
      var warnings: [String] = []
      let imports = trailing(cursor, machine, path: path, &warnings)
      return try TorchSource(
        format: .pyTorchLegacy, file: file, fileSize: storedSize, path: path, root: root, machine: machine,
        contents: contents,
        imports: imports,
        warnings: warnings)
    } catch {
      throw machine.explained(error.inFile(path))
    }
  }

  /// What follows the magic number: the object, and the bytes of its storages.
  private static func stream(
    _ cursor: inout ByteCursor, _ machine: inout PickleMachine, path: String?
  ) throws(FormatError) -> (root: PickleValue, contents: [TorchSource.Content?]) {
    let version = try machine.load(&cursor)
    guard version == .int(1001) else {
      throw FormatError(
        .unsupported, "the protocol of the checkpoint is unknown", file: path, offset: cursor.offsetInFile,
        found: machine.describe(version), expected: "1001")
    }
    _ = try machine.load(&cursor)
    machine.outsideValues = .storages
    let root = try machine.load(&cursor)
    machine.outsideValues = .nothing
    let keys = try machine.load(&cursor)
    guard let keys = machine.sequence(keys) else {
      throw FormatError(
        .damaged, "the checkpoint has no list of its storages", file: path, offset: cursor.offsetInFile)
    }
    var contents = [TorchSource.Content?](repeating: nil, count: machine.storages.count)
    for key in keys {
      guard let name = machine.text(key) ?? machine.integer(key).map(String.init),
        let index = machine.storageIndices[name]
      else {
        throw FormatError(
          .damaged, "the file lists a storage that no tensor uses", file: path, offset: cursor.offsetInFile,
          found: machine.describe(key))
      }
      guard contents[index] == nil, machine.storages[index].base == nil else {
        throw FormatError(
          .damaged, "the file lists a storage twice", file: path, offset: cursor.offsetInFile, found: name)
      }
      contents[index] = .bytes(try storage(machine.storages[index], &cursor))
    }
    for (index, storage) in machine.storages.enumerated() where storage.base == nil && storage.inline == nil {
      guard contents[index] != nil else {
        throw FormatError(.damaged, "a storage is not in the file", file: path, found: "'\(storage.key)'")
      }
    }
    return (root, contents)
  }

  /// The one storage that `data` contains as a stream of its own, with its bytes; `nil` for a stream of anything else.
  static func storage(
    in data: Bytes, _ machine: inout PickleMachine
  ) throws(FormatError) -> (storage: TorchStorage, bytes: Bytes)? {
    var cursor = ByteCursor(data)
    let first = try machine.load(&cursor)
    guard case .integer(let number) = machine.node(first), number == magic else { return nil }
    let (root, contents) = try stream(&cursor, &machine, path: data.file)
    guard let index = machine.storage(root), machine.storages.count == 1, cursor.isAtEnd,
      case .bytes(let bytes) = contents[index]
    else { return nil }
    return (machine.storages[index], bytes)
  }

  /// The number of elements and then the elements.
  static func storage(_ storage: TorchStorage, _ cursor: inout ByteCursor) throws(FormatError) -> Bytes {
    let start = cursor
    let count = try cursor.littleEndian(UInt64.self, "the size of a storage")
    let size = storage.elementType?.size ?? 1
    guard let number = Int(exactly: count), number.multipliedReportingOverflow(by: size) == (storage.byteCount, false)
    else {
      throw start.error(
        .damaged, "a storage and the pickle differ in size", found: "\(count) elements in storage '\(storage.key)'",
        expected: "\(storage.byteCount / size)")
    }
    return try cursor.take(storage.byteCount, "the data of a storage")
  }

  private static func trailing(
    _ cursor: ByteCursor, _ machine: PickleMachine, path: String, _ warnings: inout [String]
  ) -> [ImportedGlobal] {
    guard !cursor.isAtEnd else { return machine.judgedImports }
    warnings.append("\(cursor.remaining) bytes follow the end of the checkpoint; they are not used")
    var other = PickleMachine(file: path)
    other.collectImports(cursor)
    var imports = ImportList()
    imports.add(machine.judgedImports)
    imports.add(other.judgedImports)
    return imports.items
  }

  /// A pickle that torch.save did not write: of pickle.dump or joblib.dump.
  private static func bare(
    _ root: PickleValue, _ file: Bytes, _ storedSize: Int?, _ cursor: ByteCursor, _ machine: PickleMachine, path: String
  ) throws(FormatError) -> TorchSource {
    var warnings = machine.isJoblib ? [] : ["the file is a pickle, but not one of torch.save"]
    let imports = trailing(cursor, machine, path: path, &warnings)
    return try TorchSource(
      format: machine.isJoblib ? .joblib : .pickle, file: file, fileSize: storedSize, path: path, root: root,
      machine: machine,
      contents: [TorchSource.Content?](repeating: nil, count: machine.storages.count), imports: imports,
      warnings: warnings)
  }
}
