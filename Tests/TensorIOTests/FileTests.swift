import TensorIO
import TestSupport
import Testing

#if canImport(Glibc)
  import Glibc
#endif

@Suite("Files")
struct FileTests {
  @Test func missingFilesAndFoldersAreDistinguished() throws {
    let folder = TemporaryFolder()
    #expect(throws: FormatError.self) { try MappedFile.open(folder.file("none")) }
    let error = #expect(throws: FormatError.self) { try MappedFile.open(folder.path) }
    #expect(error?.kind == .unreadable && error?.problem == "not a regular file")
  }

  @Test func aFileThatShrinksWhileMappedIsAnErrorAndNotACrash() throws {
    let folder = TemporaryFolder()
    let path = try folder.write([UInt8](repeating: 7, count: 100_000), "data")
    let bytes = try MappedFile.open(path)
    #expect(bytes.byte(at: 99_999) == 7)
    #expect(unsafe truncate(path, 10) == 0)
    let sum = bytes.withSpan { span in (0..<span.byteCount).reduce(0) { $0 + Int(span.byte(at: $1)) } }
    #expect(sum < 700_000)
    let error = #expect(throws: FormatError.self) { try bytes.checkIntact() }
    #expect(error?.kind == .unreadable)
  }

  /// As many as the shards of a large checkpoint.
  @Test func anyOfManyMappedFilesMayShrink() throws {
    let folder = TemporaryFolder()
    let path = try folder.write([UInt8](repeating: 7, count: 10_000), "data")
    let mapped = try (0..<5_000).map { _ in try MappedFile.open(path) }
    #expect(unsafe truncate(path, 10) == 0)
    #expect(mapped.allSatisfy { $0.byte(at: 9_999) == 0 })
    #expect(throws: FormatError.self) { try mapped[4_999].checkIntact() }
  }

  @Test func aTargetAppearsWholeOrNotAtAll() throws {
    let folder = TemporaryFolder()
    let path = folder.file("out")
    let file = try AtomicFile(path, overwrites: false)
    try file.write([1, 2, 3], at: 0)
    #expect(FileSystem.kind(of: path) == nil)
    try file.commit()
    #expect(try contents(path) == [1, 2, 3])
    #expect(throws: FormatError.self) { try AtomicFile(path, overwrites: false) }
    let second = try AtomicFile(path, overwrites: true)
    try second.write([9], at: 0)
    second.cancel()
    #expect(try contents(path) == [1, 2, 3])
    try AtomicFile.write([4], to: path, overwrites: true)
    #expect(try contents(path) == [4])
    #expect(try FileSystem.names(inFolder: folder.path) == ["out"])
  }

  @Test func aTargetThatAppearsMeanwhileIsKept() throws {
    let folder = TemporaryFolder()
    let path = folder.file("out")
    let file = try AtomicFile(path, overwrites: false)
    try file.write([1], at: 0)
    _ = try folder.write([2], "out")
    #expect(throws: FormatError.self) { try file.commit() }
    #expect(try contents(path) == [2])
  }

  /// Several files appear together: where the last cannot, those before it go, and what they replaced comes back.
  @Test(arguments: [false, true])
  func severalFilesAppearOrNone(overwrites: Bool) throws {
    let folder = TemporaryFolder()
    let names = ["a", "b", "c"]
    if overwrites { for name in names { _ = try folder.write(Array("old \(name)".utf8), name) } }
    func files() throws -> [AtomicFile] {
      try names.map { name in
        let file = try AtomicFile(folder.file(name), overwrites: overwrites)
        try file.write(Array("new \(name)".utf8), at: 0)
        return file
      }
    }
    let failing = try files()
    unsafe _ = unlink(folder.file("c"))
    #expect(unsafe mkdir(folder.file("c"), 0o777) == 0)
    expectError(.output) { try AtomicFile.commit(failing) }
    for file in failing { file.cancel() }
    #expect(try FileSystem.names(inFolder: folder.path) == (overwrites ? ["a", "b", "c"] : ["c"]))
    if overwrites {
      #expect(try contents(folder.file("a")) == Array("old a".utf8))
      #expect(try contents(folder.file("b")) == Array("old b".utf8))
    }
    #expect(unsafe rmdir(folder.file("c")) == 0)
    try AtomicFile.commit(try files())
    #expect(try FileSystem.names(inFolder: folder.path) == names)
    for name in names { #expect(try contents(folder.file(name)) == Array("new \(name)".utf8)) }
  }

  @Test func aLongNameIsATarget() throws {
    let folder = TemporaryFolder()
    let name = String(repeating: "n", count: 255)
    for content in [1, 2] as [UInt8] {
      try AtomicFile.write([content], to: folder.file(name), overwrites: true)
      #expect(try contents(folder.file(name)) == [content])
    }
    #expect(try FileSystem.names(inFolder: folder.path) == [name])
  }

  /// What was written to while it was read is of two states; what was replaced is not.
  @Test func aFileThatChangesWhileMappedIsAnError() throws {
    let folder = TemporaryFolder()
    let path = try folder.write([UInt8](repeating: 7, count: 1000), "data")
    // As if it had been written long ago: two changes within a tick of the clock look alike.
    var times = [timespec(tv_sec: 1000, tv_nsec: 0), timespec(tv_sec: 1000, tv_nsec: 0)]
    #expect(unsafe utimensat(AT_FDCWD, path, &times, 0) == 0)
    let bytes = try MappedFile.open(path)
    try bytes.checkIntact()
    try AtomicFile.write([UInt8](repeating: 8, count: 1000), to: path, overwrites: true)
    try bytes.checkIntact()
    #expect(bytes.byte(at: 999) == 7)
    let second = try MappedFile.open(path)
    try second.checkIntact()
    times = [timespec(tv_sec: 2000, tv_nsec: 0), timespec(tv_sec: 2000, tv_nsec: 0)]
    #expect(unsafe utimensat(AT_FDCWD, path, &times, 0) == 0)
    let error = expectError(.unreadable) { try second.checkIntact() }
    #expect(error?.problem == "the file was changed while it was being read" && error?.file == path)
    // The error that it causes is reported as what it is.
    let cause = expectError(.unreadable) {
      try second.forEachChunk { _ in throw FormatError(.output, "cannot be written: Bad address") }
    }
    #expect(cause?.file == path)
  }

  @Test func folderAndDeviceAreNoTargets() throws {
    let folder = TemporaryFolder()
    #expect(throws: FormatError.self) { try AtomicFile(folder.path, overwrites: true) }
    #expect(throws: FormatError.self) { try AtomicFile("/dev/null", overwrites: true) }
    #expect(throws: FormatError.self) { try AtomicFile(folder.file("no/such/out"), overwrites: true) }
  }

  @Test func aLinkIsFollowed() throws {
    let folder = TemporaryFolder()
    let target = try folder.write([1], "target")
    let link = folder.file("link")
    #expect(unsafe symlink("target", link) == 0)
    try AtomicFile.write([5], to: link, overwrites: true)
    #expect(try contents(target) == [5])
  }

  @Test func cursorReportsWhatIsCutShort() {
    var cursor = ByteCursor(Bytes([1, 2, 3], file: "f"))
    #expect(throws: FormatError.self) { try cursor.littleEndian(UInt32.self, "a number") }
    #expect(cursor.position == 0)
    #expect((try? cursor.littleEndian(UInt16.self, "a number")) == 0x0201)
    #expect(throws: FormatError.self) { try cursor.take(-1, "data") }
    #expect(throws: FormatError.self) { try cursor.seek(to: 4) }
  }

  @Test(
    arguments: [
      ([0x00], 0), ([0x7F], 127), ([0x80, 0x01], 128),
      ([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], UInt64.max),
    ] as [([UInt8], UInt64)])
  func varints(_ bytes: [UInt8], _ value: UInt64) throws {
    var cursor = ByteCursor(Bytes(bytes))
    #expect(try cursor.varint("n") == value)
  }

  @Test(
    arguments: [
      [0x80], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02],
      [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    ] as [[UInt8]])
  func wrongVarints(_ bytes: [UInt8]) {
    var cursor = ByteCursor(Bytes(bytes))
    #expect(throws: FormatError.self) { try cursor.varint("n") }
  }
}
