import TensorIO
import TestSupport
import Testing

@testable import CheckpointReaders

/// What is opened for a path, and which config and vocabulary belong to it.
@Suite("Files near a checkpoint") struct NearbyFilesTests {
  private let folder = TemporaryFolder()

  /// A SavedModel in a version folder, with files at these paths.
  private func savedModel(_ others: [String]) throws {
    for name in ["m", "m/assets", "m/7", "m/7/assets", "m/7/assets.extra", "m/7/variables"] { folder.makeFolder(name) }
    for name in ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"] {
      _ = try folder.copy(fixture("tensorflow/graph-v2/\(name)"), as: "m/7/\(name)")
    }
    for name in others { _ = try folder.write(Array("{}".utf8), name) }
  }

  @Test(arguments: [
    "m/7/bert_config.json", "m/7/assets/bert_config.json", "m/7/assets.extra/config.json", "m/bert_config.json",
    "m/assets/my_config.json",
  ])
  func theConfigOfASavedModel(name: String) throws {
    try savedModel([name])
    for path in ["m", "m/7", "m/7/saved_model.pb", "m/7/variables", "m/7/variables/variables.index"] {
      let opened = try CheckpointOpener().open(folder.file(path))
      #expect(opened.path.hasSuffix("variables/variables.index"))
      let config = try #require(opened.configPath, "\(path)")
      #expect(FileSystem.isSameFile(config, folder.file(name)), "\(config)")
    }
  }

  /// `save_pretrained(saved_model=True)` of `transformers` leaves the config two folders above the SavedModel.
  @Test(arguments: ["m", "m/saved_model", "m/saved_model/1"]) func theConfigOfASavedModelOfTransformers(path: String)
    throws
  {
    for name in ["m", "m/saved_model", "m/saved_model/1", "m/saved_model/1/variables"] { folder.makeFolder(name) }
    for name in ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"] {
      _ = try folder.copy(fixture("tensorflow/graph-v2/\(name)"), as: "m/saved_model/1/\(name)")
    }
    _ = try folder.write(Array("{}".utf8), "m/config.json")
    let opened = try CheckpointOpener().open(folder.file(path))
    #expect(FileSystem.isSameFile(try #require(opened.configPath), folder.file("m/config.json")))
  }

  /// accelerate's FSDP and DeepSpeed save the weights in a folder of their own, the config next to it.
  @Test func theConfigNextToTheFolderOfTheWeights() throws {
    for name in ["d", "d/global_step10", "f", "f/pytorch_model_fsdp_0"] { folder.makeFolder(name) }
    let state = "d/global_step10/mp_rank_00_model_states.pt"
    _ = try folder.copy(fixture("torch/bert-tiny-zip/pytorch_model.bin"), as: state)
    _ = try folder.copy(
      fixture("torch/bert-tiny-zip/pytorch_model.bin"), as: "d/global_step10/zero_pp_rank_0_mp_rank_00_optim_states.pt")
    _ = try folder.write(Array("global_step10\n".utf8), "d/latest")
    for name in [".metadata", "__0_0.distcp"] {
      _ = try folder.copy(fixture("torch/distributed/rank/\(name)"), as: "f/pytorch_model_fsdp_0/\(name)")
    }
    for name in ["d", "f"] { _ = try folder.write(Array("{}".utf8), "\(name)/config.json") }
    for (path, config) in [
      ("d", "d"), ("d/global_step10", "d"), (state, "d"), ("f", "f"), ("f/pytorch_model_fsdp_0", "f"),
    ] {
      let opened = try CheckpointOpener().open(folder.file(path))
      let found = try #require(opened.configPath, "\(path)")
      #expect(FileSystem.isSameFile(found, folder.file("\(config)/config.json")), "\(path): \(found)")
    }
  }

  /// None of the files of ZeRO-3 has the weights; the reader of the first reports it.
  @Test func thePartsOfZeRO() throws {
    folder.makeFolder("global_step5")
    for rank in 0..<2 {
      _ = try folder.copy(
        fixture("torch/bert-tiny-zip/pytorch_model.bin"),
        as: "global_step5/zero_pp_rank_\(rank)_mp_rank_00_model_states.pt")
    }
    _ = try folder.write(Array("global_step5".utf8), "latest")
    #expect(FileSystem.baseName(try CheckpointOpener().open(folder.path).path).hasPrefix("zero_pp_rank_0_"))
    _ = try folder.write(Array("../elsewhere".utf8), "latest")
    #expect(throws: FormatError.self) { try CheckpointOpener().open(folder.path) }
  }

  @Test(arguments: [("1000", "iter_0001000"), ("release", "release"), ("12345678\n", "iter_12345678")])
  func theLastIterationOfMegatron(text: String, name: String) throws {
    for path in [name, "\(name)/mp_rank_00", "iter_0000500", "iter_0000500/mp_rank_00"] { folder.makeFolder(path) }
    for path in [name, "iter_0000500"] {
      _ = try folder.copy(
        fixture("torch/bert-tiny-zip/pytorch_model.bin"), as: "\(path)/mp_rank_00/model_optim_rng.pt")
    }
    _ = try folder.write(Array(text.utf8), "latest_checkpointed_iteration.txt")
    let found = try CheckpointOpener().open(folder.path).path
    #expect(FileSystem.isSameFile(found, folder.file("\(name)/mp_rank_00/model_optim_rng.pt")), "\(found)")
    // Of a sharded model no file is the model.
    folder.makeFolder("\(name)/mp_rank_01")
    let error = formatError { _ = try CheckpointOpener().open(folder.path) }
    #expect(error?.kind == .unsupported && error?.found == "mp_rank_00, mp_rank_01")
  }

  @Test(arguments: ["../elsewhere", "-7", "", "77"]) func noIterationOfMegatron(text: String) throws {
    folder.makeFolder("iter_0000500")
    _ = try folder.write(Array(text.utf8), "latest_checkpointed_iteration.txt")
    #expect(formatError { _ = try CheckpointOpener().open(folder.path) }?.kind == .unrecognized)
  }

  @Test(arguments: [
    ["model.tp0.pt", "model.tp1.pt"], ["mp_rank_00_model.pt", "mp_rank_01_model.pt"],
    ["checkpoint-model_part-0.pt", "checkpoint-model_part-1.pt", "checkpoint-model_part-2.pt"],
  ])
  func shardsOfAModel(names: [String]) throws {
    for name in names { _ = try folder.write([1], name) }
    let error = formatError { _ = try CheckpointOpener().open(folder.path) }
    #expect(error?.problem.contains("tensor parallelism") == true, "\(String(describing: error))")
    _ = try folder.write([1], "another.pt")
    #expect(formatError { _ = try CheckpointOpener().open(folder.path) }?.problem.contains("several") == true)
  }

  @Test func chunksWithoutTheirMetadata() throws {
    _ = try folder.write([1], "__0_0.distcp")
    let error = formatError { _ = try CheckpointOpener().open(folder.path) }
    #expect(error?.problem.contains(".metadata") == true && error?.found == "only __0_0.distcp")
  }

  @Test func theNearestGoesFirst() throws {
    try savedModel(["m/bert_config.json", "m/7/config.json", "m/7/assets/vocab.txt", "m/vocab.txt"])
    let opened = try CheckpointOpener().open(folder.file("m"))
    #expect(FileSystem.isSameFile(try #require(opened.configPath), folder.file("m/7/config.json")))
    #expect(FileSystem.isSameFile(try #require(opened.vocabularyPath), folder.file("m/7/assets/vocab.txt")))
  }

  /// FARM's folder: the model, its heads in files of their own, and a config for each.
  @Test func aConfigOfTheFilesOwnName() throws {
    _ = try folder.copy(fixture("torch/bert-tiny-zip/pytorch_model.bin"), as: "language_model.bin")
    _ = try folder.copy(fixture("torch/bert-tiny-zip/pytorch_model.bin"), as: "prediction_head_0.bin")
    for name in ["language_model", "prediction_head_0", "processor", "tokenizer"] {
      _ = try folder.write(Array("{\"name\": \"TextSimilarityHead\"}".utf8), "\(name)_config.json")
    }
    let opened = try CheckpointOpener().open(folder.path)
    #expect(FileSystem.baseName(opened.path) == "language_model.bin")
    #expect(
      opened.warnings == [
        "prediction_head_0.bin (TextSimilarityHead) in the same folder is a head of FARM's, which is not read: "
          + "this is the encoder alone"
      ])
    #expect(opened.configPath.map(FileSystem.baseName) == "language_model_config.json")
    let head = try CheckpointOpener().open(folder.file("prediction_head_0.bin"))
    #expect(head.configPath.map(FileSystem.baseName) == "prediction_head_0_config.json")
  }

  @Test func headsOfOneModelAreIncluded() throws {
    let model = fixture("programs/farm/torch-Bert-TextClassificationHead")
    let opened = try CheckpointOpener().open(model)
    #expect(opened.source.tensors.contains { $0.name.hasPrefix("prediction_head.TextClassificationHead.") })
    #expect(opened.headSettings?["architectures"]?.elements?.map(\.stringValue) == ["BertForSequenceClassification"])
    #expect(opened.headSettings?["id2label"]?["2"]?.stringValue == "I-X")
    #expect(
      opened.warnings == [
        "prediction_head_0.bin (TextClassificationHead) in the same folder is included: the model is BertForSequenceClassification"
      ])
    let alone = try CheckpointOpener().open(FileSystem.join(model, "language_model.bin"))
    #expect(alone.headSettings == nil && !alone.source.tensors.contains { $0.name.hasPrefix("prediction_head") })
    #expect(alone.warnings.count == 1 && alone.warnings[0].hasSuffix("give the folder to include it"))
  }

  /// As `transformers` chooses, with a warning.
  @Test(arguments: ["model.safetensors", "pytorch_model.bin", "flax_model.msgpack"])
  func aWholeFileGoesBeforeAListOfShards(name: String) throws {
    _ = try folder.write([1], name)
    _ = try folder.write(Array("{\"weight_map\": {\"a\": \"other\"}}".utf8), name + ".index.json")
    let found = try PathResolution(kind: nil).resolve(folder.path)
    #expect(FileSystem.baseName(found.path) == name)
    #expect(found.warnings == ["\(folder.path) contains \(name) and a list of shards as well: \(name) is read"])
  }

  @Test func theStateFileLeadsToItsCheckpoint() throws {
    for name in ["bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"] {
      _ = try folder.copy(fixture("tensorflow/bert-tiny/\(name)"))
    }
    let state = try folder.write(Array("model_checkpoint_path: \"/elsewhere/bert_model.ckpt\"\n".utf8), "checkpoint")
    #expect(FileSystem.baseName(try CheckpointOpener().open(state).path) == "bert_model.ckpt.index")
    _ = try folder.write(Array("model_checkpoint_path: \"other\"\n".utf8), "checkpoint")
    let error = formatError { _ = try CheckpointOpener().open(state) }
    #expect(error?.kind == .unreadable && error?.found == "other")
  }

  @Test func trainingStateIsNoCheckpoint() throws {
    let names = ["training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state_0.pth"]
    for name in names { _ = try folder.copy(fixture("torch/bert-tiny-zip/pytorch_model.bin"), as: name) }
    _ = try folder.write(Array("{}".utf8), "config.json")
    _ = try folder.write(Array("[PAD]\n".utf8), "vocab.txt")
    let error = formatError { _ = try CheckpointOpener().open(folder.path) }
    #expect(error?.kind == .unrecognized && error?.problem.contains("only training state") == true)
    _ = try folder.copy(fixture("torch/bert-tiny-zip/pytorch_model.bin"), as: "weights.bin")
    #expect(FileSystem.baseName(try CheckpointOpener().open(folder.path).path) == "weights.bin")
  }

  @Test func arraysNextToACheckpointAreNone() throws {
    _ = try folder.copy(fixture("tensorflow/bert-tiny/reference.npz"))
    #expect(FileSystem.baseName(try CheckpointOpener().open(folder.path).path) == "reference.npz")
    _ = try folder.copy(fixture("torch/bert-tiny-zip/pytorch_model.bin"), as: "model.pt")
    #expect(FileSystem.baseName(try CheckpointOpener().open(folder.path).path) == "model.pt")
  }
}
