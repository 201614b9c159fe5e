import CTensorBundleProto
import CheckpointFormats
import TensorIO

// The messages of a checkpoint, read with protobuf-c and copied into values at once: no pointer leaves this file
// and `Graph/GraphMessages.swift`.
//
// Memory safety: `decode` owns a message while its body reads it, then frees it. protobuf-c allocates as many elements as
// the field's count gives, each index stays below that count, and a message that was not in the bytes is a null pointer,
// which is checked for. Lengths of the tensors themselves are not trusted here: their readers check them.

struct BundleHeader {
  var shardCount: Int32
  var isBigEndian: Bool
  var minimumConsumer: Int32

  init(_ bytes: Bytes) throws(FormatError) {
    self = try unsafe decode(
      bytes, "the bundle's header", bertconv__bundle_header__unpack,
      freeHeader
    ) { (message) throws(FormatError) in
      let endianness = unsafe message.pointee.endianness
      guard endianness == 0 || endianness == 1 else {
        throw FormatError(
          .unsupported, "the bundle's header names an unknown byte order", file: bytes.file, found: "\(endianness)",
          expected: "0 (little) or 1 (big)")
      }
      return BundleHeader(
        shardCount: unsafe message.pointee.num_shards, isBigEndian: endianness == 1,
        minimumConsumer: unsafe message.pointee.version?.pointee.min_consumer ?? 0)
    }
  }

  init(shardCount: Int32, isBigEndian: Bool, minimumConsumer: Int32) {
    self.shardCount = shardCount
    self.isBigEndian = isBigEndian
    self.minimumConsumer = minimumConsumer
  }
}

struct BundleEntry {
  var type: Int32 = 0
  var shape: [Int] = []
  var shard: Int32 = 0
  var offset: Int64 = 0
  var size: Int64 = 0
  /// Masked.
  var checksum: UInt32 = 0
  var slices: [[SliceExtent]] = []

  init(_ bytes: Bytes) throws(FormatError) {
    self = try unsafe decode(
      bytes, "a tensor's entry", bertconv__bundle_entry__unpack,
      freeEntry
    ) { (message) throws(FormatError) in
      var entry = BundleEntry()
      entry.type = unsafe message.pointee.dtype
      entry.shape = try unsafe shapeOf(message.pointee.shape, bytes)
      entry.shard = unsafe message.pointee.shard_id
      entry.offset = unsafe message.pointee.offset
      entry.size = unsafe message.pointee.size
      entry.checksum = unsafe message.pointee.crc32c
      for index in 0..<(unsafe message.pointee.n_slices) {
        entry.slices.append(try unsafe sliceOf(message.pointee.slices[index], bytes))
      }
      return entry
    }
  }

  init() {}
}

/// One `SavedTensorSlices` of a V1 checkpoint.
struct SavedSlices {
  struct Meta {
    var name: [UInt8]
    var shape: [Int]
    var type: Int32
    var slices: [[SliceExtent]]
  }
  struct Values {
    var name: [UInt8]
    var slice: [SliceExtent]
    var type: Int32
    /// Little-endian bytes of the values, whatever field they were in.
    var content: [UInt8]
    var strings: [[UInt8]]
  }
  var meta: [Meta]?
  var values: Values?

  /// Reads a record, and its values if `type` gives their type. TensorFlow leaves the type out of the record itself.
  init(_ bytes: Bytes, valuesOfType type: ElementType?) throws(FormatError) {
    self = try unsafe decode(
      bytes, "a slice record", bertconv__saved_tensor_slices__unpack,
      freeSlices
    ) { (message) throws(FormatError) in
      var result = SavedSlices()
      if let meta = unsafe message.pointee.meta {
        var list: [Meta] = []
        for index in 0..<(unsafe meta.pointee.n_tensor) {
          guard let tensor = unsafe meta.pointee.tensor[index] else { continue }
          var slices: [[SliceExtent]] = []
          for number in 0..<(unsafe tensor.pointee.n_slice) {
            slices.append(try unsafe sliceOf(tensor.pointee.slice[number], bytes))
          }
          list.append(
            Meta(
              name: unsafe array(tensor.pointee.name), shape: try unsafe shapeOf(tensor.pointee.shape, bytes),
              type: unsafe tensor.pointee.type, slices: slices))
        }
        result.meta = list
      }
      if let data = unsafe message.pointee.data {
        var values = Values(
          name: unsafe array(data.pointee.name), slice: try unsafe sliceOf(data.pointee.slice, bytes), type: 0,
          content: [],
          strings: [])
        if let tensor = unsafe data.pointee.data {
          values.type = unsafe tensor.pointee.dtype
          if let type { unsafe collect(tensor, type, into: &values) }
        }
        result.values = values
      }
      return result
    }
  }

  init() {}
}

/// The object graph of a TF2 checkpoint: each checkpoint key with the full name that its variable had.
func objectGraphNames(_ bytes: Bytes) throws(FormatError) -> [String: String] {
  try unsafe decode(
    bytes, "the object graph", bertconv__trackable_object_graph__unpack,
    freeGraph
  ) { (message) throws(FormatError) in
    var names: [String: String] = [:]
    for index in 0..<(unsafe message.pointee.n_nodes) {
      guard let node = unsafe message.pointee.nodes[index] else { continue }
      for number in 0..<(unsafe node.pointee.n_attributes) {
        guard let attribute = unsafe node.pointee.attributes[number],
          let key = unsafe String(fileText: array(attribute.pointee.checkpoint_key)),
          let name = unsafe String(fileText: array(attribute.pointee.full_name)), !name.isEmpty
        else { continue }
        names[key] = name
      }
    }
    return names
  }
}

@unsafe
private func freeHeader(_ message: UnsafeMutablePointer<Bertconv__BundleHeader>) {
  unsafe bertconv__bundle_header__free_unpacked(message, nil)
}
@unsafe
private func freeEntry(_ message: UnsafeMutablePointer<Bertconv__BundleEntry>) {
  unsafe bertconv__bundle_entry__free_unpacked(message, nil)
}
@unsafe
private func freeSlices(_ message: UnsafeMutablePointer<Bertconv__SavedTensorSlices>) {
  unsafe bertconv__saved_tensor_slices__free_unpacked(message, nil)
}
@unsafe
private func freeGraph(_ message: UnsafeMutablePointer<Bertconv__TrackableObjectGraph>) {
  unsafe bertconv__trackable_object_graph__free_unpacked(message, nil)
}

/// Calls `body` with the message that `unpack` makes of `bytes`; `free` frees such a message.
@unsafe
func decode<Message, Result>(
  _ bytes: Bytes, _ what: String,
  _ unpack: (UnsafeMutablePointer<ProtobufCAllocator>?, Int, UnsafePointer<UInt8>?) -> UnsafeMutablePointer<Message>?,
  _ free: (UnsafeMutablePointer<Message>) -> Void, advice: FormatError.Advice = "The index is damaged: fetch it again.",
  _ body: (UnsafeMutablePointer<Message>) throws(FormatError) -> Result
) throws(FormatError) -> Result {
  // protobuf-c wants an address even for an empty message.
  let content = bytes.isEmpty ? [0] : bytes.array()
  let message = unsafe content.withUnsafeBufferPointer { unsafe unpack(nil, bytes.count, $0.baseAddress) }
  guard let message = unsafe message else {
    throw FormatError(
      .damaged, "\(what) is not a valid protocol buffer", file: bytes.file, offset: bytes.offsetInFile,
      advice: advice)
  }
  defer { unsafe free(message) }
  return try unsafe body(message)
}

@unsafe
func array(_ data: ProtobufCBinaryData) -> [UInt8] {
  unsafe Array(UnsafeBufferPointer(start: data.data, count: data.len))
}

@unsafe
func shapeOf(_ message: UnsafeMutablePointer<Bertconv__TensorShape>?, _ bytes: Bytes) throws(FormatError)
  -> [Int]
{
  guard let message = unsafe message else { return [] }
  guard unsafe message.pointee.unknown_rank == 0 else {
    throw FormatError(.unsupported, "a tensor's shape is unknown", file: bytes.file, offset: bytes.offsetInFile)
  }
  var shape: [Int] = []
  for index in 0..<(unsafe message.pointee.n_dim) {
    let size = unsafe message.pointee.dim[index]?.pointee.size ?? 0
    guard size >= 0 else {
      throw FormatError(
        .damaged, "a dimension is negative", file: bytes.file, offset: bytes.offsetInFile, found: "\(size)")
    }
    shape.append(Int(size))
  }
  return shape
}

@unsafe
private func sliceOf(
  _ message: UnsafeMutablePointer<Bertconv__TensorSlice>?, _ bytes: Bytes
) throws(FormatError) -> [SliceExtent] {
  guard let message = unsafe message else { return [] }
  var extents: [SliceExtent] = []
  for index in 0..<(unsafe message.pointee.n_extent) {
    guard let extent = unsafe message.pointee.extent[index] else { continue }
    let hasLength = unsafe extent.pointee.has_length_case == BERTCONV__EXTENT__HAS_LENGTH_LENGTH
    let start = unsafe extent.pointee.start
    let length = unsafe hasLength ? extent.pointee.length : 0
    guard start >= 0, length >= 0 else {
      throw FormatError(
        .damaged, "a slice is negative", file: bytes.file, offset: bytes.offsetInFile, found: "\(start), \(length)")
    }
    extents.append(SliceExtent(start: Int(start), length: hasLength ? Int(length) : nil))
  }
  return extents
}

/// Brings the typed fields of a `TensorProto` into one little-endian form.
@unsafe
func collect(
  _ tensor: UnsafeMutablePointer<Bertconv__Tensor>, _ type: ElementType, into values: inout SavedSlices.Values
) {
  func append<T: FixedWidthInteger>(_ value: T) {
    for shift in stride(from: 0, to: T.bitWidth, by: 8) {
      values.content.append(UInt8(truncatingIfNeeded: value >> T(shift)))
    }
  }
  func each(_ count: Int, _ body: (Int) -> Void) { for index in 0..<count { body(index) } }
  let t = unsafe tensor.pointee
  if unsafe t.tensor_content.len > 0 {
    values.content = unsafe array(t.tensor_content)
    return
  }
  switch type {
  case .f32: unsafe each(t.n_float_val) { unsafe append(t.float_val[$0].bitPattern) }
  case .f64: unsafe each(t.n_double_val) { unsafe append(t.double_val[$0].bitPattern) }
  case .c64: unsafe each(t.n_scomplex_val) { unsafe append(t.scomplex_val[$0].bitPattern) }
  case .c128: unsafe each(t.n_dcomplex_val) { unsafe append(t.dcomplex_val[$0].bitPattern) }
  case .i64: unsafe each(t.n_int64_val) { unsafe append(t.int64_val[$0]) }
  case .u64: unsafe each(t.n_uint64_val) { unsafe append(t.uint64_val[$0]) }
  case .u32: unsafe each(t.n_uint32_val) { unsafe append(t.uint32_val[$0]) }
  case .bool: unsafe each(t.n_bool_val) { unsafe append(UInt8(t.bool_val[$0] != 0 ? 1 : 0)) }
  case .f16, .bf16: unsafe each(t.n_half_val) { unsafe append(UInt16(truncatingIfNeeded: t.half_val[$0])) }
  case .i32, .quantizedI32: unsafe each(t.n_int_val) { unsafe append(t.int_val[$0]) }
  case .i16, .u16, .quantizedI16, .quantizedU16:
    unsafe each(t.n_int_val) { unsafe append(UInt16(truncatingIfNeeded: t.int_val[$0])) }
  case .i8, .u8, .quantizedI8, .quantizedU8, .i4, .u4, .i2, .u2, .f4e2m1:
    unsafe each(t.n_int_val) { unsafe append(UInt8(truncatingIfNeeded: t.int_val[$0])) }
  case .string: unsafe each(t.n_string_val) { unsafe values.strings.append(array(t.string_val[$0])) }
  default: break
  }
}
