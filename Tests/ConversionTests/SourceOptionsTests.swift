import CheckpointReaders
import Conversion
import NativeFormat
import TensorIO
import TestSupport
import Testing

@Suite struct SourceOptionsTests {
  private func opened(_ source: MemorySource) throws -> OpenedCheckpoint {
    try CheckpointOpener().open(fixture("heads/BertModel")).replacing(source: source)
  }

  @Test(arguments: [
    ("encoder=bert.encoder", "encoder.layer.0.encoder_x", "bert.encoder.layer.0.encoder_x"),
    ("encoder.layer=blocks", "a/encoder/layer/1", "a/blocks/1"),
    ("module=", "module.bert.module.x", "bert.x"), ("x=y.z", "x", "y.z"), ("b=c", "a.b/b", "a.c/c"),
  ])
  func namesChangeInWholeComponents(renaming: String, name: String, expected: String) throws {
    var options = SourceOptions()
    options.renamings = [try #require(Renaming(renaming))]
    var source = MemorySource()
    source.add(name, floats: [1])
    let opened = try opened(source)
    #expect(try opened.applying(options).checkpoint.source.tensors.map(\.name) == [expected])
  }

  @Test(arguments: ["", "a", "=b", "a..b=c", ".=b"]) func whatIsNoRenaming(text: String) {
    #expect(Renaming(text) == nil)
  }

  @Test func aPartThatIsNotThereIsAnError() throws {
    var source = MemorySource()
    for name in ["encoder.a", "encoder.b"] { source.add(name, floats: [1]) }
    var options = SourceOptions()
    options.renamings = [try #require(Renaming("encodr=x"))]
    let opened = try opened(source)
    let error = formatError { _ = try opened.applying(options) }
    #expect(error?.kind == .input && error?.advice == .didYouMean("encoder"))
    options.renamings = [try #require(Renaming("a=b"))]
    #expect(formatError { _ = try opened.applying(options) }?.problem.contains("two tensors one name") == true)
  }

  // MARK: Adapters

  private func adapted(_ name: String) throws -> (folder: TemporaryFolder, output: String, result: ConversionResult) {
    let folder = TemporaryFolder()
    var options = ConversionOptions()
    options.source.adapter = fixture("adapters/\(name)/adapter")
    let output = folder.file("out.safetensors")
    let result = try CheckpointConverter.convert(fixture("adapters/\(name)/base"), to: output, options: options)
    return (folder, output, result)
  }

  @Test(arguments: ["lora", "rank-stabilized", "dora"]) func anAdapterIsMerged(name: String) throws {
    let (folder, output, result) = try adapted(name)
    defer { extendLifetime(folder) }
    #expect(result.config["architectures"]?.elements?.first?.stringValue == "BertForSequenceClassification")
    #expect(result.notes.contains { $0.text.hasPrefix("merged the adapter") })
    // The provenance names it: a comparison needs it too.
    let error = formatError { _ = try SourceOptions().completed(by: try NativeModel.open(output)) }
    #expect(error?.advice == .giveAdapter)
  }

  @Test func anAdapterAloneIsNamed() {
    let error = formatError { _ = try SourceModel(fixture("adapters/lora/adapter")) }
    #expect(error?.kind == .unsupported && error?.advice == .giveBaseModel)
  }

  @Test func anotherBaseIsRefused() {
    var options = SourceOptions()
    options.adapter = fixture("adapters/lora/adapter")
    let error = formatError { _ = try SourceModel(fixture("heads/DistilBertForMaskedLM"), options: options) }
    #expect(error?.kind == .mismatch)
    options.adapter = fixture("heads/BertModel")
    #expect(formatError { _ = try SourceModel(fixture("heads/BertModel"), options: options) }?.kind == .unreadable)
  }

  /// The output weights are tied to the word embeddings, which such an adapter leaves as they are.
  @Test func anAdapterOfTiedOutputWeightsIsRefused() throws {
    let folder = TemporaryFolder()
    let base = try TinyBERT.maskedLM().write(to: folder)
    var adapter = MemorySource()
    adapter.add("base_model.model.cls.predictions.decoder.lora_A.weight", [2, 8])
    adapter.add("base_model.model.cls.predictions.decoder.lora_B.weight", [40, 2])
    folder.makeFolder("adapter")
    try adapter.writeSafetensors(to: folder, "adapter/adapter_model.safetensors")
    let config = #"{"peft_type": "LORA", "r": 2, "lora_alpha": 4}"#
    _ = try folder.write(Array(config.utf8), "adapter/adapter_config.json")
    var options = SourceOptions()
    options.adapter = folder.file("adapter")
    let error = formatError { _ = try SourceModel(base, options: options) }
    #expect(
      error?.kind == .unsupported && error?.found?.contains("word_embeddings") == true, "\(String(describing: error))")
  }

  @Test(arguments: [
    (#""peft_type": "LORA""#, #""peft_type": "IA3""#), (#""use_dora": false"#, #""use_qalora": true"#),
    (#""lora_alpha": 5"#, #""lora_alpha": "much""#), (#""init_lora_weights": true"#, #""init_lora_weights": "pissa""#),
  ])
  func settingsThatAreNotMergedAreRefused(text: String, other: String) throws {
    let folder = TemporaryFolder()
    var config = String(decoding: try contents(fixture("adapters/lora/adapter/adapter_config.json")), as: UTF8.self)
    try #require(config.contains(text))
    config.replace(text, with: other)
    _ = try folder.write(Array(config.utf8), "adapter_config.json")
    _ = try folder.copy(fixture("adapters/lora/adapter/adapter_model.safetensors"), as: "adapter_model.safetensors")
    var options = ConversionOptions()
    options.source.adapter = folder.path
    let output = folder.file("out.safetensors")
    #expect(throws: FormatError.self) {
      _ = try CheckpointConverter.convert(fixture("adapters/lora/base"), to: output, options: options)
    }
    #expect(FileSystem.kind(of: output) == nil)
  }
}
