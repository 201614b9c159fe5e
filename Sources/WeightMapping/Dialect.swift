import ModelFamilies
import TensorIO

/// One way of naming and laying out the tensors of a family. The rules of a built-in one are parsed when they are first used.
struct Dialect: Sendable {
  let names: DialectNames
  private let deferredContent: Deferred<DialectContent>

  init(names: DialectNames, content: Deferred<DialectContent>) {
    self.names = names
    deferredContent = content
  }

  var name: String { names.name }
  var root: String { names.root }
  var content: DialectContent { deferredContent.value }

  var rules: [Rule] { content.rules }

  /// The same with the rules parsed, for repeated use.
  var loaded: Dialect { Dialect(names: names, content: .made(content)) }
}

/// What a dialect makes of a source that is known to be of it.
struct DialectContent: Sendable {
  let rules: [Rule]
  /// The rule that gives a tensor its own name in the dialect.
  let ruleOfTensor: [Int: Int]
  /// The built-in lists that it names under `drop`.
  let dropLists: [String]
  /// Config keys that the checkpoint itself gives, and the names of their values.
  var configValues: [String: String] = [:]
  /// What is assumed of keys in place of the table's own defaults: what the dialect's program computes.
  var defaults: [String: JSON] = [:]
  /// Words of a config that mean another in this program, by key.
  var meanings: [String: [String: String]] = [:]
  /// Words of a config that have had two meanings in this program, by key: what they are, and which is taken.
  var variations: [String: [String: String]] = [:]
  /// The words that an export writes for those of the canonical config, by key; there is none for others.
  var writtenWords: [String: [String: String]] = [:]
  /// A note for every source of the dialect.
  var note: String?
  /// Keys of the canonical config with values: only models that have all of them have these names.
  let exportSettings: [(key: String, value: JSON)]
  /// Config keys whose value the dialect's program fixes, and which it does not read from a config.
  var fixed: [String: JSON] = [:]
  /// Tensors that the dialect's program lacks and that are rows of zeros.
  var zeros: [(tensor: Int, rows: Int)] = []
}

struct Rule: Sendable {
  let operation: RuleOperation
  let sources: [NamePattern]
  /// Indices into the table's tensors.
  let targets: [Int]
  /// The shape of the source, where it is not the one that follows from the operation; the elements are in the same order.
  let shape: [Dimension]?

  var isPerLayer: Bool { sources[0].isPerLayer }
}

/// One of the sources of a rule.
struct RuleSource: Sendable, Hashable {
  let rule: Int
  let position: Int
}

/// The source of a rule that a name matches, and the number of its layer.
struct RuleMatch: Sendable, Hashable {
  let source: RuleSource
  let layer: Int?

  /// One number: the hash of each of a hundred thousand matches is computed for one dialect after the other.
  func hash(into hasher: inout Hasher) {
    hasher.combine((source.rule << 40) ^ (source.position << 32) ^ ((layer ?? -1) &+ 1))
  }
}
