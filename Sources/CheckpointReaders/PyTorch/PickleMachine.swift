import CheckpointFormats
import TensorIO

/// Evaluates a pickle without running any code of it.
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
  /// What precedes the keys of storages: another folder of the archive.
  var storagePrefix = ""
  private(set) var nodes: [PickleNode] = []
  /// Of all tuples, one after the other.
  private(set) var elements: [PickleValue] = []
  /// The elements of lists and sets, and the keys and values of dicts.
  var containers: [[PickleValue]] = []
  var objects: [PickleObject] = []
  /// Long bytes.
  private(set) var slices: [Bytes] = []
  private(set) var storages: [TorchStorage] = []
  private(set) var tensors: [TorchTensor] = []
  var imports: [ImportedGlobal] = []
  private(set) var storageIndices: [String: Int] = [:]
  var importIndices: [String: Int] = [:]

  /// Whether arrays were written by joblib.
  var isJoblib = false
  /// The depth of pickles inside this one.
  var nesting = 0
  /// Whether this machine reads bytes of another one's pickle.
  let isNested: Bool

  var stack: [PickleValue] = []
  var marks: [Int] = []
  var memo = PickleMemo()
  /// Of the current opcode, in the file.
  private var offset: UInt64 = 0
  /// Nodes and elements that may still be made: a few bytes of a pickle can copy a large list.
  private var budget = 6 << 20
  /// Bytes that may still be made of strings; pickles of torch convert each once.
  private var byteBudget = 1 << 20

  static let maxStackSize = 4 << 20
  /// Bytes of the name of an import or a storage. One that is used a million times is compared as often.
  static let maxNameLength = 1024

  init(file: String?, isNested: Bool = false) {
    self.file = file
    self.isNested = isNested
    // A storage has few values, and the same bytes may be loaded thousands of times.
    if isNested { budget = 1 << 12 }
  }

  // MARK: The arena

  /// An error at the current opcode.
  func fail(
    _ kind: FormatError.Kind, _ problem: String, found: String? = nil, expected: String? = nil,
    advice: FormatError.Advice? = nil
  ) -> FormatError {
    FormatError(kind, problem, file: file, offset: offset, found: found, expected: expected, advice: advice)
  }

  mutating func charge(_ count: Int) throws(FormatError) {
    budget -= count
    guard budget >= 0 else { throw fail(.limit, "the pickle creates too many values") }
  }

  mutating func chargeBytes(_ count: Int) throws(FormatError) {
    byteBudget -= count
    guard byteBudget >= 0 else { throw fail(.limit, "the pickle copies its strings too often") }
  }

  mutating func make(_ node: PickleNode) throws(FormatError) -> PickleValue {
    try charge(1)
    nodes.append(node)
    return .node(nodes.count - 1)
  }

  /// Bytes as a value that refers to them.
  mutating func make(_ bytes: Bytes) throws(FormatError) -> PickleValue {
    slices.append(bytes)
    return try make(.slice(slices.count - 1))
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

  /// The storage with that key, made at its first use; every use must declare the same type and size.
  mutating func storage(_ key: String, _ type: ElementType?, byteCount: Int) throws(FormatError) -> Int {
    let key = storagePrefix + key
    if let index = storageIndices[key] {
      guard storages[index].byteCount == byteCount, storages[index].elementType == type else {
        throw fail(
          .damaged, "a storage is declared with two sizes or types", found: "storage '\(key)', \(byteCount) bytes",
          expected: "\(storages[index].byteCount) bytes")
      }
      return index
    }
    let index = add(TorchStorage(key: key, elementType: type, byteCount: byteCount))
    storageIndices[key] = index
    return index
  }

  /// Makes a storage a view of another; every use must declare the same one.
  mutating func makeView(_ storage: Int, of base: Int, at offset: Int) throws(FormatError) {
    let known = storages[storage]
    // A chain of views would have to be followed, and could be a ring: torch makes views of whole storages alone.
    guard storages[base].base == nil, storage != base,
      known.base.map({ $0 == base && known.baseOffset == offset }) ?? true,
      known.byteCount <= storages[base].byteCount - offset
    else {
      throw fail(
        .damaged, "a view of a storage is not inside a whole storage",
        found: "'\(known.key)' of '\(storages[base].key)'")
    }
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
    let isOuter = nesting == 0
    defer { if isOuter { size += cursor.position - start } }
    if isOuter { byteBudget = max(byteBudget, cursor.remaining) }
    // Growing would move them all again and again. Memory that is not used costs nothing.
    if isOuter { nodes.reserveCapacity(nodes.count + min(cursor.remaining / 8, isNested ? 64 : 1 << 20)) }
    while true {
      offset = cursor.offsetInFile
      let byte = try cursor.byte("the pickle")
      guard let opcode = PickleOpcode(rawValue: byte) else {
        throw fail(
          .damaged, "the pickle contains an unknown opcode", found: "0x\(hexadecimal(byte, digits: 2))",
          advice: "The file is damaged, or not a pickle.")
      }
      if opcode == .stop {
        guard marks.isEmpty, stack.count == 1 else {
          throw fail(.damaged, "the pickle does not end with exactly one value", found: "\(stack.count)")
        }
        return try pop()
      }
      if try pushPlain(opcode, &cursor) { continue }
      if try arrange(opcode, &cursor) { continue }
      try build(opcode, &cursor)
    }
  }

  mutating func push(_ value: PickleValue) throws(FormatError) {
    guard stack.count < Self.maxStackSize else { throw fail(.limit, "the pickle's stack is too large") }
    stack.append(value)
  }

  mutating func pop() throws(FormatError) -> PickleValue {
    guard stack.count > (marks.last ?? 0), let value = stack.popLast() else {
      throw fail(.damaged, "the pickle pops a value from an empty stack")
    }
    return value
  }

  func top() throws(FormatError) -> PickleValue {
    guard stack.count > (marks.last ?? 0), let value = stack.last else {
      throw fail(.damaged, "the pickle uses a value of an empty stack")
    }
    return value
  }

  /// Removes the last mark; the number of values above it.
  mutating func popMarkCount() throws(FormatError) -> Int {
    guard let mark = marks.popLast(), mark <= stack.count else {
      throw fail(.damaged, "the pickle pops a mark that it did not set")
    }
    return stack.count - mark
  }

  mutating func popMark() throws(FormatError) -> [PickleValue] {
    let count = try popMarkCount()
    let items = Array(stack.suffix(count))
    stack.removeLast(count)
    return items
  }
}
