import Encoder
import TensorIO

/// Finds where a model first departs from its reference, and describes what is known of the part that is wrong.
///
/// Hidden states do not separate attention and feed-forward block of one layer: whatever comes out of the layer, either
/// block could have been changed to give it. They do show whether the layer itself is wrong or the error came in with its
/// input, whether its last layer normalization is wrong, and which embeddings are.
struct Bisection {
  let encoder: Encoder
  let fixture: Fixture
  let comparisons: [OutputComparison]
  let tolerance: Double

  /// A hidden state of the fixture.
  private struct Hidden {
    let number: Int
    let comparison: OutputComparison
    /// `hidden_states.N`, or `last_hidden_state` where that is all there is.
    var name: String { comparison.name }
  }

  func describe() throws -> String? {
    let hidden = hiddenStates()
    guard let last = hidden.last else { return nil }
    guard let first = hidden.firstIndex(where: { !$0.comparison.passed }) else { return head(above: last) }
    let failed = hidden[first]
    let previous = first > 0 ? hidden[first - 1] : nil
    guard failed.number > 0 else { return "\(failed.name) (the embeddings\(try wrongEmbeddings(failed.comparison)))" }
    guard let previous else {
      return
        "\(failed.name) (the embeddings or \(Self.layers(0..<failed.number)); the fixture has no earlier hidden state)"
    }
    let layers = previous.number..<failed.number
    let part = layers.count == 1 ? "\(Self.layers(layers)) output; its input" : "\(Self.layers(layers)); their input"
    return "\(failed.name) (\(part) \(previous.name) agrees; \(try rerun(layers, from: previous, to: failed)))"
  }

  /// Those of the fixture by number, each once.
  private func hiddenStates() -> [Hidden] {
    var states: [Hidden] = []
    for comparison in comparisons {
      guard case .hidden(let number)? = encoder.kind(of: comparison.name) else { continue }
      if !states.contains(where: { $0.number == number }) {
        states.append(Hidden(number: number, comparison: comparison))
      } else if !comparison.passed,
        let index = states.firstIndex(where: { $0.number == number && $0.comparison.passed })
      {
        // Two references of one hidden state that contradict each other: the one that fails is reported.
        states[index] = Hidden(number: number, comparison: comparison)
      }
    }
    return states.sorted { $0.number < $1.number }
  }

  private static func layers(_ range: Range<Int>) -> String {
    range.count == 1 ? "layer \(range.lowerBound)" : "layers \(range.lowerBound) to \(range.upperBound - 1)"
  }

  // MARK: Heads

  /// All hidden states agree: the first output that does not names its head.
  private func head(above last: Hidden) -> String? {
    guard let failed = comparisons.first(where: { !$0.passed }), let kind = encoder.kind(of: failed.name) else {
      return nil
    }
    var parts = [kind.part]
    let pooler = comparisons.first { encoder.kind(of: $0.name) == .pooled }
    if encoder.hasPoolerWeights, kind.isPooled, kind != .pooled, pooler == nil { parts.insert("the pooler", at: 0) }
    let missing = last.number..<encoder.config.layerCount
    if !missing.isEmpty { parts.insert(Self.layers(missing), at: 0) }
    let list = parts.count == 3 ? "\(parts[0]), \(parts[1]) or \(parts[2])" : parts.joined(separator: " or ")
    let agreeing =
      missing.isEmpty ? "every hidden state agrees" : "\(last.name), the last hidden state there is, agrees"
    return "\(failed.name) (\(list); \(agreeing))"
  }

  // MARK: Layers

  /// Runs the layers alone on the reference's values: does the error start in them, or did it come in?
  private func rerun(_ layers: Range<Int>, from previous: Hidden, to failed: Hidden) throws -> String {
    guard let start = reference(previous.name), let end = reference(failed.name) else { return "" }
    let given = try fixture.values(of: start)
    let expected = try fixture.values(of: end)
    let values = try encoder.run(layers: layers, on: fixture.input, hidden: given)
    let alone = OutputComparison(
      failed.name, kind: .hidden(failed.number), shape: end.shape, values: values, reference: expected,
      input: fixture.input, tolerance: tolerance)
    let subject = Self.layers(layers)
    let plural = layers.count > 1
    guard !alone.passed else {
      return
        "on the reference's \(previous.name) \(subject) \(plural ? "agree" : "agrees"): a small error of the input grew"
    }
    let size = alone.maxAbsError.isNaN ? "not finite" : significant(alone.maxAbsError)
    let found = "the error starts in \(subject), off by \(size) on the reference's \(previous.name)"
    guard encoder.precision == .f32 else {
      return "\(found). Verify in f32: rounding to \(encoder.precision.rawValue) may be the only cause"
    }
    return "\(found). Check \(plural ? "their" : "its") weights\(wrongNorm(layers, expected, values))\(settings)"
  }

  /// The last layer normalization, where the reference's values cannot have come out of it and the layer's own did.
  private func wrongNorm(_ layers: Range<Int>, _ expected: [Float], _ values: [Float]) -> String {
    guard let norm = encoder.outputNorm(ofLayer: layers.upperBound - 1) else { return "" }
    let weights = (norm.gamma, norm.beta)
    return !isNormalized(expected, weights) && isNormalized(values, weights) ? ", \(norm.name) among them" : ""
  }

  /// The settings that no weight shows.
  private var settings: String {
    let settings = encoder.config.layerSettings + [encoder.config.epsilonSetting].compactMap(\.self)
    return settings.isEmpty ? "" : ", and " + settings.joined(separator: ", ")
  }

  private func reference(_ name: String) -> Fixture.Reference? { fixture.references.first { $0.name == name } }

  /// Whether values `[batch, sequence, H]` can have come out of a layer normalization with these weights: taken back
  /// through gamma and beta, the numbers of a token have mean 0 and mean square 1 (a little less for a large epsilon).
  private func isNormalized(_ values: [Float], _ norm: (gamma: [Float], beta: [Float])) -> Bool {
    let size = norm.gamma.count
    // A gamma near zero hides what went in: nothing is known then.
    let largest = norm.gamma.map(\.magnitude).max() ?? 0
    guard norm.gamma.allSatisfy({ $0.magnitude > largest * 1e-3 }) else { return true }
    var odd = 0
    var tokens = 0
    for token in 0..<(values.count / max(size, 1)) where fixture.input.isAttended(token) {
      var sum = 0.0
      var squares = 0.0
      for index in 0..<size {
        let z = Double(values[token * size + index] - norm.beta[index]) / Double(norm.gamma[index])
        sum += z
        squares += z * z
      }
      let mean = sum / Double(size)
      let square = squares / Double(size)
      tokens += 1
      if !(mean.magnitude < 5e-3 && square < 1.01 && square > 0.9) { odd += 1 }
    }
    return odd * 2 <= tokens
  }

  // MARK: Embeddings

  /// When the tokens that are off are just those of certain ids, columns or token types, and only one of the three
  /// explains it, that table is wrong. Otherwise it may be a setting.
  private func wrongEmbeddings(_ comparison: OutputComparison) throws -> String {
    let input = fixture.input
    let tokens = (0..<(input.batch * input.sequence)).filter(input.isAttended)
    let failing = tokens.filter(comparison.isOff)
    let agreeing = tokens.filter { !comparison.isOff($0) }
    let setting = encoder.config.epsilonSetting.map { ", computed with \($0)" } ?? ""
    guard !failing.isEmpty, !agreeing.isEmpty else { return setting }
    let tables: [(name: String, index: (Int) -> Int)] = [
      ("of the ids", { input.inputIDs[$0] }), ("in the columns", { $0 % input.sequence }),
      ("of the token types", { input.tokenTypeIDs?[$0] ?? 0 }),
    ]
    let explanations = tables.compactMap { table -> String? in
      let wrong = Set(failing.map(table.index))
      guard wrong.isDisjoint(with: agreeing.map(table.index)) else { return nil }
      let list = wrong.sorted().prefix(8).map(String.init).joined(separator: ", ")
      return "; only those \(table.name) \(list)\(wrong.count > 8 ? ", …" : "") are off"
    }
    return explanations.count == 1 ? explanations[0] : setting
  }
}
