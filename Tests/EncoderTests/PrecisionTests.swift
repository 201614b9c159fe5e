import COneDNN
import NativeFormat
import TensorIO
import TestSupport
import Testing

@testable import Encoder

private let isThere = bertconv_onednn_load() == 0

/// Packed weights against the plain pass, where oneDNN is installed and the processor has what it takes.
@Suite("Fast products")
struct PrecisionTests {
  private func available(_ precision: Precision) -> Bool { bertconv_onednn_has(precision.code) != 0 }

  private static let models: [TinyModel] = [
    TinyModel(), TinyModel(activation: "gelu_new", epsilon: "1e-5", hasPrediction: true), TinyModel(activation: "relu"),
    TinyModel(hidden: 7, heads: 1), TinyModel(hidden: 66, heads: 6, intermediate: 131, seed: 5),
    TinyModel(isFused: false, storage: .bf16), TinyModel(labels: 2, storage: .i8),
    TinyModel(architecture: "BertForPreTraining", hasPrediction: true, hasNextSentence: true),
  ]

  @Test(.enabled(if: isThere), arguments: models.indices, Precision.allCases)
  func everyOutputIsNearThePlainPass(index: Int, precision: Precision) throws {
    guard available(precision) else { return }
    let model = Self.models[index]
    let folder = TemporaryFolder()
    let encoder = try Encoder(
      try model.write(folder), try EncoderConfig(model.config), threads: 2, precision: precision, library: .oneDNN)
    #expect(encoder.library == .oneDNN && encoder.threads == 2)
    let input = model.input()
    let plain = PlainPass(model, input)
    // Relative to numbers of about one, with rounding of 2^-9 and 2^-8 in each of a dozen products.
    let tolerance = precision == .f32 ? 1e-5 : precision == .bf16 ? 0.08 : 0.2
    for output in try encoder.run(input, outputs: Set(encoder.availableOutputs)) {
      let kind = try #require(encoder.kind(of: output.name))
      let expected = plain.output(kind)
      let error = distance(output.values, expected)
      let size = expected.reduce(1) { max($0, $1.magnitude) }
      #expect(error <= tolerance * size, "\(output.name) is off by \(error)")
    }
  }

  @Test(.enabled(if: isThere)) func severalRunsAtOnce() async throws {
    let model = TinyModel(hidden: 66, heads: 6, intermediate: 131, seed: 5)
    let folder = TemporaryFolder()
    let encoder = try Encoder(try model.write(folder), try EncoderConfig(model.config), threads: 2, library: .oneDNN)
    let input = model.input()
    let first = try encoder.run(input, outputs: ["last_hidden_state"])[0].values
    let same = await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<8 {
        group.addTask { (try? encoder.run(input, outputs: ["last_hidden_state"]))?.first?.values == first }
      }
      return await group.reduce(true) { $0 && $1 }
    }
    #expect(same)
  }

  @Test(arguments: [MathLibrary.openBLAS, .oneDNN]) func moreThreadsThanAreOfUseAreNotStarted(library: MathLibrary)
    throws
  {
    guard library == .openBLAS || isThere else { return }
    let folder = TemporaryFolder()
    let encoder = try Encoder(
      try TinyModel().write(folder), try EncoderConfig(TinyModel().config), threads: 1024, library: library)
    #expect(encoder.threads >= 1 && encoder.threads < 1024)
  }

  @Test func theReferenceIsThereBesideIt() throws {
    let model = TinyModel()
    let folder = TemporaryFolder()
    let native = try model.write(folder)
    let encoder = try Encoder(native, try EncoderConfig(model.config), threads: 1, library: .openBLAS)
    #expect(encoder.library == .openBLAS)
    let output = try encoder.run(model.input(), outputs: ["last_hidden_state"])[0]
    #expect(distance(output.values, PlainPass(model, model.input()).output(.hidden(model.layers))) <= 1e-5)
    let error = #expect(throws: FormatError.self) {
      try Encoder(native, try EncoderConfig(model.config), threads: 1, precision: .int8, library: .openBLAS)
    }
    #expect("\(error, default: "")".contains("int8"))
  }
}
