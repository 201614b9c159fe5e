import TensorIO
import TestSupport
import Testing

@testable import CheckpointReaders

/// Writes MessagePack as Flax does, sound but for what a test changes.
private enum Pack {
  static func number(_ value: Int, _ size: Int) -> [UInt8] { ZipTestBuilder.number(value, size).reversed() }
  static func text(_ text: String) -> [UInt8] { [0xD9, UInt8(text.utf8.count)] + Array(text.utf8) }
  static func binary(_ bytes: [UInt8]) -> [UInt8] { [0xC4, UInt8(bytes.count)] + bytes }
  static func ext(_ type: UInt8, _ bytes: [UInt8]) -> [UInt8] { [0xC8] + number(bytes.count, 2) + [type] + bytes }

  static func map(_ pairs: KeyValuePairs<String, [UInt8]>) -> [UInt8] {
    [0xDE] + number(pairs.count, 2) + pairs.flatMap { text($0.key) + $0.value }
  }

  static func payload(_ shape: [Int], _ type: String, _ data: [UInt8]) -> [UInt8] {
    [0x93, 0x90 + UInt8(shape.count)] + shape.flatMap { [0xCE] + number($0, 4) } + text(type) + binary(data)
  }

  static func array(_ shape: [Int] = [2], _ type: String = "uint8", _ data: [UInt8] = [7, 9]) -> [UInt8] {
    ext(1, payload(shape, type, data))
  }

  static func chunked(_ more: KeyValuePairs<String, [UInt8]>) -> [UInt8] {
    [0x80 + UInt8(more.count + 1)] + text("__msgpack_chunked_array__") + [0xC3]
      + more.flatMap { text($0.key) + $0.value }
  }
}

private func open(_ bytes: [UInt8]) throws -> FlaxSource {
  try FlaxSource(Bytes(bytes, file: "m.msgpack"), path: "m.msgpack")
}

private func isRecognized(_ bytes: [UInt8]) -> Bool { FlaxFormat().recognizes(Bytes(bytes), path: "a.bin") }

@Suite("Flax files")
struct FlaxTests {
  @Test(arguments: ["types", "chunks"])
  func whatFlaxWrote(name: String) throws {
    let opened = try CheckpointOpener().open(fixture("flax/\(name)"), kind: .flax)
    #expect(opened.source.format == .flaxMsgpack && opened.warnings.isEmpty)
    #expect(try differences(opened.source, try expectedTensors(fixture("flax/\(name)/expected.json"))).isEmpty)
    let file = try MappedFile.open(opened.path)
    for (index, tensor) in opened.source.tensors.enumerated() {
      // Only arrays in more than one chunk have no single offset.
      let isInChunks = name == "chunks" && tensor.byteCount > 64
      #expect((tensor.location == nil) == isInChunks)
      guard let location = tensor.location else { continue }
      let bytes = try opened.source.withBytes(ofTensorAt: index) { $0.array() }
      #expect(file.slice(Int(location.offset), tensor.byteCount)?.array() == bytes)
    }
  }

  @Test func valuesThatAreNoArraysAreText() throws {
    let source = try CheckpointOpener().open(fixture("flax/types")).source
    #expect(
      source.metadata.map { "\($0.key)=\($0.value)" } == [
        "values/bytes=2 bytes", "values/complex=1.5-2.0j", "values/float=0.1", "values/int=7",
        "values/large=9223372036854775808", "values/negative=-1099511627776", "values/none=None",
        "values/text=adamw", "values/true=True",
      ])
  }

  @Test func everyFormOfANumber() throws {
    let forms: [(bytes: [UInt8], text: String)] = [
      ([0x7F], "127"), ([0xE0], "-32"), ([0xFF], "-1"), ([0xCC, 200], "200"), ([0xCD, 1, 2], "258"),
      ([0xCE, 0, 1, 0, 0], "65536"), ([0xCF] + [UInt8](repeating: 255, count: 8), "18446744073709551615"),
      ([0xD0, 0x80], "-128"), ([0xD0, 5], "5"), ([0xD1, 0xFF, 0], "-256"), ([0xD2, 0x80, 0, 0, 0], "-2147483648"),
      ([0xD3, 0x80, 0, 0, 0, 0, 0, 0, 0], "-9223372036854775808"), ([0xCA, 0x3F, 0x80, 0, 0], "1.0"),
      ([0xCB, 0x40, 0, 0, 0, 0, 0, 0, 0], "2.0"), ([0xC2], "False"), ([0xA2, 0x68, 0x69], "hi"),
      ([0xDA, 0, 1, 0x61], "a"), ([0xDB, 0, 0, 0, 1, 0x62], "b"), ([0xC5, 0, 1, 0], "1 bytes"),
      ([0xC6, 0, 0, 0, 1, 0], "1 bytes"), ([0xD9, 1, 0xFF], "1 bytes"),
    ]
    for form in forms {
      let source = try open(Pack.map(["value": form.bytes, "array": Pack.array()]))
      #expect(source.metadata.map(\.value) == [form.text])
    }
  }

  @Test func listsAndEveryFormOfExt() throws {
    let payload = Pack.payload([2], "uint8", [7, 9])
    let long = [UInt8](repeating: 3, count: 70)
    let zero = Pack.payload([], "int8", [5])
    let tree =
      [0x83] + Pack.text("list") + [0x92] + Pack.array() + [0xDC, 0, 1] + Pack.array([1], "int8", [1])
      + Pack.text("ext8") + [0xC7, UInt8(payload.count), 1] + payload
      + Pack.text("deep") + [0xDF, 0, 0, 0, 3]
      + (Pack.text("ext32") + [0xC9] + Pack.number(payload.count, 4) + [1] + payload)
      + (Pack.text("ext3") + Pack.ext(3, zero)) + (Pack.text("") + Pack.array([70], "uint8", long))
    let source = try open(tree)
    #expect(source.tensors.map(\.name) == ["list/0", "list/1/0", "ext8", "deep/ext32", "deep/ext3", "deep/"])
    #expect(source.tensors[4].shape == [])
    #expect(try source.withBytes(ofTensorAt: 5) { $0.array() } == long)
    // A payload of sixteen bytes has a form of its own.
    let sixteen: [UInt8] = [0x93, 0x91, 6, 0xA4] + Array("int8".utf8) + [0xC4, 6, 1, 2, 3, 4, 5, 6]
    #expect(sixteen.count == 16)
    let fixed = try open([0x81] + Pack.text("a") + [0xD8, 1] + sixteen)
    #expect(try fixed.withBytes(ofTensorAt: 0) { $0.array() } == [1, 2, 3, 4, 5, 6])
  }

  // MARK: Sniffing

  @Test(arguments: [
    "torch/objects/checkpoint-zip.pt", "torch/objects/checkpoint-legacy.pt", "torch/bert-2018/pytorch_model.bin",
    "torch/hostile", "safetensors/dtypes.safetensors", "numpy/stored.npz", "numpy-shards/params_0.npy",
    "numpy-shards/params_shapes.json", "tensorflow/bert-tiny/bert_model.ckpt.index", "tensorflow/v1/types",
    "tensorflow/bert-tiny/vocab.txt",
  ])
  func filesOfOtherFormatsAreNotTaken(name: String) throws {
    let path = fixture(name)
    let paths =
      FileSystem.isFolder(path)
      ? try FileSystem.names(inFolder: path).map { FileSystem.join(path, $0) }
      : [path]
    for path in paths { #expect(!FlaxFormat().recognizes(try MappedFile.open(path), path: path), "\(path)") }
  }

  @Test(
    arguments: [
      // A pickle of each protocol, a legacy torch file and an empty map: 0x80 is both.
      [0x80], [0x80, 2], [0x80, 2, 0x7D, 0x71, 0, 0x2E], [0x80, 4, 0x95], [0x80, 5], [0x80, 0x02, 0x8A, 0x0A, 0x6C],
      // HDF5, PNG, npy, gzip, a map with numbers for keys, maps that end too early, maps of values alone
      [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A], [0x89, 0x50, 0x4E, 0x47], [0x93, 0x4E, 0x55], [0x1F, 0x8B],
      [0x81, 1, 2], [0x81], [0xDE], [0xDE, 0, 0], [0xDF, 0xFF, 0xFF, 0xFF, 0xFF], [0x81, 0xA1, 0x61],
      [0x81, 0xA1, 0x61, 0x01], [0x81, 0xA1, 0x61, 0x80], [0x81, 0xA1, 0x61, 0xD4, 5, 0], [],
      [0x91, 0x81, 0xA1, 0x61, 0xD4, 1, 0],
    ] as [[UInt8]])
  func otherFirstBytesAreNotTaken(bytes: [UInt8]) { #expect(!isRecognized(bytes)) }

  @Test func theNameDoesNotMatter() throws {
    let folder = TemporaryFolder()
    for (name, bytes) in [
      ("model.pt", Pack.map(["a": Pack.array()])),
      ("b", [0x82] + Pack.text("step") + [3] + Pack.text("w") + Pack.array()),
      (
        "c",
        Pack.map([
          "nothing": [0x80],
          "w": Pack.chunked(["chunks": Pack.map(["0": Pack.array()]), "shape": Pack.map(["0": [2]])]),
        ])
      ),
    ] {
      #expect(isRecognized(bytes))
      #expect(try CheckpointOpener().open(try folder.write(bytes, name)).source.format == .flaxMsgpack)
    }
  }

  @Test func theFolderOfTransformersIsSearched() throws {
    let folder = TemporaryFolder()
    let model = try folder.copy(fixture("flax/bert/flax_model.msgpack"))
    let config = try folder.copy(fixture("flax/bert/config.json"))
    _ = try folder.write([1], "other.msgpack")
    let opened = try CheckpointOpener().open(folder.path)
    #expect(opened.path == model && opened.configPath == config)
    // A folder of several forms is read from the Torch weights next to it, unless Flax is requested.
    _ = try folder.copy(fixture("torch/bert-2018/pytorch_model.bin"))
    #expect(try CheckpointOpener().open(folder.path).source.format == .pyTorchLegacy)
    #expect(try CheckpointOpener().open(folder.path, kind: .flax).path == model)
  }

  @Test func shards() throws {
    let folder = TemporaryFolder()
    _ = try folder.write(Pack.map(["a": Pack.map(["b": Pack.array()])]), "flax_model-00001-of-00002.msgpack")
    _ = try folder.write(Pack.map(["c": Pack.array([1], "int8", [4])]), "flax_model-00002-of-00002.msgpack")
    let map = #"{"a/b": "flax_model-00001-of-00002.msgpack", "c": "flax_model-00002-of-00002.msgpack"}"#
    _ = try folder.write(Array(#"{"metadata": {}, "weight_map": \#(map)}"#.utf8), "flax_model.msgpack.index.json")
    let source = try CheckpointOpener().open(folder.path).source
    #expect(source.format == .flaxMsgpack && source.tensors.map(\.name) == ["a/b", "c"])
    #expect(try source.withBytes(ofTensorAt: 0) { $0.array() } == [7, 9])
  }

  // MARK: Damage

  enum Damage: CaseIterable {
    case keyIsNumber, keyNotText, keyTooLong, keyCut, keyTwice, twoPaths, pathTooLong, reservedByte, otherExt, tooDeep
    case tooMany, cutShort, countTooLarge, somethingFollows, valuesAlone, stringCut, extCut
    case notThree, shapeNoList, tooManyDimensions, negativeDimension, hugeDimension, hugeShape, typeNoName, typeNotText
    case objects, strings, dates, records, elementsNoBytes, tooFewElements, tooManyElements, elementsCut, extraInArray
    case complexCut, complexOfInts
    case chunkedNotFirst, chunkedFalse, chunkedOtherKey, chunkedShapeTwice, chunkedNoShape, chunkedNoChunks
    case chunkedEmpty, chunkedGap, chunkedLeadingZero, chunkedKeyTwice, chunkNoArray, chunkTypes, chunkSizes
    case chunkedShapeNoMap, chunkedShapeOfText, chunkedCount

    var kind: FormatError.Kind {
      switch self {
      case .keyTooLong, .pathTooLong, .tooDeep, .tooMany, .tooManyDimensions, .hugeShape: .limit
      case .otherExt, .objects, .strings, .dates, .records: .unsupported
      case .valuesAlone: .unrecognized
      default: .damaged
      }
    }

    /// What is under the key "b", after a sound "a"; or a whole file.
    var bytes: [UInt8] {
      func second(_ value: [UInt8]) -> [UInt8] { Pack.map(["a": Pack.array(), "b": value]) }
      func payload(_ bytes: [UInt8]) -> [UInt8] { second(Pack.ext(1, bytes)) }
      func typed(_ type: String) -> [UInt8] { payload(Pack.payload([2], type, [7, 9])) }
      let shape = Pack.map(["0": [4]])
      let chunk = Pack.array()
      let chunks = Pack.map(["0": chunk, "1": chunk])
      let text = Pack.text("uint8")
      switch self {
      case .keyIsNumber: return [0x82] + Pack.text("a") + Pack.array() + [5] + Pack.array()
      case .keyNotText: return [0x82] + Pack.text("a") + Pack.array() + [0xA2, 0xC3, 0x28] + Pack.array()
      case .keyTooLong:
        return [0x82] + Pack.text("a") + Pack.array() + [0xDA, 4, 1] + [UInt8](repeating: 97, count: 1025) + [0]
      case .keyCut: return [0x82] + Pack.text("a") + Pack.array() + [0xDA, 4, 0, 0x61]
      case .keyTwice: return Pack.map(["a": Pack.array(), "a": Pack.array()])
      case .twoPaths: return Pack.map(["a/b": Pack.array(), "a": Pack.map(["b": Pack.array()])])
      case .pathTooLong:
        let long = String(repeating: "k", count: 250)
        return (0..<5).reduce(Pack.array()) { inner, _ in Pack.map(["a": Pack.array(), long: inner]) }
      case .reservedByte: return second([0xC1])
      case .otherExt: return second(Pack.ext(5, [0]))
      case .tooDeep: return second((0..<70).reduce([1]) { inner, _ in [0x81, 0xA1, 0x63] + inner })
      case .tooMany: return second([0xDD] + Pack.number(300_000, 4) + [UInt8](repeating: 0xC0, count: 300_000))
      case .cutShort: return second(Pack.array()).dropLast()
      case .countTooLarge: return [0xDF, 0xFF, 0xFF, 0xFF, 0xFF] + Pack.text("a") + Pack.array()
      case .somethingFollows: return second(Pack.array()) + [0x80, 0x80]
      case .valuesAlone: return Pack.map(["a": [1], "b": [0x80]])
      case .stringCut: return second([0xD9, 200, 0x61])
      case .extCut: return second([0xC9, 0xFF, 0xFF, 0xFF, 0xFF, 1])
      case .notThree: return payload([0x92, 0x91, 2] + text)
      case .shapeNoList: return payload([0x93, 2] + text + Pack.binary([7, 9]))
      case .tooManyDimensions:
        return payload([0x93, 0xDC, 0, 65] + [UInt8](repeating: 1, count: 65) + text + Pack.binary([7]))
      case .negativeDimension: return payload([0x93, 0x91, 0xFF] + text + Pack.binary([7, 9]))
      case .hugeDimension:
        return payload([0x93, 0x91, 0xCF] + [UInt8](repeating: 0xFF, count: 8) + text + Pack.binary([7, 9]))
      case .hugeShape: return payload(Pack.payload([1 << 31, 1 << 31, 1 << 31], "uint8", [7, 9]))
      case .typeNoName: return payload([0x93, 0x91, 2, 7] + Pack.binary([7, 9]))
      case .typeNotText: return payload([0x93, 0x91, 2, 0xA2, 0xC3, 0x28] + Pack.binary([7, 9]))
      case .objects: return typed("object")
      case .strings: return typed("str96")
      case .dates: return typed("datetime64[ns]")
      case .records: return typed("void64")
      case .elementsNoBytes: return payload([0x93, 0x91, 2] + text + [0xA2, 7, 9])
      case .tooFewElements: return typed("float32")
      case .tooManyElements: return payload(Pack.payload([2], "uint8", [1, 2, 3]))
      case .elementsCut: return payload(Pack.payload([2], "uint8", [7, 9]).dropLast())
      case .extraInArray: return payload(Pack.payload([2], "uint8", [7, 9]) + [0])
      case .complexCut: return second(Pack.ext(2, [0x92, 0xCB, 0, 0, 0, 0, 0, 0, 0, 0, 0xCA, 0, 0, 0, 0, 1]))
      case .complexOfInts: return second(Pack.ext(2, [0x92, 1, 2]))
      case .chunkedNotFirst: return second(Pack.map(["shape": [1], "__msgpack_chunked_array__": [0xC3]]))
      case .chunkedFalse: return second(Pack.map(["__msgpack_chunked_array__": [0xC2], "shape": shape]))
      case .chunkedOtherKey: return second(Pack.chunked(["shape": shape, "chunks": chunks, "more": [1]]))
      case .chunkedShapeTwice: return second(Pack.chunked(["shape": shape, "shape": shape]))
      case .chunkedNoShape: return second(Pack.chunked(["chunks": chunks]))
      case .chunkedNoChunks: return second(Pack.chunked(["shape": shape]))
      case .chunkedEmpty: return second(Pack.chunked(["shape": shape, "chunks": [0x80]]))
      case .chunkedGap: return second(Pack.chunked(["shape": shape, "chunks": Pack.map(["0": chunk, "2": chunk])]))
      case .chunkedLeadingZero: return second(Pack.chunked(["shape": shape, "chunks": Pack.map(["00": chunk])]))
      case .chunkedKeyTwice:
        return second(Pack.chunked(["shape": shape, "chunks": Pack.map(["0": chunk, "0": chunk])]))
      case .chunkNoArray: return second(Pack.chunked(["shape": shape, "chunks": Pack.map(["0": [1]])]))
      case .chunkTypes:
        let other = Pack.array([2], "int8")
        return second(Pack.chunked(["shape": shape, "chunks": Pack.map(["0": chunk, "1": other])]))
      case .chunkSizes: return second(Pack.chunked(["shape": Pack.map(["0": [5]]), "chunks": chunks]))
      case .chunkedShapeNoMap: return second(Pack.chunked(["shape": [0x91, 4], "chunks": chunks]))
      case .chunkedShapeOfText: return second(Pack.chunked(["shape": Pack.map(["0": text]), "chunks": chunks]))
      case .chunkedCount: return second(Pack.chunked(["shape": shape, "chunks": [0xDF, 0xFF, 0xFF, 0xFF, 0xFF]]))
      }
    }
  }

  @Test(arguments: Damage.allCases)
  func damage(_ damage: Damage) throws {
    let folder = TemporaryFolder()
    let path = try folder.write(damage.bytes, "flax_model.msgpack")
    if damage != .valuesAlone {
      let error = formatError { _ = try CheckpointOpener().open(path) }
      #expect(error?.kind == damage.kind && error?.file == path && error?.offset != nil, "\(String(describing: error))")
    }
    let error = formatError { _ = try open(damage.bytes) }
    #expect(
      error?.kind == damage.kind && error?.file == "m.msgpack" && error?.offset != nil, "\(String(describing: error))")
  }

  @Test func messages() throws {
    let lines = Damage.allCases.map { damage in line("\(damage)", formatError { _ = try open(damage.bytes) }) }
    #expect(try goldenDifference("damaged-flax", lines) == nil)
  }

  @Test(.exhaustive) func aFileCutAnywhereIsRefused() throws {
    for name in ["types", "chunks"] {
      let good = try contents(fixture("flax/\(name)/\(name).msgpack"))
      for count in good.indices { #expect(throws: FormatError.self) { try open(Array(good.prefix(count))) } }
    }
  }

  /// The format has no checksums: a changed byte may give other numbers, and must not crash.
  @Test(.exhaustive) func anyByteMayChange() throws {
    for name in ["types", "chunks"] {
      let good = try contents(fixture("flax/\(name)/\(name).msgpack"))
      var opened = 0
      for index in good.indices {
        for flip in [0x01, 0x80, 0xFF] as [UInt8] {
          var bytes = good
          bytes[index] ^= flip
          _ = isRecognized(bytes)
          guard let source = try? open(bytes) else { continue }
          opened += 1
          for tensor in source.tensors.indices { try source.withBytes(ofTensorAt: tensor) { _ in } }
        }
      }
      #expect(opened > 0 && opened < 3 * good.count)
    }
  }
}
