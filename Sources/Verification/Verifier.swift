import Encoder
import NativeFormat
import TensorIO
import Tokenizers

/// Runs a model on a fixture's inputs and compares every output with the reference.
public enum Verifier {
  /// - Parameters:
  ///   - model: the model that is checked
  ///   - config: in place of the one in the file
  ///   - fixture: the inputs, and the outputs that the model must compute from them
  ///   - tolerance: the largest absolute difference that passes
  ///   - threads: for matrix products; all cores when absent
  ///   - precision: of the matrix products
  ///   - tokenizer: of the model, for a fixture with texts
  ///   - progress: called with the number of tokens that are through, and of all
  ///
  /// Throws `FormatError` when model or fixture cannot be used, when they do not fit each other, and when the fixture
  /// has no output. Outputs that differ are in the report.
  public static func verify(
    _ model: NativeModel, config: JSON?, fixture: Fixture, tolerance: Double = 1e-4, threads: Int? = nil,
    precision: Precision = .f32, tokenizer: Tokenizer? = nil,
    progress: ((_ done: Int, _ total: Int) -> Void)? = nil
  ) throws -> VerificationReport {
    try verify(
      try Encoder(model, config: config, threads: threads, precision: precision), fixture: fixture,
      tolerance: tolerance, tokenizer: tokenizer, progress: progress)
  }

  /// The same with an encoder that is open already.
  public static func verify(
    _ encoder: Encoder, fixture: Fixture, tolerance: Double = 1e-4, tokenizer: Tokenizer? = nil,
    progress: ((_ done: Int, _ total: Int) -> Void)? = nil
  ) throws -> VerificationReport {
    guard tolerance >= 0, tolerance.isFinite else {
      throw FormatError(
        .input, "the tolerance is not usable", found: "\(tolerance)", expected: "a number that is not negative")
    }
    guard !fixture.references.isEmpty else {
      throw FormatError(
        .input, "the fixture has no output to compare with", file: fixture.file,
        expected: "one of \(Encoder.summary(encoder.availableOutputs))")
    }
    // An output that is not computed is not verified: leaving it out would pass it.
    for reference in fixture.references where encoder.kind(of: reference.name) == nil {
      throw FormatError(
        .input, "the model does not compute this output of the fixture", file: fixture.file, tensor: reference.name,
        expected: "one of \(Encoder.summary(encoder.availableOutputs))",
        advice: "Convert the checkpoint with this head, or leave the output out of the fixture.")
    }

    let texts = try compareTexts(of: fixture, tokenizer)
    let outputs = try encoder.run(fixture.input, outputs: Set(fixture.references.map(\.name)), progress: progress)
    var comparisons: [OutputComparison] = []
    for output in outputs {
      guard let reference = fixture.references.first(where: { $0.name == output.name }),
        let kind = encoder.kind(of: output.name)
      else { continue }
      guard reference.shape == output.shape else {
        throw FormatError(
          .input, "the fixture's output is not of the shape that the model computes", file: fixture.file,
          tensor: output.name,
          found: shapeText(reference.shape), expected: shapeText(output.shape),
          advice: "Use a fixture that was made with this model.")
      }
      comparisons.append(
        OutputComparison(
          output.name, kind: kind, shape: output.shape, values: output.values,
          reference: try fixture.values(of: reference), input: fixture.input, tolerance: tolerance))
    }
    let outputsPass = comparisons.count == fixture.references.count && comparisons.allSatisfy(\.passed)
    let divergence =
      outputsPass
      ? nil
      : try Bisection(encoder: encoder, fixture: fixture, comparisons: comparisons, tolerance: tolerance).describe()
    return VerificationReport(
      passed: outputsPass && texts?.passed ?? true, tolerance: tolerance, sequences: fixture.input.batch,
      tokens: fixture.input.tokenCount,
      outputs: comparisons, firstDivergence: divergence, warnings: fixture.warnings, texts: texts)
  }

  /// The ids of the fixture's texts come first: what a model computes of other ids says nothing.
  private static func compareTexts(
    of fixture: Fixture, _ tokenizer: Tokenizer?
  ) throws(FormatError) -> TextComparison? {
    guard let texts = fixture.texts else { return nil }
    guard let tokenizer else {
      throw FormatError(
        .input, "the fixture has texts, but the model has no tokenizer", file: fixture.file,
        advice: "Convert the model with its tokenizer's files in the same folder, or leave 'text' out of the fixture.")
    }
    return try TextComparison(texts, pairs: fixture.textPairs, input: fixture.input, tokenizer: tokenizer)
  }
}
