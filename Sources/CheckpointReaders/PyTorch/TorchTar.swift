import CheckpointFormats
import TensorIO

/// A checkpoint as torch wrote it before 0.1.10 (torch/serialization.py, legacy_load): a tar archive (POSIX ustar) of
///
///     storages = | pickle: number | each: pickle (key, device, type), elements: 8 bytes, data | … | pickle: views |
///     tensors  = | pickle: number | each: pickle (key, storage, type), rank: 4 bytes, 4 bytes, sizes: 8 × rank,
///                  strides: 8 × rank, offset: 8 bytes | …
///     pickle   = the object, whose outside values are the keys of tensors
///     sys_info
enum TorchTar {
  static func recognizes(_ file: Bytes) -> Bool {
    guard file.count >= 512, file.slice(257, 5)?.array() == Array("ustar".utf8) else { return false }
    // A damaged archive of torch is still one, and opening it reports what is wrong.
    if let first = file.slice(0, 100), ["sys_info", "pickle", "tensors", "storages"].contains(name(first.array()[...]))
    {
      return true
    }
    guard let names = try? entries(file) else { return false }
    return names["pickle"] != nil && names["tensors"] != nil && names["storages"] != nil
  }

  /// The name in a header's field, which ends at a zero.
  private static func name(_ field: ArraySlice<UInt8>) -> String {
    let name = String(decodingFileText: field.prefix { $0 != 0 })
    return name.hasPrefix("./") ? String(name.dropFirst(2)) : name
  }

  static func open(_ file: Bytes, path: String) throws(FormatError) -> TorchSource {
    var machine = PickleMachine(file: path)
    do throws(FormatError) {
      let entries = try entries(file)
      guard let storages = entries["storages"], let tensors = entries["tensors"], let pickle = entries["pickle"] else {
        throw FormatError(.damaged, "the archive does not contain 'storages', 'tensors' and 'pickle'")
      }
      var table: [String: PickleValue] = [:]
      let contents = try read(storages: storages, &machine, &table)
      try read(tensors: tensors, &machine, &table)
      machine.outsideValues = .table(table)
      var cursor = ByteCursor(pickle)
      let root = try machine.load(&cursor)
      return try TorchSource(
        format: .pyTorchTar, file: file, path: path, root: root, machine: machine, contents: contents,
        warnings: cursor.isAtEnd ? [] : ["\(cursor.remaining) bytes follow the end of the pickle; they are not used"])
    } catch {
      throw machine.explained(error.inFile(path))
    }
  }

  /// The regular files of the archive; none may be there twice.
  private static func entries(_ file: Bytes) throws(FormatError) -> [String: Bytes] {
    var result: [String: Bytes] = [:]
    var offset = 0
    while let header = file.slice(offset, 512)?.array(), header.contains(where: { $0 != 0 }) {
      func damaged(_ problem: String) -> FormatError {
        FormatError(.damaged, "the tar archive is damaged: \(problem)", file: file.file, offset: UInt64(offset))
      }
      // The sum counts its own field as spaces.
      let sum = header.enumerated().reduce(0) { $0 + ((148..<156).contains($1.offset) ? 32 : Int($1.element)) }
      guard let stored = octal(header[148..<156]),
        ParsedChecksum.isRight(UInt32(truncatingIfNeeded: sum), UInt32(truncatingIfNeeded: stored)), stored <= 512 * 255
      else { throw damaged("a header's checksum is wrong") }
      guard let size = octal(header[124..<136]), let content = file.slice(offset + 512, size) else {
        throw damaged("an entry lies outside the file")
      }
      let isFile = header[156] == 0 || header[156] == UInt8(ascii: "0")
      if isFile {
        let plain = name(header[0..<100])
        guard result.updateValue(content, forKey: plain) == nil else { throw damaged("'\(plain)' appears twice") }
      }
      offset += 512 + (size + 511) / 512 * 512
    }
    if offset < file.count, file.count - offset < 512, file.byte(at: offset) != 0 {
      throw FormatError(
        .damaged, "the tar archive is damaged: it is cut short", file: file.file, offset: UInt64(offset),
        advice: "The file was not copied or downloaded whole: fetch it again.")
    }
    return result
  }

  private static func octal(_ field: ArraySlice<UInt8>) -> Int? {
    let digits = field.drop { $0 == 0x20 }.prefix { (0x30...0x37).contains($0) }
    return digits.isEmpty ? nil : Int(String(decoding: digits, as: UTF8.self), radix: 8)
  }

  private static func key(_ value: PickleValue, _ machine: PickleMachine) throws(FormatError) -> String {
    guard let key = machine.integer(value).map(String.init) ?? machine.text(value) else {
      throw machine.fail(.damaged, "a key is not a number", found: machine.describe(value))
    }
    return key
  }

  private static func count(_ cursor: inout ByteCursor, _ machine: inout PickleMachine) throws(FormatError) -> Int {
    guard case .int(let count) = try machine.load(&cursor), count >= 0, count <= cursor.remaining else {
      throw machine.fail(.damaged, "the number of entries is impossible")
    }
    return count
  }

  private static func read(
    storages bytes: Bytes, _ machine: inout PickleMachine, _ table: inout [String: PickleValue]
  ) throws(FormatError) -> [TorchSource.Content?] {
    var cursor = ByteCursor(bytes)
    var contents: [TorchSource.Content?] = []
    for _ in 0..<(try count(&cursor, &machine)) {
      let entry = try machine.load(&cursor)
      guard let parts = machine.sequence(entry).map(Array.init), parts.count == 3,
        let name = machine.globalName(parts[2]),
        let type = TorchTypes.storage(name)
      else { throw machine.fail(.damaged, "the description of a storage is invalid", found: machine.describe(entry)) }
      let key = try key(parts[0], machine)
      guard machine.storageIndices[key] == nil else {
        throw machine.fail(.damaged, "a storage appears twice", found: key)
      }
      var peek = cursor
      let elements = try peek.littleEndian(UInt64.self, "the size of a storage")
      guard let number = Int(exactly: elements),
        case (let size, let overflow) = number.multipliedReportingOverflow(by: type?.size ?? 1),
        !overflow
      else { throw cursor.error(.damaged, "a storage has an impossible size", found: "\(elements) elements") }
      let index = try machine.storage(key, type, byteCount: size)
      contents.append(.bytes(try TorchLegacy.storage(machine.storages[index], &cursor)))
      table[key] = try machine.make(.storage(index))
    }
    let views = try machine.load(&cursor)
    guard let views = machine.sequence(views) else { throw machine.fail(.damaged, "the list of views is missing") }
    for view in views {
      guard let parts = machine.sequence(view).map(Array.init), parts.count == 4,
        let offset = machine.integer(parts[2]), offset >= 0,
        let elements = machine.integer(parts[3]), elements >= 0,
        let base = machine.storageIndices[try key(parts[1], machine)], machine.storages[base].base == nil
      else { throw machine.fail(.damaged, "the description of a view is invalid", found: machine.describe(view)) }
      let size = machine.storages[base].elementType?.size ?? 1
      let name = try key(parts[0], machine)
      let count = machine.storages[base].byteCount / size
      guard offset <= count, elements <= count - offset, machine.storageIndices[name] == nil else {
        throw machine.fail(.damaged, "a view lies outside its storage", found: machine.describe(view))
      }
      let index = try machine.storage(name, machine.storages[base].elementType, byteCount: elements * size)
      try machine.makeView(index, of: base, at: offset * size)
      contents.append(nil)
      table[name] = try machine.make(.storage(index))
    }
    return contents
  }

  private static func read(
    tensors bytes: Bytes, _ machine: inout PickleMachine, _ table: inout [String: PickleValue]
  ) throws(FormatError) {
    var cursor = ByteCursor(bytes)
    for _ in 0..<(try count(&cursor, &machine)) {
      let entry = try machine.load(&cursor)
      guard let parts = machine.sequence(entry).map(Array.init), parts.count == 3,
        let index = machine.storageIndices[try key(parts[1], machine)]
      else { throw machine.fail(.damaged, "the description of a tensor is invalid", found: machine.describe(entry)) }
      let rank = Int(try cursor.littleEndian(Int32.self, "a tensor's rank"))
      guard rank >= 0, rank <= 64 else {
        throw cursor.error(.damaged, "a tensor's rank is impossible", found: "\(rank)")
      }
      try cursor.skip(4)
      var numbers: [Int] = []
      for _ in 0..<(2 * rank + 1) { numbers.append(Int(try cursor.littleEndian(Int64.self, "a tensor's shape"))) }
      let tensor = TorchTensor(
        storage: index, offset: numbers[2 * rank], shape: Array(numbers[..<rank]),
        strides: Array(numbers[rank..<(2 * rank)]),
        elementType: machine.storages[index].elementType ?? .u8)
      try machine.check(tensor)
      let name = try key(parts[0], machine)
      table[name] = try machine.make(.tensor(machine.add(tensor)))
    }
  }
}
