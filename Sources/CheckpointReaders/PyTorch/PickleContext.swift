import TensorIO

// Functions that are as harmless as what they are called with. `getattr` is how Python writes members of enumerations and
// methods, `type` how it writes the type of None, `getitem` how it writes `Optional[int]`, and `_load_from_bytes` how torch
// writes a storage into a pickle that is not its own. Where every call of one is understood, it is known; what it was called
// with is judged itself.
extension PickleMachine {
  private static let contextual: Set<String> = [
    "builtins.getattr", "builtins.type", "operator.getitem", "_operator.getitem", "torch.storage._load_from_bytes",
  ]

  /// The imports with their verdicts, those of functions whose calls were all understood among them.
  var judgedImports: [ImportedGlobal] {
    let indices = Set(imports.indices.filter { Self.contextual.contains(imports[$0].name) })
    guard !indices.isEmpty else { return imports }
    let kept = indices.intersection(keptGlobals)
    return imports.enumerated().map { index, item in
      indices.contains(index) && !kept.contains(index) ? ImportedGlobal(name: item.name, verdict: .known) : item
    }
  }

  /// The imports that some value still refers to: a call that was understood is not there any more.
  private var keptGlobals: Set<Int> {
    var result: Set<Int> = []
    func add(_ value: PickleValue) {
      if case .node(let index) = value, case .global(let number) = nodes[index] { result.insert(number) }
    }
    for value in elements { add(value) }
    for container in containers { for value in container { add(value) } }
    for object in objects {
      add(object.type)
      add(object.arguments)
      add(object.state)
      for value in object.items { add(value) }
      for value in object.pairs { add(value) }
    }
    for value in stack { add(value) }
    return result
  }

  mutating func contextual(_ name: String, _ given: PickleTuple) throws(FormatError) -> PickleValue? {
    switch name {
    case "builtins.type" where given.count == 1 && self[given, 0] == .none: try global("builtins.NoneType")
    case "operator.getitem", "_operator.getitem":
      if given.count == 2, globalName(self[given, 0])?.hasPrefix("typing.") == true { self[given, 0] } else { nil }
    case "builtins.getattr" where given.count == 2: try attribute(of: self[given, 0], named: self[given, 1])
    case "torch.storage._load_from_bytes" where given.count == 1:
      if let data = bytes(self[given, 0]) { try nestedStorage(data) } else { nil }
    default: nil
    }
  }

  /// An attribute of a class, or a method of an object: a name of its own, with a verdict of its own.
  private mutating func attribute(of value: PickleValue, named name: PickleValue) throws(FormatError) -> PickleValue? {
    guard let name = text(name, atMost: 200), !name.isEmpty,
      name.utf8.allSatisfy({ $0 == 0x5F || ($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A) || (0x30...0x39).contains($0) }),
      let owner = globalName(value) ?? object(value).flatMap({ globalName($0.type) }),
      !Self.contextual.contains(owner)
    else { return nil }
    return try global("\(owner).\(name)")
  }

  /// A storage that was saved with torch.save into bytes of this pickle.
  private mutating func nestedStorage(_ data: Bytes) throws(FormatError) -> PickleValue? {
    guard !isNested, TorchLegacy.recognizes(data) else { return nil }
    var inner = PickleMachine(file: file, isNested: true)
    let found: (storage: TorchStorage, bytes: Bytes)?
    do throws(FormatError) { found = try TorchLegacy.storage(in: data, &inner) } catch {
      // What it imports counts, whatever else is wrong with it.
      for item in inner.imports where item.verdict == .dangerous { _ = try global(item.name) }
      return nil
    }
    // The same bytes may be loaded again and again.
    try chargeBytes(inner.size)
    for item in inner.imports { _ = try global(item.name) }
    guard let found else { return nil }
    var storage = TorchStorage(
      key: "nested \(storages.count)", elementType: found.storage.elementType, byteCount: found.storage.byteCount)
    storage.inline = found.bytes
    return try make(.storage(add(storage)))
  }
}
