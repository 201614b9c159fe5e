import CheckpointFormats
import TensorIO

// The calls that torch (torch/_utils.py, torch/_tensor.py) writes into pickles. Nothing is called: the result follows from
// the arguments.
extension PickleMachine {
  mutating func call(
    _ function: PickleValue, _ arguments: PickleValue, depth: Int = 0
  ) throws(FormatError) -> PickleValue {
    guard let given = tuple(arguments) else {
      throw fail(.damaged, "a call has no tuple of arguments", found: describe(arguments))
    }
    if let name = globalName(function), depth < 8 {
      // Most calls of a checkpoint make tensors.
      if let result = try tensor(name, given, depth: depth) { return result }
      if let result = try container(name, given) { return result }
      if let result = try array(name, given, arguments) { return result }
      if let result = try contextual(name, given) { return result }
    }
    return try object(function, arguments)
  }

  mutating func object(_ type: PickleValue, _ arguments: PickleValue) throws(FormatError) -> PickleValue {
    try make(PickleObject(type: type, arguments: arguments))
  }

  // MARK: Python's own

  private mutating func container(_ name: String, _ given: PickleTuple) throws(FormatError) -> PickleValue? {
    switch name {
    case "collections.OrderedDict", "builtins.dict", "collections.Counter":
      return try dict(from: given.count > 0 ? self[given, 0] : nil)
    case "collections.defaultdict": return try dict(from: given.count > 1 ? self[given, 1] : nil)
    case "builtins.set", "builtins.frozenset":
      guard let items = items(given) else { return nil }
      return try makeSet(Array(items))
    case "builtins.list":
      guard let items = items(given) else { return nil }
      return try makeList(Array(items))
    case "builtins.tuple", "torch.Size":
      // That of a tuple is itself.
      if given.count > 0, tuple(self[given, 0]) != nil { return self[given, 0] }
      guard let items = items(given) else { return nil }
      return try makeTuple(items)
    case "_codecs.encode", "builtins.bytearray", "builtins.bytes":
      if given.count == 0 { return try make(.bytes([])) }
      switch node(self[given, 0]) {
      case .bytes(let bytes):
        try chargeBytes(bytes.count)
        return try make(.bytes(bytes))
      case .slice: return self[given, 0]
      case .string(let text):
        // Protocol 2 has no bytes: they are written as the text of the same codes.
        guard given.count == 2, let encoding = self.text(self[given, 1]), ["latin1", "latin-1"].contains(encoding)
        else { return nil }
        try chargeBytes(text.utf8.count)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
          guard let byte = UInt8(exactly: scalar.value) else {
            throw fail(.damaged, "bytes written as text contain a character above 255")
          }
          bytes.append(byte)
        }
        return bytes.count > Self.maxNameLength ? try make(Bytes(bytes, file: file)) : try make(.bytes(bytes))
      default: return nil
      }
    case "torch.jit._pickle.build_intlist", "torch.jit._pickle.build_tensorlist", "torch.jit._pickle.build_doublelist",
      "torch.jit._pickle.build_boollist", "torch.jit._pickle.restore_type_tag":
      return given.count > 0 ? self[given, 0] : nil
    case "copyreg._reconstructor":
      guard given.count == 3 else { return nil }
      return try object(self[given, 0], try makeTuple([]))
    default: return nil
    }
  }

  private mutating func dict(from source: PickleValue?) throws(FormatError) -> PickleValue? {
    guard let source else { return try makeDict() }
    if let pairs = dict(source) { return try makeDict(pairs) }
    // A list of pairs, as Python 2 wrote an OrderedDict.
    guard let items = sequence(source) else { return nil }
    var pairs: [PickleValue] = []
    for item in items {
      guard let pair = sequence(item), let key = pair.first, pair.count == 2, let value = pair.last else { return nil }
      pairs += [key, value]
    }
    return try makeDict(pairs)
  }

  /// What a container is made of that is given another one, or none.
  private func items(_ given: PickleTuple) -> ArraySlice<PickleValue>? {
    guard given.count > 0 else { return [] }
    if case .set(let index) = node(self[given, 0]) { return containers[index][...] }
    return sequence(self[given, 0])
  }

  // MARK: torch

  private mutating func tensor(_ name: String, _ given: PickleTuple, depth: Int) throws(FormatError) -> PickleValue? {
    switch name {
    case "torch._utils._rebuild_tensor_v2":
      guard given.count >= 4 else {
        throw fail(.damaged, "a tensor has too few arguments", found: "\(given.count) values")
      }
      return try rebuilt(given, nil, metadata: given.count > 6 ? self[given, 6] : nil)
    case "torch._utils._rebuild_tensor":
      guard given.count >= 4 else {
        throw fail(.damaged, "a tensor has too few arguments", found: "\(given.count) values")
      }
      return try rebuilt(given, nil, metadata: nil)
    case "torch._utils._rebuild_tensor_v3":
      guard given.count >= 7, let type = globalName(self[given, 6]) else {
        throw fail(.damaged, "a tensor has too few arguments", found: "\(given.count) values")
      }
      guard let elementType = TorchTypes.dataType(type) else { return nil }
      return try rebuilt(given, elementType, metadata: given.count > 7 ? self[given, 7] : nil)
    case "torch._utils._rebuild_qtensor":
      guard given.count >= 5 else {
        throw fail(.damaged, "a tensor has too few arguments", found: "\(given.count) values")
      }
      let value = try rebuilt(given, nil, metadata: nil)
      if let index = tensor(value) {
        note("quantized: their integers are read, not the numbers that they represent", tensor: index)
      }
      return value
    case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state",
      "torch.nn.parameter.Parameter",
      "torch.autograd.variable.Variable", "torch.nn.parameter.Buffer":
      // The same tensor, so that tied parameters stay tied.
      guard given.count > 0, tensor(self[given, 0]) != nil else { return nil }
      return self[given, 0]
    case "torch._tensor._rebuild_from_type_v2", "torch._tensor._rebuild_from_type":
      guard given.count >= 3, globalName(self[given, 0])?.hasPrefix("torch._utils._rebuild_") == true else {
        return nil
      }
      if globalName(self[given, 0]) == "torch._utils._rebuild_wrapper_subclass", given.count >= 4 {
        // A tensor of a class of its own, made of others: its state has them.
        return try make(PickleObject(type: self[given, 1], arguments: self[given, 2], state: self[given, 3]))
      }
      return try call(self[given, 0], self[given, 2], depth: depth + 1)
    case "torch._utils._rebuild_device_tensor_from_numpy", "torch._utils._rebuild_device_tensor_from_cpu_tensor",
      "torch._utils._rebuild_xla_tensor":
      guard given.count >= 2, let index = tensor(self[given, 0]), let type = globalName(self[given, 1]),
        TorchTypes.dataType(type) == tensors[index].elementType
      else { return nil }
      return self[given, 0]
    default: return nil
    }
  }

  /// `given`: storage, offset, size, strides and what does not change the values.
  private mutating func rebuilt(
    _ given: PickleTuple, _ type: ElementType?, metadata: PickleValue?
  ) throws(FormatError) -> PickleValue {
    guard let storage = storage(self[given, 0]), let offset = integer(self[given, 1]),
      let shape = integers(self[given, 2]), let strides = integers(self[given, 3])
    else {
      throw fail(
        .damaged, "a tensor has arguments of the wrong types",
        found: elements(of: given).prefix(4).map { describe($0, depth: 2) }.joined(separator: ", "),
        expected: "a storage, an offset, sizes and strides")
    }
    let elementType = type ?? storages[storage].elementType ?? .u8
    var tensor = TorchTensor(
      storage: storage, offset: offset, shape: shape, strides: strides, elementType: elementType)
    if let metadata, let pairs = dict(metadata) {
      guard pairs.count <= 64 else {
        throw fail(.limit, "a tensor has too much metadata", found: "\(pairs.count / 2) keys")
      }
      // Whatever Python takes for true.
      for flag in ["conj", "neg"]
      where ![PickleValue.none, .bool(false), .int(0)].contains(value(flag, in: metadata) ?? PickleValue.none) {
        tensor.obstacle = "the tensor is stored as the \(flag == "conj" ? "conjugate" : "negative") of other values"
      }
    }
    try check(tensor)
    return try make(.tensor(add(tensor)))
  }

  private static var maxExpansion: Int { 1 << 28 }

  /// Whether the view lies inside its storage.
  func check(_ tensor: TorchTensor) throws(FormatError) {
    guard let size = tensor.elementType.size, let bytes = checkedByteCount(tensor.shape, tensor.elementType) else {
      throw fail(.damaged, "a tensor's shape is impossible", found: shapeText(tensor.shape))
    }
    let elements = storages[tensor.storage].byteCount / size
    guard
      let last = Strides.lastElement(offset: tensor.offset, shape: tensor.shape, strides: tensor.strides),
      last < elements, tensor.offset <= elements
    else {
      throw fail(
        .damaged, "a tensor extends beyond its storage",
        found: "\(shapeText(tensor.shape)) with strides \(shapeText(tensor.strides)) from \(tensor.offset)",
        expected: "within \(elements) elements")
    }
    // Strides of zero make a tensor of any size out of one element; real ones repeat a row or two.
    guard bytes <= max(storages[tensor.storage].byteCount, Self.maxExpansion) else {
      throw fail(
        .limit, "a tensor repeats a small storage too often",
        found: "\(shapeText(tensor.shape)) from \(elements) elements")
    }
  }

  /// Values outside of the pickle.
  mutating func outside(_ id: PickleValue) throws(FormatError) -> PickleValue {
    switch outsideValues {
    case .nothing: throw fail(.unsupported, "the pickle refers to a value outside the file", found: describe(id))
    case .table(let table):
      if let parts = tuple(id) {
        guard parts.count > 0 else { throw fail(.damaged, "a persistent id is empty") }
        return self[parts, 0]
      }
      guard let value = table[integer(id).map(String.init) ?? text(id) ?? ""] else {
        throw fail(.damaged, "the pickle refers to a tensor that is not in the archive", found: describe(id))
      }
      return value
    case .storages:
      guard let parts = tuple(id), parts.count > 0, let kind = text(self[parts, 0]) else {
        throw fail(.unsupported, "the pickle refers to something other than a storage", found: describe(id))
      }
      // A class with its source text: the class is all that counts.
      if kind == "module", parts.count >= 2 { return self[parts, 1] }
      guard kind == "storage", parts.count >= 5, let type = globalName(self[parts, 1]),
        let key = key(self[parts, 2]), let count = integer(self[parts, 4]), count >= 0
      else { throw fail(.unsupported, "the pickle refers to something other than a storage", found: describe(id)) }
      guard let elementType = TorchTypes.storage(type) else {
        throw fail(.unsupported, "the type of a storage is unknown", found: type)
      }
      let size = elementType?.size ?? 1
      let (bytes, overflow) = count.multipliedReportingOverflow(by: size)
      guard !overflow else { throw fail(.damaged, "a storage has an impossible size", found: "\(count)") }
      let root = try storage(key, elementType, byteCount: bytes)
      guard parts.count >= 6, let view = tuple(self[parts, 5]), view.count == 3 else { return try make(.storage(root)) }
      guard let viewKey = self.key(self[view, 0]), let offset = integer(self[view, 1]), offset >= 0,
        let length = integer(self[view, 2]), length >= 0, offset <= count, length <= count - offset
      else { throw fail(.damaged, "a view lies outside its storage", found: describe(self[parts, 5])) }
      if viewKey == key { return try make(.storage(root)) }
      let index = try storage(viewKey, elementType, byteCount: length * size)
      try makeView(index, of: root, at: offset * size)
      return try make(.storage(index))
    }
  }

  /// The key of a storage.
  private func key(_ value: PickleValue) -> String? { text(value) ?? integer(value).map(String.init) }

  // MARK: States

  mutating func build(_ target: PickleValue, state: PickleValue) throws(FormatError) {
    guard case .node(let node) = target else {
      throw fail(.damaged, "a plain value is given a state", found: describe(target))
    }
    switch nodes[node] {
    case .dict, .set, .list, .tuple: break  // Attributes of a container, such as OrderedDict's _metadata.
    case .tensor:
      // Three values, and a dict, are of autograd; of four and five torch makes another tensor.
      if let parts = tuple(state), parts.count > 3 {
        throw fail(
          .unsupported, "the values of a tensor are replaced after it was built", found: describe(state, depth: 1))
      }
    case .object(let index):
      change(object: index) { $0.state = state }
      if let tensor = try tensor(of: objects[index], state) { replace(node, with: .tensor(tensor)) }
    default: throw fail(.damaged, "a value without a state is given one", found: describe(target))
    }
  }

  /// What an object is whose state makes it a tensor: NumPy's arrays, and tensors as torch wrote them before version 0.4.
  private mutating func tensor(of object: PickleObject, _ state: PickleValue) throws(FormatError) -> Int? {
    guard let name = globalName(object.type), let parts = tuple(state) else { return nil }
    if parts.count == 4, name.hasSuffix("Tensor"), PickleImports.verdict(name) == .known,
      storage(self[parts, 0]) != nil
    {
      let value = try rebuilt(parts, nil, metadata: nil)
      return tensor(value)
    }
    guard parts.count == 5, Self.isArray(name), let shape = integers(self[parts, 1]),
      let bytes = bytes(self[parts, 4]), let type = dataType(self[parts, 2])
    else { return nil }
    let isFortran = self[parts, 3] == .bool(true) || self[parts, 3] == .int(1)
    return try array(bytes, type, shape, isFortran: isFortran)
  }
}
