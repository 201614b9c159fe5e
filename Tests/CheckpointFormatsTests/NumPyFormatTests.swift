import CheckpointFormats
import TensorIO
import Testing

@Suite struct NumPyFormatTests {
  private static let types: [ElementType] = [
    .f64, .f32, .f16, .bf16, .i64, .i32, .i16, .i8, .u64, .u32, .u16, .u8, .bool, .c64, .c128,
  ]
  private static let shapes = [[], [0], [7], [3, 4], [1, 2, 3, 4, 5], [0, 1 << 40], [Int](repeating: 1, count: 64)]

  @Test(arguments: types, shapes) func headers(type: ElementType, shape: [Int]) throws {
    let tensor = try #require(TensorInfo(name: "x", elementType: type, shape: shape))
    let bytes = Bytes(try NpyHeader.encoded(tensor, file: "f"))
    #expect(NpyHeader.recognizes(bytes) && bytes.count % 64 == 0)
    #expect(try NpyHeader.length(try #require(bytes.slice(0, NpyHeader.prefixSize))) == bytes.count)
    let header = try NpyHeader(bytes, name: "x")
    #expect(header.elementType == type && header.shape == shape)
    #expect(header.dataOffset == bytes.count && header.byteCount == tensor.byteCount)
    #expect(!header.isBigEndian && !header.isFortranOrder)
  }

  @Test(arguments: ElementType.allCases) func typesOfDescr(type: ElementType) {
    let descr = NumPyType.descr(type)
    #expect((descr == nil) == (type.size == nil || [.c32, .f4e2m1].contains(type) || type.rawValue.hasPrefix("F8")))
    guard let descr, let read = NumPyType.type(descr: descr) else { return }
    #expect(!read.isBigEndian && read.type.size == type.size)
    #expect(!Self.types.contains(type) || read.type == type)
  }

  @Test(arguments: [(">f4", ElementType.f32, true), (">i1", .i8, false), ("?", .bool, false), ("<b1", .bool, false)])
  func byteOrders(descr: String, type: ElementType, isBigEndian: Bool) throws {
    let read = try #require(NumPyType.type(descr: descr))
    #expect(read.type == type && read.isBigEndian == isBigEndian)
  }

  @Test(arguments: ["f4", "|f4", "=f4", "|V2", ">V2", "<f16", "<x4", ""]) func otherTypes(descr: String) {
    #expect(NumPyType.type(descr: descr) == nil)
  }

  @Test(arguments: [
    ("|O", FormatError.Kind.dangerous), ("|S3", .unsupported),
    ("U3", .unsupported), ("<M8[s]", .unsupported), ("|V8", .unsupported),
    ("=f4", .unsupported), ("<q9", .unsupported),
  ])
  func refusals(descr: String, kind: FormatError.Kind) {
    let text = "{'descr': '\(descr)', 'fortran_order': False, 'shape': (1,), }\n"
    let bytes = Bytes([0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(text.utf8.count), 0] + Array(text.utf8), file: "f")
    let error = #expect(throws: FormatError.self) { try NpyHeader(bytes, name: "x") }
    #expect(error?.kind == kind && error?.tensor == "x" && error?.file == "f" && error?.found == descr)
  }
}
