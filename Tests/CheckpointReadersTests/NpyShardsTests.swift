import TensorIO
import TestSupport
import Testing

@testable import CheckpointReaders

/// A list of shapes, and next to it arrays of float32, which hold 0, 1, 2 … through all of them.
private struct Model {
  var shapes = "[[2, 3], [4], [], [0, 5]]"
  var counts = [3, 5, 3]
  let folder = TemporaryFolder()
  /// Arrays that are not as the counts make them, by their numbers.
  var others: [Int: [UInt8]] = [:]

  static func floats(_ range: Range<Int>) -> [UInt8] {
    littleEndianBytes(range.map { Float($0) })
  }

  /// Writes the files; the path of the list.
  func write() throws -> String {
    var start = 0
    for (number, count) in counts.enumerated() {
      let array = others[number] ?? npy(npyDict("<f4", "(\(count),)"), Self.floats(start..<(start + count)))
      if !array.isEmpty { _ = try folder.write(array, "params_\(number).npy") }
      start += count
    }
    return try folder.write(Array(shapes.utf8), "params_shapes.json")
  }
}

@Suite("Arrays cut into npy files")
struct NpyShardsTests {
  private static let folder = "numpy-shards"

  @Test(arguments: ["", "/params_shapes.json", "/params_0.npy", "/params_7.npy"])
  func whatTheProgramReads(name: String) throws {
    let opened = try CheckpointOpener().open(fixture(Self.folder + name))
    #expect(opened.source.format == .npyShards && opened.warnings.isEmpty)
    #expect(opened.path == fixture(Self.folder + "/params_shapes.json"))
    // Its encoder and its list of merges are neither.
    #expect(opened.configPath == nil && opened.vocabularyPath == nil)
    #expect(try differences(opened.source, try expectedTensors(fixture(Self.folder + "/expected.json"))).isEmpty)
    #expect(opened.source.files.count == 11)
    let names = opened.source.tensors.map(\.name)
    #expect(names.prefix(3) == ["model/positions", "model/tokens", "model/h0/attn/c_attn/w"])
    #expect(names.last == "model/h1/ln_2/b" && names.count == 26)
  }

  @Test func eachTensorIsAtItsOffset() throws {
    let source = try CheckpointOpener().open(fixture(Self.folder)).source
    var located = 0
    for (index, tensor) in source.tensors.enumerated() {
      guard let location = tensor.location else { continue }
      located += 1
      let file = try MappedFile.open(source.files[location.file].path)
      let bytes = try source.withBytes(ofTensorAt: index) { $0.array() }
      #expect(file.slice(Int(location.offset), tensor.byteCount)?.array() == bytes)
    }
    // The others span two files or more.
    #expect(located > 5 && located < source.tensors.count - 5)
  }

  @Test(arguments: [[13], [11, 0], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [0, 6, 5], [3, 5, 3]])
  func howeverTheyAreCut(counts: [Int]) throws {
    var model = Model()
    model.counts = counts
    if counts == [13] { model.shapes = "[[2, 3], [4], [], [2]]" }
    let source = try CheckpointOpener().open(try model.write()).source
    #expect(source.tensors.map(\.name) == ["params/0", "params/1", "params/2", "params/3"])
    #expect(source.warnings.count == 1 && source.warnings[0].contains("numbered, not named"))
    let last = counts == [13] ? 11..<13 : 0..<0
    for (index, range) in [0..<6, 6..<10, 10..<11, last].enumerated() {
      #expect(try source.withBytes(ofTensorAt: index) { $0.array() } == Model.floats(range))
      var streamed: [UInt8] = []
      try source.streamBytes(ofTensorAt: index) { chunk in
        #expect(chunk.byteCount % 4 == 0)
        streamed += chunk.array()
      }
      #expect(streamed == Model.floats(range))
    }
  }

  @Test func arraysOfAnyShapeCountAsFlat() throws {
    var model = Model()
    model.others[0] = npy(npyDict("<f4", "(3, 1)"), Model.floats(0..<3))
    // One row in Fortran order lies as it would in C order.
    model.others[1] = npy(npyDict("<f4", "(1, 5)", fortran: "True"), Model.floats(3..<8))
    let source = try CheckpointOpener().open(try model.write()).source
    #expect(try source.withBytes(ofTensorAt: 0) { $0.array() } == Model.floats(0..<6))
  }

  @Test func aSinglePartWithoutTheListIsAnArray() throws {
    let folder = TemporaryFolder()
    let path = try folder.copy(fixture(Self.folder + "/params_3.npy"))
    let source = try CheckpointOpener().open(path).source
    #expect(source.format == .npz && source.tensors.map(\.name) == ["params_3"])
  }

  @Test func theConfigInTheSameFolderIsFound() throws {
    let model = Model()
    let path = try model.write()
    for name in ["encoder_bpe_40000.json", "vocab_40000.bpe", "params_one.npy", "params_01.npy"] {
      _ = try model.folder.write([0], name)
    }
    #expect(try CheckpointOpener().open(model.folder.path, kind: .numPy).configPath == nil)
    let config = try model.folder.write(Array("{}".utf8), "config.json")
    #expect(try CheckpointOpener().open(model.folder.path).configPath == config)
    #expect(try CheckpointOpener().open(path).configPath == config)
    let other = formatError { _ = try CheckpointOpener().open(path, kind: .pyTorch) }
    #expect(other?.kind == .unrecognized && other?.advice == .openAs(kind: "numPy", title: "NumPy"))
  }

  enum Damage: CaseIterable {
    case notJSON, listOfNames, negative, half, nested, emptyList, tooManyDimensions, hugeShape, hugeSum, listTooLarge
    case noArray, firstMissing, middleMissing, lastMissing, numberTooLarge, oneTooMany
    case integers, otherType, fortran, bigEndian, cutShort, object, lfsPointer, notNpy

    var kind: FormatError.Kind {
      switch self {
      case .hugeShape, .hugeSum, .listTooLarge: .limit
      case .noArray, .firstMissing, .middleMissing, .numberTooLarge: .unreadable
      case .integers, .fortran, .bigEndian: .unsupported
      case .object: .dangerous
      case .lfsPointer: .unrecognized
      default: .damaged
      }
    }
  }

  @Test(arguments: Damage.allCases)
  func damage(_ damage: Damage) throws {
    let (model, path) = try damaged(damage)
    for given in [path, model.folder.path] {
      let error = formatError { _ = try CheckpointOpener().open(given) }
      #expect(error?.kind == damage.kind, "\(String(describing: error))")
      #expect(error?.file?.hasPrefix(model.folder.path) == true)
    }
  }

  @Test func messages() throws {
    let lines = try Damage.allCases.map { damage in
      let (model, path) = try damaged(damage)
      return line("\(damage)", formatError { _ = try CheckpointOpener().open(path) }, folder: model.folder.path)
    }
    #expect(try goldenDifference("damaged-npy-shards", lines) == nil)
  }

  private func damaged(_ damage: Damage) throws -> (Model, path: String) {
    var model = Model()
    switch damage {
    case .notJSON: model.shapes = "[[2, 3], [4"
    case .listOfNames: model.shapes = "[\"[CLS]\", \"[SEP]\"]"
    case .negative: model.shapes = "[[2, 3], [-4]]"
    case .half: model.shapes = "[[2, 3], [1.5]]"
    case .nested: model.shapes = "[[[2, 3]]]"
    case .emptyList: model.shapes = " []"
    case .tooManyDimensions: model.shapes = "[[11], [\([String](repeating: "1", count: 65).joined(separator: ","))]]"
    case .hugeShape: model.shapes = "[[2, 3], [4294967296, 4294967296]]"
    case .hugeSum: model.shapes = "[[2], [1152921504606846976], [1152921504606846976]]"
    case .listTooLarge: model.shapes = "[" + String(repeating: " ", count: 16 << 20) + "]"
    case .noArray: model.counts = []
    case .firstMissing: model.others[0] = []
    case .middleMissing: model.others[1] = []
    case .lastMissing: model.counts = [3, 5]
    case .numberTooLarge: _ = try model.folder.write([0], "params_9223372036854775807.npy")
    case .oneTooMany: model.counts = [3, 5, 3, 4]
    case .integers: model.others[0] = npy(npyDict("<i4", "(3,)"), Model.floats(0..<3))
    case .otherType: model.others[1] = npy(npyDict("<f8", "(5,)"), Model.floats(0..<10))
    case .fortran: model.others[1] = npy(npyDict("<f4", "(2, 2)", fortran: "True"), Model.floats(0..<4))
    case .bigEndian: model.others[1] = npy(npyDict(">f4", "(5,)"), Model.floats(3..<8))
    case .cutShort: model.others[2] = npy(npyDict("<f4", "(3,)"), Model.floats(8..<10))
    case .object: model.others[2] = npy(npyDict("|O", "(3,)"), [0x80, 4, 0x2E])
    case .lfsPointer:
      model.others[2] = Array("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n".utf8)
    case .notNpy: model.others[1] = [UInt8](repeating: 1, count: 40)
    }
    return (model, try model.write())
  }

  /// Neither list nor arrays have checksums: a changed byte may give other numbers, and must not crash.
  @Test func anyByteOfTheListMayChange() throws {
    let model = Model()
    let path = try model.write()
    let good = Array(model.shapes.utf8)
    var opened = 0
    for index in good.indices {
      for flip in [0x01, 0x10, 0x80] as [UInt8] {
        var bytes = good
        bytes[index] ^= flip
        _ = try model.folder.write(bytes, "params_shapes.json")
        guard let source = try? CheckpointOpener().open(path).source else { continue }
        opened += 1
        for tensor in source.tensors.indices { try source.withBytes(ofTensorAt: tensor) { _ in } }
      }
    }
    #expect(opened > 0 && opened < 3 * good.count)
  }
}
