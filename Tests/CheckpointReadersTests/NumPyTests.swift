import CheckpointWriters
import TensorIO
import TestSupport
import Testing

@testable import CheckpointReaders

/// A `.npy` file with the given dict and data.
func npy(_ dict: String, _ data: [UInt8] = [], version: UInt8 = 1) -> [UInt8] {
  let length = version == 1 ? ZipTestBuilder.number(dict.utf8.count, 2) : ZipTestBuilder.number(dict.utf8.count, 4)
  return [0x93] + Array("NUMPY".utf8) + [version, 0] + length + Array(dict.utf8) + data
}

func npyDict(_ descr: String, _ shape: String = "(2,)", fortran: String = "False") -> String {
  "{'descr': '\(descr)', 'fortran_order': \(fortran), 'shape': \(shape), }\n"
}

private func open(npy bytes: [UInt8]) throws -> NumPySource {
  try NumPySource(npy: Bytes(bytes, file: "x.npy"), path: "x.npy")
}

@Suite("NumPy arrays")
struct NumPyTests {
  @Test(arguments: ["stored.npz", "compressed.npz"])
  func whatNumPyWrote(name: String) throws {
    let path = fixture("numpy/" + name)
    let file = try MappedFile.open(path)
    #expect(NpzFormat().recognizes(file, path: path))
    let source = try NpzFormat().open(file, path: path)
    #expect(source.format == .npz && source.warnings.isEmpty)
    #expect(try differences(source, try expectedTensors(fixture("numpy/expected.json"))).isEmpty)
  }

  /// Every version of the header, and every order of bytes and axes, as NumPy writes them.
  @Test(arguments: [
    "version-1", "version-2", "version-3", "fortran", "big-endian", "big-endian-fortran", "scalar",
  ])
  func everyFormOfAnArray(name: String) throws {
    let source = try CheckpointOpener().open(fixture("numpy-forms/\(name).npy")).source
    let expected = try expectedTensors(fixture("numpy-forms/expected.json")).filter { $0.name == name }
    #expect(expected.count == 1 && source.tensors.count == 1)
    #expect(try differences(source, expected).isEmpty)
    #expect((source.tensors[0].location != nil) == name.hasPrefix("version"))
  }

  /// Archives with the records of zip64, and those that were written where nothing can be gone back to.
  @Test(arguments: ["zip64-stored", "zip64-deflated", "streamed-stored", "streamed-deflated"])
  func everyFormOfAnArchive(name: String) throws {
    let source = try CheckpointOpener().open(fixture("numpy-forms/\(name).npz")).source
    let expected = try expectedTensors(fixture("numpy-forms/expected.json")).filter { ["a", "b/c"].contains($0.name) }
    #expect(expected.count == 2 && source.warnings.isEmpty)
    #expect(try differences(source, expected).isEmpty)
  }

  @Test(arguments: [("object", FormatError.Kind.dangerous), ("fields", .unsupported)])
  func arraysOfNoNumbers(name: String, kind: FormatError.Kind) {
    let path = fixture("numpy-forms/\(name).npy")
    let error = formatError { _ = try CheckpointOpener().open(path) }
    #expect(error?.kind == kind && error?.tensor == name && error?.file == path, "\(String(describing: error))")
  }

  @Test func objectsAreRefusedByName() {
    let path = fixture("numpy/object.npz")
    let error = formatError { _ = try NpzFormat().open(try MappedFile.open(path), path: path) }
    #expect(error?.kind == .dangerous && error?.tensor == "settings")
  }

  @Test(arguments: [1, 2, 3] as [UInt8])
  func everyVersionOfTheHeader(version: UInt8) throws {
    let bytes = npy(npyDict("<f4"), [1, 2, 3, 4, 5, 6, 7, 8], version: version)
    #expect(NpyFormat().recognizes(Bytes(bytes), path: "folder/word.npy"))
    let source = try NpyFormat().open(Bytes(bytes), path: "folder/word.npy")
    #expect(source.tensors.map(\.name) == ["word"])
    #expect(try source.withBytes(ofTensorAt: 0) { $0.array() } == [1, 2, 3, 4, 5, 6, 7, 8])
  }

  @Test(arguments: [
    ("<f2", "F16", 2), ("<f4", "F32", 4), ("<f8", "F64", 8), ("|i1", "I8", 1), ("<i2", "I16", 2), ("<i4", "I32", 4),
    ("<i8", "I64", 8), ("|u1", "U8", 1), ("<u2", "U16", 2), ("<u4", "U32", 4), ("<u8", "U64", 8), ("|b1", "BOOL", 1),
    ("?", "BOOL", 1), ("<c8", "C64", 8), ("<c16", "C128", 16), ("<V2", "BF16", 2), ("u1", "U8", 1),
  ])
  func everyType(descr: String, name: String, size: Int) throws {
    let data = (0..<(2 * size)).map { UInt8($0) }
    let source = try open(npy: npy(npyDict(descr), data))
    #expect(source.tensors[0].elementType.rawValue == name)
    #expect(try source.withBytes(ofTensorAt: 0) { $0.array() } == data)
    #expect(source.warnings.isEmpty == (name != "BF16"))
  }

  @Test func bigEndianIsSwappedByTheUnit() throws {
    let data = (0..<16).map { UInt8($0) }
    let float = try open(npy: npy(npyDict(">f8"), data))
    #expect(
      try float.withBytes(ofTensorAt: 0) { $0.array() } == [7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8])
    let complex = try open(npy: npy(npyDict(">c8"), data))
    #expect(
      try complex.withBytes(ofTensorAt: 0) { $0.array() } == [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12])
  }

  @Test(arguments: ["()", "(1,)", "(1, 1)"])
  func shapesOfOneElement(shape: String) throws {
    let source = try open(npy: npy(npyDict("<i2", shape, fortran: "True"), [7, 9]))
    #expect(source.tensors[0].location?.offset == UInt64(10 + npyDict("<i2", shape, fortran: "True").utf8.count))
    #expect(try source.withBytes(ofTensorAt: 0) { $0.array() } == [7, 9])
  }

  @Test(arguments: [
    "|O", "O", "|S5", "<M8[ns]", "|V2", "|V8", "<f16", "f4", "=f4", "|f4", "", "<", "<f4\u{e9}",
  ])
  func typesThatAreNotNumbers(descr: String) {
    let error = formatError { _ = try open(npy: npy(npyDict(descr), [0, 0, 0, 0, 0, 0, 0, 0])) }
    #expect(error?.kind == (descr.contains("O") ? .dangerous : .unsupported) && error?.found == descr)
  }

  private static let otherHeaders = [
    "",
    "{",
    "{}",
    "{'descr': '<f4'}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x",
    "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}",
    "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': [2]}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 'x')}",
    "{'descr': '<f4",
    "{'descr': '<f\\x34', 'fortran_order': False, 'shape': (2,)}",
    "{'descr': [('a', '<f4'), ('b', '<i4')], 'fortran_order': False, 'shape': (1,)}",
    "{'descr': [('a', '<f4'",
    "__import__('os').system('touch pwned')",
  ]

  @Test(arguments: otherHeaders)
  func headersThatNumPyDoesNotWrite(text: String) {
    let error = formatError { _ = try open(npy: npy(text, [0, 0, 0, 0, 0, 0, 0, 0])) }
    let kind: FormatError.Kind =
      text.contains("4294967296") ? .limit : text.contains("[('a', '<f4'), (") ? .unsupported : .damaged
    #expect(error?.kind == kind && error?.file == "x.npy", "\(String(describing: error))")
  }

  @Test func messages() throws {
    let lines = Self.otherHeaders.map { text in
      line(text, formatError { _ = try open(npy: npy(text, [0, 0, 0, 0, 0, 0, 0, 0])) })
    }
    #expect(try goldenDifference("damaged-npy", lines) == nil)
  }

  @Test func pythonTwoAndOtherSpacing() throws {
    let text = "{\"shape\":(2L,),\"fortran_order\":True , 'descr' : '<f4'}   "
    #expect(try open(npy: npy(text, [UInt8](repeating: 0, count: 8))).tensors[0].shape == [2])
  }

  @Test(arguments: 0..<3)
  func damagedFiles(which: Int) {
    let good = npy(npyDict("<f4"), [UInt8](repeating: 0, count: 8))
    switch which {
    case 0:
      let error = formatError { _ = try open(npy: good + [0]) }
      #expect(error?.kind == .damaged && error?.found == "9 bytes")
    case 1:
      for count in good.indices { #expect(throws: FormatError.self) { try open(npy: Array(good.prefix(count))) } }
    default:
      var version = good
      version[6] = 4
      let error = formatError { _ = try open(npy: version) }
      #expect(error?.kind == .unsupported && error?.found == "4.0")
    }
  }

  @Test func anArchiveOfOtherFilesIsNotNumPy() {
    let bytes = ZipTestBuilder([
      .init("a.npy", npy(npyDict("<f4"), [UInt8](repeating: 0, count: 8))), .init("b/data.pkl", []),
    ]).bytes()
    #expect(!NpzFormat().recognizes(Bytes(bytes), path: "x.npz"))
    let error = formatError { _ = try NumPySource(npz: Bytes(bytes), path: "x.npz") }
    #expect(error?.kind == .unsupported && error?.found == "b/data.pkl")
  }

  @Test func damagedDataNamesTheTensor() throws {
    var entry = ZipTestBuilder.Entry("a/b.npy", npy(npyDict("<f4"), [UInt8](repeating: 0, count: 8)))
    entry.checksum = 5
    let source = try NumPySource(npz: Bytes(ZipTestBuilder([entry]).bytes(), file: "x.npz"), path: "x.npz")
    for error in [
      formatError { try source.withBytes(ofTensorAt: 0) { _ in } },
      formatError { try source.streamBytes(ofTensorAt: 0) { _ in } },
    ] {
      #expect(error?.kind == .damaged && error?.tensor == "a/b" && error?.expected == "00000005")
    }
  }

  // MARK: The writer

  @Test(arguments: [false, true])
  func whatIsWrittenIsRead(alwaysZip64: Bool) throws {
    let folder = TemporaryFolder()
    let expected = try expectedTensors(fixture("numpy/expected.json"))
    let path = folder.file("out.npz")
    let writer = try NpzWriter(path: path, overwrites: false, alwaysZip64: alwaysZip64)
    try write(expected, to: writer)
    let source = try NpzFormat().open(try MappedFile.open(path), path: path)
    #expect(source.tensors.map(\.name) == expected.map(\.name))
    #expect(try differences(source, expected).isEmpty)
    #expect(source.tensors.allSatisfy { ($0.location?.offset ?? 1) % 64 == 0 })
  }

  @Test func aSecondRunWritesTheSameBytes() throws {
    let folder = TemporaryFolder()
    let expected = try expectedTensors(fixture("numpy/expected.json"))
    for name in ["a.npz", "b.npz"] {
      try write(expected, to: try NpzWriter(path: folder.file(name), overwrites: false))
    }
    #expect(try contents(folder.file("a.npz")) == contents(folder.file("b.npz")))
  }

  @Test func whatDoesNotFitTheDeclarationIsRefused() throws {
    let folder = TemporaryFolder()
    let info = TensorInfo(name: "a", elementType: .f32, shape: [2], byteCount: 8)
    let writer = try NpzWriter(path: folder.file("a.npz"), overwrites: false)
    try writer.begin([info])
    try Bytes([1, 2, 3, 4]).withSpan { try writer.append($0, toTensorAt: 0) }
    #expect(formatError { try writer.finish() }?.found == "4 bytes")
    let more = formatError { try Bytes([1, 2, 3, 4, 5]).withSpan { try writer.append($0, toTensorAt: 0) } }
    #expect(more?.kind == .output && more?.found == "9 bytes")
    writer.cancel()
    #expect(try FileSystem.names(inFolder: folder.path).isEmpty)
    let other = try NpzWriter(path: folder.file("a.npz"), overwrites: false)
    #expect(formatError { try other.begin([info, info]) }?.kind == .output)
    let odd = TensorInfo(name: "../a", elementType: .f32, shape: [2], byteCount: 8)
    let name = formatError { try NpzWriter(path: folder.file("b.npz"), overwrites: false).begin([odd]) }
    #expect(name?.kind == .unsupported && name?.tensor?.hasPrefix("../a") == true)
    let type = TensorInfo(name: "a", elementType: .f8e4m3, shape: [2], byteCount: 2)
    let refused = formatError { try NpzWriter(path: folder.file("b.npz"), overwrites: false).begin([type]) }
    #expect(refused?.kind == .unsupported && refused?.found == "F8_E4M3")
  }

  // MARK: Views

  @Test(
    arguments: [
      ([2, 3], [1, 2]), ([2, 3], [3, 1]), ([3, 4], [1, 5]), ([2, 3, 4], [1, 2, 6]), ([2, 3, 4], [12, 1, 3]),
      ([3, 2], [0, 1]),
      ([2, 2], [8, 2]), ([], []), ([0, 3], [1, 1]), ([1, 3, 1], [99, 2, 99]), ([4, 3, 2], [0, 2, 7]), ([5], [3]),
    ] as [([Int], [Int])], [1, 2, 4, 8, 16])
  func viewsAreReadInOrder(view: (shape: [Int], strides: [Int]), size: Int) throws {
    let offset = 2
    let last = try #require(Strides.lastElement(offset: offset, shape: view.shape, strides: view.strides))
    let source = (0..<(max(0, last + 1) * size)).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    var expected: [UInt8] = []
    let count = view.shape.reduce(1, *)
    for number in 0..<count {
      var rest = number
      var index = offset
      for axis in view.shape.indices.reversed() {
        index += rest % view.shape[axis] * view.strides[axis]
        rest /= view.shape[axis]
      }
      expected += source[(index * size)..<((index + 1) * size)]
    }
    let bytes = Bytes(source)
    let result = Bytes(
      count: count * size,
      initializingWith: { target in
        bytes.withSpan {
          StridedCopy.gather(
            $0, offset: offset, shape: view.shape, strides: view.strides, elementSize: size, into: &target)
        }
      })
    #expect(result.array() == expected)
  }

  @Test func viewsThatReachTooFarAreSeen() {
    #expect(Strides.lastElement(offset: 1, shape: [2, 3], strides: [3, 1]) == 6)
    #expect(Strides.lastElement(offset: 0, shape: [2], strides: [-1]) == nil)
    #expect(Strides.lastElement(offset: -1, shape: [2], strides: [1]) == nil)
    #expect(Strides.lastElement(offset: 0, shape: [Int.max, Int.max], strides: [Int.max, 1]) == nil)
    #expect(Strides.lastElement(offset: 0, shape: [2], strides: [1, 1]) == nil)
    #expect(Strides.areRowMajor([3, 77, 1], of: [2, 1, 3]) && !Strides.areRowMajor([1, 2], of: [2, 3]))
  }
}

/// Writes the tensors in odd order and in chunks.
func write(_ tensors: [ExpectedTensor], to sink: any TensorSink) throws {
  try sink.begin(
    tensors.map {
      TensorInfo(
        name: $0.name, elementType: ElementType(rawValue: $0.elementType) ?? .f32, shape: $0.shape,
        byteCount: $0.bytes?.count ?? 0)
    })
  for index in tensors.indices.reversed() {
    let bytes = tensors[index].bytes ?? []
    let half = bytes.count / 32 * 16
    for part in [Array(bytes[..<half]), Array(bytes[half...])] {
      try Bytes(part).withSpan { try sink.append($0, toTensorAt: index) }
    }
  }
  try sink.finish()
}
