import CheckpointFormats
import CheckpointReaders
import TensorIO
import TestSupport
import Testing

@testable import NativeFormat

/// A small native file: two tensors of whole lines, three that are not.
private func writeModel(_ path: String, overwrites: Bool = false) throws {
  let writer = try NativeWriter(
    path: path, overwrites: overwrites,
    config: .object(["model_type": .string("bert"), "layer_norm_eps": .number("1e-12")]), vocabulary: "[PAD]\nü\n",
    source: .object(["tool": .string("test")]))
  let tensors = [
    TensorInfo(name: "odd", elementType: .u8, shape: [3]), TensorInfo(name: "first", elementType: .f32, shape: [4, 8]),
    TensorInfo(name: "bias", elementType: .f32, shape: [5]), TensorInfo(name: "half", elementType: .f16, shape: [3]),
    TensorInfo(name: "second", elementType: .f32, shape: [16]),
    TensorInfo(name: "empty", elementType: .f32, shape: [0, 3]),
  ].compactMap(\.self)
  try writer.begin(tensors)
  for (index, tensor) in tensors.enumerated() {
    let bytes = (0..<tensor.byteCount).map { UInt8(truncatingIfNeeded: $0 + index) }
    // In two chunks, as a large tensor comes.
    let half = tensor.byteCount / 2
    for chunk in [bytes[..<half], bytes[half...]] {
      try Bytes(Array(chunk)).withSpan { try writer.append($0, toTensorAt: index) }
    }
  }
  try writer.finish()
}

/// As the encoder opens a file, and as the source of a conversion, an inspection or a comparison.
enum Way: CaseIterable, Sendable {
  case model, source

  func openAndVerify(_ bytes: [UInt8]) throws {
    let file = Bytes(bytes, file: "m.safetensors")
    switch self {
    case .model: try NativeModel(file, path: "m.safetensors").verifyChecksums()
    case .source:
      let source = try SafetensorsFormat().open(file, path: "m.safetensors")
      for index in source.tensors.indices { try source.streamBytes(ofTensorAt: index) { _ in } }
    }
  }
}

@Suite("The native format")
struct NativeFormatTests {
  @Test func whatIsWrittenIsRead() throws {
    let folder = TemporaryFolder()
    let path = folder.file("m.safetensors")
    try writeModel(path)
    let model = try NativeModel.open(path)
    try model.verifyChecksums()
    #expect(model.isNative)
    #expect(model.config?["layer_norm_eps"] == .number("1e-12"))
    #expect(model.vocabulary == "[PAD]\nü\n")
    #expect(model.header.dataStart % 4096 == 0)
    // Whole lines first in the order given, then the rest by element size.
    #expect(model.tensorNames == ["first", "second", "empty", "bias", "half", "odd"])
    for name in model.tensorNames {
      let tensor = try #require(model.tensor(name))
      let alignment = tensor.bytes.count % 64 == 0 ? 64 : tensor.elementType.size ?? 1
      #expect(Int(tensor.bytes.offsetInFile) % alignment == 0)
    }
    #expect(model.tensor("bias")?.bytes.array() == (0..<20).map { UInt8($0 + 2) })
  }

  @Test func theSameInputGivesTheSameBytes() throws {
    let folder = TemporaryFolder()
    try writeModel(folder.file("a"))
    try writeModel(folder.file("b"))
    #expect(try contents(folder.file("a")) == contents(folder.file("b")))
  }

  @Test func aNativeFileIsASource() throws {
    let folder = TemporaryFolder()
    let path = folder.file("m.safetensors")
    try writeModel(path)
    let source = try SafetensorsFormat().open(try MappedFile.open(path), path: path)
    let model = try NativeModel.open(path)
    #expect(source.format == .native && source.tensors.map(\.name) == model.tensorNames)
    for (index, tensor) in source.tensors.enumerated() {
      let bytes = try source.withBytes(ofTensorAt: index) { $0.array() }
      #expect(try bytes == #require(model.tensor(tensor.name)).bytes.array())
    }
  }

  /// Of the metadata, of the header's padding and of the data alike; the other test changes every byte.
  @Test(arguments: Way.allCases)
  func damageIsFound(_ way: Way) throws {
    let folder = TemporaryFolder()
    let path = folder.file("m.safetensors")
    try writeModel(path)
    let good = try contents(path)
    try way.openAndVerify(good)
    for index in stride(from: 0, to: good.count, by: 41) {
      var bad = good
      bad[index] ^= 1
      #expect(throws: FormatError.self, "byte \(index)") { try way.openAndVerify(bad) }
    }
    // Without its profile number the file must not pass for a plain one.
    let text = String(decoding: good, as: UTF8.self)
    for key in ["bertconv.profile", "bertconv.config", "bertconv.checksums", "bertconv.source", "bertconv.vocab"] {
      #expect(text.contains(key))
      var bad = good
      for start in bad.indices where bad[start...].starts(with: key.utf8) { bad[start + 9] = UInt8(ascii: "z") }
      #expect(throws: FormatError.self, "\(key)") { try way.openAndVerify(bad) }
    }
  }

  @Test(.exhaustive, arguments: Way.allCases)
  func anyChangedByteIsFound(_ way: Way) throws {
    let folder = TemporaryFolder()
    let path = folder.file("m.safetensors")
    try writeModel(path)
    let good = try contents(path)
    for index in good.indices {
      // Most of the file is padding of the header, spaces that are all alike.
      for change: UInt8 in good[index] == 0x20 ? [0x29] : [0x01, 0x29, 0x80] {
        var bad = good
        bad[index] ^= change
        #expect(throws: FormatError.self, "byte \(index) changed by \(change)") {
          try way.openAndVerify(bad)
        }
      }
    }
  }

  @Test(arguments: [0, 4, 8, 100, 4095, 4096, 4097], Way.allCases)
  func aFileCutShortIsRefused(_ length: Int, _ way: Way) throws {
    let folder = TemporaryFolder()
    let path = folder.file("m.safetensors")
    try writeModel(path)
    let good = try contents(path)
    #expect(throws: FormatError.self) { try way.openAndVerify(Array(good[..<length])) }
    #expect(throws: FormatError.self) { try way.openAndVerify(good + [0]) }
  }

  @Test(arguments: Way.allCases)
  func aNewerProfileIsNamed(_ way: Way) throws {
    // The header's checks come after the profile's, which a newer one may change.
    let bytes = SafetensorsHeader.encoded(
      [], metadata: [("format", "pt"), ("bertconv.profile", "2")], alignment: 4096)
    let error = #expect(throws: FormatError.self) { try way.openAndVerify(bytes) }
    #expect(error?.kind == .unsupported && error?.found == "profile 2")
  }

  @Test func anUnfinishedWriterLeavesNothing() throws {
    let folder = TemporaryFolder()
    let path = folder.file("m")
    do {
      let writer = try NativeWriter(
        path: path, overwrites: false, config: .object([]), vocabulary: nil, source: .object([]))
      try writer.begin([TensorInfo(name: "a", elementType: .f32, shape: [2])].compactMap(\.self))
      #expect(throws: FormatError.self) {
        try Bytes([UInt8](repeating: 0, count: 9)).withSpan { try writer.append($0, toTensorAt: 0) }
      }
      #expect(throws: FormatError.self) { try writer.finish() }
    }
    #expect(try FileSystem.names(inFolder: folder.path).isEmpty)
  }

  /// The name would be taken for the header's own entry.
  @Test func aReservedNameIsNotWritten() throws {
    let folder = TemporaryFolder()
    let writer = try NativeWriter(
      path: folder.file("m"), overwrites: false, config: .object([]), vocabulary: nil, source: .object([]))
    let error = #expect(throws: FormatError.self) {
      try writer.begin(
        [TensorInfo(name: "__metadata__", elementType: .f32, shape: [2])].compactMap(\.self))
    }
    #expect(error?.kind == .unsupported && error?.tensor == "__metadata__")
  }

  /// One wrong part of a header each, and a word of its error.
  @Test(arguments: [
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, FormatError.Kind.damaged),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8, .damaged),
    (
      #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#,
      6, .damaged
    ),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 8, .damaged),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 2, .damaged),
    (#"{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#, 4, .unsupported),
    (#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4, .damaged),
    (#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}"#, 4, .limit),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4, .damaged),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}"#, 4, .damaged),
    (
      #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
      4, .damaged
    ),
    (#"{"__metadata__":{"a":1}}"#, 0, .damaged),
    (#"{"__metadata__":3}"#, 0, .damaged),
    (#"[]"#, 0, .damaged),
  ])
  func headerRules(_ header: String, _ dataBytes: Int, _ kind: FormatError.Kind) throws {
    let folder = TemporaryFolder()
    let text = Array(header.utf8)
    let length = littleEndianBytes(UInt64(text.count))
    let path = try folder.write(length + text + [UInt8](repeating: 0, count: dataBytes), "f")
    let error = #expect(throws: FormatError.self) { try NativeModel.open(path) }
    #expect(error?.kind == kind && error?.file == path, "\(String(describing: error))")
  }

  @Test(arguments: [UInt64.max, 1 << 63, 100_000_001, 1000])
  func impossibleHeaderLengths(_ length: UInt64) throws {
    let folder = TemporaryFolder()
    let path = try folder.write(
      littleEndianBytes(length) + Array("{}".utf8), "f")
    #expect(throws: FormatError.self) { try NativeModel.open(path) }
  }
}
