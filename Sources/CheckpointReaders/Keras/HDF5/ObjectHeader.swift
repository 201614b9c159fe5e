import TensorIO

/// The messages of an object: a group, a dataset or a named type.
///
///     version 1 = | 1 | 0 | messages 2 | references 4 | size 4 | 0 ×4 | messages, each | type 2 | size 2 | flags | 0 ×3 | data |
///     version 2 = | OHDR | 2 | flags | times 16? | limits 4? | size 1 to 8 | messages | checksum |
///                 each | type | size 2 | flags | order 2? | data |; further ones in OCHK blocks
struct ObjectHeader {
  enum Kind: UInt16 {
    case dataspace = 0x01
    case linkInfo = 0x02
    case datatype = 0x03
    case oldFillValue = 0x04
    case fillValue = 0x05
    case link = 0x06
    case externalFiles = 0x07
    case layout = 0x08
    case filters = 0x0B
    case attribute = 0x0C
    case continuation = 0x10
    case symbolTable = 0x11
    case attributeInfo = 0x15
  }

  struct Message {
    let kind: UInt16
    let isShared: Bool
    let data: HDF5Cursor
  }

  private(set) var messages: [Message] = []

  /// Headers of more bytes than the file has cannot be: continuations are followed once each.
  private static let maxMessages = 1 << 20

  private let budget: HDF5Budget

  init(_ file: HDF5File, at address: Int) throws(FormatError) {
    budget = file.budget
    var start = try file.cursor(at: address, "an object header")
    let first = try start.byte("an object header")
    if first == 1 { try readFirst(file, address) } else { try readSecond(file, address) }
  }

  /// All messages of a kind.
  func all(_ kind: Kind) -> [Message] { messages.filter { $0.kind == kind.rawValue } }

  func has(_ kind: Kind) -> Bool { messages.contains { $0.kind == kind.rawValue } }

  /// The first message of a kind; one that is stored elsewhere is refused.
  func first(_ kind: Kind, _ what: String) throws(FormatError) -> HDF5Cursor? {
    guard let message = messages.first(where: { $0.kind == kind.rawValue }) else { return nil }
    guard !message.isShared else {
      throw message.data.error(
        .unsupported, "\(what) is stored outside the object (a committed type or a shared message)",
        expected: "an object that holds its own", advice: "Write the file again with h5py's own types.")
    }
    return message.data
  }

  private mutating func add(_ kind: UInt16, _ flags: UInt8, _ data: HDF5Cursor) throws(FormatError) {
    guard messages.count < Self.maxMessages else { throw data.error(.limit, "an object has too many messages") }
    try budget.spend(32 + data.bytes.count)
    messages.append(Message(kind: kind, isShared: flags & 2 != 0, data: data))
  }

  // MARK: Version 1

  private mutating func readFirst(_ file: HDF5File, _ address: Int) throws(FormatError) {
    var cursor = try file.cursor(at: address, "an object header")
    try cursor.skip(8)
    let size = try cursor.size(4, "an object header's size")
    try cursor.skip(4)
    var blocks = [try file.cursor(at: address + 16, count: size, "an object header")]
    var seen: Set<Int> = [address]
    var index = 0
    while index < blocks.count {
      var block = blocks[index]
      index += 1
      while block.remaining >= 8 {
        let kind = UInt16(try block.number(2, "a message"))
        let size = try block.size(2, "a message's size")
        let flags = try block.byte("a message's flags")
        try block.skip(3)
        let data = block.over(try block.take(size, "a message"))
        if kind == Kind.continuation.rawValue {
          let (address, count) = try continuation(data)
          guard seen.insert(address).inserted else {
            throw block.error(.damaged, "an object header continues in itself")
          }
          blocks.append(try file.cursor(at: address, count: count, "an object header's continuation"))
        } else {
          try add(kind, flags, data)
        }
      }
    }
  }

  private func continuation(_ data: HDF5Cursor) throws(FormatError) -> (address: Int, count: Int) {
    var data = data
    guard let address = try data.address("a continuation") else {
      throw data.error(.damaged, "a continuation has no address")
    }
    return (address, try data.length("a continuation's size"))
  }

  // MARK: Version 2

  private mutating func readSecond(_ file: HDF5File, _ address: Int) throws(FormatError) {
    var cursor = try file.block(at: address, signature: "OHDR", version: 2, "an object header")
    let flags = try cursor.byte("an object header's flags")
    if flags & 0x20 != 0 { try cursor.skip(16) }
    if flags & 0x10 != 0 { try cursor.skip(4) }
    let size = try cursor.size(1 << Int(flags & 3), "an object header's size")
    let (whole, overflow) = size.addingReportingOverflow(cursor.position + 4)
    guard !overflow else { throw cursor.error(.limit, "an object header is too large", found: "\(size) bytes") }
    try file.check(at: address, count: whole, "an object header")
    var blocks = [cursor.over(try cursor.take(size, "an object header"))]
    var seen: Set<Int> = [address]
    let hasOrder = flags & 4 != 0
    var index = 0
    while index < blocks.count {
      var block = blocks[index]
      index += 1
      // What is shorter than a message is a gap.
      while block.remaining >= (hasOrder ? 6 : 4) {
        let kind = UInt16(try block.byte("a message"))
        let size = try block.size(2, "a message's size")
        let flags = try block.byte("a message's flags")
        if hasOrder { try block.skip(2) }
        let data = block.over(try block.take(size, "a message"))
        guard kind == Kind.continuation.rawValue else {
          try add(kind, flags, data)
          continue
        }
        let (address, count) = try continuation(data)
        guard seen.insert(address).inserted else { throw block.error(.damaged, "an object header continues in itself") }
        try file.check(at: address, count: count, "an object header's continuation")
        var next = try file.cursor(at: address, count: count, "an object header's continuation")
        try next.expect("OCHK", "an object header's continuation")
        blocks.append(next.over(try next.take(max(0, next.remaining - 4), "a continuation")))
      }
    }
  }
}
