import ModelFamilies
import TensorIO

/// Names that a dialect leaves out, with the reason.
struct DropRule: Sendable, Equatable {
  let reason: String
  let cause: DropCause
  /// The rule holds only when the name without this ending is there too.
  let copyEnding: String?
  /// What the report adds where it is not.
  let hint: String?
  /// Whether the names that it matches can be a whole model, which is converted where the source has no other.
  let isModel: Bool
  /// Most rules are of dialects that are not the source's.
  private let glob: LazyGlob

  init(pattern: String, reason: String, cause: DropCause, copyEnding: String?, hint: String?, isModel: Bool) {
    self.reason = reason
    self.cause = cause
    self.copyEnding = copyEnding
    self.hint = hint
    self.isModel = isModel
    glob = LazyGlob(pattern)
  }

  var pattern: String { glob.pattern }

  func matches(_ name: String) -> Bool { glob.matches(name) }
}

/// The drop rules of a dialect, and what recognition asks of them.
struct DropRules: Sendable {
  let all: [DropRule]
  let haveModels: Bool
  /// The endings of copies, as of moving averages, whose names are those of weights without them.
  let endingsOfCopies: [String]

  init(_ rules: [DropRule]) {
    all = rules
    haveModels = rules.contains(where: \.isModel)
    endingsOfCopies = rules.compactMap(\.copyEnding)
  }

  /// Whether a rule that holds whatever else is there matches the name.
  func matches(_ name: String, includingModels: Bool) -> Bool {
    all.contains { $0.copyEnding == nil && (includingModels || !$0.isModel) && $0.matches(name) }
  }
}

/// Drop rules that several dialects have in common: what the programs of one framework write next to the weights.
enum DropLists {
  /// The lists of `training-state.yaml` by name.
  static func builtIn() throws(FormatError) -> [String: [DropRule]] { try loaded.get() }

  private static let loaded = Result { () throws(FormatError) -> [String: [DropRule]] in
    if let index = TableIndex.builtIn { index.dropLists } else { try parsedBuiltIn() }
  }

  static func parsedBuiltIn() throws(FormatError) -> [String: [DropRule]] {
    let root = try YAMLValue.parse(PackageResources.training_state_yaml, file: "training-state.yaml")
    var lists: [String: [DropRule]] = [:]
    for (name, list) in try root.fields("the file", ["drop_lists"])["drop_lists"]?.map("drop_lists") ?? [] {
      var rules: [DropRule] = []
      for (word, items) in try list.map("the list '\(name)'") {
        let cause = try DropCause(word, at: items)
        for item in try items.list("the rules of '\(word)'") { rules.append(try DropRule(item, cause: cause)) }
      }
      lists[name] = rules
    }
    return lists
  }

  /// The rules of a dialect's `drop`: rules of its own, and names of the lists that are built in.
  static func rules(
    of drop: YAMLValue, lists: [String: [DropRule]]
  ) throws(FormatError) -> (rules: [DropRule], lists: [String]) {
    var result: [DropRule] = []
    var names: [String] = []
    var patterns: Set<String> = []
    for item in try drop.list("drop") {
      var added: [DropRule] = []
      if item.isScalar {
        added = try list(named: item, in: lists)
        names.append(try item.string("the name of a drop list"))
      } else {
        added = [try DropRule(item, cause: nil)]
      }
      for rule in added {
        if patterns.insert(rule.pattern).inserted {
          result.append(rule)
        } else if !item.isScalar {
          // Lists of two frameworks have some rules in common; a rule of its own is there once.
          throw item.fail("two drop rules have the glob '\(rule.pattern)'")
        }
      }
    }
    return (result, names)
  }

  private static func list(
    named item: YAMLValue, in lists: [String: [DropRule]]
  ) throws(FormatError) -> [DropRule] {
    let name = try item.string("the name of a drop list")
    guard let rules = lists[name] else {
      let known = lists.keys.sorted()
      throw item.fail(
        "unknown drop list '\(name)'", expected: known.joined(separator: ", "),
        advice: nearestName(to: name, among: known).map { .didYouMean($0) })
    }
    return rules
  }
}

extension DropRule {
  /// Reads a rule; `cause` is that of the list it is in.
  fileprivate init(_ value: YAMLValue, cause: DropCause?) throws(FormatError) {
    let fields = try value.fields(
      "a drop rule", ["glob", "reason", "beside", "hint", "is_model"] + (cause == nil ? ["cause"] : []))
    guard let glob = fields["glob"], let reason = fields["reason"] else {
      throw value.fail("a drop rule needs a glob and a reason")
    }
    var own: DropCause?
    if let word = fields["cause"] { own = try DropCause(try word.string("cause"), at: word) }
    self.init(
      pattern: try glob.string("glob"), reason: try reason.string("reason"), cause: cause ?? own ?? .unstated,
      copyEnding: try fields["beside"]?.string("beside"), hint: try fields["hint"]?.string("hint"),
      isModel: try fields["is_model"]?.bool("is_model") ?? false)
  }
}

extension YAMLValue {
  fileprivate var isScalar: Bool { if case .scalar = content { true } else { false } }
}
