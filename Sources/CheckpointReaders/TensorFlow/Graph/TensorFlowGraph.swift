import TensorIO

/// The program that TensorFlow stores next to weights, or with the weights in it: the nodes of a `GraphDef` and of its
/// functions. Nothing of it is run.
public struct TensorFlowGraph: Sendable {
  /// An operation (core/framework/node_def.proto).
  public struct Node: Sendable {
    public let name: String
    public let operation: String
    /// As they are written: `node`, `node:0`, `node:output:0` in a function, `^node` for an order without a value.
    public let inputs: [String]
    /// The attributes that a reader may need, each a serialized `AttrValue`.
    let attributes: [(key: String, value: Bytes)]
  }

  /// The main graph, or a function.
  public struct Body: Sendable {
    /// `nil` for the main graph.
    public let function: String?
    public let nodes: [Node]
  }

  /// The file that contains it.
  public let path: String
  /// The main graphs (a SavedModel may have several), then the functions.
  public let bodies: [Body]
  /// What Keras keeps of its layers in a SavedModel, each a JSON object.
  let layerConfigs: [String]
}

// MARK: Attributes

extension TensorFlowGraph.Node {
  /// The keys of attributes that are kept.
  static let keptKeys: Set<String> = [
    "value", "epsilon", "equation", "output_stream", "f",
  ]

  func attribute(_ key: String) -> AttributeValue? {
    guard let value = attributes.first(where: { $0.key == key })?.value else { return nil }
    return try? AttributeValue(value)
  }

  /// The numbers of a small constant, row-major.
  public var constant: (values: [Double], shape: [Int])? {
    guard operation == "Const", case .tensor(let tensor)? = attribute("value"), let values = tensor.numbers else {
      return nil
    }
    return (values, tensor.shape)
  }

  /// The texts of a small constant of strings.
  public var constantTexts: [String]? {
    guard operation == "Const", case .tensor(let tensor)? = attribute("value"), tensor.type == .string else {
      return nil
    }
    return tensor.strings.map { String(decodingFileText: $0) }
  }

  /// The function that a node calls, under the key `f`.
  public func function(_ key: String) -> String? {
    guard let value = attributes.first(where: { $0.key == key })?.value else { return nil }
    do throws(FormatError) {
      // AttrValue 10: NameAttrList (1: name).
      guard let list = try ProtoFields.first(10, in: value, "a function's name") else { return nil }
      return try ProtoFields.first(1, in: list, "a function's name")?.utf8String()
    } catch { return nil }
  }

  public func number(_ key: String) -> Double? {
    if case .number(let number)? = attribute(key) { number } else { nil }
  }

  public func text(_ key: String) -> String? {
    if case .text(let bytes)? = attribute(key) { String(decodingFileText: bytes) } else { nil }
  }

  public func texts(_ key: String) -> [String] {
    if case .texts(let texts)? = attribute(key) { texts.map { String(decodingFileText: $0) } } else { [] }
  }
}

/// A checkpoint with a graph.
public protocol GraphCarrier: TensorSource {
  /// `nil` where there is none, or none that can be read.
  var graph: TensorFlowGraph? { get }
}

extension OpenedCheckpoint {
  /// The graph that TensorFlow stored with the weights.
  public var graph: TensorFlowGraph? { (source as? any GraphCarrier)?.graph }
}
