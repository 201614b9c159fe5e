import CheckpointWriters
import TensorIO
import TestSupport
import Testing

@testable import CheckpointReaders

private func open(_ bytes: [UInt8]) throws -> any TensorSource {
  try HDF5Format().open(Bytes(bytes, file: "x.h5"), path: "x.h5")
}

/// Reads every tensor, as a conversion would.
private func readAll(_ source: any TensorSource) throws {
  for (index, tensor) in source.tensors.enumerated() {
    if tensor.elementType == .string {
      _ = try source.strings(ofTensorAt: index)
    } else {
      try source.streamBytes(ofTensorAt: index) { _ in }
    }
  }
}

@Suite("HDF5 and Keras")
struct HDF5Tests {
  @Test(arguments: ["earliest.h5", "latest.h5"])
  func whatH5pyWrote(name: String) throws {
    let path = fixture("keras/" + name)
    let source = try CheckpointOpener().openFile(path)
    #expect(source.format == .kerasH5 && source.warnings.isEmpty)
    #expect(try differences(source, try expectedTensors(fixture("keras/expected.json"))).isEmpty)
  }

  @Test func weightsOfKeras() throws {
    let path = fixture("keras/models/weights.h5")
    let source = try CheckpointOpener().openFile(path)
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
    #expect(source.warnings.contains { $0.contains("is another name of one that was read") })
    let data = try contents(fixture("keras/user-block.h5"))
    for tensor in source.tensors {
      let place = Int(try #require(tensor.location).offset)
      let index = try #require(source.index(ofTensor: tensor.name))
      #expect(try source.withBytes(ofTensorAt: index) { $0.array() } == Array(data[place..<(place + tensor.byteCount)]))
    }
  }

  @Test(arguments: [
    ("external-link", "tensor 'link': a link leads to another file, which is never opened"),
    ("external-data", "tensor 'data': the data lies in other files, which are never opened"),
    ("virtual", "tensor 'view': the dataset is a view on others (a virtual dataset)"),
    ("lzf", "tensor 'packed': the data is stored through a filter that is not read; found lzf"),
    ("references", "tensor 'ref': the dataset holds what is no tensor; found references"),
    ("records", "tensor 'table': the dataset holds what is no tensor; found records of a, b"),
  ])
  func whatIsNotReadIsNamed(name: String, message: String) {
    let path = fixture("keras/refused/\(name).h5")
    let text = failure { _ = try CheckpointOpener().openFile(path) }
    #expect(text.contains(message) && text.contains("\(name).h5"), "\(text)")
  }

  /// Some byte of a structure, found by its signature, set to another value.
  enum Damage: String, CaseIterable {
    case superblockVersion, offsetSize, rootAddress, endOfFile, headerVersion, heapSignature, treeSignature
    case nodeSignature, chunkTree, cutShort
  }

  @Test(arguments: Damage.allCases)
  func damage(_ kind: Damage) throws {
    var data = try contents(fixture("keras/earliest.h5"))
    func place(_ signature: String, after start: Int = 0) throws -> Int {
      let wanted = Array(signature.utf8)
      return try #require(
        (start..<(data.count - 4)).first { Array(data[$0..<($0 + wanted.count)]) == wanted }, "no \(signature)")
    }
    let message: String
    switch kind {
    case .superblockVersion:
      data[8] = 9
      message = "the superblock's version is unknown; found 9, expected 0 to 3"
    case .offsetSize:
      data[13] = 3
      message = "the sizes of addresses and lengths are impossible; found 3 and 8"
    case .rootAddress:
      data[64 + 6] = 1
      message = "an object header lies outside the file"
    case .endOfFile:
      data[40 + 3] = 1
      message = "the file is shorter than its superblock says"
    case .headerVersion:
      data[Int(data[64])] = 7
      message = "an object header is not where it should be"
    case .heapSignature:
      data[try place("HEAP")] = 0
      message = "a heap of names is not where it should be"
    case .treeSignature:
      data[try place("TREE")] = 0
      message = "a node of a group is not where it should be"
    case .nodeSignature:
      data[try place("SNOD")] = 0
      message = "a node of a group is not where it should be"
    case .chunkTree:
      // The node of chunks: kind 1.
      var start = try place("TREE")
      while data[start + 4] != 1 { start = try place("TREE", after: start + 1) }
      data[start + 4] = 0
      message = "a node of another tree"
    case .cutShort:
      data.removeLast(data.count / 3)
      message = "the file is shorter than its superblock says"
    }
    let text = failure { try readAll(try open(data)) }
    #expect(text.contains(message) && text.contains("x.h5"), "\(text)")
  }

  @Test func everyChecksumOfTheLaterFormIsChecked() throws {
    let good = try contents(fixture("keras/latest.h5"))
    try readAll(try open(good))
    for signature in ["OHDR", "BTHD", "BTLF", "FRHP", "FAHD", "FADB", "EAHD", "EAIB"] {
      let wanted = Array(signature.utf8)
      let places = (0..<(good.count - 4)).filter { Array(good[$0..<($0 + 4)]) == wanted }
      #expect(!places.isEmpty, "no \(signature) in the fixture")
      for place in places.prefix(3) {
        var data = good
        // Past signature, version and kind.
        data[place + 8] ^= 0x40
        let text = failure { try readAll(try open(data)) }
        #expect(text.contains("x.h5"), "\(signature) at \(place): \(text)")
      }
    }
  }

  @Test(arguments: ["earliest.h5", "latest.h5"])
  func noByteCanStopTheProgram(name: String) throws {
    let good = try contents(fixture("keras/" + name))
    var refused = 0
    for place in stride(from: 0, to: good.count, by: name == "latest.h5" ? 37 : 41) {
      for change: UInt8 in [0xFF, 0x01] {
        var data = good
        data[place] ^= change
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
    let place = try #require((0..<(good.count - 12)).last { Array(good[$0..<($0 + 12)]) == row })
    var data = good
    data[place + 2] ^= 8
    let text = failure { try readAll(try open(data)) }
    #expect(text.contains("a chunk is damaged: its checksum is wrong"), "\(text)")
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
