import TensorIO

// What the calls mean that torch (torch/_utils.py, torch/_tensor.py) and NumPy (numpy/_core/multiarray) write into
// pickles. Nothing is called: from the arguments it follows what the result is.
extension PickleMachine {
  mutating func call(
    _ function: PickleValue, _ arguments: PickleValue, depth: Int = 0
  ) throws(FormatError) -> PickleValue {
    guard let given = tuple(arguments) else {
      throw fail("something is called with what is no list of arguments", found: describe(arguments))
    }
    if let name = globalName(function), depth < 8 {
      // Most calls of a checkpoint make tensors.
      if let result = try tensor(name, given, depth: depth) { return result }
      if let result = try container(name, given) { return result }
      if let result = try array(name, given, arguments) { return result }
    }
    return try object(function, arguments)
  }

  private mutating func object(_ type: PickleValue, _ arguments: PickleValue) throws(FormatError) -> PickleValue {
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
      case .string(let text):
        // Protocol 2 has no bytes: they are written as the text of the same codes.
        guard given.count == 2, let encoding = self.text(self[given, 1]), ["latin1", "latin-1"].contains(encoding)
        else { return nil }
        try chargeBytes(text.utf8.count)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
          guard let byte = UInt8(exactly: scalar.value) else {
            throw fail("bytes written as text hold a letter beyond 255")
          }
          bytes.append(byte)
        }
        return try make(.bytes(bytes))
      default: return nil
      }
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
      guard given.count >= 4 else { throw fail("a tensor is rebuilt from too little", found: "\(given.count) values") }
      return try rebuilt(given, nil, metadata: given.count > 6 ? self[given, 6] : nil)
    case "torch._utils._rebuild_tensor":
      guard given.count >= 4 else { throw fail("a tensor is rebuilt from too little", found: "\(given.count) values") }
      return try rebuilt(given, nil, metadata: nil)
    case "torch._utils._rebuild_tensor_v3":
      guard given.count >= 7, let type = globalName(self[given, 6]) else {
        throw fail("a tensor is rebuilt from too little", found: "\(given.count) values")
      }
      guard let elementType = TorchTypes.dataType(type) else { return nil }
      return try rebuilt(given, elementType, metadata: given.count > 7 ? self[given, 7] : nil)
    case "torch._utils._rebuild_qtensor":
      guard given.count >= 5 else { throw fail("a tensor is rebuilt from too little", found: "\(given.count) values") }
      let value = try rebuilt(given, nil, metadata: nil)
      if let index = tensor(value) {
        note(
          "is quantised (\(describe(self[given, 4]))): its integers are read, not the numbers that they stand for",
          tensor: index)
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
        "a tensor is rebuilt from values of the wrong types",
        found: elements(of: given).prefix(4).map { describe($0, depth: 2) }.joined(separator: ", "),
        expected: "a storage, an offset, sizes and strides")
    }
    let elementType = type ?? storages[storage].elementType ?? .u8
    var tensor = TorchTensor(
      storage: storage, offset: offset, shape: shape, strides: strides, elementType: elementType)
    if let metadata, let pairs = dict(metadata) {
      guard pairs.count <= 64 else {
        throw fail("a tensor has metadata beyond reason", found: "\(pairs.count / 2) keys")
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

  private static var largestExpansion: Int { 1 << 28 }

  /// Whether the view lies inside its storage.
  func check(_ tensor: TorchTensor) throws(FormatError) {
    guard let size = tensor.elementType.size, let bytes = checkedByteCount(tensor.shape, tensor.elementType) else {
      throw fail("a tensor's shape is impossible", found: shapeText(tensor.shape))
    }
    let room = storages[tensor.storage].byteCount / size
    guard
      let last = StridedCopy.lastElement(offset: tensor.offset, shape: tensor.shape, strides: tensor.strides),
      last < room, tensor.offset <= room
    else {
      throw fail(
        "a tensor reaches beyond its storage",
        found: "\(shapeText(tensor.shape)) with strides \(shapeText(tensor.strides)) from \(tensor.offset)",
        expected: "within \(room) elements")
    }
    // Strides of zero make a tensor of any size out of one element; honest ones repeat a row or two.
    guard bytes <= max(storages[tensor.storage].byteCount, Self.largestExpansion) else {
      throw fail(
        "a tensor repeats a small storage beyond reason", found: "\(shapeText(tensor.shape)) from \(room) elements")
    }
  }

  /// Values outside of the pickle.
  mutating func outside(_ id: PickleValue) throws(FormatError) -> PickleValue {
    switch outsideValues {
    case .nothing: throw fail("the pickle refers to a value outside of it", found: describe(id))
    case .table(let table):
      if let parts = tuple(id) {
        guard parts.count > 0 else { throw fail("an empty reference to an outside value") }
        return self[parts, 0]
      }
      guard let value = table[integer(id).map(String.init) ?? text(id) ?? ""] else {
        throw fail("the pickle refers to a tensor that the archive does not have", found: describe(id))
      }
      return value
    case .storages:
      guard let parts = tuple(id), parts.count > 0, let kind = text(self[parts, 0]) else {
        throw fail("the pickle refers to something other than a storage", found: describe(id))
      }
      // A class with its source text: the class is all that counts.
      if kind == "module", parts.count >= 2 { return self[parts, 1] }
      guard kind == "storage", parts.count >= 5, let type = globalName(self[parts, 1]),
        let key = key(self[parts, 2]), let count = integer(self[parts, 4]), count >= 0
      else { throw fail("the pickle refers to something other than a storage", found: describe(id)) }
      guard let elementType = TorchTypes.storage(type) else {
        throw fail("the type of a storage is unknown", found: type)
      }
      let size = elementType?.size ?? 1
      let (bytes, overflow) = count.multipliedReportingOverflow(by: size)
      guard !overflow else { throw fail("a storage has an impossible size", found: "\(count)") }
      let root = try storage(key, elementType, byteCount: bytes)
      guard parts.count >= 6, let view = tuple(self[parts, 5]), view.count == 3 else { return try make(.storage(root)) }
      guard let viewKey = self.key(self[view, 0]), let offset = integer(self[view, 1]), offset >= 0,
        let length = integer(self[view, 2]), length >= 0, offset <= count, length <= count - offset
      else { throw fail("a view lies outside of its storage", found: describe(self[parts, 5])) }
      if viewKey == key { return try make(.storage(root)) }
      let index = try storage(viewKey, elementType, byteCount: length * size)
      try place(index, in: root, at: offset * size)
      return try make(.storage(index))
    }
  }

  /// The key of a storage.
  private func key(_ value: PickleValue) -> String? { text(value) ?? integer(value).map(String.init) }

  // MARK: States

  mutating func build(_ target: PickleValue, state: PickleValue) throws(FormatError) {
    guard case .node(let place) = target else {
      throw fail("a state is given to a plain value", found: describe(target))
    }
    switch nodes[place] {
    case .dict, .set, .list, .tuple: break  // Attributes beside the content, such as OrderedDict's _metadata.
    case .tensor:
      // Three values, and a dict, are of autograd; of four and five torch makes another tensor.
      if let parts = tuple(state), parts.count > 3 {
        throw fail("a finished tensor is given other values", found: describe(state, depth: 1))
      }
    case .object(let index):
      change(object: index) { $0.state = state }
      if let tensor = try tensor(of: objects[index], state) { replace(place, with: .tensor(tensor)) }
    default: throw fail("a state is given to what has none", found: describe(target))
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

  /// A NumPy array, whose bytes are in the pickle, as a tensor.
  private mutating func array(
    _ bytes: [UInt8], _ type: (element: ElementType, isBigEndian: Bool), _ shape: [Int], isFortran: Bool
  ) throws(FormatError) -> Int {
    guard checkedByteCount(shape, type.element) == bytes.count else {
      throw fail(
        "the data of an array does not fit its shape", found: "\(bytes.count) bytes", expected: shapeText(shape))
    }
    try chargeBytes(bytes.count)
    var storage = TorchStorage(key: "array \(storages.count)", elementType: type.element, byteCount: bytes.count)
    storage.inline = Bytes(bytes, file: file)
    storage.isBigEndian = type.isBigEndian
    return add(
      TorchTensor(
        storage: add(storage), offset: 0, shape: shape,
        strides: isFortran ? StridedCopy.columnMajorStrides(shape) : StridedCopy.rowMajorStrides(shape),
        elementType: type.element))
  }

  // MARK: NumPy

  private static func isArray(_ name: String) -> Bool { name == "numpy.ndarray" }

  private mutating func array(
    _ name: String, _ given: PickleTuple, _ arguments: PickleValue
  ) throws(FormatError) -> PickleValue? {
    switch name {
    case "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct":
      guard given.count > 0, let name = globalName(self[given, 0]), Self.isArray(name) else { return nil }
      return try object(self[given, 0], arguments)
    case "numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer":
      // Protocol 5: buffer, type, shape, order.
      guard given.count == 4, let bytes = bytes(self[given, 0]), let type = dataType(self[given, 1]),
        let shape = integers(self[given, 2])
      else { return nil }
      return try make(.tensor(try array(bytes, type, shape, isFortran: text(self[given, 3]) == "F")))
    case "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar":
      guard given.count == 2, let type = dataType(self[given, 0]), let bytes = bytes(self[given, 1]),
        bytes.count == type.element.size
      else { return nil }
      return scalar(type.isBigEndian ? bytes.reversed() : bytes, type.element)
    default: return nil
    }
  }

  /// The type of a `numpy.dtype` object: its name, and the byte order in its state.
  private func dataType(_ value: PickleValue) -> (element: ElementType, isBigEndian: Bool)? {
    guard let object = object(value), globalName(object.type) == "numpy.dtype",
      let arguments = tuple(object.arguments), arguments.count > 0, let code = text(self[arguments, 0])
    else { return nil }
    let bare = code.first.map { "<>|=".contains($0) } == true ? String(code.dropFirst()) : code
    guard let type = TorchTypes.numPy(bare) else { return nil }
    let order = tuple(object.state).flatMap { $0.count > 1 ? text(self[$0, 1]) : nil } ?? String(code.prefix(1))
    return (type, order == ">")
  }

  /// A number from its little-endian bytes.
  private func scalar(_ bytes: [UInt8], _ type: ElementType) -> PickleValue? {
    var bits: UInt64 = 0
    for byte in bytes.prefix(8).reversed() { bits = bits << 8 | UInt64(byte) }
    switch type {
    case .f64: return .float(Double(bitPattern: bits))
    case .f32: return .float(Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits))))
    case .f16: return .float(Double(Float(halfBits: UInt16(truncatingIfNeeded: bits))))
    case .bool: return .bool(bits != 0)
    case .i64: return .int(Int(Int64(bitPattern: bits)))
    case .i32: return .int(Int(Int32(truncatingIfNeeded: bits)))
    case .i16: return .int(Int(Int16(truncatingIfNeeded: bits)))
    case .i8: return .int(Int(Int8(truncatingIfNeeded: bits)))
    case .u64, .u32, .u16, .u8: return Int(exactly: bits).map { .int($0) }
    default: return nil
    }
  }
}
