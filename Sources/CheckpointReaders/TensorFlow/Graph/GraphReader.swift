import CheckpointFormats
import TensorIO

/// Reads the graphs of TensorFlow's files, whose messages are (core/framework/graph.proto, function.proto,
/// core/protobuf/{meta_graph,saved_model}.proto):
///
///     SavedModel        2: MetaGraphDef…
///     MetaGraphDef      2: GraphDef  7: SavedObjectGraph (1: object (4: user's object (3: a config of Keras))…)
///     GraphDef          1: NodeDef…  2: FunctionDefLibrary
///     FunctionDefLibrary  1: FunctionDef…
///     FunctionDef       1: OpDef (1: name)  3: NodeDef…
///     NodeDef           1: name  2: operation  3: input…  5: attribute (1: key  2: AttrValue)…
///
/// The messages are walked in place. What a file may make us keep is limited: nodes, functions, inputs, bytes of text.
struct GraphReader {
  /// The message that a file is.
  enum Message { case graph, metaGraph, savedModel }

  private let file: Bytes
  private var bodies: [TensorFlowGraph.Body] = []
  private var functions: [TensorFlowGraph.Body] = []
  private var layerConfigs: [String] = []
  private var nodeCount = 0
  private var inputCount = 0

  /// A large model that is trained has 100,000 nodes.
  private static let maxNodes = 1_000_000
  private static let maxInputs = 4_000_000
  private static let maxFunctions = 100_000
  private static let maxNameLength = 4096
  /// protobuf has no larger messages; the files without weights are far smaller.
  private static let maxSize = 2 << 30

  static func read(_ file: Bytes, as message: Message, path: String) throws(FormatError) -> TensorFlowGraph {
    guard file.count <= maxSize else {
      throw FormatError(
        .limit, "the graph is too large", file: path, found: humanBytes(UInt64(file.count)),
        expected: "at most \(humanBytes(UInt64(maxSize)))")
    }
    var reader = GraphReader(file: file)
    switch message {
    case .graph: try reader.addGraph(file)
    case .metaGraph: try reader.addMetaGraph(file)
    case .savedModel:
      var fields = ProtoFields(file, "the SavedModel")
      while let field = try fields.next() {
        if field.number == 2, case .bytes(let bytes) = field.value { try reader.addMetaGraph(bytes) }
      }
    }
    return TensorFlowGraph(path: path, bodies: reader.bodies + reader.functions, layerConfigs: reader.layerConfigs)
  }

  private init(file: Bytes) { self.file = file }

  private mutating func addMetaGraph(_ bytes: Bytes) throws(FormatError) {
    var fields = ProtoFields(bytes, "the MetaGraphDef")
    while let field = try fields.next() {
      guard case .bytes(let value) = field.value else { continue }
      if field.number == 2 { try addGraph(value) }
      if field.number == 7 { try addObjects(value) }
    }
  }

  /// Keras up to 2.4 keeps the configs of its layers with the objects of the SavedModel.
  private mutating func addObjects(_ bytes: Bytes) throws(FormatError) {
    var fields = ProtoFields(bytes, "the objects of the SavedModel")
    while let field = try fields.next() {
      guard field.number == 1, case .bytes(let object) = field.value,
        let user = try ProtoFields.first(4, in: object, "an object of the SavedModel"),
        let config = try ProtoFields.first(3, in: user, "an object of the SavedModel"), config.byte(at: 0) == 0x7B
      else { continue }
      try CheckpointLimits.check(layerConfigs.count + 1, "objects of Keras", file: file.file)
      layerConfigs.append(config.text())
    }
  }

  /// The configs in the `keras_metadata.pb` of Keras 2.5 to 2.15 (protobuf/saved_metadata.proto):
  ///
  ///     SavedMetadata  1: object (5: a config of Keras)…
  static func layerConfigs(_ file: Bytes) throws(FormatError) -> [String] {
    var configs: [String] = []
    var fields = ProtoFields(file, "the metadata of Keras")
    while let field = try fields.next() {
      guard field.number == 1, case .bytes(let object) = field.value,
        let config = try ProtoFields.first(5, in: object, "an object of Keras")
      else { continue }
      try CheckpointLimits.check(configs.count + 1, "objects of Keras", file: file.file)
      configs.append(config.text())
    }
    return configs
  }

  private mutating func addGraph(_ bytes: Bytes) throws(FormatError) {
    var nodes: [TensorFlowGraph.Node] = []
    var fields = ProtoFields(bytes, "the graph")
    while let field = try fields.next() {
      guard case .bytes(let value) = field.value else { continue }
      if field.number == 1 { nodes.append(try node(value)) }
      if field.number == 2 { try addLibrary(value) }
    }
    bodies.append(TensorFlowGraph.Body(function: nil, nodes: nodes))
  }

  private mutating func addLibrary(_ bytes: Bytes) throws(FormatError) {
    var fields = ProtoFields(bytes, "the graph's functions")
    while let field = try fields.next() {
      guard field.number == 1, case .bytes(let value) = field.value else { continue }
      try CheckpointLimits.check(functions.count + 1, "functions", limit: Self.maxFunctions, file: file.file)
      functions.append(try function(value))
    }
  }

  private mutating func function(_ bytes: Bytes) throws(FormatError) -> TensorFlowGraph.Body {
    var name = ""
    var nodes: [TensorFlowGraph.Node] = []
    var fields = ProtoFields(bytes, "a function of the graph")
    while let field = try fields.next() {
      guard case .bytes(let value) = field.value else { continue }
      if field.number == 1, let text = try ProtoFields.first(1, in: value, "a function's signature") {
        name = try self.text(text)
      }
      if field.number == 3 { nodes.append(try node(value)) }
    }
    return TensorFlowGraph.Body(function: name, nodes: nodes)
  }

  private mutating func node(_ bytes: Bytes) throws(FormatError) -> TensorFlowGraph.Node {
    nodeCount += 1
    try CheckpointLimits.check(nodeCount, "nodes", limit: Self.maxNodes, file: file.file)
    var name = ""
    var operation = ""
    var inputs: [String] = []
    var attributes: [(key: String, value: Bytes)] = []
    var fields = ProtoFields(bytes, "a node of the graph")
    while let field = try fields.next() {
      guard case .bytes(let value) = field.value else { continue }
      switch field.number {
      case 1: name = try text(value)
      case 2: operation = try text(value)
      case 3:
        inputCount += 1
        try CheckpointLimits.check(inputCount, "inputs of nodes", limit: Self.maxInputs, file: file.file)
        inputs.append(try text(value))
      case 5:
        // A key counts once: a file could repeat one without end.
        guard let attribute = try attribute(value), !attributes.contains(where: { $0.key == attribute.key }) else {
          break
        }
        attributes.append(attribute)
      default: break
      }
    }
    return TensorFlowGraph.Node(name: name, operation: operation, inputs: inputs, attributes: attributes)
  }

  /// `nil` for an attribute that is not needed.
  private func attribute(_ bytes: Bytes) throws(FormatError) -> (key: String, value: Bytes)? {
    guard let key = try ProtoFields.first(1, in: bytes, "an attribute of the graph"), key.count <= 32 else {
      return nil
    }
    let name = key.text()
    guard TensorFlowGraph.Node.keptKeys.contains(name),
      let value = try ProtoFields.first(2, in: bytes, "an attribute of the graph")
    else { return nil }
    return (name, value)
  }

  private func text(_ bytes: Bytes) throws(FormatError) -> String {
    guard bytes.count <= Self.maxNameLength, let text = bytes.utf8String() else {
      throw FormatError(
        .damaged, "a name in the graph is too long or not UTF-8", file: bytes.file, offset: bytes.offsetInFile,
        found: "\(bytes.count) bytes", expected: "at most \(Self.maxNameLength)")
    }
    return text
  }
}
