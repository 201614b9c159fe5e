import CheckpointWriters
import TensorIO
import TestSupport
import Testing

@testable import CheckpointReaders

private func open(_ bytes: [UInt8]) throws -> any TensorSource {
  try FlaxFormat().open(Bytes(bytes, file: "x.msgpack"), path: "x.msgpack")
}

private func text(_ text: String) -> [UInt8] { [0xA0 | UInt8(text.utf8.count)] + Array(text.utf8) }

/// An extension that holds an array of F32.
private func array(_ shape: [UInt8], _ type: String = "float32", data: Int) -> [UInt8] {
  let inner =
    [0x93, 0x90 | UInt8(shape.count)] + shape + text(type) + [0xC4, UInt8(data)] + [UInt8](repeating: 1, count: data)
  return [0xC7, UInt8(inner.count), 1] + inner
}

@Suite("Flax")
struct FlaxTests {
  @Test func whatFlaxWrote() throws {
    let path = fixture("flax/tree.msgpack")
    let source = try CheckpointOpener().openFile(path)
    #expect(source.format == .flaxMsgpack)
    #expect(try differences(source, try expectedTensors(fixture("flax/expected.json"))).isEmpty)
    #expect(source.metadata.map(\.key) == ["name", "step"] || source.metadata.map(\.key) == ["step", "name"])
    // One array is in chunks, which do not lie in one piece.
    #expect(source.tensors.filter { $0.location == nil }.map(\.name).contains("large"))
  }

  @Test(
    arguments: [
      (
        [0x81] + text("a") + array([2, 3], data: 20),
        "does not fit its shape and type; found 20 bytes, expected 24 for F32 [2, 3]"
      ),
      ([0x81] + text("a") + array([1], "float31", data: 4), "the array's type is unknown; found float31"),
      ([0x81] + text("a") + [0xC7, 1, 1, 0x93], "tensor 'a': a list is cut short"),
      ([0x81] + text("a") + [0xC7, 2, 1, 0x91, 0x01], "not an array as flax writes it"),
      ([0x81] + text("a") + [0xC7, 1, 2, 0x00], "found a complex number (extension 2)"),
      ([0x81] + text("a") + [0xC7, 1, 9, 0x00], "found extension 9"),
      ([0x82] + text("a") + [0x01] + text("a") + [0x02], "a key is there twice; found a"),
      ([0x81] + text("a") + [0x01, 0x00], "data follows the parameters"),
      ([0x81] + text("a") + [0xDD, 0xFF, 0xFF, 0xFF, 0xFF], "a list is cut short"),
      ([0x81] + text("a") + [0xC6, 0xFF, 0xFF, 0xFF, 0xFF], "a value's data is cut short"),
      ([0x82] + text("a") + [0x01] + [0x05, 0x01], "a key is not a string"),
      ([0x81] + text("a") + [0xC1], "not the type of a MessagePack value"),
      ([0x81] + text("a") + [UInt8](repeating: 0x91, count: 80) + [0x01], "nested too deep"),
    ] as [([UInt8], String)])
  func brokenRules(bytes: [UInt8], message: String) {
    let text = failure { _ = try open(bytes) }
    #expect(text.contains(message) && text.contains("x.msgpack"), "\(text)")
  }

  @Test(
    arguments: [
      [0x80], [0x80, 0x02], [0x80, 0x04, 0x95], [0x81], [0x81, 0x01, 0x02], [0x93] + Array("NUMPY".utf8),
      [0xDF, 0, 0, 0, 0],
      Array("{\"a\": 1}".utf8), [0x89] + Array("HDF".utf8),
    ] as [[UInt8]])
  func otherFormatsAreNotTakenForIt(bytes: [UInt8]) {
    #expect(!FlaxFormat().recognises(Bytes(bytes), path: "x"))
  }

  @Test func noByteCanStopTheProgram() throws {
    let good = try contents(fixture("flax/tree.msgpack"))
    var refused = 0
    for place in good.indices {
      for change: UInt8 in [0xFF, 0x10, 0x01] {
        var data = good
        data[place] ^= change
        do {
          let source = try open(data)
          for index in source.tensors.indices { try source.streamBytes(ofTensorAt: index) { _ in } }
        } catch is FormatError { refused += 1 }
      }
    }
    #expect(refused > good.count / 4)
  }
}

@Suite("NumPy shards")
struct NpyShardsTests {
  private let folder = fixture("numpy/gpt-shards")

  @Test(arguments: ["", "/params_shapes.json", "/params_0.npy", "/params_2.npy"])
  func everyNameLeadsToTheWhole(name: String) throws {
    let source = try CheckpointOpener().open(folder + name, kind: .numPy).source
    #expect(source.format == .npyShards && source.tensors.count == 26 && source.warnings.isEmpty)
    #expect(source.tensors.map(\.name).prefix(3) == ["model/positions", "model/tokens", "model/h0/attn/c_attn/w"])
    #expect(source.tensors[2].shape == [1, 12, 36])
    #expect(source.tensors.filter { $0.location == nil }.count == 3)
    var all: [UInt8] = []
    for index in source.tensors.indices {
      let whole = try source.withBytes(ofTensorAt: index) { $0.array() }
      var streamed: [UInt8] = []
      try source.streamBytes(ofTensorAt: index) { streamed += $0.array() }
      #expect(whole == streamed && whole.count == source.tensors[index].byteCount)
      all += whole
    }
    var stored: [UInt8] = []
    for number in 0..<4 { stored += try contents("\(folder)/params_\(number).npy").dropFirst(128) }
    #expect(all == stored)
  }

  /// The fixture's files in a folder of their own, changed.
  private func problem(_ change: (String) throws -> Void) throws -> String {
    let copy = TemporaryFolder()
    for name in try FileSystem.names(inFolder: folder) { _ = try copy.write(try contents("\(folder)/\(name)"), name) }
    try change(copy.path)
    return failure { _ = try CheckpointOpener().open(copy.path, kind: .numPy) }
  }

  private func write(_ text: String, _ path: String) throws {
    try AtomicFile.write(Array(text.utf8), to: path, overwrites: true)
  }

  @Test func whatDoesNotFitIsTold() throws {
    var text = try problem { try AtomicFile.write([], to: $0 + "/params_3.npy", overwrites: true) }
    #expect(text.contains("params_3.npy: at byte 0"), "\(text)")
    text = try problem { try write("[[2, 3], [4]]", $0 + "/params_shapes.json") }
    #expect(
      text.contains("the arrays do not hold what the shapes say") && text.contains("expected 10 for 2 shapes"),
      "\(text)")
    text = try problem { try write("[[2, -3]]", $0 + "/params_shapes.json") }
    #expect(text.contains("tensor 'params/0': a shape is not a list of sizes; found [2, -3]"), "\(text)")
    text = try problem { try write("[]", $0 + "/params_shapes.json") }
    #expect(text.contains("not a list of shapes; found 0 entries"), "\(text)")
    text = try problem { try write("[[4611686018427387904, 4611686018427387904]]", $0 + "/params_shapes.json") }
    #expect(text.contains("a shape is too large"), "\(text)")
    text = try problem { path in
      // The last one becomes number 7.
      let last = try contents(path + "/params_3.npy")
      try AtomicFile.write(last, to: path + "/params_7.npy", overwrites: true)
      try AtomicFile.write(last, to: path + "/params_4.npy", overwrites: true)
    }
    #expect(text.contains("params_5.npy: an array is missing; found params_7.npy in its place"), "\(text)")
  }

  @Test func otherListsAreNumbered() throws {
    let copy = TemporaryFolder()
    for number in 0..<4 {
      _ = try copy.write(try contents("\(folder)/params_\(number).npy"), "params_\(number).npy")
    }
    let total = try CheckpointOpener().open(folder, kind: nil).source.tensors.reduce(0) { $0 + $1.elementCount }
    _ = try copy.write(Array("[[\(total - 6)], [2, 3]]".utf8), "params_shapes.json")
    let source = try CheckpointOpener().open(copy.path, kind: nil).source
    #expect(source.tensors.map(\.name) == ["params/0", "params/1"] && source.tensors[1].shape == [2, 3])
    #expect(source.warnings.contains { $0.contains("so the parameters are numbered") })
  }
}
