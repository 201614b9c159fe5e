import TensorIO

/// Computes what a pickle says without running any of it.
///
/// A pickle is a program for a stack machine of Python (Lib/pickletools.py has every opcode): it pushes values, puts
/// them together, and imports and calls anything by name. This machine knows the opcodes of protocols 0 to 5, but no
/// call: a call of one of the few functions that torch and NumPy write (`TorchRebuild.swift`) is replaced by what its
/// result means, any other becomes an object that records what was to be called with what. Names are only compared.
///
/// Several pickles may share a machine: values and imports are kept, stack and memo are not.
struct PickleMachine {
  /// What the ids of outside values (persistent ids) stand for.
  enum OutsideValues {
    case nothing
    /// `('storage', type, key, location, size, …)`, as torch.save writes.
    case storages
    /// Numbers, as in the tar form.
    case table([String: PickleValue])
  }

  let file: String?
  /// Bytes of the pickles that were run.
  private(set) var size = 0
  var outsideValues = OutsideValues.nothing
  private(set) var nodes: [PickleNode] = []
  /// Of all tuples, one after the other.
  private(set) var elements: [PickleValue] = []
  /// The elements of lists and sets, and the keys and values of dicts.
  private(set) var containers: [[PickleValue]] = []
  private(set) var objects: [PickleObject] = []
  private(set) var storages: [TorchStorage] = []
  private(set) var tensors: [TorchTensor] = []
  private(set) var imports: [ImportedGlobal] = []
  private(set) var storageIndices: [String: Int] = [:]
  private var importIndices: [String: Int] = [:]

  private var stack: [PickleValue] = []
  private var marks: [Int] = []
  private var memo = PickleMemo()
  private var place: UInt64 = 0
  /// What the values may still take, in nodes and elements: a few bytes of a pickle can copy a large list.
  private var budget = 6 << 20
  /// Bytes that may still be made out of strings; honest pickles convert each once.
  private var byteBudget = 1 << 20

  private static let largestStack = 4 << 20
  /// Of an import or a storage. One that is used a million times is compared as often.
  static let longestName = 1024

  init(file: String?) { self.file = file }

  // MARK: The arena

  func fail(_ problem: String, found: String? = nil, expected: String? = nil, advice: FormatError.Advice? = nil)
    -> FormatError
  {
    FormatError(problem, file: file, offset: place, found: found, expected: expected, advice: advice)
  }

  mutating func charge(_ count: Int) throws(FormatError) {
    budget -= count
    guard budget >= 0 else { throw fail("the pickle makes more values than any checkpoint has") }
  }

  mutating func chargeBytes(_ count: Int) throws(FormatError) {
    byteBudget -= count
    guard byteBudget >= 0 else { throw fail("the pickle copies its strings over and over") }
  }

  mutating func make(_ node: PickleNode) throws(FormatError) -> PickleValue {
    try charge(1)
    nodes.append(node)
    return .node(nodes.count - 1)
  }

  mutating func makeTuple(_ items: some Collection<PickleValue>) throws(FormatError) -> PickleValue {
    try charge(items.count)
    // The budget is far below what 32 bits count.
    let tuple = PickleTuple(start: Int32(elements.count), length: Int32(items.count))
    elements.append(contentsOf: items)
    return try make(.tuple(tuple))
  }

  mutating func makeList(_ items: [PickleValue] = []) throws(FormatError) -> PickleValue {
    try make(.list(try container(items)))
  }

  mutating func makeSet(_ items: [PickleValue] = []) throws(FormatError) -> PickleValue {
    try make(.set(try container(items)))
  }

  mutating func makeDict(_ pairs: [PickleValue] = []) throws(FormatError) -> PickleValue {
    try make(.dict(try container(pairs)))
  }

  private mutating func container(_ items: [PickleValue]) throws(FormatError) -> Int {
    try charge(items.count)
    containers.append(items)
    return containers.count - 1
  }

  mutating func make(_ object: PickleObject) throws(FormatError) -> PickleValue {
    objects.append(object)
    return try make(.object(objects.count - 1))
  }

  mutating func replace(_ index: Int, with node: PickleNode) { nodes[index] = node }

  mutating func change(object index: Int, _ body: (inout PickleObject) -> Void) { body(&objects[index]) }

  mutating func add(_ storage: TorchStorage) -> Int {
    storages.append(storage)
    return storages.count - 1
  }

  mutating func add(_ tensor: TorchTensor) -> Int {
    tensors.append(tensor)
    return tensors.count - 1
  }

  /// The storage of that key, made when it is met first; it must always be said to be the same.
  mutating func storage(_ key: String, _ type: ElementType?, byteCount: Int) throws(FormatError) -> Int {
    if let index = storageIndices[key] {
      guard storages[index].byteCount == byteCount, storages[index].elementType == type else {
        throw fail(
          "one storage is said to have two sizes or types", found: "storage '\(key)', \(byteCount) bytes",
          expected: "\(storages[index].byteCount) bytes")
      }
      return index
    }
    let index = add(TorchStorage(key: key, elementType: type, byteCount: byteCount))
    storageIndices[key] = index
    return index
  }

  /// Makes a storage a view of another; it must always be said to be the same one.
  mutating func place(_ storage: Int, in base: Int, at offset: Int) throws(FormatError) {
    let known = storages[storage]
    // A chain of views would have to be followed, and could be a ring: torch makes views of whole storages alone.
    guard storages[base].base == nil, storage != base,
      known.base.map({ $0 == base && known.baseOffset == offset }) ?? true,
      known.byteCount <= storages[base].byteCount - offset
    else { throw fail("a view of a storage is not a plain one", found: "'\(known.key)' of '\(storages[base].key)'") }
    storages[storage].base = base
    storages[storage].baseOffset = offset
  }

  mutating func note(_ text: String, tensor: Int) { tensors[tensor].note = text }

  // MARK: Running

  /// Runs one pickle, from its first opcode to its STOP.
  mutating func load(_ cursor: inout ByteCursor) throws(FormatError) -> PickleValue {
    stack = []
    marks = []
    memo = PickleMemo()
    let start = cursor.position
    defer { size += cursor.position - start }
    byteBudget = max(byteBudget, cursor.remaining)
    // Growing would move them all again and again. Memory that is not used costs nothing.
    nodes.reserveCapacity(nodes.count + min(cursor.remaining / 8, 1 << 20))
    while true {
      place = cursor.offsetInFile
      let opcode = try cursor.byte("the pickle")
      // STOP
      if opcode == 0x2E {
        guard marks.isEmpty, stack.count == 1 else {
          throw fail("the pickle ends with more or less than one value", found: "\(stack.count)")
        }
        return try pop()
      }
      if try pushPlain(opcode, &cursor) { continue }
      if try arrange(opcode, &cursor) { continue }
      if try build(opcode, &cursor) { continue }
      throw fail(
        "the pickle holds an instruction that no checkpoint has", found: "0x\(hexadecimal(opcode, digits: 2))",
        advice: "The file is damaged, or not a pickle.")
    }
  }

  private mutating func push(_ value: PickleValue) throws(FormatError) {
    guard stack.count < Self.largestStack else { throw fail("the pickle's stack grows beyond reason") }
    stack.append(value)
  }

  private mutating func pop() throws(FormatError) -> PickleValue {
    guard stack.count > (marks.last ?? 0), let value = stack.popLast() else {
      throw fail("the pickle takes a value that is not there")
    }
    return value
  }

  private func top() throws(FormatError) -> PickleValue {
    guard stack.count > (marks.last ?? 0), let value = stack.last else {
      throw fail("the pickle uses a value that is not there")
    }
    return value
  }

  /// How many values lie above the last mark, which goes.
  private mutating func popMarkCount() throws(FormatError) -> Int {
    guard let mark = marks.popLast(), mark <= stack.count else { throw fail("the pickle closes what it did not open") }
    return stack.count - mark
  }

  private mutating func popMark() throws(FormatError) -> [PickleValue] {
    let count = try popMarkCount()
    let items = Array(stack.suffix(count))
    stack.removeLast(count)
    return items
  }

  // MARK: Opcodes: plain values

  private mutating func pushPlain(_ opcode: UInt8, _ cursor: inout ByteCursor) throws(FormatError) -> Bool {
    switch opcode {
    case 0x4E: try push(.none)  // NONE
    case 0x88: try push(.bool(true))  // NEWTRUE
    case 0x89: try push(.bool(false))  // NEWFALSE
    case 0x4A: try push(.int(Int(try cursor.littleEndian(Int32.self, "a number"))))  // BININT
    case 0x4B: try push(.int(Int(try cursor.byte("a number"))))  // BININT1
    case 0x4D: try push(.int(Int(try cursor.littleEndian(UInt16.self, "a number"))))  // BININT2
    case 0x47: try push(.float(Double(bitPattern: try cursor.bigEndian(UInt64.self, "a number"))))  // BINFLOAT
    case 0x8A: try push(try long(try cursor.take(Int(try cursor.byte("a number")), "a number")))  // LONG1
    case 0x8B: try push(try long(try sized(Int(try cursor.littleEndian(Int32.self, "a number")), &cursor)))  // LONG4
    case 0x49, 0x4C: try push(try decimal(try line(&cursor)))  // INT, LONG
    case 0x46:  // FLOAT
      let text = try line(&cursor)
      guard let value = Double(text) else { throw fail("not a number", found: text) }
      try push(.float(value))
    case 0x58: try push(try string(try size32(&cursor), &cursor))  // BINUNICODE
    case 0x8C: try push(try string(Int(try cursor.byte("a string")), &cursor))  // SHORT_BINUNICODE
    case 0x8D: try push(try string(try size64(&cursor), &cursor))  // BINUNICODE8
    case 0x56: try push(try make(.string(Self.unescapedText(try rawLine(&cursor)))))  // UNICODE
    case 0x54: try push(try bytes(Int(try cursor.littleEndian(Int32.self, "a string")), &cursor))  // BINSTRING
    case 0x55, 0x43: try push(try bytes(Int(try cursor.byte("a string")), &cursor))  // SHORT_BINSTRING, SHORT_BINBYTES
    case 0x42: try push(try bytes(try size32(&cursor), &cursor))  // BINBYTES
    case 0x8E, 0x96: try push(try bytes(try size64(&cursor), &cursor))  // BINBYTES8, BYTEARRAY8
    case 0x53:  // STRING
      let text = try rawLine(&cursor)
      guard let quote = text.first, quote == 0x27 || quote == 0x22, text.count >= 2, text.last == quote else {
        throw fail("a string without its quotes", found: String(decoding: text.prefix(20), as: UTF8.self))
      }
      try push(try make(.bytes(Self.unescapedBytes(text.dropFirst().dropLast()))))
    default: return false
    }
    return true
  }

  private func size32(_ cursor: inout ByteCursor) throws(FormatError) -> Int {
    Int(try cursor.littleEndian(UInt32.self, "a size"))
  }

  private func size64(_ cursor: inout ByteCursor) throws(FormatError) -> Int {
    let size = try cursor.littleEndian(UInt64.self, "a size")
    guard let value = Int(exactly: size) else { throw fail("an impossible size", found: "\(size)") }
    return value
  }

  private func sized(_ count: Int, _ cursor: inout ByteCursor) throws(FormatError) -> Bytes {
    guard count <= 1 << 20 else { throw fail("a number is too long", found: "\(count) bytes") }
    return try cursor.take(count, "a number")
  }

  private mutating func string(_ count: Int, _ cursor: inout ByteCursor) throws(FormatError) -> PickleValue {
    // Half surrogates, which Python lets through, become U+FFFD, as does what no reader of texts could bear.
    try make(.string(try cursor.take(count, "a string").text()))
  }

  private mutating func bytes(_ count: Int, _ cursor: inout ByteCursor) throws(FormatError) -> PickleValue {
    try make(.bytes(try cursor.take(count, "a string").array()))
  }

  /// A number in two's complement, lowest byte first.
  private mutating func long(_ bytes: Bytes) throws(FormatError) -> PickleValue {
    let digits = bytes.array()
    guard let last = digits.last else { return .int(0) }
    if digits.count <= 8 {
      var value = last >= 0x80 ? -1 : 0
      for byte in digits.reversed() { value = value << 8 | Int(byte) }
      return .int(value)
    }
    return try make(.integer(Self.decimalText(digits)))
  }

  /// The decimal digits of a number in two's complement, lowest byte first. Python refuses to print very long ones
  /// too, since the time grows with the square.
  static func decimalText(_ bytes: [UInt8]) -> String {
    guard bytes.count <= 128 else { return "a number of \(bytes.count) bytes" }
    let isNegative = (bytes.last ?? 0) >= 0x80
    var magnitude = bytes
    if isNegative {
      var carry = true
      for index in magnitude.indices {
        magnitude[index] = ~magnitude[index]
        if carry { (magnitude[index], carry) = magnitude[index].addingReportingOverflow(1) }
      }
    }
    var digits: [UInt8] = [0]
    for byte in magnitude.reversed() {
      var carry = Int(byte)
      for index in digits.indices {
        carry += Int(digits[index]) << 8
        digits[index] = UInt8(carry % 10)
        carry /= 10
      }
      while carry > 0 {
        digits.append(UInt8(carry % 10))
        carry /= 10
      }
    }
    return (isNegative ? "-" : "") + digits.reversed().map { String($0) }.joined()
  }

  private mutating func decimal(_ text: String) throws(FormatError) -> PickleValue {
    if text == "00" { return .bool(false) }
    if text == "01" { return .bool(true) }
    let digits = text.hasSuffix("L") ? String(text.dropLast()) : text
    if let value = Int(digits) { return .int(value) }
    guard !digits.isEmpty, digits.utf8.drop(while: { $0 == 0x2D }).allSatisfy({ (0x30...0x39).contains($0) }) else {
      throw fail("not a number", found: String(text.prefix(20)))
    }
    return try make(.integer(digits))
  }

  /// The text up to a line's end.
  private func line(_ cursor: inout ByteCursor) throws(FormatError) -> String {
    String(decodingFileText: try rawLine(&cursor))
  }

  private func rawLine(_ cursor: inout ByteCursor) throws(FormatError) -> [UInt8] {
    var bytes: [UInt8] = []
    while true {
      let byte = try cursor.byte("a line")
      if byte == 0x0A { break }
      bytes.append(byte)
      guard bytes.count <= 1 << 20 else { throw fail("a line is too long") }
    }
    if bytes.last == 0x0D { bytes.removeLast() }
    return bytes
  }

  /// Latin-1 with `\uXXXX` and `\UXXXXXXXX` for the rest (Python's raw-unicode-escape).
  static func unescapedText(_ bytes: [UInt8]) -> String {
    var result = String.UnicodeScalarView()
    var index = 0
    while index < bytes.count {
      if bytes[index] == 0x5C, index + 1 < bytes.count {
        let digits = bytes[index + 1] == UInt8(ascii: "u") ? 4 : bytes[index + 1] == UInt8(ascii: "U") ? 8 : 0
        if digits > 0, let code = hexadecimalValue(bytes[(index + 2)...], digits: digits) {
          result.append(Unicode.Scalar(code) ?? "\u{FFFD}")
          index += 2 + digits
          continue
        }
      }
      result.append(Unicode.Scalar(bytes[index]))
      index += 1
    }
    return String(result).withoutHeaps
  }

  /// The bytes that the repr of a Python 2 string stands for.
  static func unescapedBytes(_ text: ArraySlice<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    var index = text.startIndex
    while index < text.endIndex {
      let byte = text[index]
      index += 1
      guard byte == 0x5C, index < text.endIndex else {
        result.append(byte)
        continue
      }
      let letter = text[index]
      index += 1
      switch letter {
      case UInt8(ascii: "n"): result.append(10)
      case UInt8(ascii: "r"): result.append(13)
      case UInt8(ascii: "t"): result.append(9)
      case UInt8(ascii: "x"):
        guard let code = hexadecimalValue(text[index...], digits: 2) else { fallthrough }
        result.append(UInt8(truncatingIfNeeded: code))
        index += 2
      case 0x5C, 0x27, 0x22: result.append(letter)
      default: result += [byte, letter]
      }
    }
    return result
  }

  private static func hexadecimalValue(_ bytes: ArraySlice<UInt8>, digits: Int) -> UInt32? {
    var value: UInt32 = 0
    guard bytes.count >= digits else { return nil }
    for byte in bytes.prefix(digits) {
      guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { return nil }
      value = value << 4 | UInt32(digit)
    }
    return value
  }

  // MARK: Opcodes: stack, memo, containers

  private mutating func arrange(_ opcode: UInt8, _ cursor: inout ByteCursor) throws(FormatError) -> Bool {
    switch opcode {
    case 0x80:  // PROTO
      let version = try cursor.byte("the protocol")
      guard version <= 5 else {
        throw fail("the pickle's protocol is unknown", found: "\(version)", expected: "at most 5")
      }
    case 0x95: try cursor.skip(8)  // FRAME
    case 0x28:  // MARK
      guard marks.count < Self.largestStack else { throw fail("the pickle nests beyond reason") }
      marks.append(stack.count)
    case 0x30:  // POP
      if marks.last == stack.count { marks.removeLast() } else { _ = try pop() }
    case 0x31: _ = try popMark()  // POP_MARK
    case 0x32: try push(try top())  // DUP
    case 0x70: try store(try lineIndex(&cursor))  // PUT
    case 0x71: try store(Int(try cursor.byte("a memo index")))  // BINPUT
    case 0x72: try store(Int(try cursor.littleEndian(UInt32.self, "a memo index")))  // LONG_BINPUT
    case 0x94: try store(memo.count)  // MEMOIZE
    case 0x67: try recall(try lineIndex(&cursor))  // GET
    case 0x68: try recall(Int(try cursor.byte("a memo index")))  // BINGET
    case 0x6A: try recall(Int(try cursor.littleEndian(UInt32.self, "a memo index")))  // LONG_BINGET
    case 0x29: try pushTuple(0)  // EMPTY_TUPLE
    case 0x5D: try push(try makeList())  // EMPTY_LIST
    case 0x7D: try push(try makeDict())  // EMPTY_DICT
    case 0x8F: try push(try makeSet())  // EMPTY_SET
    case 0x74: try pushTuple(try popMarkCount())  // TUPLE
    case 0x6C: try push(try makeList(try popMark()))  // LIST
    case 0x91: try push(try makeSet(try popMark()))  // FROZENSET
    case 0x85: try pushTuple(1)  // TUPLE1
    case 0x86: try pushTuple(2)  // TUPLE2
    case 0x87: try pushTuple(3)  // TUPLE3
    case 0x64:  // DICT
      let pairs = try popMark()
      guard pairs.count % 2 == 0 else { throw fail("a dict has a key without a value") }
      try push(try makeDict(pairs))
    case 0x61: try append([try pop()])  // APPEND
    case 0x65: try append(try popMark())  // APPENDS
    case 0x90: try append(try popMark(), toSet: true)  // ADDITEMS
    case 0x73:  // SETITEM
      let value = try pop()
      try set([try pop(), value])
    case 0x75: try set(try popMark())  // SETITEMS
    default: return false
    }
    return true
  }

  /// Makes a tuple of the last values on the stack.
  private mutating func pushTuple(_ count: Int) throws(FormatError) {
    guard stack.count - count >= marks.last ?? 0 else { throw fail("the pickle takes a value that is not there") }
    let tuple = try makeTuple(stack.suffix(count))
    stack.removeLast(count)
    try push(tuple)
  }

  private func lineIndex(_ cursor: inout ByteCursor) throws(FormatError) -> Int {
    let text = try line(&cursor)
    guard let index = Int(text), index >= 0 else { throw fail("not a memo index", found: String(text.prefix(20))) }
    return index
  }

  private mutating func store(_ index: Int) throws(FormatError) {
    let value = try top()
    try charge(1)
    memo[index] = value
  }

  private mutating func recall(_ index: Int) throws(FormatError) {
    guard let value = memo[index] else {
      throw fail("the pickle recalls what it did not keep", found: "memo \(index)")
    }
    try push(value)
  }

  private mutating func append(_ items: [PickleValue], toSet: Bool = false) throws(FormatError) {
    let target = try top()
    try charge(items.count)
    switch node(target) {
    case .list(let index) where !toSet, .set(let index) where toSet: containers[index] += items
    case .object(let index): objects[index].items += items
    default: throw fail("values are appended to what is no list", found: describe(target))
    }
  }

  private mutating func set(_ pairs: [PickleValue]) throws(FormatError) {
    let target = try top()
    guard pairs.count % 2 == 0 else { throw fail("a dict has a key without a value") }
    try charge(pairs.count)
    switch node(target) {
    case .dict(let index): containers[index] += pairs
    case .object(let index): objects[index].pairs += pairs
    default: throw fail("values are set in what is no dict", found: describe(target))
    }
  }

  // MARK: Opcodes: names, calls, outside values

  private mutating func build(_ opcode: UInt8, _ cursor: inout ByteCursor) throws(FormatError) -> Bool {
    switch opcode {
    case 0x63:  // GLOBAL
      let module = try line(&cursor)
      try push(try global(module, try line(&cursor)))
    case 0x93:  // STACK_GLOBAL
      let name = try pop()
      let module = try pop()
      guard let name = text(name), let module = text(module) else {
        throw fail("a name to import is not a string", found: "\(describe(module)), \(describe(name))")
      }
      try push(try global(module, name))
    case 0x52, 0x81:  // REDUCE, NEWOBJ
      let arguments = try pop()
      try push(try call(try pop(), arguments))
    case 0x92:  // NEWOBJ_EX
      let keywords = try pop()
      let arguments = try pop()
      let made = try call(try pop(), arguments)
      if case .object(let object) = node(made), let named = dict(keywords) {
        try charge(named.count)
        objects[object].pairs += named
      }
      try push(made)
    case 0x69:  // INST
      let module = try line(&cursor)
      let type = try global(module, try line(&cursor))
      try pushTuple(try popMarkCount())
      let arguments = try pop()
      try push(try call(type, arguments))
    case 0x6F:  // OBJ
      let items = try popMark()
      guard let type = items.first else { throw fail("an object without a class") }
      try push(try call(type, try makeTuple(items.dropFirst())))
    case 0x62:  // BUILD
      let state = try pop()
      try build(try top(), state: state)
    case 0x50: try push(try outside(try make(.string(try line(&cursor)))))  // PERSID
    case 0x51: try push(try outside(try pop()))  // BINPERSID
    case 0x82, 0x83, 0x84:
      throw fail("the pickle uses an extension registry, which a file cannot bring along")
    case 0x97, 0x98:
      throw fail("the pickle keeps buffers outside of itself, which no checkpoint does")
    default: return false
    }
    return true
  }

  private mutating func global(_ module: String, _ name: String) throws(FormatError) -> PickleValue {
    guard module.utf8.count + name.utf8.count <= Self.longestName else { throw fail("a name to import is too long") }
    let imported = PickleImports.canonical(module: module, name: name)
    if let index = importIndices[imported] { return try make(.global(index)) }
    guard imports.count < 10_000 else { throw fail("the pickle imports more names than any checkpoint") }
    importIndices[imported] = imports.count
    imports.append(ImportedGlobal(name: imported, verdict: PickleImports.verdict(imported)))
    return try make(.global(imports.count - 1))
  }
}
