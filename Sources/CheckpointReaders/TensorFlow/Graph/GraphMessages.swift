import CTensorBundleProto
import CheckpointFormats
import TensorIO

// The values in a graph, read with protobuf-c and copied into values at once: no pointer leaves this file.
//
// Memory safety: as in `Messages.swift`. A field of a `oneof` is read only where its case shows that it is set.

private let graphAdvice: FormatError.Advice = "The graph is damaged: fetch the file again."

/// A value of a node's attribute, as far as a reader needs it.
enum AttributeValue {
  case text([UInt8])
  case number(Double)
  case flag(Bool)
  case type(Int32)
  case shape([Int])
  case tensor(GraphTensor)
  case texts([[UInt8]])
  case other

  /// Larger values are weights, which are not needed here.
  static let maxSize = 64 << 10

  /// `nil` for a value that is too large.
  init?(_ bytes: Bytes) throws(FormatError) {
    guard bytes.count <= Self.maxSize else { return nil }
    self = try unsafe decode(
      bytes, "an attribute of the graph", bertconv__attribute_value__unpack, freeAttribute,
      advice: graphAdvice
    ) { (message) throws(FormatError) in
      switch unsafe message.pointee.value_case {
      case BERTCONV__ATTRIBUTE_VALUE__VALUE_S: return unsafe .text(array(message.pointee.s))
      case BERTCONV__ATTRIBUTE_VALUE__VALUE_I: return unsafe .number(Double(message.pointee.i))
      // The shortest decimal that is this float: 1e-12, not 9.999999960041972e-13.
      case BERTCONV__ATTRIBUTE_VALUE__VALUE_F: return unsafe .number(shortest(message.pointee.f))
      case BERTCONV__ATTRIBUTE_VALUE__VALUE_B: return unsafe .flag(message.pointee.b != 0)
      case BERTCONV__ATTRIBUTE_VALUE__VALUE_TYPE: return unsafe .type(message.pointee.type)
      case BERTCONV__ATTRIBUTE_VALUE__VALUE_SHAPE:
        // A shape that is not known whole is not used.
        guard let shape = unsafe try? shapeOf(message.pointee.shape, bytes) else { return .other }
        return .shape(shape)
      case BERTCONV__ATTRIBUTE_VALUE__VALUE_TENSOR:
        guard let tensor = unsafe message.pointee.tensor else { return .other }
        return unsafe .tensor(try graphTensor(tensor, bytes))
      case BERTCONV__ATTRIBUTE_VALUE__VALUE_LIST:
        guard let list = unsafe message.pointee.list else { return .other }
        var texts: [[UInt8]] = []
        for index in 0..<(unsafe list.pointee.n_s) { unsafe texts.append(array(list.pointee.s[index])) }
        return .texts(texts)
      default: return .other
      }
    }
  }
}

/// A constant of a graph with its values.
struct GraphTensor {
  var type: ElementType?
  var shape: [Int]
  /// Little-endian; equal values at the end may be left out, the last one then stands for them.
  var content: [UInt8]
  var strings: [[UInt8]]

  /// The values of a small tensor of numbers.
  var numbers: [Double]? {
    guard let type, Self.numberTypes.contains(type), let decode = type.numberDecoder, let size = type.size,
      let count = checkedElementCount(shape), count <= 64, content.count.isMultiple(of: size),
      content.count / size <= count
    else { return nil }
    var values = Bytes(content).withSpan { bytes in
      (0..<content.count / size).map { decode(bytes, $0 * size) }
    }
    if type == .f32 { values = values.map { shortest(Float($0)) } }
    let last = values.last ?? 0
    while values.count < count { values.append(last) }
    return values
  }

  private static let numberTypes: Set<ElementType> = [.f16, .bf16, .f32, .f64, .i32, .i64]
}

/// The number that the shortest decimal of a float is.
private func shortest(_ value: Float) -> Double { Double("\(value)") ?? Double(value) }

/// A `TensorProto`, such as the values of a constant.
func graphTensor(_ bytes: Bytes) throws(FormatError) -> GraphTensor {
  try unsafe decode(bytes, "a constant of the graph", bertconv__tensor__unpack, freeTensor, advice: graphAdvice) {
    (message) throws(FormatError) in try unsafe graphTensor(message, bytes)
  }
}

/// The dimensions of a `TensorShapeProto`.
func graphShape(_ bytes: Bytes) throws(FormatError) -> [Int] {
  try unsafe decode(bytes, "a shape in the graph", bertconv__tensor_shape__unpack, freeShape, advice: graphAdvice) {
    (message) throws(FormatError) in try unsafe shapeOf(message, bytes)
  }
}

@unsafe
private func graphTensor(
  _ tensor: UnsafeMutablePointer<Bertconv__Tensor>, _ bytes: Bytes
) throws(FormatError) -> GraphTensor {
  let type = unsafe ElementType(tensorFlow: tensor.pointee.dtype)
  var values = SavedSlices.Values(
    name: [], slice: [], type: unsafe tensor.pointee.dtype, content: [], strings: [])
  if let type { unsafe collect(tensor, type, into: &values) }
  return GraphTensor(
    type: type, shape: try unsafe shapeOf(tensor.pointee.tensor_shape, bytes), content: values.content,
    strings: values.strings)
}

@unsafe
private func freeAttribute(_ message: UnsafeMutablePointer<Bertconv__AttributeValue>) {
  unsafe bertconv__attribute_value__free_unpacked(message, nil)
}
@unsafe
private func freeTensor(_ message: UnsafeMutablePointer<Bertconv__Tensor>) {
  unsafe bertconv__tensor__free_unpacked(message, nil)
}
@unsafe
private func freeShape(_ message: UnsafeMutablePointer<Bertconv__TensorShape>) {
  unsafe bertconv__tensor_shape__free_unpacked(message, nil)
}
