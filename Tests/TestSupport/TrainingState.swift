import TensorIO

/// What one program saves next to a model's weights to continue training: moments, step counts, loss scales.
///
/// The lists are Tests/Fixtures/training-state, which Scripts/training_state_names.py writes and describes.
public struct TrainingState: Sendable, CustomStringConvertible {
  /// `tf1`, `tf2`, `keras`, `torch` or `flax`.
  public let framework: String
  /// The program that saves, and what in it made the state.
  public let program: String
  public let writer: String
  /// Whether the state is in a file of its own, without weights.
  public let isSeparate: Bool
  /// The name of a weight in the same file, with `{weight}` for the weight's own name.
  public let weightTemplate: String
  private let templates: [Template]

  private struct Template {
    let name: String
    let elementType: ElementType
    let dimensions: [JSON]
  }

  public static let frameworks = ["tf1", "tf2", "keras", "torch", "flax"]

  public var description: String { "\(framework): \(writer) (\(program))" }

  /// The lists of one framework.
  public static func lists(of framework: String) throws -> [TrainingState] {
    let path = fixture("training-state/\(framework).json")
    guard let entries = try JSON.parse(try FileSystem.text(path), file: path)["writers"]?.elements, !entries.isEmpty
    else { throw Malformed(description: "\(path) lists no writers") }
    return try entries.map { try TrainingState(framework, $0) }
  }

  private struct Malformed: Error, CustomStringConvertible { let description: String }

  private init(_ framework: String, _ entry: JSON) throws {
    guard let program = entry["program"]?.stringValue, let writer = entry["writer"]?.stringValue,
      let weightTemplate = entry["weight"]?.stringValue, let tensors = entry["tensors"]?.members, !tensors.isEmpty
    else { throw Malformed(description: "an entry of \(framework).json is incomplete: \(entry.text())") }
    self.framework = framework
    self.program = program
    self.writer = writer
    self.weightTemplate = weightTemplate
    isSeparate = entry["separate"]?.boolValue ?? false
    templates = try tensors.map { member in
      guard let description = member.value.elements, let name = description.first?.stringValue,
        let elementType = ElementType(rawValue: name)
      else { throw Malformed(description: "'\(member.key)' in \(framework).json has no element type") }
      return Template(name: member.key, elementType: elementType, dimensions: Array(description.dropFirst()))
    }
  }

  /// The tensors of the state for one weight. Tensors that belong to no weight are among them each time.
  public func tensors(forWeight name: String, shape: [Int]) -> [TensorInfo] {
    templates.map { template in
      let ownShape = template.dimensions.flatMap { Self.sizes($0, shape) }
      let ownName = Self.replace("{weight}", in: template.name, with: name)
      return TensorInfo(name: ownName, elementType: template.elementType, shape: ownShape)
        ?? TensorInfo(name: ownName, elementType: template.elementType, shape: ownShape, byteCount: 0)
    }
  }

  /// The name that a weight has in the same file.
  public func name(ofWeight name: String) -> String { Self.replace("{weight}", in: weightTemplate, with: name) }

  /// The sizes of a dimension of a template.
  private static func sizes(_ dimension: JSON, _ weight: [Int]) -> [Int] {
    switch dimension.stringValue {
    case "weight": weight
    case "rows": [weight.first ?? 1]
    case "columns": [weight.last ?? 1]
    case "elements": [weight.reduce(1, *)]
    default: [dimension.intValue ?? 1]
    }
  }

  private static func replace(_ part: String, in text: String, with new: String) -> String {
    text.replacing(part, with: new)
  }
}
