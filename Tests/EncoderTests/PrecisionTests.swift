import COneDNN
import NativeFormat
import TensorIO
import TestSupport
import Testing

@testable import Encoder

/// Packed weights against the plain pass: those of the package everywhere, those of oneDNN where it is installed and the
/// processor has what it takes.
@Suite("Fast products")
struct PrecisionTests {
  private static let models: [TinyModel] = [
    TinyModel(),
    TinyModel {
      ($0.activation, $0.epsilon) = ("gelu_new", "1e-5")
      $0.parts = ["pooler", "mlm"]
    },
    TinyModel { $0.activation = "relu" },
    TinyModel { ($0.hidden, $0.heads) = (7, 1) },
    TinyModel { ($0.hidden, $0.heads, $0.intermediate, $0.seed) = (66, 6, 131, 5) },
    TinyModel { ($0.isAdjacent, $0.storage) = (false, .bf16) },
    TinyModel {
      ($0.labels, $0.storage) = (2, .i8)
      $0.parts = ["pooler", "classification"]
    },
    TinyModel {
      $0.architecture = "BertForPreTraining"
      $0.parts = ["pooler", "mlm", "nsp"]
    },
    TinyModel("mpnet") {
      ($0.hidden, $0.heads, $0.paddingID, $0.positions) = (72, 2, 1, 13)
      $0.parts = ["pooler", "mlm"]
    },
    TinyModel("mpnet") { ($0.activation, $0.paddingID, $0.positions, $0.isAdjacent) = ("relu", 1, 13, false) },
    TinyModel("tasks"),
  ]

  /// The libraries that pack weights, each in each precision.
  private static let products: [(library: MathLibrary, precision: Precision)] =
    [.oneDNN, .builtIn].flatMap { library in Precision.allCases.map { (library, $0) } }

  @Test(arguments: models.indices, products)
  func everyOutputIsNearThePlainPass(index: Int, product: (library: MathLibrary, precision: Precision)) throws {
    let (library, precision) = product
    try require(library, precision)
    let model = Self.models[index]
    let folder = TemporaryFolder()
    let encoder = try model.encoder(folder, library: library, precision: precision, threads: 2)
    #expect(encoder.library == library && encoder.threads == 2)
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

  /// Of small whole numbers, so that every precision computes exactly; rows lie apart or not, a single column included.
  @Test(arguments: Precision.allCases)
  func productsOfOddShapesAreExact(precision: Precision) throws {
    try require(precision)
    guard let context = unsafe bertconv_context_create() else {
      Issue.record("no context")
      return
    }
    defer { unsafe bertconv_context_free(context) }
    for (n, k) in [(1, 1), (1, 67), (3, 4), (16, 64), (65, 1), (65, 67), (130, 131)] {
      let w = (0..<n * k).map { $0 * 7 % 5 - 2 }
      guard let packed = unsafe bertconv_pack(precision.code, weights(w, precision), n, k) else {
        Issue.record("cannot pack [\(n), \(k)]")
        continue
      }
      defer { unsafe bertconv_packed_free(packed) }
      let bias: [Float]? = precision == .int8 ? nil : (0..<n).map { Float($0 % 9) - 4 }
      for (m, xGap, yGap) in [(1, 0, 0), (2, 3, 0), (5, 0, 6), (5, 2, 6), (17, 0, 0), (17, 0, 1)] {
        let xStride = k + xGap
        let yStride = n + yGap
        let x = (0..<m * xStride).map { $0 * 5 % 4 }
        let untouched: UInt32 = 0x4242_4242
        var y = [UInt32](repeating: untouched, count: m * yStride)
        let code = unsafe bertconv_multiply(
          context, packed, activations(x, precision), m, xStride, bias, 0, &y, yStride, 0)
        try #require(code == 0)
        let expected = (0..<m * yStride).map { index in
          let (row, column) = index.quotientAndRemainder(dividingBy: yStride)
          guard column < n else { return untouched }
          let sum = (0..<k).reduce(0) { $0 + x[row * xStride + $1] * w[column * k + $1] }
          // An exact sum of 0 is +0 or -0.
          return bias.map { (Float(sum) + $0[column] + 0).bitPattern } ?? UInt32(bitPattern: Int32(sum))
        }
        #expect(y.map { $0 == 0x8000_0000 ? 0 : $0 } == expected, "[\(m), \(k)] by [\(n), \(k)], apart \(xGap) \(yGap)")
      }
    }
  }

  /// Whole numbers in the form that products of this precision take.
  private func activations(_ values: [Int], _ precision: Precision) -> [UInt8] {
    precision == .int8 ? values.map { UInt8($0) } : bytes(values, precision)
  }

  private func weights(_ values: [Int], _ precision: Precision) -> [UInt8] {
    precision == .int8 ? values.map { UInt8(bitPattern: Int8($0)) } : bytes(values, precision)
  }

  private func bytes(_ values: [Int], _ precision: Precision) -> [UInt8] {
    values.flatMap { value in
      let bits = Float(value).bitPattern
      return (precision == .f32 ? [0, 8, 16, 24] : [16, 24]).map { UInt8(truncatingIfNeeded: bits >> $0) }
    }
  }

  /// The 32-bit sums of both libraries are the same, so that all that comes of them differs by roundings of floats alone.
  @Test(arguments: models.indices) func eightBitsMeanTheSameInBothLibraries(index: Int) throws {
    try require(.int8)
    let model = Self.models[index]
    let folder = TemporaryFolder()
    let input = model.input()
    let results = try [MathLibrary.oneDNN, .builtIn].map { library in
      let encoder = try model.encoder(folder, library: library, precision: .int8, threads: 2)
      // The output of the embeddings, and that of a layer whose attention is of floats in one and bfloat16 in the other.
      return try encoder.run(input, outputs: ["hidden_states.0", "hidden_states.1"]).map(\.values)
    }
    #expect(results[0][0] == results[1][0])
    let size = results[0][1].reduce(1) { max($0, $1.magnitude) }
    #expect(distance(results[0][1], results[1][1]) <= 0.05 * Double(size))
  }

  @Test(arguments: [MathLibrary.oneDNN, .builtIn]) func severalRunsAtOnce(library: MathLibrary) async throws {
    try require(library)
    let model = TinyModel { ($0.hidden, $0.heads, $0.intermediate, $0.seed) = (66, 6, 131, 5) }
    let folder = TemporaryFolder()
    let encoder = try Encoder(try model.write(folder), try EncoderConfig(model.config), threads: 2, library: library)
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

  @Test(arguments: [MathLibrary.openBLAS, .builtIn, .oneDNN])
  func moreThreadsThanAreOfUseAreNotStarted(library: MathLibrary) throws {
    try require(library)
    let folder = TemporaryFolder()
    let encoder = try Encoder(
      try TinyModel().write(folder), try EncoderConfig(TinyModel().config), threads: 1024, library: library)
    #expect(encoder.threads >= 1 && encoder.threads < 1024)
  }

  @Test(arguments: [MathLibrary.openBLAS, .plain])
  func theOtherLibrariesComputeInF32Only(library: MathLibrary) throws {
    let model = TinyModel()
    let folder = TemporaryFolder()
    let native = try model.write(folder)
    let encoder = try Encoder(native, try EncoderConfig(model.config), threads: 1, library: library)
    #expect(encoder.library == library)
    let output = try encoder.run(model.input(), outputs: ["last_hidden_state"])[0]
    #expect(distance(output.values, PlainPass(model, model.input()).output(.hidden(model.layers))) <= 1e-5)
    expectError(.input, words: ["int8"]) {
      _ = try Encoder(native, try EncoderConfig(model.config), threads: 1, precision: .int8, library: library)
    }
  }
}
