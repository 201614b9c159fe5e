import CheckpointReaders
import TensorIO
import TestSupport
import Testing

private let words = Array("weights and biases".utf8)

private func archive(_ builder: ZipTestBuilder) throws -> ZipArchive {
  try ZipArchive(Bytes(builder.bytes(), file: "a.zip"))
}

/// An archive that has one thing wrong, and the kind of the error.
struct DamagedZip: CustomTestStringConvertible, Sendable {
  var label: String
  var kind: FormatError.Kind
  var make: @Sendable () -> [UInt8]
  var testDescription: String { label }

  init(_ label: String, _ kind: FormatError.Kind, _ make: @escaping @Sendable () -> [UInt8]) {
    self.label = label
    self.kind = kind
    self.make = make
  }

  private static func entry(_ change: (inout ZipTestBuilder.Entry) -> Void) -> [UInt8] {
    var entry = ZipTestBuilder.Entry("a/b", words)
    change(&entry)
    return ZipTestBuilder([entry]).bytes()
  }

  private static func whole(_ change: (inout ZipTestBuilder) -> Void) -> [UInt8] {
    var builder = ZipTestBuilder([.init("a/b", words), .deflated("c", words)])
    change(&builder)
    return builder.bytes()
  }

  /// Archives that do not open.
  static let unusable: [DamagedZip] = [
    .init("empty", .damaged) { [] },
    .init("cut short", .damaged) { Array(whole { _ in }.dropLast(30)) },
    .init("something appended", .damaged) { whole { _ in } + [0] },
    .init("comment cut short", .damaged) { Array(whole { $0.comment = [1, 2, 3] }.dropLast()) },
    .init("first byte lost", .damaged) { Array(whole { _ in }.dropFirst()) },
    .init("bytes before the end record", .damaged) { whole { $0.gap = [0, 0] } },
    .init("another disk", .unsupported) { whole { $0.disk = 1 } },
    .init("too few entries counted", .damaged) { whole { $0.countDelta = -1 } },
    .init("too many entries counted", .damaged) { whole { $0.countDelta = 1 } },
    .init("encrypted", .dangerous) { entry { $0.flags = 0x0801 } },
    .init("strongly encrypted", .dangerous) { entry { $0.flags = 0x0840 } },
    .init("hidden by its local flags", .dangerous) { entry { $0.localFlags = 0x0801 } },
    .init("bzip2", .unsupported) { entry { $0.method = 12 } },
    .init("another local name", .dangerous) { entry { $0.localName = "a/c" } },
    .init("another local method", .dangerous) { entry { $0.localMethod = 8 } },
    .init("another local size", .dangerous) { entry { $0.localSize = 17 } },
    .init("another local checksum", .dangerous) { entry { $0.localChecksum = 1 } },
    .init("two sizes of a stored entry", .dangerous) { entry { $0.size = 19 } },
    .init("an impossible size", .limit) {
      var entry = ZipTestBuilder.Entry.deflated("c", words)
      entry.size = 1 << 30
      return ZipTestBuilder([entry]).bytes()
    },
    .init("one name twice", .dangerous) { whole { $0.entries[1].name = "a/b" } },
    .init("no local header", .damaged) { whole { $0.entries[1].localOffset = 3 } },
    .init("overlap", .dangerous) {
      // The content of the first entry is itself a local header and data, to which the second one points.
      let inner = ZipTestBuilder([.init("a/c", words)]).bytes().prefix(30 + 3 + words.count)
      var second = ZipTestBuilder.Entry("a/c", words)
      second.localOffset = 30 + 5
      return ZipTestBuilder([.init("outer", Array(inner)), second]).bytes()
    },
    .init("outside the data", .damaged) { whole { $0.entries[1].localOffset = 1 << 20 } },
    .init("a parent folder", .dangerous) { entry { $0.name = "../b" } },
    .init("a parent folder within", .dangerous) { entry { $0.name = "a/../../b" } },
    .init("a parent folder of Windows", .dangerous) { entry { $0.name = "a\\..\\b" } },
    .init("an absolute path", .dangerous) { entry { $0.name = "/etc/passwd" } },
    .init("a drive", .dangerous) { entry { $0.name = "C:\\b" } },
    .init("a name with a zero", .dangerous) { entry { $0.name = "a\0b" } },
    .init("no name", .dangerous) { entry { $0.name = "" } },
    .init("a folder with data", .damaged) { entry { $0.name = "a/" } },
    .init("zip64 record elsewhere", .damaged) {
      var bytes = whole { $0.isWide = true }
      bytes[bytes.count - 22 - 20 + 8] &+= 1
      return bytes
    },
    .init("end records that disagree", .dangerous) {
      var bytes = whole { $0.isWide = true }
      bytes[bytes.count - 22 + 10] = 7
      bytes[bytes.count - 22 + 11] = 0
      bytes[bytes.count - 22 + 8] = 7
      bytes[bytes.count - 22 + 9] = 0
      return bytes
    },
  ]
}

@Suite("Zip archives")
struct ZipArchiveTests {
  @Test(arguments: [false, true], [[UInt8](), Array("a comment".utf8)])
  func storedAndDeflatedEntries(isWide: Bool, comment: [UInt8]) throws {
    let large = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 3) }
    var builder = ZipTestBuilder([
      .init("a/b", words), .deflated("c", large), .init("empty", []), .deflated("nothing", []), .init("folder/", []),
      .init("größe 🦉", words),
    ])
    builder.isWide = isWide
    builder.comment = comment
    let file = Bytes(builder.bytes(), file: "a.zip")
    #expect(ZipArchive.looksLikeZip(file))
    let archive = try ZipArchive(file)
    #expect(archive.entries.map(\.name) == ["a/b", "c", "empty", "nothing", "größe 🦉"])
    let contents = try archive.entries.indices.map { try archive.bytes(ofEntryAt: $0).array() }
    #expect(contents == [words, large, [], [], words])
    for index in archive.entries.indices {
      #expect(try archive.head(ofEntryAt: index, count: 7).array() == Array(contents[index].prefix(7)))
      var streamed: [UInt8] = []
      try archive.stream(ofEntryAt: index, from: min(2, contents[index].count)) { streamed += $0.array() }
      #expect(streamed == Array(contents[index].dropFirst(2)))
    }
    #expect(archive.index(ofEntry: "c") == 1 && archive.index(ofEntry: "d") == nil)
  }

  @Test func dataOfAStoredEntryIsNotCopied() throws {
    let archive = try archive(ZipTestBuilder([.init("a/b", words)]))
    #expect(try archive.bytes(ofEntryAt: 0).offsetInFile == 33)
    #expect(archive.dataOffset(ofEntryAt: 0) == 33)
  }

  @Test func localHeadersOfZerosAreForgiven() throws {
    var entry = ZipTestBuilder.Entry("a", words)
    entry.flags = 0x0808
    entry.localSize = 0
    entry.localChecksum = 0
    #expect(try archive(ZipTestBuilder([entry])).bytes(ofEntryAt: 0).array() == words)
  }

  /// What a real compressor makes: five thousand zeros in 22 bytes, and words of a repeating pattern.
  @Test func whatZlibCompressed() throws {
    var zeros = ZipTestBuilder.Entry("zeros", [UInt8](repeating: 0, count: 5000))
    zeros.method = 8
    zeros.packed = [237, 193, 49, 1, 0, 0, 0, 194, 160, 245, 79, 109, 10, 63, 160, 0, 0, 0, 0, 128, 183, 1]
    var floats = ZipTestBuilder.Entry(
      "floats",
      (0..<40).flatMap { number in
        ZipTestBuilder.number(Int(Float(number % 7).bitPattern), 4)
      })
    floats.method = 8
    floats.packed = [99, 96, 0, 129, 6, 123, 32, 225, 0, 68, 64, 220, 0, 196, 11, 128, 248, 128, 3, 195, 32, 144, 3, 0]
    let archive = try archive(ZipTestBuilder([zeros, floats]))
    #expect(try archive.bytes(ofEntryAt: 0).array() == zeros.content)
    #expect(try archive.bytes(ofEntryAt: 1).array() == floats.content)
    #expect(try archive.head(ofEntryAt: 1, count: 9).array() == Array(floats.content.prefix(9)))
  }

  @Test(arguments: DamagedZip.unusable)
  func whatIsWrongIsRefused(damaged: DamagedZip) {
    let error = formatError { _ = try ZipArchive(Bytes(damaged.make(), file: "a.zip")) }
    #expect(error?.kind == damaged.kind && error?.file == "a.zip", "\(String(describing: error))")
  }

  @Test func messages() throws {
    let lines = DamagedZip.unusable.map { damaged in
      line(damaged.label, formatError { _ = try ZipArchive(Bytes(damaged.make(), file: "a.zip")) })
    }
    #expect(try goldenDifference("damaged-zip", lines) == nil)
  }

  @Test(arguments: [false, true])
  func damagedDataIsFoundWhenItIsRead(isDeflated: Bool) throws {
    var entry = isDeflated ? ZipTestBuilder.Entry.deflated("a", words) : ZipTestBuilder.Entry("a", words)
    entry.checksum = 1
    let archive = try archive(ZipTestBuilder([entry, .init("b", words)]))
    for error in [
      formatError { _ = try archive.bytes(ofEntryAt: 0) },
      formatError { try archive.stream(ofEntryAt: 0, from: 0) { _ in } },
    ] {
      #expect(error?.kind == .damaged && error?.expected == "00000001")
    }
    #expect(try archive.bytes(ofEntryAt: 1).array() == words)
  }

  @Test(arguments: [17, 19, 0])
  func anUnpackedSizeMustBeExact(size: Int) throws {
    var entry = ZipTestBuilder.Entry.deflated("a", words)
    entry.size = size
    let archive = try archive(ZipTestBuilder([entry]))
    let error = formatError { _ = try archive.bytes(ofEntryAt: 0) }
    #expect(error?.kind == .damaged && error?.expected?.hasPrefix("\(size) from") == true)
  }

  @Test func anArchiveWithoutChecksumsIsKnownAsOne() throws {
    var entry = ZipTestBuilder.Entry("a", words)
    entry.checksum = 0
    let without = try archive(ZipTestBuilder([entry]))
    #expect(!without.hasChecksums)
    #expect(try without.bytes(ofEntryAt: 0).array() == words)
    let mixed = try archive(ZipTestBuilder([entry, .init("b", words)]))
    let error = formatError { _ = try mixed.bytes(ofEntryAt: 0) }
    #expect(error?.kind == .damaged && error?.expected == "00000000")
  }

  /// Every single wrong byte is an error or changes nothing: no crash, no other content.
  @Test func noByteCanBeChangedUnseen() throws {
    var builder = ZipTestBuilder([.init("one", words), .deflated("two", words)])
    builder.isWide = true
    let good = builder.bytes()
    var opened = 0
    for index in good.indices {
      var bytes = good
      bytes[index] ^= 0x41
      guard let archive = try? ZipArchive(Bytes(bytes)) else { continue }
      opened += 1
      for (entry, name) in zip(archive.entries.indices, ["one", "two"]) {
        guard let content = try? archive.bytes(ofEntryAt: entry) else { continue }
        #expect(content.array() == words && archive.entries[entry].name == name)
      }
    }
    #expect(opened > 0 && opened < good.count)
    for count in good.indices { #expect(throws: FormatError.self) { try ZipArchive(Bytes(Array(good.prefix(count)))) } }
  }

  @Test func anArchiveOfOtherThingsIsNamed() {
    let bytes = Bytes(ZipTestBuilder([.init("photo.jpg", words)]).bytes())
    #expect(ZipFormat().recognizes(bytes, path: "a.zip"))
    let error = formatError { _ = try ZipFormat().open(bytes, path: "a.zip") }
    #expect(error?.kind == .unrecognized && error?.file == "a.zip" && error?.found == "'photo.jpg'")
  }
}
