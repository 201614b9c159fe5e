import TestSupport

/// Writes pickles opcode by opcode, with nothing of the code under test.
struct TestPickle {
  private(set) var bytes: [UInt8] = [0x80, 2]

  static func global(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) }
  static func text(_ text: String) -> [UInt8] { [0x58] + ZipTestBuilder.number(text.utf8.count, 4) + Array(text.utf8) }
  static func int(_ value: Int) -> [UInt8] { [0x4A] + ZipTestBuilder.number(value, 4) }
  static func tuple(_ items: [UInt8]...) -> [UInt8] { [0x28] + items.flatMap { $0 } + [0x74] }
  static func list(_ items: [UInt8]...) -> [UInt8] { [0x5D, 0x28] + items.flatMap { $0 } + [0x65] }
  static func dict(_ items: [UInt8]...) -> [UInt8] { [0x7D, 0x28] + items.flatMap { $0 } + [0x75] }
  static func call(_ function: [UInt8], _ arguments: [UInt8]...) -> [UInt8] {
    function + [0x28] + arguments.flatMap { $0 } + [0x74, 0x52]
  }
  static let none: [UInt8] = [0x4E]
  static let no: [UInt8] = [0x89]

  static func storage(_ key: String, _ type: String = "FloatStorage", count: Int, view: [UInt8]? = none) -> [UInt8] {
    [0x28] + text("storage") + global("torch", type) + text(key) + text("cpu") + int(count) + (view ?? []) + [
      0x74, 0x51,
    ]
  }

  static func tensor(
    _ storage: [UInt8], offset: Int = 0, _ shape: [Int], _ strides: [Int], function: String = "_rebuild_tensor_v2"
  ) -> [UInt8] {
    call(
      global("torch._utils", function), storage, int(offset), [0x28] + shape.flatMap(int) + [0x74],
      [0x28] + strides.flatMap(int) + [0x74], no, call(global("collections", "OrderedDict")))
  }

  /// A whole pickle of this value.
  static func whole(_ value: [UInt8]) -> [UInt8] { [0x80, 2] + value + [0x2E] }

  static let magic: [UInt8] = whole([0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19])

  /// A file in the form before torch 1.6. `storages` are keys, numbers of elements and bytes.
  static func legacy(_ value: [UInt8], _ storages: [(key: String, count: Int, bytes: [UInt8])]) -> [UInt8] {
    magic + whole(int(1001)) + whole(dict(text("little_endian"), [0x88])) + whole(value)
      + whole([0x5D, 0x28] + storages.flatMap { text($0.key) } + [0x65])
      + storages.flatMap { ZipTestBuilder.number($0.count, 8) + $0.bytes }
  }

  /// An archive in the form of today.
  static func zip(
    _ value: [UInt8], _ storages: [(key: String, bytes: [UInt8])], more: [ZipTestBuilder.Entry] = []
  ) -> [UInt8] {
    var entries: [ZipTestBuilder.Entry] = [.init("model/data.pkl", whole(value))]
    entries += storages.map { .init("model/data/\($0.key)", $0.bytes) }
    return ZipTestBuilder(entries + more).bytes()
  }
}

/// Little-endian bytes of floats.
func floats(_ values: [Float]) -> [UInt8] { littleEndianBytes(values) }
