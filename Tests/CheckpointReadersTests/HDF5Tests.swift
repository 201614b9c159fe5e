import TensorIO
import TestSupport
import Testing

@testable import CheckpointReaders

private func open(_ bytes: [UInt8]) throws -> any TensorSource {
  try HDF5Format().open(Bytes(bytes, file: "x.h5"), path: "x.h5")
}

@Suite("HDF5 and Keras")
struct HDF5Tests {
  @Test(arguments: ["earliest.h5", "latest.h5"])
  func whatH5pyWrote(name: String) throws {
    let path = fixture("keras/" + name)
    let source = try CheckpointOpener().openFile(path)
    #expect(source.format == .hdf5 && source.warnings.isEmpty)
    #expect(try differences(source, try expectedTensors(fixture("keras/expected.json"))).isEmpty)
  }

  @Test func weightsOfKeras() throws {
    let path = fixture("keras/models/weights.h5")
    let source = try CheckpointOpener().openFile(path)
    #expect(source.format == .kerasH5)
    #expect(try differences(source, try expectedTensors(fixture("keras/models/weights.json"))).isEmpty)
    // In the order of the layers, which is not that of their names.
    #expect(source.tensors.map { String($0.name.prefix(1)) } == ["z", "z", "a", "a"])
    #expect(source.metadata.map(\.key) == ["keras_version", "backend"])
    #expect(source.tensors.allSatisfy { $0.location != nil })
  }

  @Test func anArchiveOfKeras() throws {
    let path = fixture("keras/models/model.keras")
    let opened = try CheckpointOpener().open(path, kind: .keras)
    #expect(opened.source.format == .kerasZip)
    #expect(try differences(opened.source, try expectedTensors(fixture("keras/models/model.json"))).isEmpty)
    #expect(opened.source.metadata.map(\.key) == ["keras_version", "model_config"])
    // The weights are packed: they lie nowhere as they are.
    #expect(opened.source.tensors.allSatisfy { $0.location == nil })
  }

  @Test func aUserBlockAndOtherNames() throws {
    let source = try CheckpointOpener().openFile(fixture("keras/user-block.h5"))
    #expect(source.tensors.map(\.name) == ["a/y", "x"] || source.tensors.map(\.name) == ["again/y", "x"])
    #expect(source.warnings.contains { $0.contains("'soft' is a soft link to '/x'") })
    #expect(source.warnings.contains { $0.contains("is an alias of a group that was read") })
    let data = try contents(fixture("keras/user-block.h5"))
    for tensor in source.tensors {
      let offset = Int(try #require(tensor.location).offset)
      let index = try #require(source.index(ofTensor: tensor.name))
      #expect(
        try source.withBytes(ofTensorAt: index) { $0.array() } == Array(data[offset..<(offset + tensor.byteCount)]))
    }
  }

  @Test(arguments: [
    ("external-link", "link"),
    ("external-data", "data"),
    ("virtual", "view"),
    ("lzf", "packed"),
    ("references", "ref"),
    ("records", "table"),
  ])
  func whatIsNotReadIsNamed(name: String, tensor: String) {
    let path = fixture("keras/refused/\(name).h5")
    let error = formatError { _ = try CheckpointOpener().openFile(path) }
    #expect(error?.kind == .unsupported && error?.tensor == tensor && error?.file == path)
  }

  @Test func messages() throws {
    let refused = ["external-link", "external-data", "virtual", "lzf", "references", "records"].map { name in
      line(
        name, formatError { _ = try CheckpointOpener().openFile(fixture("keras/refused/\(name).h5")) },
        folder: fixture("keras/refused"))
    }
    let damaged = try Damage.allCases.map { damage in
      let data = try damage.applied(to: try contents(fixture("keras/earliest.h5")))
      return line(damage.rawValue, formatError { try readAll(try open(data)) })
    }
    #expect(try goldenDifference("damaged-hdf5", refused + damaged) == nil)
  }

  /// Some byte of a structure, found by its signature, set to another value.
  enum Damage: String, CaseIterable {
    case superblockVersion, offsetSize, rootAddress, endOfFile, headerVersion, heapSignature, treeSignature
    case nodeSignature, chunkTree, cutShort

    var kind: FormatError.Kind { self == .superblockVersion ? .unsupported : .damaged }

    func applied(to good: [UInt8]) throws -> [UInt8] {
      var data = good
      func offset(of signature: String, after start: Int = 0) throws -> Int {
        let wanted = Array(signature.utf8)
        return try #require(
          (start..<(data.count - 4)).first { Array(data[$0..<($0 + wanted.count)]) == wanted }, "no \(signature)")
      }
      switch self {
      case .superblockVersion: data[8] = 9
      case .offsetSize: data[13] = 3
      case .rootAddress: data[64 + 6] = 1
      case .endOfFile: data[40 + 3] = 1
      case .headerVersion: data[Int(data[64])] = 7
      case .heapSignature: data[try offset(of: "HEAP")] = 0
      case .treeSignature: data[try offset(of: "TREE")] = 0
      case .nodeSignature: data[try offset(of: "SNOD")] = 0
      case .chunkTree:
        // The node of chunks: kind 1.
        var start = try offset(of: "TREE")
        while data[start + 4] != 1 { start = try offset(of: "TREE", after: start + 1) }
        data[start + 4] = 0
      case .cutShort: data.removeLast(data.count / 3)
      }
      return data
    }
  }

  @Test(arguments: Damage.allCases)
  func damage(_ kind: Damage) throws {
    let data = try kind.applied(to: try contents(fixture("keras/earliest.h5")))
    let error = formatError { try readAll(try open(data)) }
    #expect(error?.kind == kind.kind && error?.file == "x.h5", "\(String(describing: error))")
  }

  /// A block of the later form ends with a checksum. Its last byte and the checksum itself mean nothing else to the reader
  /// in most blocks, so that only the comparison of the two finds that one was changed.
  @Test(arguments: ["OHDR", "BTHD", "BTLF", "FRHP", "FAHD", "FADB", "EAHD", "EAIB"])
  func everyChecksumOfTheLaterFormIsChecked(signature: String) throws {
    let good = try contents(fixture("keras/latest.h5"))
    try readAll(try open(good))
    let wanted = Array(signature.utf8)
    let starts = (0..<(good.count - 4)).filter { Array(good[$0..<($0 + 4)]) == wanted }
    #expect(!starts.isEmpty, "no \(signature) in the fixture")
    for start in starts.prefix(3) {
      // The block ends where the bytes before the next four have those as their checksum.
      let end = try #require(
        ((start + 8)...(good.count - 4)).first { end in
          let hash = Bytes(Array(good[start..<end])).withSpan { Lookup3.hash($0) }
          return Array(good[end..<(end + 4)]) == [UInt8](littleEndian: hash)
        }, "\(signature) at \(start) has no checksum")
      for byte in [end - 1, end, end + 3] {
        var data = good
        data[byte] ^= 0x40
        let error = formatError { try readAll(try open(data)) }
        #expect(
          error?.kind == .damaged && error?.file == "x.h5", "\(signature) at \(start): \(String(describing: error))")
      }
    }
  }

  @Test(.exhaustive, arguments: ["earliest.h5", "latest.h5"])
  func noByteCanStopTheProgram(name: String) throws {
    let good = try contents(fixture("keras/" + name))
    var refused = 0
    for offset in stride(from: 0, to: good.count, by: name == "latest.h5" ? 37 : 41) {
      for change: UInt8 in [0xFF, 0x01] {
        var data = good
        data[offset] ^= change
        do { try readAll(try open(data)) } catch is FormatError { refused += 1 }
      }
    }
    #expect(refused > 40)
  }

  @Test func damagedChunksAreFoundByFletcher() throws {
    let good = try contents(fixture("keras/earliest.h5"))
    let source = try open(good)
    let index = try #require(source.index(ofTensor: "chunks/growing2"))
    let values = try source.withBytes(ofTensorAt: index) { $0.array() }
    // A chunk of 2 × 3 floats, found by its first row.
    let row = Array(values[..<12])
    let offset = try #require((0..<(good.count - 12)).last { Array(good[$0..<($0 + 12)]) == row })
    var data = good
    data[offset + 2] ^= 8
    let error = formatError { try readAll(try open(data)) }
    #expect(error?.kind == .damaged && error?.tensor == "chunks/growing2", "\(String(describing: error))")
    #expect(error?.problem == "a chunk is damaged: its checksum is wrong")
  }

  @Test func aTorchFileNamedLikeOneIsATorchFile() throws {
    let source = try CheckpointOpener().openFile(fixture("torch/other-models/fwd_wt103.h5"))
    #expect(source.format == .pyTorchLegacy)
  }

  @Test func lookup3() {
    // The examples that its author gives: nothing, and a sentence of 30 bytes.
    let empty = Bytes([]).withSpan { Lookup3.hash($0) }
    let sentence = Bytes(Array("Four score and seven years ago".utf8)).withSpan { Lookup3.hash($0) }
    #expect(empty == 0xDEAD_BEEF && sentence == 0x1777_0551)
  }
}
