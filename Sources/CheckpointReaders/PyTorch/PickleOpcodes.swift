import CheckpointFormats
import TensorIO

// The opcodes that combine values.
extension PickleMachine {
  // MARK: Opcodes: stack, memo, containers

  /// Runs an opcode of the stack, the memo or a container; `false` for other opcodes.
  mutating func arrange(_ opcode: PickleOpcode, _ cursor: inout ByteCursor) throws(FormatError) -> Bool {
    switch opcode {
    case .proto:
      let version = try cursor.byte("the protocol")
      guard version <= 5 else {
        throw fail(.unsupported, "the pickle's protocol is unknown", found: "\(version)", expected: "at most 5")
      }
    case .frame: try cursor.skip(8)
    case .mark:
      guard marks.count < Self.maxStackSize else { throw fail(.limit, "the pickle has too many marks") }
      marks.append(stack.count)
    case .pop:
      if marks.last == stack.count { marks.removeLast() } else { _ = try pop() }
    case .popMark: _ = try popMark()
    case .dup: try push(try top())
    case .put: try store(try lineIndex(&cursor))
    case .binPut: try store(Int(try cursor.byte("a memo index")))
    case .longBinPut: try store(Int(try cursor.littleEndian(UInt32.self, "a memo index")))
    case .memoize: try store(memo.count)
    case .get: try recall(try lineIndex(&cursor))
    case .binGet: try recall(Int(try cursor.byte("a memo index")))
    case .longBinGet: try recall(Int(try cursor.littleEndian(UInt32.self, "a memo index")))
    case .emptyTuple: try pushTuple(0)
    case .emptyList: try push(try makeList())
    case .emptyDict: try push(try makeDict())
    case .emptySet: try push(try makeSet())
    case .tuple: try pushTuple(try popMarkCount())
    case .list: try push(try makeList(try popMark()))
    case .frozenSet: try push(try makeSet(try popMark()))
    case .tuple1: try pushTuple(1)
    case .tuple2: try pushTuple(2)
    case .tuple3: try pushTuple(3)
    case .dict:
      let pairs = try popMark()
      guard pairs.count % 2 == 0 else { throw fail(.damaged, "a dict has a key without a value") }
      try push(try makeDict(pairs))
    case .append: try append([try pop()])
    case .appends: try append(try popMark())
    case .addItems: try append(try popMark(), toSet: true)
    case .setItem:
      let value = try pop()
      try set([try pop(), value])
    case .setItems: try set(try popMark())
    default: return false
    }
    return true
  }

  /// Makes a tuple of the last values on the stack.
  private mutating func pushTuple(_ count: Int) throws(FormatError) {
    guard stack.count - count >= marks.last ?? 0 else {
      throw fail(.damaged, "the pickle pops a value from an empty stack")
    }
    let tuple = try makeTuple(stack.suffix(count))
    stack.removeLast(count)
    try push(tuple)
  }

  private func lineIndex(_ cursor: inout ByteCursor) throws(FormatError) -> Int {
    let text = try line(&cursor)
    guard let index = Int(text), index >= 0 else {
      throw fail(.damaged, "not a memo index", found: String(text.prefix(20)))
    }
    return index
  }

  private mutating func store(_ index: Int) throws(FormatError) {
    let value = try top()
    try charge(1)
    memo[index] = value
  }

  private mutating func recall(_ index: Int) throws(FormatError) {
    guard let value = memo[index] else {
      throw fail(.damaged, "the pickle reads an unset memo entry", found: "memo \(index)")
    }
    try push(value)
  }

  private mutating func append(_ items: [PickleValue], toSet: Bool = false) throws(FormatError) {
    let target = try top()
    try charge(items.count)
    switch node(target) {
    case .list(let index) where !toSet, .set(let index) where toSet: containers[index] += items
    case .object(let index): objects[index].items += items
    default: throw fail(.damaged, "values are appended to something other than a list", found: describe(target))
    }
  }

  private mutating func set(_ pairs: [PickleValue]) throws(FormatError) {
    let target = try top()
    guard pairs.count % 2 == 0 else { throw fail(.damaged, "a dict has a key without a value") }
    try charge(pairs.count)
    switch node(target) {
    case .dict(let index): containers[index] += pairs
    case .object(let index): objects[index].pairs += pairs
    default: throw fail(.damaged, "values are set in something other than a dict", found: describe(target))
    }
  }

  // MARK: Opcodes: names, calls, outside values

  /// Runs an opcode of names, calls or values outside the pickle.
  mutating func build(_ opcode: PickleOpcode, _ cursor: inout ByteCursor) throws(FormatError) {
    switch opcode {
    case .global:
      let module = try line(&cursor)
      try push(try global(module, try line(&cursor)))
    case .stackGlobal:
      let name = try pop()
      let module = try pop()
      guard let name = text(name), let module = text(module) else {
        throw fail(.damaged, "an imported name is not a string", found: "\(describe(module)), \(describe(name))")
      }
      try push(try global(module, name))
    case .reduce, .newObj:
      let arguments = try pop()
      try push(try call(try pop(), arguments))
    case .newObjEx:
      let keywords = try pop()
      let arguments = try pop()
      let made = try call(try pop(), arguments)
      if case .object(let object) = node(made), let named = dict(keywords) {
        try charge(named.count)
        objects[object].pairs += named
      }
      try push(made)
    case .inst:
      let module = try line(&cursor)
      let type = try global(module, try line(&cursor))
      try pushTuple(try popMarkCount())
      let arguments = try pop()
      try push(try call(type, arguments))
    case .obj:
      let items = try popMark()
      guard let type = items.first else { throw fail(.damaged, "an object has no class") }
      try push(try call(type, try makeTuple(items.dropFirst())))
    case .build:
      let state = try pop()
      try build(try top(), state: state)
      try readJoblibArray(&cursor)
    case .persID: try push(try outside(try make(.string(try line(&cursor)))))
    case .binPersID: try push(try outside(try pop()))
    case .ext1, .ext2, .ext4:
      throw fail(.unsupported, "the pickle uses the extension registry, which is not part of a file")
    case .nextBuffer, .readOnlyBuffer:
      throw fail(.unsupported, "the pickle uses out-of-band buffers, which are not part of a checkpoint")
    // All others are handled by `pushPlain` and `arrange`.
    default: break
    }
  }

  private mutating func global(_ module: String, _ name: String) throws(FormatError) -> PickleValue {
    guard module.utf8.count + name.utf8.count <= Self.maxNameLength else {
      throw fail(.limit, "an imported name is too long")
    }
    return try global(PickleImports.canonical(module: module, name: name))
  }

  /// The value of an imported name.
  mutating func global(_ imported: String) throws(FormatError) -> PickleValue {
    guard imported.utf8.count <= 2 * Self.maxNameLength else { throw fail(.limit, "an imported name is too long") }
    if let index = importIndices[imported] { return try make(.global(index)) }
    guard imports.count < 10_000 else { throw fail(.limit, "the pickle imports too many names") }
    importIndices[imported] = imports.count
    imports.append(ImportedGlobal(name: imported, verdict: PickleImports.verdict(imported)))
    return try make(.global(imports.count - 1))
  }
}
