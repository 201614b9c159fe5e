import CheckpointReaders
import TensorIO
import TestSupport
import Testing

private typealias P = TestPickle

/// Opens a file as a user would and reads every tensor: the error, which must name the file, and its line in a listing.
private func problem(_ bytes: [UInt8], label: String = "") throws -> (error: FormatError?, line: String) {
  let folder = TemporaryFolder()
  let path = try folder.write(bytes, "m.pt")
  let error = formatError {
    let source = try CheckpointOpener().openFile(path)
    for index in source.tensors.indices {
      // Reading at once and in chunks must see the same damage.
      let whole = formatError { try source.withBytes(ofTensorAt: index) { _ in } }
      let streamed = formatError { try source.streamBytes(ofTensorAt: index) { _ in } }
      #expect(whole?.kind == streamed?.kind, "\(String(describing: whole)) \(String(describing: streamed))")
      try source.withBytes(ofTensorAt: index) { _ in }
    }
  }
  #expect(error == nil || error?.file == path, "\(String(describing: error))")
  return (error, line(label, error, folder: folder.path))
}

private let four = floats([1, 2, 3, 4])

// MARK: The zip archive

/// One thing wrong in one part of an archive of torch.save, and the kind of the error.
enum TorchZipDamage: String, CaseIterable, CustomTestStringConvertible {
  case endRecordCut, tooManyEntriesCounted, tooFewEntriesCounted, bytesBeforeTheEndRecord, nameTwice, nameLeadsOut
  case localName, localSize, localChecksum, localMethod, localFlags, localHeaderElsewhere, encrypted, unknownMethod
  case pickleGone, pickleEmpty, pickleCut, pickleChecksum, pickleInstruction, pickleWithoutEnd
  case storageGone, storageShort, storageLong, storageChecksum, storageType, storageOfTwoSizes, storageSizeNegative
  case offsetBeyond, offsetNegative, shapeBeyond, shapeNegative, shapeHuge, strideBeyond, strideNegative
  case ranksDiffer, repeatedBeyondReason, byteOrderUnknown, byteOrderChecksum, versionNoNumber, versionChecksum

  var testDescription: String { rawValue }

  var kind: FormatError.Kind {
    switch self {
    case .nameTwice, .nameLeadsOut, .localName, .localSize, .localChecksum, .localMethod, .localFlags, .encrypted:
      .dangerous
    case .unknownMethod, .storageType, .storageSizeNegative, .byteOrderUnknown: .unsupported
    case .pickleGone: .unrecognized
    case .repeatedBeyondReason: .limit
    default: .damaged
    }
  }

  private var tensor: [UInt8] {
    let storage = P.storage("0", count: 4, view: nil)
    func view(_ shape: [Int], _ strides: [Int], offset: Int = 0) -> [UInt8] {
      P.tensor(storage, offset: offset, shape, strides)
    }
    switch self {
    case .offsetBeyond: return view([2], [1], offset: 3)
    case .offsetNegative: return view([2], [1], offset: -1)
    case .shapeBeyond: return view([5], [1])
    case .shapeNegative: return view([-4], [1])
    case .shapeHuge: return view([1 << 30, 1 << 30, 1 << 30], [0, 0, 0])
    case .strideBeyond: return view([2, 2], [3, 1])
    case .strideNegative: return view([2, 2], [-2, 1])
    case .ranksDiffer: return view([2, 2], [1])
    case .repeatedBeyondReason: return view([1 << 20, 1 << 20], [0, 0])
    case .storageType: return P.tensor(P.storage("0", "StrangeStorage", count: 4, view: nil), [4], [1])
    case .storageSizeNegative: return P.tensor(P.storage("0", count: -4, view: nil), [0], [1])
    case .storageOfTwoSizes:
      return P.list(view([4], [1]), P.tensor(P.storage("0", "DoubleStorage", count: 4, view: nil), [4], [1]))
    default: return view([2, 2], [2, 1])
    }
  }

  func bytes() -> [UInt8] {
    var pickle = P.whole(P.dict(P.text("a"), tensor))
    if self == .pickleCut { pickle.removeLast(pickle.count / 2) }
    if self == .pickleWithoutEnd { pickle.removeLast() }
    if self == .pickleEmpty { pickle = [] }
    if self == .pickleInstruction { pickle[2] = 0xFF }
    var entries: [ZipTestBuilder.Entry] = [
      .init(self == .pickleGone ? "m/other.pkl" : "m/data.pkl", pickle),
      .init("m/byteorder", Array((self == .byteOrderUnknown ? "middle" : "little").utf8)),
      .init("m/data/0", self == .storageShort ? Array(four.dropLast()) : self == .storageLong ? four + [0] : four),
      .init("m/version", Array((self == .versionNoNumber ? "three\n" : "3\n").utf8)),
    ]
    switch self {
    case .nameTwice: entries.append(entries[2])
    case .nameLeadsOut: entries[2].name = "m/../0"
    case .localName: entries[2].localName = "m/data/1"
    case .localSize: entries[2].localSize = 17
    case .localChecksum: entries[2].localChecksum = 5
    case .localMethod: entries[2].localMethod = 8
    case .localFlags: entries[2].localFlags = 0x0801
    case .localHeaderElsewhere: entries[2].localOffset = 3
    case .encrypted: entries[2].flags |= 1
    case .unknownMethod: entries[2].method = 12
    case .pickleChecksum: entries[0].checksum = 5
    case .byteOrderChecksum: entries[1].checksum = 5
    case .storageChecksum: entries[2].checksum = 5
    case .versionChecksum: entries[3].checksum = 5
    case .storageGone: entries.remove(at: 2)
    default: break
    }
    var builder = ZipTestBuilder(entries)
    if self == .tooManyEntriesCounted { builder.countDelta = 1 }
    if self == .tooFewEntriesCounted { builder.countDelta = -1 }
    if self == .bytesBeforeTheEndRecord { builder.gap = [0, 0] }
    return self == .endRecordCut ? Array(builder.bytes().dropLast(4)) : builder.bytes()
  }
}

// MARK: The stream of pickles

/// One thing wrong in one part of a file of before torch 1.6.
enum TorchLegacyDamage: String, CaseIterable, CustomTestStringConvertible {
  case magicCut, protocolGone, protocolCut, protocolUnknown, protocolNoNumber
  case systemInfoGone, systemInfoCut, systemInfoInstruction, systemInfoWithOutsideValue
  case objectGone, objectCut, objectInstruction, storageType, storageOfTwoSizes, viewOutside, viewOfView, offsetBeyond
  case keysGone, keysCut, keysNoList, keyOfNoStorage, keyOfAView, keyTwice, keyMissing
  case storagesGone, sizeCut, sizeDiffers, sizeHuge, dataCut, dataGone

  var testDescription: String { rawValue }

  var kind: FormatError.Kind {
    switch self {
    case .protocolUnknown, .protocolNoNumber, .systemInfoWithOutsideValue, .storageType: .unsupported
    default: .damaged
    }
  }

  private var object: [UInt8] {
    let plain = P.tensor(P.storage("0", count: 4), [2, 2], [2, 1])
    func view(_ key: String, of base: String, _ offset: Int, _ count: Int, in size: Int = 4) -> [UInt8] {
      P.tensor(
        P.storage(base, count: size, view: P.tuple(P.text(key), P.int(offset), P.int(count))), [1], [1])
    }
    switch self {
    case .storageType: return P.tensor(P.storage("0", "StrangeStorage", count: 4), [4], [1])
    case .storageOfTwoSizes: return P.list(plain, P.tensor(P.storage("0", count: 5), [5], [1]))
    case .viewOutside: return view("9", of: "0", 3, 2)
    case .viewOfView: return P.list(view("9", of: "0", 0, 2), view("8", of: "9", 0, 1, in: 2))
    case .keyOfAView: return view("9", of: "0", 1, 2)
    case .offsetBeyond: return P.tensor(P.storage("0", count: 4), offset: 1, [4], [1])
    default: return plain
    }
  }

  func bytes() -> [UInt8] {
    func cut(_ pickle: [UInt8]) -> [UInt8] { Array(pickle.prefix(pickle.count / 2)) }
    func spoilt(_ pickle: [UInt8]) -> [UInt8] { pickle[..<2] + [0xFF] + pickle[2...] }
    let version = P.whole(P.int(1001))
    let system = P.whole(P.dict(P.text("little_endian"), [0x88]))
    let value = P.whole(P.dict(P.text("a"), object))
    let keys = P.whole(P.list(P.text("0")))
    let size = ZipTestBuilder.number(4, 8)
    // What is there in front of a part, to be cut off behind it
    let toObject = P.magic + version + system
    let toKeys = toObject + value
    let toStorages = toKeys + keys
    switch self {
    case .magicCut: return cut(P.magic)
    case .protocolGone: return P.magic
    case .protocolCut: return P.magic + cut(version)
    case .protocolUnknown: return P.magic + P.whole(P.int(1002)) + system + value + keys + size + four
    case .protocolNoNumber: return P.magic + P.whole(P.text("1001")) + system + value + keys + size + four
    case .systemInfoGone: return P.magic + version
    case .systemInfoCut: return P.magic + version + cut(system)
    case .systemInfoInstruction: return P.magic + version + spoilt(system) + value + keys + size + four
    case .systemInfoWithOutsideValue:
      return P.magic + version + P.whole(P.storage("0", count: 4)) + value + keys + size + four
    case .objectGone: return toObject
    case .objectCut: return toObject + cut(value)
    case .objectInstruction: return toObject + spoilt(value) + keys + size + four
    case .keysGone: return toKeys
    case .keysCut: return toKeys + cut(keys)
    case .keysNoList: return toKeys + P.whole(P.int(3)) + size + four
    case .keyOfNoStorage: return toKeys + P.whole(P.list(P.text("0"), P.text("7"))) + size + four + size + four
    case .keyOfAView: return toKeys + P.whole(P.list(P.text("0"), P.text("9"))) + size + four + size + four
    case .keyTwice: return toKeys + P.whole(P.list(P.text("0"), P.text("0"))) + size + four + size + four
    case .keyMissing: return toKeys + P.whole(P.list())
    case .storagesGone: return toStorages
    case .sizeCut: return toStorages + size.dropLast(3)
    case .sizeDiffers: return toStorages + ZipTestBuilder.number(5, 8) + four + [0, 0, 0, 0]
    case .sizeHuge: return toStorages + [UInt8](repeating: 0xFF, count: 8) + four
    case .dataCut: return toStorages + size + four.dropLast()
    case .dataGone: return toStorages + size
    case .storageType, .storageOfTwoSizes, .viewOutside, .viewOfView, .offsetBeyond: return toStorages + size + four
    }
  }
}

// MARK: The tar archive

/// One thing wrong in one part of a file of before torch 0.1.10.
enum TorchTarDamage: String, CaseIterable, CustomTestStringConvertible {
  case headerChecksum, headerSize, headerCut, archiveCut, entryTwice, storagesGone, tensorsGone, pickleGone
  case storageCountNegative, storageCountHuge, storageNoTuple, storageKey, storageType, storageTwice, storageSizeHuge
  case storageCut, viewsGone, viewsNoList, viewNoTuple, viewOutside, viewOfNothing
  case tensorCountHuge, tensorNoTuple, tensorOfNoStorage, tensorRankNegative, tensorRankHuge, tensorBeyond, tensorCut
  case pickleCut, pickleOfNoTensor, pickleInstruction

  var testDescription: String { rawValue }

  var kind: FormatError.Kind { .damaged }

  private func storages() -> [UInt8] {
    let count = self == .storageCountNegative ? -1 : self == .storageCountHuge ? 1 << 30 : self == .storageTwice ? 2 : 1
    let key = self == .storageKey ? P.none : P.int(100)
    let type = P.global("torch", self == .storageType ? "StrangeStorage" : "FloatStorage")
    let described = self == .storageNoTuple ? P.none : P.tuple(key, P.text("cpu"), type)
    let size = self == .storageSizeHuge ? [UInt8](repeating: 0x7F, count: 8) : ZipTestBuilder.number(4, 8)
    let one = P.whole(described) + size + four
    let view: [UInt8] =
      switch self {
      case .viewNoTuple: P.int(3)
      case .viewOutside: P.tuple(P.int(101), P.int(100), P.int(3), P.int(2))
      case .viewOfNothing: P.tuple(P.int(101), P.int(55), P.int(0), P.int(1))
      default: P.tuple(P.int(101), P.int(100), P.int(1), P.int(2))
      }
    let all = P.whole(P.int(count)) + one + (self == .storageTwice ? one : [])
    if self == .storageCut { return Array(all.dropLast(3)) }
    if self == .viewsGone { return all }
    return all + P.whole(self == .viewsNoList ? P.int(3) : P.list(view))
  }

  private func tensors() -> [UInt8] {
    let storage = P.int(self == .tensorOfNoStorage ? 55 : 100)
    let described =
      self == .tensorNoTuple ? P.none : P.tuple(P.int(1), storage, P.global("torch", "FloatTensor"))
    let rank = self == .tensorRankNegative ? -1 : self == .tensorRankHuge ? 65 : 2
    let numbers = [2, 2, 2, 1, self == .tensorBeyond ? 1 : 0].flatMap { ZipTestBuilder.number($0, 8) }
    let all =
      P.whole(P.int(self == .tensorCountHuge ? 1 << 30 : 1)) + P.whole(described)
      + ZipTestBuilder.number(rank, 4) + ZipTestBuilder.number(0, 4) + numbers
    return self == .tensorCut ? Array(all.dropLast(3)) : all
  }

  private func pickle() -> [UInt8] {
    let whole = P.whole(P.dict(P.text("a"), P.int(self == .pickleOfNoTensor ? 7 : 1) + [0x51]))
    if self == .pickleCut { return Array(whole.prefix(whole.count / 2)) }
    return self == .pickleInstruction ? whole[..<2] + [0xFF] + whole[2...] : whole
  }

  func bytes() -> [UInt8] {
    var entries = [("pickle", pickle()), ("tensors", tensors()), ("storages", storages())]
    if self == .pickleGone { entries.remove(at: 0) }
    if self == .tensorsGone { entries.remove(at: 1) }
    if self == .storagesGone { entries.remove(at: 2) }
    if self == .entryTwice { entries.append(entries[0]) }
    var archive = entries.flatMap { Self.entry($0.0, $0.1) }
    // The second header begins where the first entry, of one block, ends.
    if self == .headerChecksum { archive[1024 + 110] ^= 1 }
    if self == .headerCut { return Array(archive.dropLast(512 + 100)) }
    if self == .archiveCut { return Array(archive.dropLast(450)) }
    if self == .headerSize {
      let last = Self.entry("more", []).enumerated().map { (124..<135).contains($0.offset) ? 0x37 : $0.element }
      archive += Self.summed(last)
    }
    return archive + [UInt8](repeating: 0, count: 1024)
  }

  /// A header of POSIX ustar and the content, filled up to whole blocks.
  private static func entry(_ name: String, _ content: [UInt8]) -> [UInt8] {
    var header = Array(name.utf8) + [UInt8](repeating: 0, count: 512 - name.utf8.count)
    let octal = String(content.count, radix: 8)
    header.replaceSubrange(124..<136, with: Array((String(repeating: "0", count: 11 - octal.count) + octal).utf8) + [0])
    header[156] = 0x30
    header.replaceSubrange(257..<263, with: Array("ustar".utf8) + [0])
    return summed(header) + content + [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
  }

  /// The header with its checksum, which counts itself as spaces.
  private static func summed(_ header: [UInt8]) -> [UInt8] {
    var header = header
    header.replaceSubrange(148..<156, with: [UInt8](repeating: 0x20, count: 8))
    let sum = String(header.reduce(0) { $0 + Int($1) }, radix: 8)
    header.replaceSubrange(
      148..<156, with: Array((String(repeating: "0", count: 6 - sum.count) + sum).utf8) + [0, 0x20])
    return header
  }
}

@Suite("Damaged PyTorch checkpoints")
struct DamagedTorchTests {
  @Test(arguments: TorchZipDamage.allCases)
  func aZipArchive(_ damage: TorchZipDamage) throws {
    let error = try problem(damage.bytes()).error
    #expect(error?.kind == damage.kind, "\(String(describing: error))")
  }

  @Test(arguments: TorchLegacyDamage.allCases)
  func aStreamOfPickles(_ damage: TorchLegacyDamage) throws {
    let error = try problem(damage.bytes()).error
    #expect(error?.kind == damage.kind, "\(String(describing: error))")
  }

  @Test(arguments: TorchTarDamage.allCases)
  func aTarArchive(_ damage: TorchTarDamage) throws {
    let error = try problem(damage.bytes()).error
    #expect(error?.kind == damage.kind, "\(String(describing: error))")
  }

  @Test func messages() throws {
    let lines =
      try TorchZipDamage.allCases.map { try problem($0.bytes(), label: "zip \($0.rawValue)").line }
      + TorchLegacyDamage.allCases.map { try problem($0.bytes(), label: "legacy \($0.rawValue)").line }
      + TorchTarDamage.allCases.map { try problem($0.bytes(), label: "tar \($0.rawValue)").line }
    #expect(try goldenDifference("damaged-torch", lines) == nil)
  }

  /// Nothing else is wrong with what the damage is done to.
  @Test func withoutTheDamageTheyAreRead() throws {
    let value = P.dict(P.text("a"), P.tensor(P.storage("0", count: 4, view: nil), [2, 2], [2, 1]))
    let more = [
      ZipTestBuilder.Entry("model/byteorder", Array("little".utf8)), .init("model/version", Array("3\n".utf8)),
    ]
    #expect(try problem(P.zip(value, [("0", four)], more: more)).error == nil)
    let old = P.dict(P.text("a"), P.tensor(P.storage("0", count: 4), [2, 2], [2, 1]))
    #expect(try problem(P.legacy(old, [("0", 4, four)])).error == nil)
  }

  /// A version of the archive beyond those known is read, with a warning.
  @Test(arguments: [("10\n", false), ("11\n", true), ("4711", true), ("1", false)])
  func aNewerVersionIsReported(version: String, isNewer: Bool) throws {
    let value = P.dict(P.text("a"), P.tensor(P.storage("0", count: 4, view: nil), [4], [1]))
    let folder = TemporaryFolder()
    let path = try folder.write(
      P.zip(value, [("0", four)], more: [.init("model/version", Array(version.utf8))]), "m.pt")
    let source = try CheckpointOpener().openFile(path)
    #expect(source.tensors.map(\.name) == ["a"])
    #expect(source.warnings.contains { $0.contains("has the unknown version") } == isNewer)
  }
}
