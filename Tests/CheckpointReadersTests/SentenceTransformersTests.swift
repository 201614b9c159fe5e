import CheckpointFormats
import CheckpointReaders
import TensorIO
import TestSupport
import Testing

@Suite("Folders of sentence-transformers")
struct SentenceTransformersTests {
  private static let list = """
    [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
     {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
     {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}]
    """

  /// A folder of small files, with one of them replaced, or left out where `content` is `nil`.
  private func folder(_ name: String = "", _ content: String? = "") throws -> TemporaryFolder {
    let folder = TemporaryFolder()
    var files = [
      "modules.json": Self.list, "config.json": #"{"model_type": "bert"}"#,
      "1_Pooling/config.json":
        #"{"word_embedding_dimension": 16, "pooling_mode_max_tokens": true, "pooling_mode_cls_token": true}"#,
      "2_Dense/config.json":
        #"{"in_features": 32, "out_features": 24, "activation_function": "torch.nn.modules.linear.Identity"}"#,
    ]
    if !name.isEmpty { files[name] = content }
    for part in ["1_Pooling", "2_Dense"] { folder.makeFolder(part) }
    for (file, text) in files { _ = try folder.write(Array(text.utf8), file) }
    _ = try folder.copy(fixture("sentence/modules/model.safetensors"), as: "model.safetensors")
    _ = try folder.copy(fixture("sentence/modules/2_Dense/model.safetensors"), as: "2_Dense/model.safetensors")
    return folder
  }

  private func modules(_ opened: OpenedCheckpoint) -> [SentenceModule]? {
    opened.sentenceModules.flatMap { SentenceModule.all(inConfig: .object([SentenceModule.configKey: $0])) }
  }

  @Test(arguments: ["modules", "torch"]) func theModulesAreFound(name: String) throws {
    let opened = try CheckpointOpener().open(fixture("sentence/\(name)"))
    #expect(
      modules(opened) == [
        .pooling([.cls, .max, .mean, .meanSqrtLength, .weightedMean, .lastToken]),
        .dense(name: "2", activation: .tanh, hasBias: true),
        .layerNorm(name: "3"), .dense(name: "4", activation: .gelu, hasBias: false), .normalize,
      ])
    #expect(opened.source.format == (name == "torch" ? .pyTorchZip : .safetensors))
    let own = opened.source.tensors.filter { $0.name.hasPrefix(SentenceModule.tensorPrefix) }
    #expect(
      Set(own.map { "\($0.name) \($0.shape)" }) == [
        "sentence_transformer.2.linear.weight [24, 96]", "sentence_transformer.2.linear.bias [24]",
        "sentence_transformer.3.norm.weight [24]", "sentence_transformer.3.norm.bias [24]",
        "sentence_transformer.4.linear.weight [12, 24]",
      ])
    // Each tensor's data and location are those of its own file.
    for (index, tensor) in opened.source.tensors.enumerated() {
      try opened.source.withBytes(ofTensorAt: index) { #expect($0.byteCount == tensor.byteCount) }
      let location = try #require(tensor.location)
      let path = opened.source.files[location.file].path
      #expect(
        tensor.name.hasPrefix(SentenceModule.tensorPrefix)
          == (path.contains("_Dense/") || path.contains("_LayerNorm/")))
    }
  }

  @Test func theLayoutOf2020() throws {
    let opened = try CheckpointOpener().open(fixture("sentence/of-2020"), kind: .pyTorch)
    #expect(modules(opened) == [.pooling([.max, .mean]), .dense(name: "2", activation: .tanh, hasBias: true)])
    #expect(opened.sentenceModules?["max_seq_length"]?.intValue == 20)
    #expect(opened.source.format == .pyTorchLegacy)
    #expect(opened.configPath?.hasSuffix("0_BERT/config.json") == true)
    #expect(opened.vocabularyPath?.hasSuffix("0_BERT/vocab.txt") == true)
  }

  @Test func aFileOfTheFolderIsTheTransformerAlone() throws {
    let opened = try CheckpointOpener().open(fixture("sentence/modules/model.safetensors"))
    #expect(opened.sentenceModules == nil && !opened.source.tensors.contains { $0.name.hasPrefix("sentence_") })
    #expect(opened.warnings.contains { $0.contains("the transformer alone") })
  }

  @Test func aTransformerAloneHasNoEmbedding() throws {
    let first = #"[{"path": "", "type": "sentence_transformers.models.Transformer"}]"#
    let folder = try folder("modules.json", first)
    let opened = try CheckpointOpener().open(folder.path)
    #expect(opened.sentenceModules == nil)
    #expect(opened.warnings.contains { $0.contains("no module after the transformer") })
  }

  @Test func aFolderMayEndInASlashAndFlagsMayBeNumbers() throws {
    let folder = try folder("modules.json", Self.list.replacing(#""1_Pooling""#, with: #""1_Pooling/""#))
    let config = #"{"word_embedding_dimension": 16, "pooling_mode_cls_token": 1, "pooling_mode_mean_tokens": 0}"#
    _ = try folder.write(Array(config.utf8), "1_Pooling/config.json")
    #expect(modules(try CheckpointOpener().open(folder.path))?.first == .pooling([.cls]))
  }

  @Test func aTensorMayNotTakeTheNameOfAModules() throws {
    let folder = try folder()
    let header = #"{"sentence_transformer.2.linear.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#
    let padded = header + String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
    let count = [UInt8(padded.utf8.count & 0xFF), 0, 0, 0, 0, 0, 0, 0]
    _ = try folder.write(count + Array(padded.utf8) + [0, 0, 0, 0], "model.safetensors")
    let error = #expect(throws: FormatError.self) { try CheckpointOpener().open(folder.path) }
    #expect(error?.kind == .mismatch && error?.tensor == "sentence_transformer.2.linear.weight")
  }

  @Test(
    arguments: [
      ("2_Dense/config.json", #"{"activation_function": "torch.nn.modules.activation.Softplus"}"#, "Softplus"),
      ("2_Dense/config.json", #"{"module_input_name": "token_embeddings"}"#, "token_embeddings"),
      ("1_Pooling/config.json", #"{"embedding_dimension": 16, "pooling_mode": "median"}"#, "median"),
      ("1_Pooling/config.json", #"{"embedding_dimension": 16, "pooling_mode": ["mean", 4]}"#, "mean"),
      ("1_Pooling/config.json", #"{"embedding_dimension": 16, "pooling_mode": null}"#, "null"),
      ("1_Pooling/config.json", #"{"embedding_dimension": 16, "pooling_mode_attention": true}"#, "attention"),
      ("1_Pooling/config.json", "{}", "embedding_dimension"), ("1_Pooling/config.json", "[]", "embedding_dimension"),
      ("2_Dense/config.json", #"{"activation_function": "foreign.GELU"}"#, "foreign.GELU"),
      (
        "modules.json",
        SentenceTransformersTests.list.replacing("sentence_transformers.models.Pooling", with: "my.Pooling"),
        "my.Pooling"
      ),
      ("sentence_bert_config.json", #"{"transformer_task": "text-generation"}"#, "text-generation"),
      (
        "sentence_bert_config.json", #"{"modality_config": {"text": {"method_output_name": "pooler_output"}}}"#,
        "pooler_output"
      ),
      ("1_Pooling/config.json", #"{"include_prompt": false}"#, "include_prompt"),
      ("modules.json", SentenceTransformersTests.list.replacing("models.Dense", with: "models.LSTM"), "LSTM"),
    ])
  func whatIsNotKnownIsShownAndNotGuessed(file: String, content: String, word: String) throws {
    let folder = try folder(file, content)
    let found = modules(try CheckpointOpener().open(folder.path)) ?? []
    #expect(
      found.contains { if case .unsupported(let what) = $0 { what.contains(word) } else { false } }, "\(found)")
  }

  /// Every way in which the files of a folder can be wrong.
  enum Damage: CaseIterable {
    case noJSON, noList, emptyList, noTransformer, noPath, pathAbove, absolutePath, pathWithSeparators, tooMany
    case noPoolingConfig, noDenseConfig, noDenseWeights, damagedConfig

    var change: (file: String, content: String?) {
      func list(_ change: (String) -> String) -> (String, String?) {
        ("modules.json", change(SentenceTransformersTests.list))
      }
      switch self {
      case .noJSON: return list { String($0.dropLast(2)) }
      case .noList: return list { _ in #"{"modules": []}"# }
      case .emptyList: return list { _ in "[]" }
      case .noTransformer:
        return list { $0.replacing("sentence_transformers.models.Transformer", with: "custom_st.Transformer") }
      case .noPath: return list { $0.replacing(#""path": "2_Dense", "#, with: "") }
      case .pathAbove: return list { $0.replacing(#""2_Dense""#, with: #""../2_Dense""#) }
      case .absolutePath: return list { $0.replacing(#""2_Dense""#, with: #""/etc""#) }
      case .pathWithSeparators: return list { $0.replacing(#""2_Dense""#, with: #""2_Dense/../..""#) }
      case .tooMany:
        return list { _ in
          "["
            + Array(repeating: #"{"path": "", "type": "sentence_transformers.models.Transformer"}"#, count: 65).joined(
              separator: ",") + "]"
        }
      case .noPoolingConfig: return ("1_Pooling/config.json", nil)
      case .noDenseConfig: return ("2_Dense/config.json", nil)
      case .noDenseWeights: return list { $0.replacing(#""2_Dense""#, with: #""1_Pooling""#) }
      case .damagedConfig: return ("2_Dense/config.json", "{")
      }
    }

    var kind: FormatError.Kind {
      switch self {
      case .noTransformer: .unsupported
      case .pathAbove, .absolutePath, .pathWithSeparators: .dangerous
      case .noPoolingConfig, .noDenseConfig: .unreadable
      case .noDenseWeights: .unrecognized
      default: .damaged
      }
    }
  }

  @Test(arguments: Damage.allCases) func damage(damage: Damage) throws {
    let folder = try folder(damage.change.file, damage.change.content)
    let error = #expect(throws: FormatError.self) { try CheckpointOpener().open(folder.path) }
    #expect(error?.kind == damage.kind && error?.file?.hasPrefix(folder.path) == true)
  }

  @Test func messages() throws {
    let lines = try Damage.allCases.map { damage in
      let folder = try folder(damage.change.file, damage.change.content)
      return line("\(damage)", formatError { _ = try CheckpointOpener().open(folder.path) }, folder: folder.path)
    }
    #expect(try goldenDifference("damaged-sentence-transformers", lines) == nil)
  }
}
