import CheckpointFormats
import TensorIO

extension FormatName {
  public static let tensorFlowGraph = FormatName(rawValue: "tensorflow-graph")
}

/// A frozen graph: a `GraphDef` in which each variable has become a constant (`convert_variables_to_constants`).
///
///     GraphDef          1: NodeDef…
///     NodeDef           1: name  2: "Const"  5: attribute "value" → AttrValue (8: TensorProto)
///     TensorProto       1: type  2: shape  4: the values, little-endian  5…17: or the values in typed fields
///
/// The tensors are its constants of floating-point numbers with at least one dimension, under their own names: shapes,
/// axes and scalars are parts of the program. Values are read where they lie in the file.
final class FrozenGraph: GraphCarrier {
  let format = FormatName.tensorFlowGraph
  let files: [SourceFile]
  let tensors: [TensorInfo]
  let graph: TensorFlowGraph?
  let code: [ContainedCode]
  let warnings: [String]
  let metadata: [(key: String, value: String)]
  private let contents: [Content]

  private enum Content {
    case inPlace(Bytes)
    /// A `TensorProto` with its values in typed fields.
    case message(Bytes)
  }

  private struct Constant {
    var type: ElementType?
    var shape: [Int] = []
    var content = Bytes([])
  }

  init(_ file: Bytes, path: String) throws(FormatError) {
    let graph = try GraphReader.read(file, as: .graph, path: path)
    var tensors: [TensorInfo] = []
    var contents: [Content] = []
    var others = 0
    for node in graph.bodies.filter({ $0.function == nil }).flatMap(\.nodes) where node.operation == "Const" {
      do throws(FormatError) {
        guard let value = node.attributes.first(where: { $0.key == "value" })?.value,
          let message = try ProtoFields.first(8, in: value, "the value of a constant")
        else { throw FormatError(.damaged, "a constant of the graph has no value") }
        let constant = try Self.constant(message)
        guard let type = constant.type, Self.weightTypes.contains(type), !constant.shape.isEmpty else {
          others += 1
          continue
        }
        guard let size = checkedByteCount(constant.shape, type) else {
          throw FormatError(.limit, "the shape is too large", found: shapeText(constant.shape))
        }
        var info = TensorInfo(name: node.name, elementType: type, shape: constant.shape, byteCount: size)
        if !constant.content.isEmpty {
          guard constant.content.count == size else {
            throw FormatError(
              .damaged, "a constant has the wrong number of bytes", found: "\(constant.content.count)",
              expected: "\(size)")
          }
          info.location = .init(file: 0, offset: constant.content.offsetInFile)
          contents.append(.inPlace(constant.content))
        } else {
          contents.append(.message(message))
        }
        tensors.append(info)
        try CheckpointLimits.check(tensors.count, file: path)
      } catch {
        throw error.inTensor(node.name).inFile(path)
      }
    }
    files = [SourceFile(path: path, size: UInt64(file.count))]
    self.tensors = tensors
    self.contents = contents
    self.graph = graph
    code = graph.code
    warnings = ContainedCode.warnings(of: code)
    metadata = [("constants that are no weights", "\(others)")]
  }

  /// Numbers that weights have; whole numbers are shapes, axes and indices.
  private static let weightTypes: Set<ElementType> = [.f16, .bf16, .f32, .f64]

  private static func constant(_ message: Bytes) throws(FormatError) -> Constant {
    var result = Constant()
    var fields = ProtoFields(message, "a constant of the graph")
    while let field = try fields.next() {
      switch (field.number, field.value) {
      case (1, .number(let number)):
        result.type = Int32(exactly: number).flatMap { ElementType(tensorFlow: $0) }
      case (2, .bytes(let shape)): result.shape = try graphShape(shape)
      case (4, .bytes(let content)): result.content = content
      default: break
      }
    }
    return result
  }

  func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    switch contents[index] {
    case .inPlace(let content):
      let result = try content.withSpan { try body($0) }
      try content.checkIntact()
      return result
    case .message(let message): return try expanded(message, tensors[index]).withSpan { try body($0) }
    }
  }

  func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    guard case .inPlace(let content) = contents[index] else { return try withBytes(ofTensorAt: index, body) }
    try content.forEachChunk { chunk in try chunk.withSpan { try body($0) } }
  }

  /// Equal values at the end may be left out: the last one stands for the rest, and zero where there is none.
  private func expanded(_ message: Bytes, _ tensor: TensorInfo) throws(FormatError) -> Bytes {
    let content = try graphTensor(message).content
    let size = tensor.elementType.size ?? 1
    guard content.count <= tensor.byteCount, content.count.isMultiple(of: size) else {
      throw FormatError(
        .damaged, "a constant has the wrong number of values", file: files[0].path, tensor: tensor.name,
        found: "\(content.count / size)", expected: "\(tensor.elementCount)")
    }
    return try Bytes(count: tensor.byteCount, file: files[0].path) { (target) throws(FormatError) in
      for index in 0..<target.byteCount {
        let position = index < content.count ? index : content.count - size + index % size
        if !content.isEmpty { target.storeBytes(of: content[position], toByteOffset: index, as: UInt8.self) }
      }
    }
  }
}

/// Frozen graphs, whatever their name.
public struct FrozenGraphFormat: CheckpointFormat {
  public init() {}

  /// A `GraphDef` begins with a node, whose name and operation come first, and is made of fields that end where the file
  /// ends.
  public func recognizes(_ file: Bytes, path: String) -> Bool {
    guard file.byte(at: 0) == 0x0A, (try? Self.isGraph(file)) == true else { return false }
    return true
  }

  private static func isGraph(_ file: Bytes) throws(FormatError) -> Bool {
    var fields = ProtoFields(file, "the graph")
    var isFirst = true
    while let field = try fields.next() {
      guard (1...5).contains(field.number) else { return false }
      guard isFirst else { continue }
      isFirst = false
      guard field.number == 1, case .bytes(let node) = field.value else { return false }
      var parts = ProtoFields(node, "a node")
      guard let name = try parts.next(), name.number == 1, isName(name.value), let operation = try parts.next(),
        operation.number == 2, isName(operation.value)
      else { return false }
    }
    return true
  }

  /// Whether it is a name of a node or an operation (core/graph/tensor_id, framework/op_def_util.cc).
  private static func isName(_ value: ProtoFields.Value) -> Bool {
    guard case .bytes(let bytes) = value, !bytes.isEmpty, bytes.count <= 1024 else { return false }
    return bytes.array().allSatisfy { byte in
      let character = Unicode.Scalar(byte)
      return ("a"..."z").contains(character) || ("A"..."Z").contains(character) || ("0"..."9").contains(character)
        || "_./>-\\".unicodeScalars.contains(character)
    }
  }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    try FrozenGraph(file, path: path)
  }
}
