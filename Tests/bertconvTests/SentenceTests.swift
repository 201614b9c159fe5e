import TensorIO
import TestSupport
import Testing

/// Folders of sentence-transformers, through the built program.
@Suite("Sentence embeddings")
struct SentenceTests {
  private let folder = TemporaryFolder()

  private func convert(_ name: String, _ more: String...) throws -> String {
    let output = folder.file("\(name).safetensors")
    let result = try Program.run(
      ["convert", "auto-to-native", fixture("sentence/\(name)"), "-o", output, "--force"] + more)
    try #require(result.status == 0, "\(result.both)")
    return output
  }

  /// What an earlier conversion wrote into the folder is no input of the next one; the list of modules is.
  @Test func anEarlierOutputInTheFolderIsReplaced() throws {
    let folder = TemporaryFolder()
    try #require(Program.shell("cp -r '\(fixture("sentence/modules"))' '\(folder.file("m"))'") == 0)
    for output in ["native.safetensors", "1_Pooling/native.safetensors"] {
      for _ in 0..<2 {
        let made = try Program.run(
          "convert", "auto-to-native", folder.file("m"), "-o", folder.file("m/\(output)"), "--force")
        #expect(made.status == 0, "\(output): \(made.both)")
      }
    }
    for input in [
      "modules.json", "config.json", "model.safetensors", "2_Dense/model.safetensors", "2_Dense/config.json",
    ] {
      let refused = try Program.run(
        "convert", "auto-to-native", folder.file("m"), "-o", folder.file("m/\(input)"), "--force")
      #expect(
        refused.status == 2 && refused.errors.contains("is one of the files that are read"), "\(input): \(refused.both)"
      )
    }
  }

  @Test(arguments: ["modules", "torch", "of-2020"]) func embeddingsAreThoseOfTheLibrary(name: String) throws {
    let model = try convert(name)
    let result = try Program.run(
      "verify", model, "--fixtures", fixture("sentence/\(name)/reference.npz"), "--tolerance", "2e-5", "--json")
    let json = try JSON.parse(result.output, file: nil)
    #expect(result.status == 0, "\(result.both)")
    #expect(json["outputs"]?.elements?.contains { $0["name"]?.stringValue == "sentence_embedding" } == true)
    #expect(try Program.run("verify", model, "--against", fixture("sentence/\(name)")).status == 0)
    #expect(try Program.run("diff", model, fixture("sentence/\(name)")).status == 0)
  }

  @Test func runGivesTheEmbeddingWithoutAsking() throws {
    let result = try Program.run(
      "run", try convert("modules"), "--inputs", fixture("sentence/modules/reference.npz"), "-o", folder.file("out.npz")
    )
    #expect(result.status == 0 && result.output.contains("sentence_embedding"), "\(result.both)")
    let listing = try Program.run("inspect", folder.file("out.npz"), "--filter", "sentence_embedding")
    #expect(listing.output.contains("[4, 12]"))
  }

  @Test func inspectDescribesTheModules() throws {
    let words = "max and mean pooling, then a dense layer with tanh"
    #expect(try Program.run("inspect", fixture("sentence/of-2020")).output.contains(words))
    // And so does the file that was made of it.
    #expect(try Program.run("inspect", try convert("of-2020")).output.contains(words))
    let mapping = try Program.run("inspect", fixture("sentence/of-2020"), "--unmapped")
    #expect(
      mapping.output.contains("41 mapped, 0 dropped, 0 unexpected, 0 wrong shape, 0 missing"), "\(mapping.output)")
  }

  @Test(arguments: ["bf16", "int8"]) func reducedWeightsRunToo(type: String) throws {
    let result = try Program.run(
      "verify", try convert("modules", "--dtype", type), "--fixtures", fixture("sentence/modules/reference.npz"),
      "--tolerance", "0.1")
    #expect(result.status == 0 && result.output.contains("sentence_embedding"), "\(result.both)")
  }

  @Test func theWayBackReportsWhatItLeavesOut() throws {
    let result = try Program.run(
      "convert", "native-to-pytorch", try convert("modules"), "-o", folder.file("back.bin"))
    #expect(result.status == 0 && result.errors.contains("a module of sentence-transformers"), "\(result.both)")
    #expect(!(try Program.run("inspect", folder.file("back.bin"))).output.contains("sentence_transformer."))
  }

  enum Wrong: CaseIterable {
    case unknownModule, wrongInput, noWeight, noModules

    var message: String {
      switch self {
      case .unknownModule: "a module that is not converted: sentence_transformers.models.LSTM"
      case .wrongInput:
        "wrong shape: sentence_transformer.2.linear.weight: found F32 [24, 96], expected floats [any, 16]"
      case .noWeight: "missing: sentence_transformer.3.norm.bias"
      case .noModules: "the config names no module that has it"
      }
    }
  }

  @Test(arguments: Wrong.allCases) func whatDoesNotFitIsRefused(wrong: Wrong) throws {
    let source = folder.makeFolder("source")
    let base = fixture("sentence/modules")
    for part in ["1_Pooling", "2_Dense", "3_LayerNorm", "4_Dense"] {
      folder.makeFolder("source/\(part)")
      _ = try folder.copy("\(base)/\(part)/config.json", as: "source/\(part)/config.json")
      if part != "1_Pooling" {
        _ = try folder.copy("\(base)/\(part)/model.safetensors", as: "source/\(part)/model.safetensors")
      }
    }
    for file in ["model.safetensors", "config.json"] { _ = try folder.copy("\(base)/\(file)", as: "source/\(file)") }
    var list = try FileSystem.text("\(base)/modules.json")
    switch wrong {
    case .unknownModule:
      list = list.replacing(
        "sentence_transformers.sentence_transformer.modules.layer_norm.LayerNorm",
        with: "sentence_transformers.models.LSTM")
    case .wrongInput:
      _ = try folder.write(
        Array(#"{"embedding_dimension": 16, "pooling_mode": "mean"}"#.utf8), "source/1_Pooling/config.json")
    // The weights of another module in the place of the layer normalization's.
    case .noWeight:
      _ = try folder.copy("\(base)/4_Dense/model.safetensors", as: "source/3_LayerNorm/model.safetensors")
    case .noModules: break
    }
    _ = try folder.write(Array(list.utf8), "source/modules.json")
    let output = folder.file("refused.safetensors")
    var input = source
    if wrong == .noModules {
      // A file that has the modules' tensors but a config without them.
      input = try convert("modules")
    }
    let config = wrong == .noModules ? ["--config", "\(base)/config.json"] : []
    let result = try Program.run(["convert", "auto-to-native", input, "-o", output] + config)
    #expect(result.status == 2 && result.errors.contains(wrong.message), "\(result.both)")
    #expect(FileSystem.kind(of: output) == nil)
  }
}
