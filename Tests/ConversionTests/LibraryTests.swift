import Conversion
import NativeFormat
import TensorIO
import TestSupport
import Testing

/// The guarantees of a conversion for a program that calls the library.
@Suite("The library converts as the command does")
struct LibraryTests {
  private let folder = TemporaryFolder()

  @Test(arguments: ["system-zip.pt", "system-legacy.pt"])
  func codeIsRefused(name: String) throws {
    let output = folder.file("out.safetensors")
    let checkpoint = fixture("torch/hostile/\(name)")
    expectError(.dangerous) { _ = try CheckpointConverter.convert(checkpoint, to: output) }
    #expect(FileSystem.kind(of: output) == nil)
    expectError(.dangerous) { _ = try SourceModel(checkpoint) }
    #expect(try SourceModel(checkpoint, dangerousContent: .tolerated).checkpoint.source.imports.isEmpty == false)
  }

  @Test func anOutputThatExistsIsKept() throws {
    let output = try folder.write([1, 2, 3], "out.safetensors")
    let source = fixture("tensorflow/bert-tiny")
    expectError(.output) { _ = try CheckpointConverter.convert(source, to: output) }
    #expect(try contents(output) == [1, 2, 3])
    var options = ConversionOptions()
    options.overwrites = true
    let result = try CheckpointConverter.convert(source, to: output, options: options)
    #expect(result.family == "bert" && result.report.isComplete && result.outputs == [output])
    #expect(result.fileSize == FileSystem.size(of: output))
  }

  /// NaN and infinity are kept, and reported in one sentence, at the conversion and when the file is verified.
  @Test func weightsThatAreNotFiniteAreReported() throws {
    let model = TinyBERT.maskedLM()
    var weights = model.distinctWeights()
    let count = model.vocabulary * model.hidden
    weights.add(
      "bert.embeddings.word_embeddings.weight", [model.vocabulary, model.hidden],
      floats: (0..<count).map { $0 == 5 ? .nan : $0 == 9 ? .infinity : 1 })
    weights.add("cls.predictions.bias", [model.vocabulary], floats: Array(repeating: .nan, count: model.vocabulary))
    let source = try model.write(to: folder, weights: weights)
    let output = folder.file("out.safetensors")
    let expected =
      "2 tensors with values that are not finite (41 NaN, 1 infinite), the first bert.embeddings.word_embeddings.weight: "
      + "what is computed with them is not finite either"
    let result = try CheckpointConverter.convert(source, to: output)
    #expect(result.warnings.map(\.text) == [expected])
    #expect(NonFiniteValues.text(try NativeModel.open(output).verifyChecksums()) == expected)
    let exported = try CheckpointConverter.export(output, to: folder.file("out.bin"), as: .pyTorch)
    #expect(exported.warnings.map(\.text).count == 1)
    let whole = try CheckpointConverter.convert(fixture("tensorflow/bert-tiny"), to: folder.file("whole.safetensors"))
    #expect(!whole.warnings.contains { if case .notFinite = $0 { true } else { false } })
  }

  /// All files of an export or none: what exists already stays as it is.
  @Test func anExportReplacesNothing() throws {
    let native = folder.file("native.safetensors")
    let there = try CheckpointConverter.convert(fixture("tensorflow/bert-tiny"), to: native)
    #expect(there.tensorCount > 0)
    let config = try folder.write([1], "bert_config.json")
    expectError(.output) {
      _ = try CheckpointConverter.export(native, to: folder.file("bert_model.ckpt"), as: .tensorFlow)
    }
    #expect(try contents(config) == [1] && FileSystem.kind(of: folder.file("bert_model.ckpt.index")) == nil)
    var options = ConversionOptions()
    options.storageType = .int8
    expectError(.unsupported) {
      _ = try CheckpointConverter.export(native, to: folder.file("x.pt"), as: .pyTorch, options: options)
    }
  }

  @Test func progressEndsWithTheWhole() throws {
    var calls: [(done: Int, total: Int)] = []
    let result = try CheckpointConverter.convert(
      fixture("tensorflow/bert-tiny"), to: folder.file("out.safetensors"), progress: { calls.append(($0, $1)) })
    #expect(calls.last?.done == result.byteCount && calls.allSatisfy { $0.total == result.byteCount })
  }
}
