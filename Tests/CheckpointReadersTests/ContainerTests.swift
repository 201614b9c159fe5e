import TensorIO
import TestSupport
import Testing

@testable import CheckpointReaders

/// Writes a file and the folders that it is in.
private func put(_ folder: TemporaryFolder, _ name: String, _ bytes: [UInt8]) throws {
  var inner = ""
  for part in name.split(separator: "/").dropLast() {
    inner += (inner.isEmpty ? "" : "/") + part
    if !FileSystem.isFolder(folder.file(inner)) { folder.makeFolder(inner) }
  }
  _ = try folder.write(bytes, name)
}

private func open(_ path: String) throws -> any TensorSource { try CheckpointOpener().open(fixture(path)).source }

/// Tensors in containers other than those of torch.save and numpy.savez.
@Suite("Containers of torch and NumPy")
struct ContainerTests {
  // MARK: Pickles of tensors

  @Test(arguments: [
    ("protocol-2.pkl", FormatName.pickle), ("protocol-4.pkl", .pickle), ("protocol-5.pkl", .pickle),
    ("state.joblib", .pickle), ("state-zlib.joblib", .pickle),
  ])
  func storagesInAPickle(name: String, format: FormatName) throws {
    let source = try open("torch/pickles/\(name)")
    #expect(source.format == format)
    #expect(try differences(source, try expectedTensors(fixture("torch/pickles/expected.json"))).isEmpty)
    #expect(source.imports.allSatisfy { $0.verdict == .known })
    #expect(source.files[0].size == FileSystem.size(of: fixture("torch/pickles/\(name)")))
  }

  @Test func aModuleInAPickle() throws {
    let source = try open("torch/pickles/module.pkl")
    #expect(source.tensors.map(\.name) == ["model.0.weight", "model.1.weight", "model.1.bias"])
    #expect(try source.withBytes(ofTensorAt: 1) { $0.floats() } == [1.5, 1.5, 1.5])
    #expect(source.imports.allSatisfy { $0.verdict == .known })
  }

  @Test("A folder with nothing but a pickle has a checkpoint; next to another it is a label encoder")
  func picklesInFolders() throws {
    let folder = TemporaryFolder()
    let pickle = try contents(fixture("torch/pickles/protocol-4.pkl"))
    try put(folder, "labels.pkl", pickle)
    #expect(try CheckpointOpener().open(folder.path).source.format == .pickle)
    try put(folder, "model.safetensors", try contents(fixture("safetensors/dtypes.safetensors")))
    #expect(try CheckpointOpener().open(folder.path).source.format == .safetensors)
  }

  @Test("Pickles of protocol 0 and 1 have no signature")
  func oldPickles() throws {
    let hostile = Array("(X\u{4}\0\0\0echoiposix\nsystem\n.".utf8)
    #expect(try TorchLegacyFormat().open(Bytes(hostile), path: "a.pkl").imports.map(\.verdict) == [.dangerous])
    for text in ["cat sat on a mat.", "(a text in brackets).", "]", ".", "}p0\n."] {
      let isPickle = TorchLegacyFormat().recognizes(Bytes(Array(text.utf8)), path: "a")
      #expect(isPickle == text.hasPrefix("}"))
    }
  }

  @Test func checkpointsOfPaddleAreNamed() throws {
    typealias P = TestPickle
    let state = P.dict(
      P.text("a.weight"), P.tuple(P.text("linear_0.w_0"), P.tensor(P.storage("0", count: 2, view: nil), [2], [1])),
      P.text("StructuredToParameterName@@"), P.dict())
    let bytes = P.zip(state, [("0", [UInt8](repeating: 0, count: 8))])
    let source = try ZipFormat().open(Bytes(bytes), path: "m.pdparams")
    #expect(source.tensors.map(\.name) == ["a.weight"] && source.warnings.contains { $0.contains("Paddle") })
  }

  // MARK: joblib

  @Test(arguments: ["arrays", "arrays-zlib", "arrays-gzip"])
  func arraysOfJoblib(name: String) throws {
    let source = try open("numpy/joblib/\(name).joblib")
    #expect(source.format == .joblib)
    #expect(try differences(source, try expectedTensors(fixture("numpy/joblib/expected.json"))).isEmpty)
    #expect(source.imports.allSatisfy { $0.verdict == .known })
    #expect(source.tensors.contains { $0.location != nil } == false)
  }

  @Test(arguments: [("bz2", "bzip2"), ("xz", "xz"), ("lzma", "lzma")])
  func otherCompressionsAreNamed(suffix: String, name: String) {
    let error = formatError { _ = try open("numpy/joblib/arrays-\(suffix).joblib") }
    #expect(error?.kind == .unrecognized && error?.problem.contains(name) == true)
    #expect(error?.advice?.text.contains("compress=0") == true)
  }

  @Test func modelsOfScikitLearnAreNamed() throws {
    let source = try open("numpy/joblib/sklearn.joblib")
    #expect(source.warnings.contains { $0.contains("scikit-learn") && $0.contains("sklearn.pipeline.Pipeline") })
    #expect(!source.imports.contains { $0.verdict == .dangerous })
    #expect(source.tensors.contains { $0.name.hasSuffix("coef_") })
  }

  enum JoblibDamage: CaseIterable { case endInPadding, endInArray, longPadding, noPadding }

  @Test(arguments: JoblibDamage.allCases)
  func damagedJoblib(damage: JoblibDamage) throws {
    var bytes = try contents(fixture("numpy/joblib/arrays.joblib"))
    // The first array: 3 × 4 floats, after one byte for the padding and the padding.
    let padding = try #require(bytes.indices.first { $0 > 40 && bytes[$0] == 0xFF && bytes[$0 - 1] < 17 }) - 1
    switch damage {
    case .endInPadding: bytes.removeSubrange((padding + 1)...)
    case .endInArray: bytes.removeSubrange((padding + Int(bytes[padding]) + 20)...)
    case .longPadding: bytes[padding] = 255
    case .noPadding: bytes[padding] = 0
    }
    let error = formatError { _ = try TorchLegacyFormat().open(Bytes(bytes), path: "a.joblib") }
    #expect(error?.kind == .damaged)
  }

  @Test func aBombIsNotUnpacked() {
    // 300 MiB of zeros in a few hundred KiB are refused; the head is that of a pickle.
    let bomb = Bytes([0x78, 0x9C, 0x6B, 0x60] + [UInt8](repeating: 0, count: 64))
    #expect(formatError { _ = try CompressedPickleFormat().open(bomb, path: "a.joblib") } != nil)
  }

  // MARK: torch.distributed.checkpoint

  @Test(arguments: ["rank", "ranks", "rank/.metadata", "ranks/__1_0.distcp"])
  func distributedCheckpoints(name: String) throws {
    let source = try open("torch/distributed/\(name)")
    #expect(source.format == .torchDistributed)
    #expect(try differences(source, try expectedTensors(fixture("torch/distributed/expected.json"))).isEmpty)
    #expect(source.imports.allSatisfy { $0.verdict == .known } && source.warnings.isEmpty)
    #expect(source.metadata.contains { $0.key == "epoch" && $0.value == "3" })
    #expect(source.metadata.contains { $0.key == "name" && $0.value == "small" })
  }

  @Test func tensorsOfAllRanksOrOfOne() throws {
    let whole = try open("torch/distributed/dtensor-of-1.pt")
    #expect(try differences(whole, try expectedTensors(fixture("torch/distributed/expected.json"))).isEmpty)
    let part = try open("torch/distributed/dtensor-of-2.pt")
    #expect(part.tensors.map(\.name) == ["model.dense.bias", "model.turned", "model.positions"])
    #expect(
      part.warnings.contains {
        $0.contains("model.embeddings.weight") && $0.contains("DTensor") && $0.contains("full_state_dict")
      })
    #expect(part.imports.allSatisfy { $0.verdict == .known })
  }

  enum DistributedDamage: CaseIterable { case fileMissing, fileShort, noMetadata, otherFile, metadataShort, outside }

  @Test(arguments: DistributedDamage.allCases)
  func damagedDistributedCheckpoints(damage: DistributedDamage) throws {
    let folder = TemporaryFolder()
    var metadata = try contents(fixture("torch/distributed/ranks/.metadata"))
    var second = try contents(fixture("torch/distributed/ranks/__1_0.distcp"))
    let first = try contents(fixture("torch/distributed/ranks/__0_0.distcp"))
    switch damage {
    case .fileShort: second.removeLast(second.count / 2)
    case .otherFile: second = first
    case .metadataShort: metadata.removeLast(40)
    case .outside:
      let name = Array("__1_0.distcp".utf8)
      for start in metadata.indices where metadata[start...].starts(with: name) {
        metadata.replaceSubrange(start..<(start + name.count), with: Array("../0.distcp".utf8) + [0x2F])
      }
    default: break
    }
    if damage != .noMetadata { try put(folder, ".metadata", metadata) }
    try put(folder, "__0_0.distcp", first)
    if damage != .fileMissing { try put(folder, "__1_0.distcp", second) }
    let path = damage == .noMetadata ? folder.path + "/__0_0.distcp" : folder.path
    let error = formatError { _ = try CheckpointOpener().open(path) }
    let expected: FormatError.Kind =
      switch damage {
      case .fileMissing, .noMetadata: .unreadable
      case .outside: .dangerous
      default: .damaged
      }
    #expect(error?.kind == expected)
  }

  @Test("A folder of accelerate: the model next to the optimizer, each in a folder")
  func aDistributedModelInAFolder() throws {
    let folder = TemporaryFolder()
    for (inner, source) in [("pytorch_model_fsdp_0", "rank"), ("optimizer_0", "rank")] {
      for name in [".metadata", "__0_0.distcp"] {
        try put(folder, "\(inner)/\(name)", try contents(fixture("torch/distributed/\(source)/\(name)")))
      }
    }
    let opened = try CheckpointOpener().open(folder.path)
    #expect(opened.source.format == .torchDistributed && opened.path.contains("pytorch_model_fsdp_0"))
  }

  // MARK: TorchScript and packed weights

  @Test(arguments: [("reads-a-file.pt", "aten::from_file"), ("writes-a-file.pt", "aten::save")])
  func scriptsThatTouchFiles(name: String, operation: String) throws {
    let source = try open("torch/script-code/\(name)")
    #expect(source.code.filter { $0.verdict == .dangerous }.map(\.name) == [operation])
    #expect(source.warnings.contains { $0.contains(operation) && $0.contains("TorchScript") })
  }

  @Test(arguments: ["script-code/harmless.pt", "script-code/frozen.pt", "quantized/traced.pt", "script/script.pt"])
  func harmlessScripts(name: String) throws {
    let source = try open("torch/\(name)")
    #expect(source.code.count > 1 && source.code.allSatisfy { $0.verdict == .known })
    #expect(source.imports.allSatisfy { $0.verdict == .known })
  }

  @Test func theConstantsOfAFrozenModule() throws {
    let source = try open("torch/script-code/frozen.pt")
    #expect(source.tensors.count == 5 && source.tensors.allSatisfy { $0.name.hasPrefix("CONSTANTS.c") })
    #expect(source.warnings.contains { $0.contains("frozen") && $0.contains("state_dict") })
    #expect(source.tensors.contains { $0.shape == [3, 4] })
    for index in source.tensors.indices { try source.withBytes(ofTensorAt: index) { #expect($0.byteCount > 0) } }
    // A module with weights has no need of its constants.
    #expect(try open("torch/script-code/harmless.pt").tensors.map(\.name).contains("inner.weight"))
  }

  @Test(arguments: ["module.pt", "state.pt", "traced.pt"])
  func packedWeights(name: String) throws {
    let source = try open("torch/quantized/\(name)")
    let names = source.tensors.map(\.name)
    #expect(names.contains("embeddings.weight") && names.contains("dense._packed_params._packed_params.0"))
    #expect(
      names.contains("dense._packed_params._packed_params.1") && names.contains("out._packed_params._packed_params.0"))
    #expect(source.tensors.count { $0.elementType == .quantizedI8 } == 2)
    #expect(source.warnings.contains { $0.contains("2 tensors") && $0.contains("quantized") })
  }
}

@Suite("Files that are no checkpoint")
struct UnknownFormatTests {
  private func error(_ name: String, _ bytes: [UInt8]) throws -> FormatError? {
    let folder = TemporaryFolder()
    try put(folder, name, bytes)
    return formatError { _ = try CheckpointOpener().openFile(folder.path + "/" + name) }
  }

  private static let zeros = [UInt8](repeating: 0, count: 64)

  @Test(arguments: [
    ("a.gguf", "GGUF", Array("GGUF".utf8) + zeros), ("a.bin", "GGML", Array("lmgg".utf8) + zeros),
    ("a.tflite", "TensorFlow Lite", [0x1C, 0, 0, 0] + Array("TFL3".utf8) + zeros),
    ("a.7z", "7z", [0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C] + zeros),
    ("a.rar", "rar", Array("Rar!\u{1A}\u{7}".utf8) + zeros),
    ("a.bz2", "bzip2", Array("BZh91AY".utf8) + zeros), ("a.xz", "xz", [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0] + zeros),
    ("a.zst", "zstd", [0x28, 0xB5, 0x2F, 0xFD] + zeros), ("a.lz4", "lz4", [0x04, 0x22, 0x4D, 0x18] + zeros),
    ("model.bin", "CTranslate2", [6, 0, 0, 0, 23, 0] + Array("TransformerEncoderSpec\0".utf8) + zeros),
    ("a.onnx", "ONNX", [8, 8, 0x12, 7] + Array("pytorch".utf8) + [0x3A] + zeros),
    ("a.dat", "ONNX", [8, 8, 0x12, 7] + Array("pytorch".utf8) + [0x3A] + zeros),
    ("a.ckpt", "MindSpore", [0x0A, 40, 0x0A, 8] + Array("bert.emb".utf8) + [0x12, 28, 8, 4, 8, 2, 0x12, 7] + zeros),
    ("a.model", "SentencePiece", [0x0A, 14, 0x0A, 5] + Array("<unk>".utf8) + [0x15, 0, 0, 0, 0, 0x18, 2] + zeros),
    (
      "a.pb", "frozen graph of TensorFlow",
      [0x0A, 30, 0x0A, 5] + Array("input".utf8) + [0x12, 11] + Array("Placeholder".utf8) + zeros
    ),
    ("model", "spaCy", [0x84, 0xA5] + Array("nodes".utf8) + zeros),
    ("a.msgpack", "T5X", [0x82, 0xA7] + Array("version".utf8) + [3, 0xA9] + Array("optimizer".utf8) + zeros),
    ("a.pdiparams", "Paddle", [1, 2, 3, 4] + zeros),
    ("openvino.xml", "OpenVINO", Array("<?xml version=\"1.0\"?>\n<net name=\"b\" version=\"11\">".utf8)),
    ("vocab.txt", "vocabulary", Array("[PAD]\n[UNK]\n".utf8)), ("a.txt", "a text", Array("hello\n".utf8)),
    ("empty.bin", "empty", []),
  ])
  func otherFormatsAreNamed(name: String, word: String, bytes: [UInt8]) throws {
    let found = try error(name, bytes)
    #expect(found?.kind == .unrecognized && found?.problem.contains(word) == true && found?.advice != nil)
  }

  @Test(arguments: [
    "Entry not found", "Invalid username or password.", "{\"error\":\"Repository not found\"}", "404: Not Found",
    "<!doctype html><html><head>", "Access to model a/b is restricted.",
    "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
  ])
  func answersOfServers(text: String) throws {
    for name in ["pytorch_model.bin", "config.json"] {
      let found = try error(name, Array(text.utf8))
      #expect(found?.problem.contains("download") == true || found?.problem.contains("server's answer") == true)
      #expect(found?.advice?.text.contains("download the file again") == true)
    }
  }

  @Test("The advice for a compressed file is not that for a compressed archive")
  func gzip() throws {
    // An empty stored block each: `gzip` of nothing.
    let plain = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0].map { UInt8($0) }
    #expect(try error("model.bin.gz", plain)?.advice?.text.contains("gunzip -k model.bin.gz") == true)
    var header = [UInt8](repeating: 0, count: 512)
    header.replaceSubrange(257..<262, with: Array("ustar".utf8))
    #expect(try error("model.tar", header)?.advice?.text.contains("tar xf model.tar") == true)
    let stored = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 1, 0, 2, 0xFF, 0xFD].map { UInt8($0) } + header
    #expect(try error("model.tar.gz", stored)?.advice?.text.contains("tar xzf") == true)
  }

  @Test(arguments: [
    ("tokenizer.json", "tokenizer", "{\"version\":\"1.0\",\"added_tokens\":[],\"model\":{\"type\":\"WordPiece\"}}"),
    ("meta.json", "spaCy", "{\"lang\":\"en\",\"pipeline\":[\"transformer\"]}"),
    ("model.json", "Keras", "{\"class_name\":\"Model\",\"config\":{}}"),
  ])
  func descriptionsInJSON(name: String, word: String, text: String) throws {
    #expect(try error(name, Array(text.utf8))?.problem.contains(word) == true)
  }

  @Test(arguments: [
    (["meta.json", "config.cfg", "transformer/model"], "spaCy"), (["model.onnx", "config.json"], "ONNX"),
    (["onnx/model.onnx", "config.json"], "ONNX"), (["a.gguf"], "GGUF"),
    (["openvino_model.xml", "openvino_model.bin"], "OpenVINO"), (["model.tflite"], "TensorFlow Lite"),
    (["target.encoder.kernel/.zarray", "checkpoint"], "T5X"), (["manifest.ocdbt", "d/1"], "Orbax"),
    (["model.tar.gz"], "archive"),
    (["tokenizer.json", "tokenizer_config.json"], "tokenizer"), (["spiece.model"], "tokenizer"),
    (["inference.pdiparams"], "Paddle"),
  ])
  func foldersAreNamed(names: [String], word: String) throws {
    let folder = TemporaryFolder()
    for name in names { try put(folder, name, [1, 2, 3, 4]) }
    let found = formatError { _ = try CheckpointOpener().open(folder.path) }
    #expect(found?.problem.contains(word) == true && found?.advice != nil)
  }

  @Test(arguments: [
    (
      "a package of torch.package",
      ["m/.data/0.storage", "m/model/model.pkl", "m/.data/extern_modules", "m/.data/version"]
    ),
    (
      "a program of torch.export",
      ["m/data/weights/weight_0", "m/models/model.json", "m/data/sample_inputs/model.pt", "m/archive_format"]
    ),
    ("a program of torch.export", ["version", "serialized_exported_program.json", "serialized_state_dict.pt"]),
  ])
  func programsOfTorchAreNamed(kind: String, names: [String]) throws {
    let found = try error("m.pt2", ZipTestBuilder(names.map { .init($0, [1, 2]) }).bytes())
    #expect(found?.kind == .unsupported && found?.problem.contains(kind) == true, "\(String(describing: found))")
    #expect(found?.advice?.text.contains("state_dict()") == true)
  }

  @Test func aZipOfAFolderNamesItsModel() throws {
    let names = ["a/README.md", "a/x.txt", "a/y.txt", "a/training_args.bin", "a/b/model.safetensors"]
    let found = try error("m.zip", ZipTestBuilder(names.map { .init($0, [1, 2]) }).bytes())
    #expect(found?.found == "'a/b/model.safetensors'" && found?.advice?.text.contains("folder 'a/b'") == true)
  }
}
