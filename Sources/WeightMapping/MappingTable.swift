import ModelFamilies
import TensorIO

/// One family of models as a table: its canonical tensors, its config, and the names that its dialects give them.
///
/// A table is data. Its form is specified in `docs/EXTENDING.md`; reading it checks that it is unambiguous.
public struct MappingTable: Sendable {
  private let entry: FamilyCatalog.Entry
  let dialects: [Dialect]

  /// What the family is: config, tensors, heads.
  public var model: ModelFamily { entry.family }
  /// What identifies the family.
  var identity: FamilyIdentity { entry.identity }

  public var family: String { identity.name }
  /// The family with its article, as in "a BERT".
  public var description: String { identity.description }
  /// The names of the dialects, in the table's order.
  public var dialectNames: [String] { dialects.map(\.name) }

  var tensors: [CanonicalTensor] { model.tensors }
  var groups: [TensorGroup] { model.groups }

  /// Reads a table and checks it; `file` is for error messages.
  ///
  /// A table describes its family, or names one that is built in.
  public init(yaml: String, file: String?) throws(FormatError) {
    self = try TableParser(root: try YAMLValue.parse(yaml, file: file), families: nil).parse()
  }

  init(_ family: FamilyCatalog.Entry, dialects: [Dialect]) {
    entry = family
    self.dialects = dialects
  }

  /// The same with the family parsed, for repeated use.
  var loaded: MappingTable { MappingTable(FamilyCatalog.Entry(model), dialects: dialects) }

  /// Every tensor of a model of these layers, in forward order.
  func expanded(layers: [Int]) -> [TargetKey] {
    var result: [TargetKey] = []
    var index = 0
    while index < tensors.count {
      guard tensors[index].pattern.isPerLayer else {
        result.append(TargetKey(tensor: index, layer: nil))
        index += 1
        continue
      }
      let end = tensors[index...].firstIndex { !$0.pattern.isPerLayer } ?? tensors.count
      for layer in layers {
        for tensor in index..<end { result.append(TargetKey(tensor: tensor, layer: layer)) }
      }
      index = end
    }
    return result
  }

  func name(_ key: TargetKey) -> String { tensors[key.tensor].pattern.name(layer: key.layer) }

  /// The shape of a tensor in a model of these layers.
  func shape(_ key: TargetKey, layers: [Int]) -> [Dimension] {
    let tensor = tensors[key.tensor]
    guard let layer = key.layer, tensor.firstShape ?? tensor.lastShape != nil else { return tensor.shape }
    var shape = tensor.shape
    for special in [layer == 0 ? tensor.firstShape : nil, layer == layers.last ? tensor.lastShape : nil] {
      guard let special else { continue }
      for index in shape.indices where special[index] != tensor.shape[index] { shape[index] = special[index] }
    }
    return shape
  }
}

/// A canonical tensor, of a certain layer where the table has `{layer}`.
struct TargetKey: Hashable, Sendable {
  let tensor: Int
  let layer: Int?
}
