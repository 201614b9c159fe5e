import CheckpointReaders
import TensorIO
import TestSupport
import Testing

private func open(_ relative: String) throws -> OpenedCheckpoint {
  try CheckpointOpener().open(fixture("tensorflow/" + relative))
}

@Suite("TensorFlow checkpoints")
struct TensorFlowTests {
  @Test func everyDataTypeThatTensorFlowSaves() throws {
    let source = try open("dtypes/dtypes").source
    #expect(source.format == .tensorFlowBundle)
    let expected = try expectedTensors(fixture("tensorflow/dtypes/expected.json"))
    #expect(expected.count > 25)
    #expect(try differences(source, expected).isEmpty)
  }

  @Test func fourBitFloats() throws {
    let expected = try expectedTensors(fixture("tensorflow/dtypes/expected-float4.json"))
    #expect(try differences(try open("dtypes/float4").source, expected).isEmpty)
  }

  @Test func theFirstFormOfCheckpoints() throws {
    for name in ["types", "slices"] {
      let source = try open("v1/\(name)").source
      #expect(source.format == .tensorFlowV1)
      #expect(try differences(source, try expectedTensors(fixture("tensorflow/v1/expected-\(name).json"))).isEmpty)
    }
  }

  @Test func aTableOfSeveralBlocksIsReadInOrder() throws {
    let source = try open("many-keys/many").source
    #expect(source.tensors.count > 1000)
    #expect(source.files[0].size > 256 << 10)
    let names = source.tensors.map { Array($0.name.utf8) }
    #expect(zip(names, names.dropFirst()).allSatisfy { $0.lexicographicallyPrecedes($1) })
    for index in [0, names.count / 2, names.count - 1] {
      #expect(try source.withBytes(ofTensorAt: index) { $0.byteCount } == source.tensors[index].byteCount)
    }
  }

  @Test func objectGraphsGiveFullNames() throws {
    let source = try open("object-graph").source
    let expected = try JSON.parse(try FileSystem.text(fixture("tensorflow/object-graph/expected.json"))).elements ?? []
    #expect(expected.count == source.tensors.count)
    for (row, tensor) in zip(expected, source.tensors) {
      #expect(row.elements?[0].stringValue == tensor.name)
      #expect(row.elements?[1].stringValue == tensor.fullName)
      #expect(row.elements?[2].stringValue == tensor.elementType.rawValue)
      #expect(row.elements?[3].elements?.compactMap(\.intValue) == tensor.shape)
    }
  }

  @Test func aSavedModelIsItsVariables() throws {
    let opened = try open("saved-model")
    #expect(opened.path.hasSuffix("variables/variables.index"))
    #expect(!opened.source.tensors.isEmpty)
  }

  @Test(arguments: ["bert-sharded", "bert-partitioned", "bert-tiny", "bert-training"])
  func everyTensorOfAModelIsRead(_ name: String) throws {
    let source = try open(name).source
    for (index, tensor) in source.tensors.enumerated() {
      let count = try source.withBytes(ofTensorAt: index) { $0.byteCount }
      #expect(count == checkedByteCount(tensor.shape, tensor.elementType))
    }
  }

  @Test func listingReadsNoDataFile() throws {
    let folder = TemporaryFolder()
    _ = try folder.copy(fixture("tensorflow/bert-tiny/bert_model.ckpt.index"))
    let opened = try CheckpointOpener().open(folder.file("bert_model.ckpt.index"))
    #expect(opened.source.tensors.count > 40)
    #expect(opened.warnings.contains { $0.contains("bert_model.ckpt.data-00000-of-00001") })
    let error = #expect(throws: FormatError.self) { try opened.source.withBytes(ofTensorAt: 0) { _ in } }
    #expect(error?.kind == .unreadable && error?.file?.hasSuffix("data-00000-of-00001") == true)
  }

  @Test(arguments: [
    "bert_model.ckpt", "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001", "",
  ])
  func everyWayToNameACheckpoint(_ name: String) throws {
    let opened = try open("bert-tiny/" + name)
    #expect(opened.path.hasSuffix("bert-tiny/bert_model.ckpt.index"))
    #expect(opened.configPath?.hasSuffix("bert_config.json") == true)
    #expect(opened.vocabularyPath?.hasSuffix("vocab.txt") == true)
  }

  /// TensorFlow 1 writes its graph next to the weights, as PREFIX.meta.
  @Test(arguments: ["tensorflow/bert-tiny/bert_model.ckpt.index", "tensorflow/v1/types"])
  func theGraphLeadsToTheWeightsInTheSameFolder(_ name: String) throws {
    let folder = TemporaryFolder()
    let weights = try folder.copy(fixture(name), as: name.hasSuffix(".index") ? "model.ckpt.index" : "model.ckpt")
    let graph = try folder.write([0x0A, 0x00], "model.ckpt.meta")
    #expect(try CheckpointOpener().open(graph).path == weights)
    let alone = TemporaryFolder()
    let lonely = try alone.write([0x0A, 0x00], "model.ckpt.meta")
    let error = #expect(throws: FormatError.self) { try CheckpointOpener().open(lonely) }
    #expect(error?.kind == .unrecognized && error?.file == lonely)
  }

  @Test func theStateFileDecidesAndCannotLeadAway() throws {
    let folder = TemporaryFolder()
    for name in ["a", "b"] {
      for suffix in ["index", "data-00000-of-00001"] {
        _ = try folder.copy(fixture("tensorflow/bert-tiny/bert_model.ckpt.\(suffix)"), as: "\(name).\(suffix)")
      }
    }
    let several = #expect(throws: FormatError.self) { try CheckpointOpener().open(folder.path) }
    #expect(several?.kind == .unreadable && several?.found == "a, b")
    _ = try folder.write(
      Array("model_checkpoint_path: \"/elsewhere/b\"\nall_model_checkpoint_paths: \"a\"\n".utf8), "checkpoint")
    #expect(try CheckpointOpener().open(folder.path).path == folder.file("b.index"))
  }

  @Test func whatIsMissingIsReported() throws {
    let folder = TemporaryFolder()
    _ = try folder.copy(fixture("tensorflow/bert-tiny/bert_model.ckpt.data-00000-of-00001"))
    let noIndex = #expect(throws: FormatError.self) {
      try CheckpointOpener().open(folder.file("bert_model.ckpt.data-00000-of-00001"))
    }
    #expect(noIndex?.kind == .unreadable && noIndex?.file == folder.file("bert_model.ckpt.index"))
    let noIndexInFolder = #expect(throws: FormatError.self) { try CheckpointOpener().open(folder.path) }
    #expect(noIndexInFolder?.kind == .unreadable && noIndexInFolder?.file == folder.file("bert_model.ckpt.index"))
    let nothing = #expect(throws: FormatError.self) { try CheckpointOpener().open(folder.file("nowhere")) }
    #expect(nothing?.kind == .unreadable && nothing?.file == folder.file("nowhere"))
    _ = try folder.write(
      Array("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 370260\n".utf8), "bert_model.ckpt.index")
    let pointer = #expect(throws: FormatError.self) { try CheckpointOpener().open(folder.file("bert_model.ckpt")) }
    #expect(pointer?.kind == .unrecognized && pointer?.expected == "370260 bytes of data")
  }
}

/// Damage to one part of a bundle each.
enum BundleDamage: String, CaseIterable, CustomTestStringConvertible {
  case emptyIndex, shortIndex, indexCutInHalf, magic, footerPadding, indexBlock, dataBlock, blockType
  case indexHandle, dataByte, dataCut, dataEmpty, dataGone

  var testDescription: String { rawValue }

  var kind: FormatError.Kind {
    switch self {
    case .dataGone: .unreadable
    default: .damaged
    }
  }

  func apply(_ index: inout [UInt8], _ data: inout [UInt8]?) {
    switch self {
    case .emptyIndex: index = []
    case .shortIndex: index = Array(index.prefix(47))
    case .indexCutInHalf: index = Array(index.prefix(index.count / 2))
    case .magic: index[index.count - 1] ^= 1
    case .footerPadding: index[index.count - 12] ^= 1
    case .indexBlock: index[index.count - 60] ^= 4
    case .dataBlock: index[30] ^= 0x10
    case .blockType: index[index.count - 48 - 5] ^= 1
    case .indexHandle: index[index.count - 48] ^= 0x7F
    case .dataByte: data?[1000] ^= 0x20
    case .dataCut: data?.removeLast(100)
    case .dataEmpty: data = []
    case .dataGone: data = nil
    }
  }
}

@Suite("Damaged TensorFlow checkpoints")
struct DamagedBundleTests {
  private func problem(_ damage: BundleDamage) throws -> (error: FormatError?, line: String) {
    let folder = TemporaryFolder()
    var index = try contents(fixture("tensorflow/bert-tiny/bert_model.ckpt.index"))
    var data: [UInt8]? = try contents(fixture("tensorflow/bert-tiny/bert_model.ckpt.data-00000-of-00001"))
    damage.apply(&index, &data)
    _ = try folder.write(index, "m.index")
    if let data { _ = try folder.write(data, "m.data-00000-of-00001") }
    let error = formatError { try readAll(try CheckpointOpener().open(folder.file("m")).source) }
    #expect(error?.file?.hasPrefix(folder.file("m.")) == true, "\(String(describing: error))")
    return (error, line(damage.rawValue, error, folder: folder.path))
  }

  @Test(arguments: BundleDamage.allCases)
  func isRefused(_ damage: BundleDamage) throws {
    let error = try problem(damage).error
    #expect(error?.kind == damage.kind, "\(String(describing: error))")
  }

  @Test func messages() throws {
    #expect(try goldenDifference("damaged-bundle", try BundleDamage.allCases.map { try problem($0).line }) == nil)
  }

  @Test(.exhaustive) func noByteOfTheIndexCanChangeUnseen() throws {
    let folder = TemporaryFolder()
    let good = try contents(fixture("tensorflow/bert-training/model.ckpt-1234.index"))
    _ = try folder.copy(
      fixture("tensorflow/bert-training/model.ckpt-1234.data-00000-of-00001"), as: "m.data-00000-of-00001")
    for position in good.indices {
      var bad = good
      bad[position] ^= 0x41
      _ = try folder.write(bad, "m.index")
      #expect(throws: FormatError.self, "byte \(position)") { try CheckpointOpener().open(folder.file("m")) }
    }
  }

  @Test func streamedDamageIsFoundToo() throws {
    let folder = TemporaryFolder()
    _ = try folder.copy(fixture("tensorflow/bert-tiny/bert_model.ckpt.index"), as: "m.index")
    var data = try contents(fixture("tensorflow/bert-tiny/bert_model.ckpt.data-00000-of-00001"))
    data[2000] ^= 1
    _ = try folder.write(data, "m.data-00000-of-00001")
    let source = try CheckpointOpener().open(folder.file("m")).source
    #expect(throws: FormatError.self) {
      for index in source.tensors.indices { try source.streamBytes(ofTensorAt: index) { _ in } }
    }
  }
}
