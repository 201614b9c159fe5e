import TensorIO

/// Finds the tensors in the tree of values that a pickle made, under their paths joined with dots: keys of dicts,
/// indices of list elements, attributes of objects. Everything else is kept as text.
///
/// A whole `nn.Module` (torch.save(model)) gives what its `state_dict()` would: parameters, buffers except those that
/// are not persistent, and then its modules.
struct StateFlattener {
  struct Found {
    var name: String
    var tensor: Int
  }

  private let machine: PickleMachine
  private(set) var tensors: [Found] = []
  private(set) var texts: [(key: String, value: String)] = []
  private(set) var warnings: [String] = []
  /// What is remarkable of tensors, and their names, in the order of the first.
  private var remarks: [(text: String, names: [String], count: Int)] = []
  private var names: Set<String> = []
  /// The last number appended to tensors of one name.
  private var copies: [String: Int] = [:]
  /// The nodes on the way from the root: a value that holds itself is not followed.
  private var open: Set<Int> = []
  /// The nodes of configs that were visited.
  private var described: Set<Int> = []
  private var work = 0
  private var searched = 0
  private var nameBytes = 0
  private var leftOut = false

  private static let maxDepth = 200
  private static let maxDepthOfTensors = 6
  /// Values in which tensors are looked for where a pickle rarely has any.
  private static let maxSearched = 1 << 20
  private static let maxNameLength = 4096
  private static let maxTexts = 2000
  /// A pickle can refer to one list a thousand times in each of a thousand lists, so visits of elements are counted.
  private static let maxWork = 4 << 20
  /// Of all keys and paths together: one long key can be that of a million dictionaries.
  private var maxNameBytes: Int { (16 << 20) + 8 * machine.size }

  /// - Parameters:
  ///   - constants: those of the code, which are the weights of a module that has no others
  init(
    _ root: PickleValue, of machine: PickleMachine, constants: PickleValue? = nil
  ) throws(FormatError) {
    self.machine = machine
    names.reserveCapacity(machine.tensors.count)
    tensors.reserveCapacity(machine.tensors.count)
    try visit(root, "", depth: 0)
    if let title = PickledModels.title(root, machine) { warnings.append(title) }
    if let constants, tensors.isEmpty, machine.dict(constants)?.isEmpty == false {
      try visit(constants, "CONSTANTS", depth: 1)
      if !tensors.isEmpty {
        warnings.append(
          "the TorchScript module is frozen: its weights are constants of its code, without the names of a model; save the "
            + "state_dict of the module that it was made from")
      }
    }
    warnings += remarks.map(Self.sentence)
    if leftOut { texts.append(("…", "more values, which are not shown")) }
  }

  private mutating func visit(_ value: PickleValue, _ path: String, depth: Int) throws(FormatError) {
    guard case .node(let index) = value else { return note(path, value) }
    work += 1 + partCount(index)
    guard work <= Self.maxWork, depth <= Self.maxDepth
    else { throw unreasonable(at: path) }
    let node = machine.nodes[index]
    if case .tensor(let tensor) = node { return try add(tensor, path) }
    guard isPart(value) else { return note(path, value) }
    guard open.insert(index).inserted else { return }
    defer { open.remove(index) }
    switch node {
    case .dict(let number): try visitPairs(machine.containers[number], path, depth)
    case .object(let number): try visitObject(machine.objects[number], value, path, depth)
    case .list(let number), .set(let number): try visitItems(machine.containers[number][...], value, path, depth)
    case .tuple(let tuple): try visitItems(machine.elements(of: tuple), value, path, depth)
    default: break
    }
  }

  /// How many values a node refers to.
  private func partCount(_ index: Int) -> Int {
    switch machine.nodes[index] {
    case .tuple(let tuple): tuple.count
    case .list(let number), .set(let number), .dict(let number): machine.containers[number].count
    case .object(let number): machine.objects[number].items.count + machine.objects[number].pairs.count
    default: 0
    }
  }

  private mutating func add(_ tensor: Int, _ path: String) throws(FormatError) {
    try CheckpointLimits.check(tensors.count + 1, file: machine.file)
    // torch.save(tensor) has no name to give.
    var name = path.isEmpty ? "tensor" : path
    if !names.insert(name).inserted {
      var number = copies[name, default: 1] + 1
      while !names.insert("\(name)#\(number)").inserted { number += 1 }
      copies[name] = number
      name += "#\(number)"
      warnings.append("two tensors have the name '\(path)': the second is listed as '\(name)'")
    }
    tensors.append(Found(name: name, tensor: tensor))
    if let note = machine.tensors[tensor].note { remark(note, name) }
    if let obstacle = machine.tensors[tensor].obstacle { warnings.append("\(obstacle): '\(name)' cannot be read") }
  }

  /// Notes that a tensor "is" something: `text` goes on from there.
  private mutating func remark(_ text: String, _ name: String) {
    if let index = remarks.firstIndex(where: { $0.text == text }) {
      remarks[index].count += 1
      if remarks[index].names.count < 3 { remarks[index].names.append(name) }
    } else if remarks.count < 100 {
      remarks.append((text, [name], 1))
    }
  }

  /// One sentence for all tensors that a remark is on.
  private static func sentence(_ remark: (text: String, names: [String], count: Int)) -> String {
    let names = remark.names.map { "'\(withoutMiddle($0))'" }.joined(separator: ", ")
    if remark.count == 1 { return "the tensor \(names) is \(remark.text)" }
    let rest = remark.count > remark.names.count ? ", …" : ""
    return "\(grouped(remark.count)) tensors (\(names)\(rest)) are \(remark.text)"
  }

  private mutating func note(_ path: String, _ value: PickleValue) {
    // Values at the root (a version, a step) are few, and show how to read the rest: they have a limit of their own.
    let limit = path.contains(".") ? Self.maxTexts : 2 * Self.maxTexts
    guard texts.count < limit else {
      leftOut = true
      return
    }
    texts.append((path.isEmpty ? "value" : path, machine.describe(value)))
  }

  private func unreasonable(at path: String) -> FormatError {
    FormatError(
      .limit, "the values of the checkpoint are nested too deeply or named at too great length", file: machine.file,
      found: "at '\(String(path.prefix(100)))'")
  }

  /// The path of a value, shortened where only a text will go by it.
  private mutating func join(_ path: String, _ key: String, of value: PickleValue) throws(FormatError) -> String {
    var key = key
    if path.utf8.count + key.utf8.count >= Self.maxNameLength {
      guard path.utf8.count < Self.maxNameLength / 2, !isPart(value) else {
        throw unreasonable(at: path.isEmpty ? key : path)
      }
      key = String(key.prefix(100)) + "…"
    }
    try charge(path.utf8.count + key.utf8.count, at: path)
    return path.isEmpty ? key : path + "." + key
  }

  private mutating func charge(_ bytes: Int, at path: String) throws(FormatError) {
    nameBytes += bytes
    guard nameBytes <= maxNameBytes else { throw unreasonable(at: path) }
  }

  /// Whether tensors may be in a value, or it is one.
  private func isPart(_ value: PickleValue) -> Bool {
    switch machine.node(value) {
    case .tensor, .dict, .list, .tuple, .set, .object: true
    default: false
    }
  }

  private mutating func visitPairs(_ pairs: [PickleValue], _ path: String, _ depth: Int) throws(FormatError) {
    work += pairs.count
    if pairs.isEmpty, !path.isEmpty { note(path, .none) }
    for (key, pair) in try lastOfEach(pairs, path) {
      // Paddle's tensors are pairs of a name of the program's and the tensor.
      let parts = machine.tuple(pair).flatMap { $0.count == 2 ? machine.elements(of: $0) : nil }
      let isNamed =
        parts?.first.map { machine.text($0) != nil } == true && parts?.last.map { machine.tensor($0) != nil } == true
      let value = isNamed ? parts?.last ?? pair : pair
      try visit(value, try join(path, key, of: value), depth: depth + 1)
    }
  }

  /// Each key once, in the order of its first appearance and with the value that it was given last, as in Python. Keys of
  /// which it is not sure that Python takes them for one are kept apart: their tensors will be numbered, and none is lost.
  private mutating func lastOfEach(
    _ pairs: [PickleValue], _ path: String
  ) throws(FormatError) -> [(key: String, value: PickleValue)] {
    var indices: [String: Int] = [:]
    var result: [(key: String, value: PickleValue)] = []
    var keys: [PickleValue] = []
    indices.reserveCapacity(pairs.count / 2)
    result.reserveCapacity(pairs.count / 2)
    for index in stride(from: 0, to: pairs.count - 1, by: 2) {
      let text = machine.text(pairs[index], atMost: .max)
      let key = text ?? machine.describe(pairs[index])
      try charge(key.utf8.count, at: path)
      // 1 and '1' are two keys.
      let identity = text ?? "\u{0}" + key
      if let known = indices[identity], isSame(keys[known], pairs[index], key, result[known].key) {
        result[known].value = pairs[index + 1]
      } else {
        if indices[identity] == nil { indices[identity] = result.count }
        keys.append(pairs[index])
        result.append((key, pairs[index + 1]))
      }
    }
    return result
  }

  /// Whether two keys that come out under one name are one key to Python.
  private func isSame(_ a: PickleValue, _ b: PickleValue, _ textOfA: String, _ textOfB: String) -> Bool {
    if a == b { return true }
    switch (machine.node(a), machine.node(b)) {
    // Swift takes texts for equal whose letters are composed in other ways, and U+FFFD stands for what was no letter.
    case (.string, .string), (.bytes, .bytes):
      return textOfA.utf8.elementsEqual(textOfB.utf8) && !textOfA.unicodeScalars.contains("\u{FFFD}")
    default: return false
    }
  }

  private mutating func visitItems(
    _ items: ArraySlice<PickleValue>, _ value: PickleValue, _ path: String, _ depth: Int
  ) throws(FormatError) {
    guard items.contains(where: isPart) else { return note(path, value) }
    for (number, item) in items.enumerated() {
      try visit(item, try join(path, String(number), of: item), depth: depth + 1)
    }
  }

  // MARK: Objects

  private mutating func visitObject(
    _ object: PickleObject, _ value: PickleValue, _ path: String, _ depth: Int
  ) throws(FormatError) {
    work += machine.dict(object.state)?.count ?? machine.tuple(object.state)?.count ?? 0
    let type = machine.globalName(object.type) ?? ""
    if try visitSpecialTensor(object, type, value, path, depth) { return }
    if machine.value("_parameters", in: object.state) != nil, machine.value("_modules", in: object.state) != nil {
      if !path.isEmpty, isFunction(type, object.state) { note(path, object.type) }
      return try visitModule(object.state, path, depth)
    }
    // Attributes: a dict, or a dict and one of slots.
    let states = machine.tuple(object.state).map { machine.elements(of: $0) } ?? [object.state]
    let dicts = states.compactMap { machine.dict($0) }.filter { !$0.isEmpty }
    // A named tuple has its values as arguments, and a class may take any value for its state.
    let others = ([object.arguments] + states.filter { machine.dict($0) == nil }).filter { holdsTensors($0, depth: 0) }
    if dicts.isEmpty, object.items.isEmpty, object.pairs.isEmpty, others.isEmpty { return note(path, value) }
    for other in others { try visit(other, path, depth: depth + 1) }
    for dict in dicts { try visitPairs(dict, path, depth) }
    if !object.items.isEmpty { try visitItems(object.items[...], value, path, depth) }
    if !object.pairs.isEmpty { try visitPairs(object.pairs, path, depth) }
  }

  /// Whether a value is a tensor, or one is found in it within a few steps.
  private mutating func holdsTensors(_ value: PickleValue, depth: Int) -> Bool {
    guard case .node(let index) = value, depth < Self.maxDepthOfTensors, searched <= Self.maxSearched else {
      return false
    }
    searched += 1 + partCount(index)
    let parts: [PickleValue]
    switch machine.nodes[index] {
    case .tensor: return true
    case .dict(let number), .list(let number), .set(let number): parts = machine.containers[number]
    case .tuple(let tuple): parts = Array(machine.elements(of: tuple))
    default: return false
    }
    for part in parts where holdsTensors(part, depth: depth + 1) { return true }
    return false
  }

  /// Whether a module holds nothing and so is no more than a function, as activations are; dropout and the like are not
  /// worth a line.
  private func isFunction(_ type: String, _ state: PickleValue) -> Bool {
    guard !type.hasPrefix("torch.") || type.hasPrefix("torch.nn.modules.activation.") else { return false }
    return ["_parameters", "_buffers", "_modules"].allSatisfy { part in
      machine.value(part, in: state).flatMap { machine.dict($0) }?.isEmpty ?? true
    }
  }

  /// Visits a tensor that is made of others, or notes why it is not read; `false` for any other object.
  private mutating func visitSpecialTensor(
    _ object: PickleObject, _ type: String, _ value: PickleValue, _ path: String, _ depth: Int
  ) throws(FormatError) -> Bool {
    if type == "torch._utils._rebuild_sparse_tensor" || type.hasPrefix("torch.sparse.") {
      remark("a sparse tensor, which is not read", path)
    } else if type.hasPrefix("torch.distributed."),
      ["DTensor", "ShardedTensor"].contains(where: { type.hasSuffix("." + $0) })
    {
      if let whole = wholeTensor(object) {
        try add(whole, path)
        return true
      }
      remark(
        "one rank's part of a tensor (\(type.split(separator: ".").last ?? "")), which is not read: gather the whole state dict before "
          + "saving (full_state_dict), or save it with torch.distributed.checkpoint and give that folder", path)
    } else if isScriptObject(value) {
      // What a class of C++ was saved as; a module of Python adds the name of the class.
      let state = machine.tuple(object.state)
      let content = state.flatMap { $0.count == 2 && machine.text(machine[$0, 1]) != nil ? machine[$0, 0] : nil }
      try visit(content ?? object.state, path, depth: depth + 1)
      return true
    } else if [
      "torch._utils._rebuild_meta_tensor_no_storage", "torch._utils._rebuild_nested_tensor",
      "torch._utils._rebuild_wrapper_subclass", "torch._utils._rebuild_tensor_v3",
    ].contains(type) || type == "numpy.ndarray" {
      remark("of a kind that is not read (\(machine.describe(value, depth: 2)))", path)
    } else {
      return false
    }
    note(path, value)
    return true
  }

  /// Whether a value is an object of a class of C++, such as packed weights.
  private func isScriptObject(_ value: PickleValue) -> Bool {
    guard let type = machine.object(value).flatMap({ machine.globalName($0.type) }) else { return false }
    return type == "torch.ScriptObject" || type == "torch._C.ScriptObject" || type.hasPrefix("__torch__.torch.classes.")
  }

  /// The tensor of which a distributed one consists, if this rank has all of it.
  private func wholeTensor(_ object: PickleObject) -> Int? {
    guard let arguments = machine.tuple(object.arguments), arguments.count > 2,
      let shape = machine.integers(machine[arguments, 2])
    else { return nil }
    var local = attribute("_local_tensor", of: object).flatMap { machine.tensor($0) }
    if let spec = attribute("_spec", of: object).flatMap({ machine.object($0) }),
      let placements = machine.value("placements", in: spec.state).flatMap({ machine.sequence($0) })
    {
      // Of a sum, each rank has a term.
      let isSum = placements.contains {
        machine.object($0).flatMap { machine.globalName($0.type) }?.hasSuffix("Partial") == true
      }
      if isSum { return nil }
    }
    if let state = machine.tuple(object.state), state.count > 0, let shards = machine.sequence(machine[state, 0]),
      shards.count == 1, let shard = shards.first.flatMap({ machine.object($0) })
    {
      local = attribute("tensor", of: shard).flatMap { machine.tensor($0) }
    }
    guard let local, machine.tensors[local].shape == shape else { return nil }
    return local
  }

  /// An attribute of an object: its state is a dict, or a tuple of a dict and of one of slots.
  private func attribute(_ name: String, of object: PickleObject) -> PickleValue? {
    let states = machine.tuple(object.state).map { machine.elements(of: $0) } ?? [object.state]
    return states.lazy.compactMap { machine.value(name, in: $0) }.first
  }

  private mutating func visitModule(_ state: PickleValue, _ path: String, _ depth: Int) throws(FormatError) {
    var transient: Set<String> = []
    if let set = machine.value("_non_persistent_buffers_set", in: state), case .set(let number) = machine.node(set) {
      transient = Set(machine.containers[number].compactMap { machine.text($0) })
    }
    for part in ["_parameters", "_buffers", "_modules"] {
      guard let dict = machine.value(part, in: state), let children = machine.dict(dict) else { continue }
      for (key, value) in try lastOfEach(children, path) where value != .none {
        if part == "_buffers", transient.contains(key) { continue }
        try visit(value, try join(path, key, of: value), depth: depth + 1)
      }
    }
    // Plain attributes are often settings of the model.
    guard let attributes = machine.dict(state) else { return }
    let own = try lastOfEach(attributes, path)
    // Packed weights are private attributes.
    for (key, value) in own where isScriptObject(value) {
      try visit(value, try join(path, key, of: value), depth: depth + 1)
    }
    for (key, value) in own where !key.hasPrefix("_") && key != "training" {
      switch value {
      case .node(let index):
        switch machine.node(value) {
        case .string, .global: note(try join(path, key, of: value), value)
        case .object(let number) where key == "config":
          // One object for all modules.
          guard described.insert(index).inserted else { break }
          try visitConfig(machine.objects[number].state, try join(path, key, of: value))
        default: break
        }
      case .none: break
      default: note(try join(path, key, of: value), value)
      }
    }
  }

  /// The words and numbers of the object that a model was made by.
  private mutating func visitConfig(_ state: PickleValue, _ path: String) throws(FormatError) {
    guard let attributes = machine.dict(state) else { return }
    work += attributes.count
    for (key, value) in try lastOfEach(attributes, path) where value != .none {
      if case .node = value {
        guard case .string = machine.node(value) else { continue }
      }
      note(try join(path, key, of: value), value)
    }
  }
}
