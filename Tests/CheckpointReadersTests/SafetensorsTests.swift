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
    #expect(SafetensorsFormat().recognizes(try MappedFile.open(path), path: path))
    let source = try open(path)
    #expect(source.format == .safetensors)
    #expect(try differences(source, try expectedTensors(fixture("safetensors/expected.json"))).isEmpty)
    #expect(source.metadata.map(\.key) == ["note"] && source.metadata.map(\.value) == ["every type"])
    #expect(source.tensors.allSatisfy { $0.location != nil })
  }

  private static let rules: [(header: String, data: Int, kind: FormatError.Kind)] = [
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 7, .damaged),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 9, .damaged),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8, .damaged),
    (
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
      8, .damaged
    ),
    (#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8, .damaged),
    (#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, 8, .damaged),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8, .damaged),
    (#"{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}"#, 8, .unsupported),
    (#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#, 8, .limit),
    (
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
      8, .damaged
    ),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}"#, 8, .damaged),
    (#"{"a":1}"#, 0, .damaged),
    (#"{"a":{"dtype":"F32""#, 0, .damaged),
    (#" {}"#, 0, .damaged),
    (#"{"__metadata__":{"a":1}}"#, 0, .damaged),
  ]

  @Test(arguments: rules)
  func brokenRules(header: String, data: Int, kind: FormatError.Kind) throws {
    let folder = TemporaryFolder()
    let path = try folder.write(file(header, data: data), "x.safetensors")
    let error = formatError { _ = try open(path) }
    #expect(error?.kind == kind && error?.file == path, "\(String(describing: error))")
  }

  @Test func messages() throws {
    let headers = try Self.rules.map { header, data, _ in
      let folder = TemporaryFolder()
      let path = try folder.write(file(header, data: data), "x.safetensors")
      return line(header, formatError { _ = try open(path) }, folder: folder.path)
    }
    let lists = try Self.lists.map { part, other, _ in
      let (error, folder) = try changed { replacing($0, part, other) }
      return line("\(part) -> \(other)", error, folder: folder)
    }
    #expect(try goldenDifference("damaged-safetensors", headers + lists) == nil)
  }

  /// The eight bytes in front of the header.
  @Test(arguments: [
    (100_000_001, FormatError.Kind.limit), (-1, .limit), (1 << 20, .damaged), (0, .damaged),
  ])
  func lengthsThatAreWrong(length: Int, kind: FormatError.Kind) {
    let bytes = ZipTestBuilder.number(length, 8) + Array("{}".utf8)
    let error = formatError {
      _ = try SafetensorsFormat().open(Bytes(bytes, file: "x.safetensors"), path: "x.safetensors")
    }
    #expect(error?.kind == kind && error?.file == "x.safetensors", "\(String(describing: error))")
  }

  @Test func everyShorterFileIsRefused() throws {
    let good = try contents(fixture("safetensors/dtypes.safetensors"))
    for count in stride(from: 0, to: good.count, by: 7) {
      #expect(throws: FormatError.self) { try SafetensorsFormat().open(Bytes(Array(good.prefix(count))), path: "x") }
    }
  }

  // MARK: Shards

  @Test func shardsAreOneCheckpoint() throws {
    let source = try openShards(fixture("safetensors/sharded/model.safetensors.index.json"))
    #expect(source.format == .safetensors && source.files.count == 3)
    #expect(try differences(source, try expectedTensors(fixture("safetensors/sharded/expected.json"))).isEmpty)
    #expect(Set(source.tensors.compactMap { $0.location?.file }) == [1, 2])
  }

  /// Opens the list of the fixture, changed, in a folder with copies of its shards.
  private func changed(
    _ change: (String) -> String, without: String? = nil
  ) throws -> (error: FormatError?, folder: String) {
    let folder = TemporaryFolder()
    for number in 1...2 {
      let name = "model-0000\(number)-of-00002.safetensors"
      if name != without { _ = try folder.copy(fixture("safetensors/sharded/" + name)) }
    }
    let text = try FileSystem.text(fixture("safetensors/sharded/model.safetensors.index.json"))
    let path = try folder.write(Array(change(text).utf8), "model.safetensors.index.json")
    return (formatError { _ = try openShards(path) }, folder.path)
  }

  private func replacing(_ text: String, _ part: String, _ other: String) -> String {
    text.replacing(part, with: other, maxReplacements: 1)
  }

  @Test func missingShardsAreListed() throws {
    let error = try changed({ $0 }, without: "model-00002-of-00002.safetensors").error
    #expect(error?.kind == .unreadable && error?.expected == "model-00002-of-00002.safetensors")
  }

  private static let lists: [(part: String, other: String, kind: FormatError.Kind)] = [
    (
      #""layer.0.a": "model-00001-of-00002.safetensors""#, #""layer.0.a": "model-00002-of-00002.safetensors""#, .damaged
    ),
    (#""layer.0.a": "#, #""layer.9.a": "#, .damaged),
    (#""layer.0.a": "#, #""more": "model-00001-of-00002.safetensors", "layer.0.a": "#, .damaged),
    (#""layer.0.a": "#, #""layer.0.a": "../x.safetensors", "layer.1.x": "#, .dangerous),
    (#""layer.0.a": "#, #""x": "/etc/passwd", "layer.0.a": "#, .dangerous),
    (#""layer.0.a": "#, #""x": "sub/x.safetensors", "layer.0.a": "#, .dangerous),
    (#""layer.0.a": "#, #""x": "..\\x.safetensors", "layer.0.a": "#, .dangerous),
    (#""layer.0.a": "#, #""x": "..", "layer.0.a": "#, .dangerous),
    (#""layer.0.a": "#, #""x": "", "layer.0.a": "#, .dangerous),
    (#""layer.0.a": "#, #""x": "a\u0000b", "layer.0.a": "#, .dangerous),
    (#""layer.0.a": "#, #""layer.0.a": "model-00001-of-00002.safetensors", "layer.0.a": "#, .damaged),
    (#""weight_map": {"#, #""weight_map": [{"#, .damaged),
    (#""weight_map": {"#, #""weight_map": 7, "x": {"#, .unrecognized),
    (#""layer.0.a": "#, #""x": 7, "layer.0.a": "#, .damaged),
    (#""weight_map""#, #""weights""#, .unrecognized),
  ]

  @Test(arguments: lists)
  func listsThatDoNotFit(part: String, other: String, kind: FormatError.Kind) throws {
    let (error, folder) = try changed {
      #expect($0.contains(part))
      return replacing($0, part, other)
    }
    #expect(error?.kind == kind && error?.file?.hasPrefix(folder) == true, "\(String(describing: error))")
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
    let error = formatError { _ = try CheckpointOpener().open(folder.path) }
    let kinds: [String: FormatError.Kind] = ["garbage": .unrecognized, "gone": .unreadable]
    #expect(error?.kind == kinds[damage] ?? .damaged, "\(String(describing: error))")
    if damage == "gone" { #expect(error?.expected == names[1]) } else { #expect(error?.file == folder.file(names[1])) }
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
    let name = formatError {
      try writer.begin([TensorInfo(name: "__metadata__", elementType: .f32, shape: [1], byteCount: 4)])
    }
    #expect(name?.kind == .unsupported && name?.tensor == "__metadata__")
    let type = formatError { try writer.begin([TensorInfo(name: "a", elementType: .c128, shape: [1], byteCount: 16)]) }
    #expect(type?.kind == .unsupported && type?.found == "C128")
  }
}
