import CheckpointReaders
import TensorIO

/// How values flow in one body of a graph, and the patterns in it.
struct GraphFlow {
  private let nodes: [TensorFlowGraph.Node]
  /// The nodes whose values each node takes; `nil` for an argument of the function.
  private let inputs: [[Int?]]
  private let consumers: [[Int]]
  /// The nodes that normalize scores of attention, one per layer.
  private var attentions: Set<Int> = []

  init(_ body: TensorFlowGraph.Body) {
    nodes = body.nodes
    let indices = Dictionary(
      body.nodes.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    inputs = body.nodes.map { node in
      node.inputs.filter { !$0.hasPrefix("^") }.map { indices[TensorFlowGraph.nodeName($0)] }
    }
    var consumers = [[Int]](repeating: [], count: body.nodes.count)
    for (index, sources) in inputs.enumerated() {
      for source in sources { if let source { consumers[source].append(index) } }
    }
    self.consumers = consumers
    attentions = findAttentions()
  }

  /// Operators that pass their input on.
  private static let passing: Set<String> = [
    "Identity", "IdentityN", "Cast", "StopGradient", "PreventGradient", "ReadVariableOp", "Snapshot", "EnsureShape",
    "CheckNumerics", "Squeeze", "ExpandDims", "Reshape", "Switch", "Merge", "Enter",
  ]
  private static let additions: Set<String> = ["Add", "AddV2", "BiasAdd"]
  private static let products: Set<String> = ["BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"]

  private func operation(_ node: Int) -> String { nodes[node].operation }

  /// The node whose value reaches an input unchanged except for its type.
  private func source(_ node: Int, _ input: Int) -> Int? {
    guard input < inputs[node].count else { return nil }
    var current = inputs[node][input]
    for _ in 0..<10 {
      guard let index = current,
        ["Identity", "Cast", "ReadVariableOp", "StopGradient", "Snapshot"].contains(operation(index)),
        let next = inputs[index].first
      else { return current }
      current = next
    }
    return current
  }

  private func scalar(_ node: Int?) -> Double? {
    guard let node else { return nil }
    // Programs leave the root of 2 to the graph.
    if operation(node) == "Sqrt" { return scalarConstant(source(node, 0)).map { $0.squareRoot() } }
    return scalarConstant(node)
  }

  private func scalarConstant(_ node: Int?) -> Double? {
    guard let node, let constant = nodes[node].constant, constant.values.count == 1 else { return nil }
    return constant.values[0]
  }

  /// The numbers of a vector, `nil` for each that is known only when the graph runs.
  private func vector(_ node: Int, _ input: Int) -> [Int?]? {
    guard let index = source(node, input) else { return nil }
    if let constant = nodes[index].constant, constant.shape.count == 1 {
      return constant.values.map { Int(exactly: $0) }
    }
    guard operation(index) == "Pack" else { return nil }
    return inputs[index].indices.map { scalar(source(index, $0)).flatMap { Int(exactly: $0) } }
  }

  /// Whether a node that `test` accepts is reached from `start` against the flow, through at most `steps` nodes that `through`
  /// accepts.
  private func reaches(_ start: Int?, steps: Int, through: (Int) -> Bool, _ test: (Int) -> Bool) -> Bool {
    var front = [start].compactMap(\.self)
    var seen = Set(front)
    for _ in 0...steps {
      var next: [Int] = []
      for node in front {
        if test(node) { return true }
        guard through(node) else { continue }
        for input in inputs[node] { if let input, seen.insert(input).inserted { next.append(input) } }
      }
      // Patterns are small; a graph could be made to fan out without end.
      guard !next.isEmpty, seen.count < 200 else { return false }
      front = next
    }
    return false
  }

  private func nodes(_ operations: Set<String>) -> [Int] { nodes.indices.filter { operations.contains(operation($0)) } }
}

// MARK: Heads

extension GraphFlow {
  /// The number of heads and the size of one, wherever a width is split into both.
  var headShapes: [(heads: Int, size: Int)] {
    var result: [(heads: Int, size: Int)] = []
    for node in nodes(["Reshape"]) {
      guard let shape = vector(node, 1) else { continue }
      if shape.count == 4, let heads = shape[2], let size = shape[3], heads > 0, size > 1, isSplitByHead(node) {
        result.append((heads, size))
      } else if shape.count == 3, let found = headsOfKernel(node, shape) {
        result.append(found)
      }
    }
    return result
  }

  /// Whether `[batch, sequence, heads, size]` goes on to attention: with heads before the sequence, or by an equation.
  private func isSplitByHead(_ node: Int) -> Bool {
    var front = [node]
    for _ in 0..<5 {
      var next: [Int] = []
      for consumer in front.flatMap({ consumers[$0] }).prefix(50) {
        switch operation(consumer) {
        case "Transpose":
          if let order = vector(consumer, 1), order == [0, 2, 1, 3] || order == [0, 2, 3, 1] { return true }
        case "Einsum":
          if let equation = nodes[consumer].text("equation"), Self.isAttention(equation) { return true }
        case "Add", "AddV2", "BiasAdd", "Mul", "RealDiv", "Identity", "Cast": next.append(consumer)
        default: break
        }
      }
      front = next
    }
    return false
  }

  /// Whether both operands and the result of an equation have four axes, as the products of attention have.
  private static func isAttention(_ equation: String) -> Bool {
    let terms = equation.split(whereSeparator: { $0 == "," || $0 == "-" || $0 == ">" })
    return terms.count == 3 && terms.allSatisfy { $0.count == 4 }
  }

  /// The heads in `[width, heads, size]` or `[heads, size, width]`, the form of a kernel in an equation.
  private func headsOfKernel(_ node: Int, _ shape: [Int?]) -> (heads: Int, size: Int)? {
    guard let kernel = source(node, 0),
      ["VariableV2", "Variable", "VarHandleOp", "Const"].contains(operation(kernel)) || inputs[node].first == .some(nil)
    else { return nil }
    for consumer in consumers[node] where operation(consumer) == "Einsum" {
      guard let equation = nodes[consumer].text("equation") else { continue }
      let terms = equation.split(whereSeparator: { $0 == "," || $0 == "-" || $0 == ">" }).map(Array.init)
      guard terms.count == 3, terms[1].count == 3 else { continue }
      let (input, weight, output) = (terms[0], terms[1], terms[2])
      // "BFH,HND->BFND": the first axis of the kernel is summed over; "BFND,NDH->BFH": the first two are.
      if input.count == 3, output.suffix(2) == weight.suffix(2), input.last == weight[0], let heads = shape[1],
        let size = shape[2], heads > 0, size > 1
      {
        return (heads, size)
      }
      if input.count == 4, input.suffix(2) == weight.prefix(2), output.last == weight[2], let heads = shape[0],
        let size = shape[1], heads > 0, size > 1
      {
        return (heads, size)
      }
    }
    return nil
  }

  /// How many layers of attention follow one another on the longest way through the body: a graph may run one model twice,
  /// or two models. `depth` is that of a function that a node calls. 0 also for a body with a loop.
  func attentionDepth(depth called: (String) -> Int = { _ in 0 }) -> Int {
    let calls = Dictionary(
      uniqueKeysWithValues: nodes(["PartitionedCall", "StatefulPartitionedCall"]).compactMap { node in
        nodes[node].function("f").map(called).flatMap { $0 > 0 ? (node, $0) : nil }
      })
    guard !attentions.isEmpty || !calls.isEmpty else { return 0 }
    var depth = [Int](repeating: 0, count: nodes.count)
    var missing = inputs.map { $0.count { $0 != nil } }
    var ready = nodes.indices.filter { missing[$0] == 0 }
    var done = 0
    while let node = ready.popLast() {
      done += 1
      // A graph cannot be so deep; a function that calls itself twice could make any number.
      depth[node] = min(depth[node] + (attentions.contains(node) ? 1 : calls[node] ?? 0), 10_000)
      for consumer in consumers[node] {
        depth[consumer] = max(depth[consumer], depth[node])
        missing[consumer] -= 1
        if missing[consumer] == 0 { ready.append(consumer) }
      }
    }
    return done == nodes.count ? depth.max() ?? 0 : 0
  }

  private func findAttentions() -> Set<Int> {
    let found = nodes(["Softmax"]).filter { node in
      reaches(
        inputs[node].first ?? nil, steps: 6,
        through: {
          Self.passing.contains(operation($0))
            || ["Add", "AddV2", "Mul", "RealDiv", "Sub", "Select", "SelectV2", "Where"].contains(operation($0))
        }
      ) { source in
        Self.products.contains(operation(source))
          || operation(source) == "Einsum" && nodes[source].text("equation").map(Self.isAttention) == true
      }
    }
    return Set(found)
  }
}

// MARK: Epsilon

extension GraphFlow {
  /// The constants that are added to variances.
  var epsilons: Set<Double> {
    var result: Set<Double> = []
    for node in nodes(["Rsqrt", "Sqrt"]) {
      if let epsilon = epsilon(addedBefore: node) { result.insert(epsilon) }
    }
    for node in nodes(["Pow"]) {
      guard let power = scalar(source(node, 1)), abs(power) == 0.5, let epsilon = epsilon(addedBefore: node) else {
        continue
      }
      result.insert(epsilon)
    }
    for node in nodes(["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "_MklLayerNorm"]) {
      if let epsilon = nodes[node].number("epsilon") { result.insert(epsilon) }
    }
    return result
  }

  private func epsilon(addedBefore node: Int) -> Double? {
    var sum = source(node, 0)
    // Keras clips what it takes the root of.
    for _ in 0..<2 {
      if let index = sum, ["Maximum", "Minimum", "ClipByValue", "Relu"].contains(operation(index)) {
        sum = source(index, 0)
      }
    }
    guard let sum, Self.additions.contains(operation(sum)) else { return nil }
    for (constant, other) in [(0, 1), (1, 0)] {
      guard let epsilon = scalar(source(sum, constant)), epsilon > 0, epsilon < 0.1 else { continue }
      let isVariance = reaches(
        source(sum, other), steps: 5,
        through: {
          Self.passing.contains(operation($0))
            || ["Sub", "Maximum", "Relu", "Mul", "Square", "RealDiv"].contains(operation($0))
        }, { ["Mean", "Sum"].contains(operation($0)) && isOfSquares($0) })
      if isVariance { return epsilon }
    }
    return nil
  }

  /// Whether what is averaged are squares, so that the mean is a variance.
  private func isOfSquares(_ node: Int) -> Bool {
    reaches(
      inputs[node].first ?? nil, steps: 2, through: { Self.passing.contains(operation($0)) },
      { source in
        switch operation(source) {
        case "SquaredDifference", "Square": return true
        case "Pow": return scalar(self.source(source, 1)) == 2
        case "Mul": return inputs[source].count == 2 && inputs[source][0] == inputs[source][1]
        default: return false
        }
      })
  }
}

// MARK: Activation

extension GraphFlow {
  /// The function between the two matrices of the layers: the one that is computed at least once per layer. `nil` where that
  /// is none or several.
  func activation(layers: Int) -> Function? {
    var counts: [Function: Int] = [:]
    for node in nodes.indices { if let function = function(of: node) { counts[function, default: 0] += 1 } }
    let frequent = counts.filter { $0.value >= layers && ![.tanh, .sigmoid].contains($0.key) }
    guard frequent.count == 1, let function = frequent.first?.key else { return nil }
    // Heads use Relu as well: it is the layers' only where nothing else could be.
    if function == .relu {
      let others = counts.keys.filter { ![.relu, .tanh, .sigmoid].contains($0) }
      return others.isEmpty && (counts[.tanh] ?? 0) < layers && layers > 1 ? function : nil
    }
    return function == .other ? nil : function
  }

  /// What operators compute together. `shared.yaml` has the words for those that can be the layers' activation.
  enum Function: String {
    case erf
    case tanhOfCubic = "tanh of a cubic"
    case scaledGate = "gate of 1.702 x"
    case gate = "gate of x"
    case relu, tanh, sigmoid, other
  }

  private func function(of node: Int) -> Function? {
    switch operation(node) {
    case "Erf", "Erfc": return hasConstant(near: [0.70710678, 1.41421356], before: node, steps: 3) ? .erf : .other
    // 0.044715, or its product with √(2/π).
    case "Tanh": return hasConstant(near: [0.044715, 0.035677408], before: node, steps: 6) ? .tanhOfCubic : .tanh
    case "Sigmoid":
      if hasConstant(near: [1.702], before: node, steps: 2) { return .scaledGate }
      let argument = source(node, 0)
      let isGate = consumers[node].contains { consumer in
        operation(consumer) == "Mul"
          && (0..<inputs[consumer].count).contains { argument != nil && source(consumer, $0) == argument }
      }
      return isGate ? .gate : .sigmoid
    case "Relu": return .relu
    case "Softplus", "Elu", "Selu", "LeakyRelu", "Relu6", "Softsign": return .other
    default: return nil
    }
  }

  /// Whether one of the constants is in the polynomial that a node takes.
  private func hasConstant(near values: [Double], before node: Int, steps: Int) -> Bool {
    let arithmetic: Set<String> = ["Add", "AddV2", "Mul", "Pow", "RealDiv", "Sub", "Neg", "Square", "Cast", "Identity"]
    return reaches(
      inputs[node].first ?? nil, steps: steps, through: { arithmetic.contains(operation($0)) },
      { source in
        guard let value = scalar(source) else { return false }
        return values.contains { abs(value - $0) < 2e-3 * $0 }
      })
  }
}
