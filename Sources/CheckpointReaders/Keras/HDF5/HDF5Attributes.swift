import TensorIO

extension HDF5File {
  /// The attributes of an object by name, as text: strings as they are, the strings of a list one by one, and numbers.
  /// Attributes of other types are left out; they are not part of any tensor.
  ///
  ///     | version 1 to 3 | flags | size of name 2 | of type 2 | of dataspace 2 | charset? | name | type | dataspace | data |
  func attributes(of header: ObjectHeader) throws(FormatError) -> [String: [String]] {
    var result: [String: [String]] = [:]
    var messages = header.all(.attribute).filter { !$0.isShared }.map(\.data)
    if var info = try header.first(.attributeInfo, "a list of attributes") {
      guard try info.byte("a list of attributes") == 0 else {
        throw info.error(.unsupported, "the list of attributes has an unknown version")
      }
      if try info.byte("a list of attributes") & 1 != 0 { try info.skip(2) }
      let heap = try info.address("attributes")
      let tree = try info.address("attributes")
      if let heap, let tree {
        let objects = try FractalHeap(self, at: heap)
        let records = try BTree2(self, at: tree)
        guard records.type == 8 else {
          throw info.error(.unsupported, "the B-tree of the attributes has an unknown type", found: "\(records.type)")
        }
        try records.forEachRecord { (record) throws(FormatError) in
          var record = record
          let id = try record.take(8, "an attribute's id")
          let flags = try record.byte("an attribute's flags")
          if flags & 2 == 0 { messages.append(info.over(try objects.object(id))) }
        }
      }
    }
    for message in messages {
      try budget.spend(64 + 4 * message.bytes.count)
      if let (name, values) = try attribute(message) { result[name] = values }
    }
    return result
  }

  private func attribute(_ message: HDF5Cursor) throws(FormatError) -> (name: String, values: [String])? {
    var cursor = message
    let version = try cursor.byte("an attribute")
    guard (1...3).contains(version) else {
      throw cursor.error(
        .unsupported, "the version of an attribute is unknown", found: "\(version)", expected: "1 to 3")
    }
    let flags = try cursor.byte("an attribute's flags")
    let nameSize = try cursor.size(2, "an attribute's name")
    let typeSize = try cursor.size(2, "an attribute's type")
    let spaceSize = try cursor.size(2, "an attribute's dataspace")
    if version == 3 { try cursor.skip(1) }
    func part(_ size: Int, _ what: String) throws(FormatError) -> HDF5Cursor {
      let start = cursor.position
      let bytes = try cursor.take(size, what)
      if version == 1 { try cursor.alignTo8(from: start) }
      return cursor.over(bytes)
    }
    var name = try part(nameSize, "an attribute's name")
    var type = try part(typeSize, "an attribute's type")
    var space = try part(spaceSize, "an attribute's dataspace")
    // A shared type or dataspace is a reference: the attribute is left out as others of no use are.
    guard version == 1 || flags & 3 == 0 else { return nil }
    let title = try name.terminatedName("an attribute's name")
    guard let kind = try? HDF5Type(&type), let found = try space.dataspace(),
      let count = checkedElementCount(found.shape)
    else { return nil }
    let size = kind.size(offsetSize)
    guard size > 0, count <= cursor.remaining / size else {
      throw cursor.error(
        .damaged, "an attribute is cut short", found: "\(cursor.remaining) bytes", expected: "\(count) values")
    }
    var data = cursor.over(try cursor.take(count * size, "an attribute's data"))
    switch kind {
    case .fixedString, .variableString:
      return (title, try strings(&data, kind, count).map { String(decodingFileText: $0) })
    case .number(let element, let isBigEndian):
      var values: [String] = []
      for _ in 0..<min(count, 64) {
        values.append(Self.text(try data.take(size, "a number").array(), element, isBigEndian))
      }
      return (title, values)
    case .opaque, .other: return nil
    }
  }

  private static func text(_ stored: [UInt8], _ type: ElementType, _ isBigEndian: Bool) -> String {
    let bytes = isBigEndian ? stored.reversed() : stored
    let bits = bytes.enumerated().reduce(UInt64(0)) {
      $1.offset < 8 ? $0 | UInt64($1.element) << UInt64(8 * $1.offset) : $0
    }
    switch type {
    case .f64: return "\(Double(bitPattern: bits))"
    case .f32: return "\(Float(bitPattern: UInt32(truncatingIfNeeded: bits)))"
    case .i8: return "\(Int8(truncatingIfNeeded: bits))"
    case .i16: return "\(Int16(truncatingIfNeeded: bits))"
    case .i32: return "\(Int32(truncatingIfNeeded: bits))"
    case .i64: return "\(Int64(bitPattern: bits))"
    case .bool: return bits == 0 ? "False" : "True"
    default: return "\(bits)"
    }
  }

  /// `count` strings: in place, or each | size 4 | address of a global heap | index 4 |.
  func strings(_ data: inout HDF5Cursor, _ type: HDF5Type, _ count: Int) throws(FormatError) -> [[UInt8]] {
    var result: [[UInt8]] = []
    var remainingBytes = bytes.count
    for _ in 0..<count {
      guard case .variableString = type else {
        let bytes = try data.take(type.size(offsetSize), "a string").array()
        result.append(Array(bytes.prefix { $0 != 0 }))
        continue
      }
      let size = try data.size(4, "a string's size")
      let address = try data.address("a string's heap")
      let index = try data.size(4, "a string's index")
      guard size > 0, let address, address > 0 else {
        result.append([])
        continue
      }
      let heap = try budget.heap(at: address) { () throws(FormatError) in try GlobalHeap(self, at: address) }
      guard let object = heap.object(index)?.slice(0, size) else {
        throw data.error(.damaged, "a string is not in its heap", found: "\(size) bytes of object \(index)")
      }
      // Many elements can name one object.
      remainingBytes -= size
      guard remainingBytes >= 0 else { throw data.error(.limit, "the strings are larger than the file") }
      try budget.spend(size)
      result.append(object.array())
    }
    return result
  }
}
