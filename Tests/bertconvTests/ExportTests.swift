import CheckpointReaders
import Conversion
import NativeFormat
import TensorIO
import TestSupport
import Testing

/// What the way back refuses, with nothing written, and what it leaves out.
@Suite("Export")
struct ExportTests {
  private let decoder = "cls.predictions.decoder.weight"
  private let embeddings = "bert.embeddings.word_embeddings.weight"
  private let model = TinyBERT.maskedLM()

  private func native(_ folder: TemporaryFolder, _ weights: MemorySource? = nil) throws -> String {
    let inside = TemporaryFolder()
    let output = folder.file("native.safetensors")
    let result = try Program.run(
      "convert", "safetensors-to-native", try model.write(to: inside, weights: weights), "-o", output)
    #expect(result.status == 0, "\(result.both)")
    return output
  }

  /// The names of a checkpoint's tensors.
  private func names(_ path: String) throws -> Set<String> {
    let result = try Program.run("inspect", path, "--json")
    #expect(result.status == 0, "\(result.both)")
    return Set((try JSON.parse(result.output)["tensors"]?.elements ?? []).compactMap { $0["name"]?.stringValue })
  }

  /// Each file that a route writes, there already: refused, and all of them left as they are, until --force.
  @Test(arguments: [
    ("native-to-tf", "out", "out.index"), ("native-to-tf", "out", "out.data-00000-of-00001"),
    ("native-to-tf", "out", "bert_config.json"), ("native-to-tf", "out", "vocab.txt"),
    ("native-to-pytorch", "out.bin", "out.bin"),
  ])
  func anExistingFileIsKept(route: String, output: String, existing: String) throws {
    let folder = TemporaryFolder()
    let sources = TemporaryFolder()
    let vocabulary = try sources.write(Array("a\nb\n".utf8), "words.txt")
    let model = try native(sources)
    let precious = Array("precious".utf8)
    let path = try folder.write(precious, existing)
    let arguments =
      ["convert", route, model, "-o", folder.file(output)] + (route == "native-to-tf" ? ["--vocab", vocabulary] : [])
    let refused = try Program.run(arguments)
    #expect(refused.status == 2)
    #expect(refused.errors.contains("\(path): the output already exists"), "\(refused.errors)")
    #expect(refused.errors.contains("--force"))
    #expect(try FileSystem.names(inFolder: folder.path) == [existing])
    #expect(try contents(path) == precious)
    let forced = try Program.run(arguments + ["--force"])
    #expect(forced.status == 0, "\(forced.both)")
    #expect(try contents(path) != precious)
  }

  /// Nothing may be written over the model that is being read, --force or not, under whatever name it is reached.
  @Test(arguments: [
    ("native-to-pytorch", "m.safetensors", "m.safetensors"), ("native-to-pytorch", "m.safetensors", "./m.safetensors"),
    ("native-to-tf", "m.index", "m"),
  ])
  func theSourceIsNotWrittenOver(route: String, source: String, output: String) throws {
    let folder = TemporaryFolder()
    let sources = TemporaryFolder()
    let model = try folder.copy(try native(sources), as: source)
    let before = try contents(model)
    let result = try Program.run("convert", route, model, "-o", folder.file(output), "--force")
    #expect(result.status == 2, "\(result.both)")
    #expect(result.errors.contains("is one of the files that are read"), "\(result.errors)")
    #expect(try contents(model) == before)
    #expect(try FileSystem.names(inFolder: folder.path) == [source])
  }

  /// Nothing is written of a model that is not whole: the way out checks what the way in does.
  @Test(arguments: ["missing", "layer", "shape", "type", "size", "heads", "layers", "hidden"])
  func aModelThatIsNotWholeIsNotWritten(change: String) throws {
    let sources = TemporaryFolder()
    let query = "bert.encoder.layer.0.attention.self.query.weight"
    let intermediate = "bert.encoder.layer.0.intermediate.dense.weight"
    var weights = model.distinctWeights()
    var config = model.config
    switch change {
    case "missing": weights.remove(query)
    case "layer": for name in weights.tensors.map(\.name) where name.contains(".layer.0.") { weights.remove(name) }
    case "shape":
      let shape = try #require(weights.tensors.first { $0.name == intermediate }).shape
      weights.add(intermediate, shape.reversed(), floats: [Float](repeating: 1, count: shape.reduce(1, *)))
    case "type":
      weights.add("bert.pooler.dense.bias", [model.hidden], integers: Array(repeating: 1, count: model.hidden))
    case "size": weights.set(try #require(TensorInfo(name: query, elementType: .f32, shape: [1 << 40, 0])), [])
    case "heads": config.set("num_attention_heads", .int(5))
    case "layers": config.set("num_hidden_layers", .int(9))
    default: config.set("hidden_size", .int(64))
    }
    let source = try model.write(to: sources, weights: weights)
    let file = try sources.write(Array(config.text().utf8), "changed.json")
    for (route, output) in [("native-to-tf", "out"), ("native-to-pytorch", "out.bin")] {
      let folder = TemporaryFolder()
      let result = try Program.run("convert", route, source, "-o", folder.file(output), "--config", file)
      #expect(result.status == 2, "\(route): \(result.both)")
      #expect(try FileSystem.names(inFolder: folder.path).isEmpty)
    }
  }

  /// Something is in the way of one of the files: none is written, and with --force none is replaced.
  @Test(arguments: [[], ["--force"]])
  func allFilesAreWrittenOrNone(options: [String]) throws {
    let sources = TemporaryFolder()
    let model = try native(sources)
    let vocabulary = try sources.write(Array("a\nb\n".utf8), "words.txt")
    for obstacle in ["vocab.txt", "bert_config.json", "out.index", "out.data-00000-of-00001"] {
      let folder = TemporaryFolder()
      folder.makeFolder(obstacle)
      let others = ["vocab.txt", "bert_config.json", "out.index", "out.data-00000-of-00001"].filter { $0 != obstacle }
      if !options.isEmpty { for name in others { _ = try folder.write(Array("old".utf8), name) } }
      let result = try Program.run(
        ["convert", "native-to-tf", model, "-o", folder.file("out"), "--vocab", vocabulary] + options)
      #expect(result.status == 2, "\(obstacle): \(result.both)")
      let expected = options.isEmpty ? [obstacle] : (others + [obstacle]).sorted()
      #expect(try FileSystem.names(inFolder: folder.path) == expected)
      if !options.isEmpty {
        for name in others { #expect(try contents(folder.file(name)) == Array("old".utf8), "\(name)") }
      }
    }
  }

  /// --force is for an earlier output, and not for a file that the command reads.
  @Test func noInputIsReplaced() throws {
    let folder = TemporaryFolder()
    let table = try folder.write(
      Array("family: bert\ndialects:\n  ours: {convention: flax, replace: {bert: net}}\n".utf8), "t.yaml")
    let config = try folder.write(Array(model.config.text().utf8), "c.json")
    let vocabulary = try folder.write(Array("a\nb\n".utf8), "words.txt")
    let inside = TemporaryFolder()
    let source = try model.write(to: inside)
    for output in [table, config, vocabulary, source] {
      let before = try contents(output)
      let result = try Program.run(
        "convert", "safetensors-to-native", source, "-o", output, "--force", "--table", table, "--config", config,
        "--vocab", vocabulary)
      #expect(
        result.status == 2 && result.errors.contains("is one of the files that are read"), "\(output): \(result.both)")
      #expect(try contents(output) == before)
    }
  }

  @Test(arguments: ["native-to-tf", "native-to-pytorch"])
  func aModelWithoutAConfigNeedsOne(route: String) throws {
    let folder = TemporaryFolder()
    let inside = TemporaryFolder()
    let plain = try model.write(to: inside, withConfig: false)
    let refused = try Program.run("convert", route, plain, "-o", folder.file("out"))
    #expect(refused.status == 2)
    #expect(refused.errors.contains("config") && refused.errors.contains("--config"), "\(refused.errors)")
    #expect(try FileSystem.names(inFolder: folder.path).isEmpty)
    let config = try inside.write(Array(model.config.text().utf8), "other.json")
    let given = try Program.run("convert", route, plain, "-o", folder.file("out"), "--config", config)
    #expect(given.status == 0, "\(given.both)")
  }

  @Test(arguments: ["DistilBertForMaskedLM", "RobertaModel"])
  func aFamilyThatTheDialectDoesNotHave(head: String) throws {
    let folder = TemporaryFolder()
    let sources = TemporaryFolder()
    let native = sources.file("m.safetensors")
    #expect(try Program.run("convert", "auto-to-native", fixture("heads/\(head)"), "-o", native).status == 0)
    let result = try Program.run("convert", "native-to-tf", native, "-o", folder.file("out"))
    #expect(result.status == 2)
    #expect(result.errors.contains("in the names of google-tf1: it cannot be exported"), "\(result.errors)")
    #expect(try FileSystem.names(inFolder: folder.path).isEmpty)
    #expect(try Program.run("convert", "native-to-pytorch", native, "-o", folder.file("out.bin")).status == 0)
    #expect(try Program.run("diff", folder.file("out.bin"), native).status == 0)
  }

  /// A program whose names have no number of a layer gets them back so.
  @Test func sharedLayersGoBackUnderTheirOwnNames() throws {
    let folder = TemporaryFolder()
    let source = fixture("programs/albert-zh/tf1-pretraining/albert_model.ckpt")
    let (native, back) = (folder.file("m.safetensors"), folder.file("back.ckpt"))
    let config = fixture("programs/albert-zh/tf1-pretraining/config.json")
    #expect(try Program.run("convert", "auto-to-native", source, "-o", native, "--config", config).status == 0)
    #expect(try Program.run("convert", "native-to-tf", native, "-o", back).status == 0)
    let (before, after) = (try CheckpointOpener().open(source).source, try CheckpointOpener().open(back).source)
    #expect(before.tensors.map(\.name).sorted() == after.tensors.map(\.name).sorted())
    #expect(try Program.run("diff", source, back).status == 0)
    // Its gelu is the tanh form, which transformers calls gelu_new; it has no word for the other.
    var written = try JSON.parse(try FileSystem.text(folder.file("bert_config.json")))
    #expect(written["hidden_act"] == .string("gelu"))
    var own = try #require(try NativeModel.open(native).config)
    #expect(own["hidden_act"] == .string("gelu_new"))
    for (word, expected) in [("gelu_pytorch_tanh", "gelu"), ("relu", "relu"), ("gelu", nil)] as [(String, String?)] {
      own.set("hidden_act", .string(word))
      let other = try folder.write(Array(own.text().utf8), "own.json")
      let result = try Program.run("convert", "native-to-tf", native, "-o", back, "--force", "--config", other)
      #expect(result.status == (expected == nil ? 2 : 0), "\(word): \(result.both)")
      guard let expected else { continue }
      written = try JSON.parse(try FileSystem.text(folder.file("bert_config.json")))
      #expect(written["hidden_act"] == .string(expected))
    }
  }

  /// What is no native file at all.
  @Test(arguments: [
    "tensorflow/bert-tiny/bert_model.ckpt", "torch/bert-tiny-zip/pytorch_model.bin", "numpy/stored.npz",
  ])
  func anotherFormatIsRefused(source: String) throws {
    let folder = TemporaryFolder()
    let result = try Program.run("convert", "native-to-pytorch", fixture(source), "-o", folder.file("out"))
    #expect(result.status == 2, "\(result.both)")
    #expect(result.errors.contains("native") || result.errors.contains("safetensors"), "\(result.errors)")
    #expect(try FileSystem.names(inFolder: folder.path).isEmpty)
  }

  // MARK: The tied decoder

  /// A copy of the embeddings is left out where the model is made, so no export has it.
  @Test func aDecoderThatIsACopyIsLeftOut() throws {
    let folder = TemporaryFolder()
    var weights = model.distinctWeights()
    weights.add(decoder, copyOf: embeddings)
    let made = try native(folder, weights)
    #expect(try !names(made).contains(decoder))
    #expect(try Program.run("convert", "native-to-tf", made, "-o", folder.file("bert_model.ckpt")).status == 0)
    #expect(try names(folder.file("bert_model.ckpt")).count == model.shapes().count)
    // The same from a plain file, in which the copy still is.
    let inside = TemporaryFolder()
    let plain = try Program.run(
      "convert", "native-to-tf", try model.write(to: inside, weights: weights), "-o", folder.file("again"), "--force")
    #expect(plain.status == 0, "\(plain.both)")
    #expect(plain.errors.contains(decoder), "\(plain.errors)")
    #expect(try contents(folder.file("again.index")) == contents(folder.file("bert_model.ckpt.index")))
  }

  /// One of its own is kept; google-research/bert has no name for it, and leaving it out would be another model.
  @Test func aDecoderOfItsOwnIsKept() throws {
    let folder = TemporaryFolder()
    var weights = model.distinctWeights()
    let count = model.vocabulary * model.hidden
    weights.add(decoder, [model.vocabulary, model.hidden], floats: (0..<count).map { Float($0) })
    let made = try native(folder, weights)
    #expect(try names(made).contains(decoder))
    #expect(try Program.run("convert", "native-to-pytorch", made, "-o", folder.file("out.bin")).status == 0)
    #expect(try names(folder.file("out.bin")).contains(decoder))
    #expect(try Program.run("diff", folder.file("out.bin"), made).status == 0)
    let back = TemporaryFolder()
    let refused = try Program.run("convert", "native-to-tf", made, "-o", back.file("bert_model.ckpt"))
    #expect(refused.status == 2)
    #expect(refused.errors.contains(decoder) && refused.errors.contains("different values"), "\(refused.errors)")
    #expect(try FileSystem.names(inFolder: back.path).isEmpty)
  }

  /// A program that calls the library gets the bytes that the command writes, there and back.
  @Test(arguments: [nil, StorageType.bf16])
  func theLibraryWritesWhatTheCommandWrites(dtype: StorageType?) throws {
    let folder = TemporaryFolder()
    let source = fixture("tensorflow/bert-tiny")
    let arguments = dtype.map { ["--dtype", $0.rawValue] } ?? []
    var options = ConversionOptions()
    options.storageType = dtype
    let (native, own) = (folder.file("native.safetensors"), folder.file("own.safetensors"))
    #expect(try Program.run(["convert", "auto-to-native", source, "-o", native] + arguments).status == 0)
    _ = try CheckpointConverter.convert(source, to: own, options: options)
    #expect(try contents(native) == contents(own))
    for (route, format) in [("native-to-tf", ExportFormat.tensorFlow), ("native-to-pytorch", .pyTorch)] {
      let (byCommand, byLibrary) = (TemporaryFolder(), TemporaryFolder())
      #expect(try Program.run(["convert", route, native, "-o", byCommand.file("model.bin")] + arguments).status == 0)
      let result = try CheckpointConverter.export(native, to: byLibrary.file("model.bin"), as: format, options: options)
      let names = try FileSystem.names(inFolder: byCommand.path).sorted()
      #expect(result.outputs.map(FileSystem.baseName).sorted() == names && !names.isEmpty)
      for name in names { #expect(try contents(byCommand.file(name)) == contents(byLibrary.file(name)), "\(name)") }
    }
  }
}
