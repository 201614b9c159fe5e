import Comparison
import Inspection
import TensorIO

/// What changed in the model, in one sentence or two.
struct PartSummary {
  private typealias Part = ModelDifference.Part
  private let parts: [Part]
  private let isTypeAlone: Bool

  init(_ result: ModelDifference) {
    parts = result.parts
    isTypeAlone = result.count(.changed) + result.count(.reshaped) == 0 && result.count(.retyped) > 0
  }

  var text: String {
    var stacks: [String] = []
    for part in parts { if let stack = part.stack, stack != stacks.last { stacks.append(stack) } }
    let others = parts.filter { $0.stack == nil }
    var clauses: [String] = []
    var equal = Subject()
    switch stacks.count {
    case 0: break
    case 1:
      let layers = parts.filter { $0.stack != nil }
      clauses.append(movedLayers(layers))
      if let rest = equalLayers(layers) { equal.add(rest.text, isOne: rest.isOne) }
    case 2...3:
      for stack in stacks {
        let layers = parts.filter { $0.stack == stack }
        let rest = equalLayers(layers).map { ", \($0.text) \($0.isOne ? "is" : "are") equal" } ?? ""
        clauses.append("in \(shortened(stack)) \(movedLayers(layers))\(rest)")
      }
    default:
      let layers = parts.filter { $0.stack != nil }
      clauses.append(
        "\(grouped(layers.count { $0.changed > 0 })) of \(grouped(layers.count)) layers of "
          + "\(grouped(stacks.count)) stacks moved")
    }
    let moved = others.filter { $0.changed > 0 }
    if !moved.isEmpty { clauses.append("\(listed(moved.map { name($0) + size($0) })) moved") }
    for part in others where part.changed == 0 { equal.add(name(part), isOne: !isSeveral(part)) }
    if !equal.names.isEmpty { clauses.append("\(listed(equal.names)) \(equal.isOne ? "is" : "are") equal") }
    let all = clauses.joined(separator: "; ")
    let sentence = all.prefix(1).uppercased() + all.dropFirst() + "."
    return (isTypeAlone ? "All tensors that differ are stored in another type. " : "") + sentence + notFinite
  }

  /// The subject of a sentence.
  private struct Subject {
    var names: [String] = []
    var isOne = false

    mutating func add(_ name: String, isOne: Bool) {
      self.isOne = isOne && names.isEmpty
      names.append(name)
    }
  }

  // MARK: Layers

  /// As `every layer moved: layer 11 most (relative change 0.021), layer 0 least (0.00312)`.
  private func movedLayers(_ layers: [Part]) -> String {
    let moved = layers.filter { $0.changed > 0 }
    if moved.isEmpty { return "no layer moved" }
    var text = "\(grouped(moved.count)) of \(grouped(layers.count)) layers moved"
    if moved.count == layers.count {
      text = "every layer moved"
    } else if let runs = runs(moved), runs.isShort {
      text = "\(runs.text) moved"
    }
    let sized = moved.filter { $0.relativeChange.map(\.isFinite) == true }
    let order = sized.sorted { ($0.relativeChange ?? 0) > ($1.relativeChange ?? 0) }
    guard let most = order.first, let least = order.last else { return text }
    func number(_ part: Part) -> String { threeDigits(part.relativeChange ?? 0) }
    if order.count == 1 { return text + (moved.count == 1 ? " (relative change \(number(most)))" : "") }
    if number(most) == number(least) { return text + " (relative change \(number(most)) each)" }
    return text + ": layer \(most.layer ?? 0) most (relative change \(number(most))), layer \(least.layer ?? 0) least "
      + "(\(number(least)))"
  }

  /// The layers that are equal, where those that moved are named too.
  private func equalLayers(_ layers: [Part]) -> (text: String, isOne: Bool)? {
    guard let moved = runs(layers.filter { $0.changed > 0 }), moved.isShort,
      let equal = runs(layers.filter { $0.changed == 0 }), equal.isShort
    else { return nil }
    return (equal.text, equal.isOne)
  }

  /// As `layers 0 to 7 and 9`.
  private func runs(_ layers: [Part]) -> (text: String, isShort: Bool, isOne: Bool)? {
    let texts = NameGroups.rangeTexts(layers.compactMap(\.layer), joint: " to ")
    guard !texts.isEmpty else { return nil }
    return ((layers.count == 1 ? "layer " : "layers ") + listed(texts), texts.count <= 3, layers.count == 1)
  }

  // MARK: Other parts

  private func isSeveral(_ part: Part) -> Bool { part.name == "embeddings" || part.name == "others" }
  private func name(_ part: Part) -> String { part.name == "others" ? "others" : "the \(part.shortName)" }
  private func size(_ part: Part) -> String {
    part.relativeChange.flatMap { $0.isFinite ? " (\(threeDigits($0)))" : nil } ?? ""
  }

  private var notFinite: String {
    let names = parts.filter { !$0.distance.maximum.isFinite }.map { $0.shortName }
    return names.isEmpty ? "" : " Values that are not finite differ in \(listed(names))."
  }

  /// As `a, b and c`, of many only some.
  private func listed(_ words: [String]) -> String {
    if words.count > 6 { return words.prefix(5).joined(separator: ", ") + " and \(grouped(words.count - 5)) more" }
    guard words.count > 1, let last = words.last else { return words.first ?? "" }
    return words.dropLast().joined(separator: ", ") + " and " + last
  }
}

extension ModelDifference.Part {
  /// The name, which comes from a file and may be of any length.
  var shortName: String { shortened(name) }
}

private func shortened(_ name: String) -> String {
  let text = printable(name)
  return text.utf8.count <= 60 ? text : text.prefix(59) + "…"
}

/// `value` with three significant digits.
func threeDigits(_ value: Double) -> String {
  guard value.isFinite, value >= 0.001, value < 1000 else { return significant(value) }
  return fixed(
    value, digits: value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : value >= 0.1 ? 3 : value >= 0.01 ? 4 : 5)
}
