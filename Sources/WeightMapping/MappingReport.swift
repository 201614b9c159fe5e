import ModelFamilies
import TensorIO

/// What became of every tensor of a source and of every tensor that the model needs.
public struct MappingReport: Sendable {
  public struct Mapped: Sendable, Equatable {
    public let name: String
    /// Canonical names.
    public let targets: [String]
    public let operation: String
  }

  public struct Dropped: Sendable, Equatable {
    public let name: String
    public let cause: DropCause
    /// The rule that dropped it, as the table or the user wrote it.
    public let rule: String
    public let reason: String

    package init(name: String, cause: DropCause, rule: String, reason: String) {
      self.name = name
      self.cause = cause
      self.rule = rule
      self.reason = reason
    }
  }

  public struct Unexpected: Sendable, Equatable {
    public let name: String
    /// The nearest name that the dialect knows, where one is near.
    public let nearest: String?
    public let hint: String?
  }

  public struct Misshapen: Sendable, Equatable {
    public let name: String
    public let found: String
    public let expected: String
  }

  public struct Missing: Sendable, Equatable {
    /// The name in the source's dialect.
    public let name: String
    /// The canonical name.
    public let target: String
  }

  public internal(set) var family: String?
  public internal(set) var dialect: String?
  /// What precedes the dialect's names in the source.
  public internal(set) var scope = ""
  /// What the source is, as in "a BERT".
  public internal(set) var description: String?
  public internal(set) var mapped: [Mapped] = []
  public internal(set) var dropped: [Dropped] = []
  public internal(set) var unexpected: [Unexpected] = []
  public internal(set) var misshapen: [Misshapen] = []
  public internal(set) var missing: [Missing] = []
  /// Where the config and the weights contradict each other, a sentence each.
  public internal(set) var conflicts: [MappingConflict] = []

  /// Whether nothing prevents a conversion.
  public var isComplete: Bool {
    family != nil && dialect != nil && unexpected.isEmpty && misshapen.isEmpty && missing.isEmpty && conflicts.isEmpty
  }

  /// The number of tensors of the source that no rule knows or that do not fit.
  public var problemCount: Int { unexpected.count + misshapen.count + missing.count + conflicts.count }
}

extension MappingReport.Dropped {
  init(name: String, rule: DropRule) {
    self.init(name: name, cause: rule.cause, rule: rule.pattern, reason: rule.reason)
  }
}

extension MappingReport {
  /// Drops the tensor if the user allowed one of these names to be left out; whether that is so.
  mutating func drop(_ name: String, known other: String? = nil, allowedBy globs: [Glob]) -> Bool {
    guard let glob = globs.first(where: { $0.matches(name) || other.map($0.matches) == true }) else { return false }
    dropped.append(
      .init(
        name: name, cause: .allowed(glob: glob.pattern), rule: glob.pattern,
        reason: "allowed by the user: \(glob.pattern)"))
    return true
  }
}

extension MappingReport {
  /// How many of what stops a conversion, as `1 missing, 2 wrong shape`; empty where nothing does.
  package var problemCounts: String {
    let counts: [(Int, String)] = [
      (conflicts.count, "in conflict with the config"), (misshapen.count, "wrong shape"), (missing.count, "missing"),
      (unexpected.count, "unexpected"),
    ]
    return counts.filter { $0.0 > 0 }.map { "\(grouped($0.0)) \($0.1)" }.joined(separator: ", ")
  }

  /// What a conversion would make use of, and what not.
  package var knownCounts: String { "\(grouped(mapped.count)) mapped, \(grouped(dropped.count)) dropped by rules" }

  /// The report for people: every tensor that was not simply mapped, and the totals. `ruleText` words the rule of a
  /// dropped tensor.
  public func text(ruleText: (Dropped) -> String = \.rule) -> String {
    var out = ""
    if let family, let dialect {
      out += "\(description ?? family), dialect \(dialect)"
      if !scope.isEmpty { out += ", names below '\(printable(scope))'" }
      out += "\n"
    } else {
      out += description.map { "\($0): no table converts it\n" } ?? "no table knows these tensors\n"
    }
    let counts = [
      (mapped.count, "mapped"), (dropped.count, "dropped"), (unexpected.count, "unexpected"),
      (misshapen.count, "wrong shape"), (missing.count, "missing"),
    ]
    out += counts.map { "\(grouped($0.0)) \($0.1)" }.joined(separator: ", ") + "\n"
    for line in problemLines { out += line + "\n" }
    var rules: [(rule: String, reason: String, names: [String])] = []
    var indices: [String: Int] = [:]
    for entry in dropped {
      let rule = ruleText(entry)
      if let index = indices[rule + "\n" + entry.reason] {
        rules[index].names.append(entry.name)
      } else {
        indices[rule + "\n" + entry.reason] = rules.count
        rules.append((rule, entry.reason, [entry.name]))
      }
    }
    for rule in rules {
      out += "dropped by \(printable(rule.rule)) (\(printable(rule.reason))): "
      out += rule.names.count == 1 ? printable(rule.names[0]) : "\(grouped(rule.names.count)) tensors"
      out += "\n"
    }
    return out
  }

  /// One line for each problem, safe to print.
  var problemLines: [String] { problemsByKind.flatMap(\.self) }

  var problemsByKind: [[String]] {
    [
      conflicts.map { printable($0.text) },
      misshapen.map {
        "wrong shape: \(printable($0.name)): found \(printable($0.found)), expected \(printable($0.expected))"
      },
      missing.map { "missing: \(printable($0.name))" + ($0.name == $0.target ? "" : " (\(printable($0.target)))") },
      unexpected.map { entry in
        var line = "unexpected: \(printable(entry.name))"
        if let hint = entry.hint { line += " (\(printable(hint)))" }
        if let nearest = entry.nearest { line += " (nearest known name: \(printable(nearest)))" }
        return line
      },
    ]
  }

  /// `ruleText` words the rule of a dropped tensor.
  public func json(ruleText: (Dropped) -> String = \.rule) -> JSON {
    func optional(_ text: String?) -> JSON { text.map { .string($0) } ?? .null }
    return .object([
      "family": optional(family),
      "dialect": optional(dialect),
      "scope": .string(scope),
      "description": optional(description),
      "complete": .bool(isComplete),
      "mapped": .array(
        mapped.map {
          .object(["name": .string($0.name), "targets": .strings($0.targets), "operation": .string($0.operation)])
        }),
      "dropped": .array(
        dropped.map {
          .object(["name": .string($0.name), "rule": .string(ruleText($0)), "reason": .string($0.reason)])
        }),
      "unexpected": .array(
        unexpected.map {
          .object(["name": .string($0.name), "nearest": optional($0.nearest), "hint": optional($0.hint)])
        }),
      "misshapen": .array(
        misshapen.map {
          .object(["name": .string($0.name), "found": .string($0.found), "expected": .string($0.expected)])
        }),
      "missing": .array(missing.map { .object(["name": .string($0.name), "target": .string($0.target)]) }),
      "conflicts": .strings(conflicts.map(\.text)),
    ])
  }
}
