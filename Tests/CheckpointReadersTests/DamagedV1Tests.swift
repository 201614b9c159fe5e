import CheckpointFormats
import CheckpointWriters
import TensorIO
import TestSupport
import Testing

@testable import CheckpointReaders

private typealias M = TestMessage

/// One thing wrong in a TensorFlow V1 checkpoint all of whose checksums are right, as a hostile writer makes it.
enum V1Damage: String, CaseIterable, CustomTestStringConvertible {
  case noEntries, noHeader, headerNoMessage, headerOfAnotherKind
  case nameNotUTF8, typeUnknown, shapeHuge, shapeNegative, shapeUnknown, moreThanTheFileHolds
  case sliceMissing, sliceNegative, sliceBeyond, sliceOfAnotherRank, slicesOverlap, slicesLeaveAGap
  case recordNoMessage, recordEmpty, recordOfAnotherType, valuesTooMany, valuesNone, contentUneven, stringsTooMany
  case tensorOfNoValues

  var testDescription: String { rawValue }

  var kind: FormatError.Kind {
    switch self {
    case .noEntries, .noHeader: .unrecognized
    case .typeUnknown, .shapeUnknown, .tensorOfNoValues: .unsupported
    case .shapeHuge, .moreThanTheFileHolds: .limit
    default: .damaged
    }
  }

  private typealias Slice = [(Int64, Int64?)]

  private var slices: [Slice] {
    switch self {
    case .sliceNegative: [[(-1, 2)], [(1, 3)]]
    case .sliceBeyond: [[(0, 2)], [(2, 3)]]
    case .sliceOfAnotherRank: [[(0, 2), (0, nil)], [(2, 2), (0, nil)]]
    case .slicesOverlap: [[(0, 3)], [(2, 2)]]
    case .slicesLeaveAGap: [[(0, 2)], [(3, 1)]]
    case .stringsTooMany: [[(0, nil)]]
    default: [[(0, 2)], [(2, 2)]]
    }
  }

  private var meta: M {
    let type: Int64 =
      self == .typeUnknown ? 99 : self == .stringsTooMany ? 7 : self == .tensorOfNoValues ? 20 : 1
    let shape: M =
      switch self {
      case .shapeHuge: M.shape([1 << 62, 8])
      case .shapeNegative: M.shape([-4])
      case .shapeUnknown: M().number(3, 1)
      case .moreThanTheFileHolds: M.shape([1 << 40])
      default: M.shape([4])
      }
    let tensor = M().bytes(1, self == .nameNotUTF8 ? [0xFF, 0xFE] : Array("w".utf8)).message(2, shape).number(3, type)
    return slices.reduce(tensor) { $0.message(4, M.slice($1)) }
  }

  /// The record of the slice at `index`, of two values.
  private func record(_ index: Int) -> [UInt8] {
    var tensor = M()
    switch self {
    case .recordNoMessage: return [0xFF, 0xFF]
    case .recordEmpty: return []
    case .recordOfAnotherType: tensor = tensor.number(1, 2)
    case .valuesNone: break
    case .contentUneven: tensor = tensor.bytes(4, [1, 2, 3])
    case .valuesTooMany: tensor = tensor.bytes(5, floats([1, 2, 3]))
    case .stringsTooMany: for text in ["a", "b", "c", "d", "e"] { tensor = tensor.bytes(8, Array(text.utf8)) }
    default: tensor = tensor.bytes(5, floats([1, 2]))
    }
    let data = M().bytes(1, Array("w".utf8)).message(2, M.slice(slices[index])).message(3, tensor)
    return M().message(2, data).bytes
  }

  func bytes() -> [UInt8] {
    var table = TableWriter()
    if self == .noEntries { return table.finish() }
    let header = M().message(1, M().message(1, meta)).bytes
    switch self {
    case .noHeader: break
    case .headerNoMessage: table.add([], [0x0A, 0xFF])
    case .headerOfAnotherKind: table.add([], M().number(1, 0).bytes)
    default: table.add([], header)
    }
    var records: [(key: [UInt8], value: [UInt8])] = []
    for (index, slice) in slices.enumerated() where self != .sliceMissing || index == 0 {
      let extents = slice.map { SliceExtent(start: Int($0.0), length: $0.1.map(Int.init)) }
      records.append((OrderedCode.sliceKey(name: Array("w".utf8), slice: extents), record(index)))
    }
    for record in records.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
      table.add(record.key, record.value)
    }
    return table.finish()
  }
}

@Suite("Damaged TensorFlow V1 checkpoints")
struct DamagedV1Tests {
  private func problem(_ damage: V1Damage) throws -> (error: FormatError?, line: String) {
    let folder = TemporaryFolder()
    let path = try folder.write(damage.bytes(), "v1.ckpt")
    let error = formatError { try readAll(try CheckpointOpener().open(path).source) }
    #expect(error?.file == path, "\(String(describing: error))")
    return (error, line(damage.rawValue, error, folder: folder.path))
  }

  @Test(arguments: V1Damage.allCases)
  func isRefused(_ damage: V1Damage) throws {
    let error = try problem(damage).error
    #expect(error?.kind == damage.kind, "\(String(describing: error))")
  }

  @Test func messages() throws {
    #expect(try goldenDifference("damaged-tensorflow-v1", try V1Damage.allCases.map { try problem($0).line }) == nil)
  }

  /// Every block has a checksum, so no byte of a file that TensorFlow wrote can change, and none be lost, unseen.
  @Test(.exhaustive, arguments: ["types", "slices"])
  func noByteCanChangeUnseen(_ name: String) throws {
    let good = try contents(fixture("tensorflow/v1/\(name)"))
    let format = TensorFlowFormat()
    for position in good.indices {
      var bad = good
      bad[position] ^= 0x41
      #expect(throws: FormatError.self, "byte \(position)") { try format.open(Bytes(bad, file: "m"), path: "m") }
    }
    for count in good.indices {
      #expect(throws: FormatError.self) { try format.open(Bytes(Array(good.prefix(count)), file: "m"), path: "m") }
    }
  }

  /// Of a checkpoint in several files, one is lost, one is of another checkpoint, one is no table.
  @Test func filesThatDoNotBelongTogether() throws {
    let folder = TemporaryFolder()
    let first = try folder.copy(fixture("tensorflow/v1/slices"), as: "m-00000-of-00002")
    let second = folder.file("m-00001-of-00002")
    let missing = formatError { _ = try CheckpointOpener().open(first) }
    #expect(missing?.kind == .unreadable && missing?.file == second)
    _ = try folder.copy(fixture("tensorflow/v1/slices"), as: "m-00001-of-00002")
    let overlapping = formatError { _ = try CheckpointOpener().open(first) }
    #expect(overlapping?.kind == .damaged && overlapping?.tensor != nil)
    _ = try folder.write(Array("not a table".utf8), "m-00001-of-00002")
    let foreign = formatError { _ = try CheckpointOpener().open(first) }
    #expect(foreign?.kind == .damaged && foreign?.file == second)
  }
}
