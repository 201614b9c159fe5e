import TensorIO

/// What a graph would make another program do. Operators that only compute are on a list; everything else is named.
///
/// A checkpoint's own saver writes and reads files at paths that its caller gives: such operators are harmless as long as the path
/// comes from outside the graph, or is the word that TensorFlow 1 puts there to be replaced.
extension TensorFlowGraph {
  /// In the order in which the operators first appear, each once; of unknown ones a limited number, and all dangerous ones.
  var code: [ContainedCode] {
    var result: [ContainedCode] = []
    var seen: Set<String> = []
    var unknownCount = 0
    for body in bodies {
      lazy var indices = Dictionary(
        body.nodes.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
      for node in body.nodes where !GraphOperators.harmless.contains(node.operation) {
        guard !seen.contains(node.operation) else { continue }
        if let files = Self.savers[node.operation], files.allSatisfy({ Self.isGiven($0, node, body, indices) }) {
          continue
        }
        if node.operation == "PrintV2", Self.printsToLog(node) { continue }
        let effect = Self.effects[node.operation]
        if effect == nil {
          unknownCount += 1
          guard unknownCount <= Self.maxUnknownOperators else { continue }
        }
        seen.insert(node.operation)
        let isLast = unknownCount == Self.maxUnknownOperators && effect == nil
        let detail = isLast ? "the last of the unknown operators that are listed" : nil
        result.append(
          ContainedCode(
            .tensorFlowGraph, name: node.operation, verdict: effect == nil ? .unknown : .dangerous,
            detail: effect ?? detail ?? body.function.map { "in the function \($0)" }))
      }
    }
    return result
  }

  /// TensorFlow has 1,500; a file could make up any number.
  private static let maxUnknownOperators = 2000

  /// What an operator does that reaches out of the graph; `nil` for others.
  static func effect(of operation: String) -> String? { effects[operation] }

  private static let effects: [String: String] = {
    var result: [String: String] = [:]
    for (effect, names) in GraphOperators.dangerous {
      for name in HarmlessNames.words(names) { result[name] = effect }
    }
    result["PrintV2"] = "writes files"
    for name in ["DebugIdentity", "DebugIdentityV2", "DebugIdentityV3", "DebugNanCount", "DebugNumericSummary"] {
      result[name] = "writes to a path in its attributes"
    }
    return result
  }()

  /// The operators of a saver, each with its inputs that are paths.
  private static let savers: [String: [Int]] = [
    "Save": [0], "SaveSlices": [0], "SaveV2": [0], "Restore": [0], "RestoreSlice": [0], "RestoreV2": [0],
    "MergeV2Checkpoints": [0, 1],
  ]

  private static func printsToLog(_ node: Node) -> Bool {
    guard let stream = node.text("output_stream") else { return true }
    return ["stdout", "stderr", "log(info)", "log(warning)", "log(error)"].contains(stream)
  }

  /// Whether a path is an argument, or made of one.
  private static func isGiven(_ input: Int, _ node: Node, _ body: Body, _ indices: [String: Int]) -> Bool {
    let inputs = node.inputs.filter { !$0.hasPrefix("^") }
    guard input < inputs.count else { return false }
    var waiting = [inputs[input]]
    var seen: Set<String> = []
    while let next = waiting.popLast() {
      let name = Self.nodeName(next)
      guard seen.insert(name).inserted, seen.count <= 100 else { continue }
      guard let index = indices[name] else {
        // In a function a name without a node is an argument.
        if body.function != nil { return true }
        continue
      }
      let source = body.nodes[index]
      switch source.operation {
      case "Placeholder", "PlaceholderWithDefault", "PlaceholderV2": return true
      // The path that `tf.train.Saver` of TensorFlow 1 puts there; a program replaces it.
      case "Const" where source.constantTexts == ["model"]: return true
      case "StringJoin", "ShardedFilename", "Pack", "Identity", "Reshape", "ExpandDims", "Add", "AddV2":
        waiting += source.inputs.filter { !$0.hasPrefix("^") }
      default: break
      }
    }
    return false
  }

  /// The node that an input names.
  package static func nodeName(_ input: String) -> String {
    let text = input.utf8
    let plain = text.first == UInt8(ascii: "^") ? text.dropFirst() : text[...]
    let name = plain.prefix { $0 != UInt8(ascii: ":") }
    return name.count == text.count ? input : String(Substring(name))
  }
}
