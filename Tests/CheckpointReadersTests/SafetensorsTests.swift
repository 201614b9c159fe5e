import CheckpointReaders
import CheckpointWriters
import TensorIO
import TestSupport
import Testing

private func open(_ path: String) throws -> any TensorSource {
  try SafetensorsFormat().open(try MappedFile.open(path), path: path)
}

private func openShards(_ path: String) throws -> ShardedSource {
  try ShardedSource(index: path) { (shard) throws(FormatError) in
    try SafetensorsFormat().open(try MappedFile.open(shard), path: shard)
  }
}

/// A file with this header and as many data bytes.
private func file(_ header: String, data: Int = 0) -> [UInt8] {
  ZipTestBuilder.number(header.utf8.count, 8) + Array(header.utf8) + [UInt8](repeating: 0, count: data)
}

@Suite("safetensors files")
struct SafetensorsTests {
  @Test func whatTheReferenceWrote() throws {
    let path = fixture("safetensors/dtypes.safetensors")
    #expect(SafetensorsFormat().recognises(try MappedFile.open(path), path: path))
    let source = try open(path)
    #expect(source.format == .safetensors)
    #expect(try differences(source, try expectedTensors(fixture("safetensors/expected.json"))).isEmpty)
    #expect(source.metadata.map(\.key) == ["note"] && source.metadata.map(\.value) == ["every type"])
    #expect(source.tensors.allSatisfy { $0.location != nil })
  }

  @Test(arguments: [
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 7, "beyond the end"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 9, "does not end with the last tensor"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8, "hole"),
    (
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
      8, "overlaps"
    ),
    (#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8, "do not fit"),
    (#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, 8, "whole number"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8, "pair of offsets"),
    (#"{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}"#, 8, "unknown dtype"),
    (#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#, 8, "too large"),
    (
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
      8, "twice"
    ),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}"#, 8, "unknown key"),
    (#"{"a":1}"#, 0, "not a JSON object"), (#"{"a":{"dtype":"F32""#, 0, "JSON"), (#" {}"#, 0, "begin with '{'"),
    (#"{"__metadata__":{"a":1}}"#, 0, "not a string"),
  ])
  func brokenRules(header: String, data: Int, expected: String) throws {
    let folder = TemporaryFolder()
    let path = try folder.write(file(header, data: data), "x.safetensors")
    let text = failure { _ = try open(path) }
    #expect(text.contains(expected) && text.contains("x.safetensors"))
  }

  /// The eight bytes in front of the header.
  @Test(arguments: [
    (100_000_001, "longer than the format allows"), (-1, "longer than the format allows"), (1 << 20, "cut short"),
    (0, "begin with '{'"),
  ])
  func lengthsThatAreWrong(length: Int, expected: String) {
    let bytes = ZipTestBuilder.number(length, 8) + Array("{}".utf8)
    let text = failure { _ = try SafetensorsSource(Bytes(bytes, file: "x.safetensors"), path: "x.safetensors") }
    #expect(text.contains(expected) && text.hasPrefix("x.safetensors: "), "\(text)")
  }

  @Test func everyShorterFileIsRefused() throws {
    let good = try contents(fixture("safetensors/dtypes.safetensors"))
    for count in stride(from: 0, to: good.count, by: 7) {
      #expect(throws: FormatError.self) { try SafetensorsSource(Bytes(Array(good.prefix(count))), path: "x") }
    }
  }

  // MARK: Native files

  private func native(_ checksum: String, name: String = "a") -> [UInt8] {
    let sums = #"{\"layout\":\"0\",\"metadata\":{},\"tensors\":{\"\#(name)\":\"\#(checksum)\"}}"#
    let entry = #""a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}"#
    return file(#"{"__metadata__":{"bertconv.profile":"1","bertconv.checksums":"\#(sums)"},\#(entry)}"#)
      + Array("123456789".utf8)
  }

  @Test func checksumsOfNativeFilesAreChecked() throws {
    let source = try SafetensorsSource(Bytes(native("e3069283")), path: "m")
    #expect(source.format == .native)
    #expect(try source.withBytes(ofTensorAt: 0) { $0.byteCount } == 9)
    let damaged = try SafetensorsSource(Bytes(native("e3069284")), path: "m")
    #expect(failure { try damaged.withBytes(ofTensorAt: 0) { _ in } }.contains("checksum"))
    #expect(failure { try damaged.streamBytes(ofTensorAt: 0) { _ in } }.contains("checksum"))
    #expect(
      failure { _ = try SafetensorsSource(Bytes(native("e3069283", name: "b")), path: "m") }.contains(
        "not of this tensor"))
  }

  // MARK: Shards

  @Test func shardsAreOneCheckpoint() throws {
    let source = try openShards(fixture("safetensors/sharded/model.safetensors.index.json"))
    #expect(source.format == .safetensors && source.files.count == 3)
    #expect(try differences(source, try expectedTensors(fixture("safetensors/sharded/expected.json"))).isEmpty)
    #expect(Set(source.tensors.compactMap { $0.location?.file }) == [1, 2])
  }

  /// The list of the fixture, changed, beside copies of its shards.
  private func changed(_ change: (String) -> String, without: String? = nil) throws -> String {
    let folder = TemporaryFolder()
    for number in 1...2 {
      let name = "model-0000\(number)-of-00002.safetensors"
      if name != without { _ = try folder.copy(fixture("safetensors/sharded/" + name)) }
    }
    let text = try FileSystem.text(fixture("safetensors/sharded/model.safetensors.index.json"))
    let path = try folder.write(Array(change(text).utf8), "model.safetensors.index.json")
    return failure { _ = try openShards(path) }
  }

  private func replacing(_ text: String, _ part: String, _ other: String) -> String {
    text.replacing(part, with: other, maxReplacements: 1)
  }

  @Test func missingShardsAreListed() throws {
    let text = try changed({ $0 }, without: "model-00002-of-00002.safetensors")
    #expect(text.contains("1 of 2 shards is missing") && text.contains("model-00002-of-00002.safetensors"))
  }

  @Test(arguments: [
    (
      #""layer.0.a": "model-00001-of-00002.safetensors""#, #""layer.0.a": "model-00002-of-00002.safetensors""#,
      "another shard"
    ),
    (#""layer.0.a": "#, #""layer.9.a": "#, "does not name"),
    (#""layer.0.a": "#, #""more": "model-00001-of-00002.safetensors", "layer.0.a": "#, "promises"),
    (#""layer.0.a": "#, #""layer.0.a": "../x.safetensors", "layer.1.x": "#, "beside the list"),
    (#""layer.0.a": "#, #""x": "/etc/passwd", "layer.0.a": "#, "beside the list"),
    (#""layer.0.a": "#, #""x": "sub/x.safetensors", "layer.0.a": "#, "beside the list"),
    (#""layer.0.a": "#, #""x": "..\\x.safetensors", "layer.0.a": "#, "beside the list"),
    (#""layer.0.a": "#, #""x": "..", "layer.0.a": "#, "beside the list"),
    (#""layer.0.a": "#, #""x": "", "layer.0.a": "#, "beside the list"),
    (#""layer.0.a": "#, #""x": "a\u0000b", "layer.0.a": "#, "beside the list"),
    (#""layer.0.a": "#, #""layer.0.a": "model-00001-of-00002.safetensors", "layer.0.a": "#, "twice"),
    (#""weight_map": {"#, #""weight_map": [{"#, "JSON"),
    (#""weight_map": {"#, #""weight_map": 7, "x": {"#, "weight_map"),
    (#""layer.0.a": "#, #""x": 7, "layer.0.a": "#, "not a name"),
    (#""weight_map""#, #""weights""#, "weight_map"),
  ])
  func listsThatDoNotFit(part: String, other: String, expected: String) throws {
    let text = try changed {
      #expect($0.contains(part))
      return replacing($0, part, other)
    }
    #expect(text.contains(expected) && text.contains("model"), "\(text)")
  }

  /// The shards themselves: one in place of the other, of another format, of no format, cut short.
  @Test(arguments: ["mixed", "format", "garbage", "short", "gone"])
  func shardsThatDoNotFit(_ damage: String) throws {
    let folder = TemporaryFolder()
    let names = (1...2).map { "model-0000\($0)-of-00002.safetensors" }
    _ = try folder.copy(fixture("safetensors/sharded/" + names[0]))
    _ = try folder.copy(fixture("safetensors/sharded/model.safetensors.index.json"))
    let second = try contents(fixture("safetensors/sharded/" + names[1]))
    switch damage {
    case "mixed": _ = try folder.copy(fixture("safetensors/sharded/" + names[0]), as: names[1])
    case "format": _ = try folder.copy(fixture("numpy/stored.npz"), as: names[1])
    case "garbage": _ = try folder.write(Array("garbage".utf8), names[1])
    case "short": _ = try folder.write(Array(second.dropLast()), names[1])
    default: _ = try folder.write([0], names[1] + "x")
    }
    let text = failure { _ = try CheckpointOpener().open(folder.path) }
    let expected = [
      "mixed": "another shard has too", "format": "of different formats", "garbage": "in no format",
      "short": "beyond the end", "gone": "1 of 2 shards is missing",
    ]
    #expect(text.contains(try #require(expected[damage])) && text.contains(names[1]), "\(text)")
  }

  // MARK: The writer

  @Test func whatIsWrittenIsRead() throws {
    let folder = TemporaryFolder()
    let expected = try expectedTensors(fixture("safetensors/expected.json"))
    let path = folder.file("out.safetensors")
    let writer = try SafetensorsWriter(
      path: path, overwrites: false, metadata: [("format", "pt"), ("note", "new"), ("größe", "🦉\n")])
    try write(expected, to: writer)
    let source = try open(path)
    #expect(try differences(source, expected).isEmpty)
    #expect(source.metadata.map(\.key) == ["format", "note", "größe"])
    #expect(source.metadata.map(\.value) == ["pt", "new", "🦉\n"])
    for tensor in source.tensors { #expect(Int(tensor.location?.offset ?? 1) % (tensor.elementType.size ?? 1) == 0) }
  }

  @Test func namesAndTypesThatTheFormatLacksAreRefused() throws {
    let folder = TemporaryFolder()
    let writer = try SafetensorsWriter(path: folder.file("out.safetensors"), overwrites: false)
    #expect(
      failure { try writer.begin([TensorInfo(name: "__metadata__", elementType: .f32, shape: [1], byteCount: 4)]) }
        .contains("taken"))
    #expect(
      failure { try writer.begin([TensorInfo(name: "a", elementType: .c128, shape: [1], byteCount: 16)]) }.contains(
        "C128"))
  }
}
