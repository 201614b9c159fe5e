import ModelFamilies
import TensorIO

extension ModelDifference {
  /// A part of the model: one layer, the embeddings, the pooler, a head.
  public struct Part: Sendable {
    /// As `layer 3`, `embeddings` or `pooler`; where there are several stacks of layers, as `encoder.layer 3`.
    public let name: String
    /// The stack that the layer is of, and its number; `nil` for what is not a layer.
    public let stack: String?
    public let layer: Int?
    /// Tensors of one name on both sides.
    public internal(set) var tensors = 0
    /// How many of them are not equal.
    public internal(set) var changed = 0
    /// Of the tensors of one shape.
    public internal(set) var values = 0
    public internal(set) var differing = 0
    /// Over all floating-point tensors of the part, the equal ones among them. Whole numbers are left out: the numbers
    /// of positions would outweigh every weight.
    public internal(set) var distance = ValueDistance()

    init(name: String, stack: String?, layer: Int?) {
      self.name = name
      self.stack = stack
      self.layer = layer
    }

    /// ‖b - a‖ / ‖a‖ over the part; 0 where nothing changed, `nil` where there is none.
    public var relativeChange: Double? { changed == 0 ? 0 : distance.count == 0 ? nil : distance.relativeChange }
    /// `nil` where nothing that changed is a floating-point number.
    public var maximum: Double? { changed == 0 ? 0 : distance.count == 0 ? nil : distance.maximum }
  }
}

/// Puts tensors into the parts of a model by their names alone.
///
/// Layers are found by their numbers. What is in no layer belongs to the part that its name begins with, after the name of
/// the model that most names begin with; all embeddings are one.
struct ModelPartition {
  private(set) var parts: [ModelDifference.Part] = []
  /// For each name its part.
  private(set) var partOfName: [Int] = []

  /// A model of more than these has no parts that are worth a line each.
  private static let maximumOthers = 16
  private static let others = "others"

  private struct Key: Hashable {
    let stack: String?
    let layer: Int?
    let name: String
  }

  /// No parts where these would show nothing: where there is only one, or about as many as tensors.
  ///
  /// `others` are names that belong to the models too, but not to what is divided: they help to distinguish layers from
  /// other numbers.
  init(_ names: [String], others: [String] = []) {
    let (stacks, layers) = Self.stacks(names + others)
    let base = Self.base(names + others)
    var labels: [String] = []
    let keys: [Key] = names.indices.map { index in
      if let layer = layers[index], let stack = stacks[layer.prefix] {
        return Key(stack: stack, layer: layer.number, name: "\(stacks.count == 1 ? "layer" : stack) \(layer.number)")
      }
      var label = Self.label(names[index], base: base)
      if !labels.contains(label) {
        if labels.count < Self.maximumOthers { labels.append(label) } else { label = Self.others }
      }
      return Key(stack: nil, layer: nil, name: label)
    }
    guard !stacks.isEmpty || !keys.contains(where: { $0.name == Self.others }) else { return }

    var order: [Key: Int] = [:]
    for key in keys where order[key] == nil { order[key] = order.count }
    var firstOfStack: [String: Int] = [:]
    for key in keys {
      if let stack = key.stack, firstOfStack[stack] == nil { firstOfStack[stack] = firstOfStack.count }
    }
    /// The embeddings, the layers of each stack, the rest in the order of the tensors.
    func rank(_ key: Key) -> (Int, Int, Int) {
      if let stack = key.stack, let layer = key.layer { return (1, firstOfStack[stack] ?? 0, layer) }
      return (key.name == "embeddings" ? 0 : key.name == Self.others ? 3 : 2, order[key] ?? 0, 0)
    }
    let sorted = order.keys.sorted { rank($0) < rank($1) }
    guard sorted.count > 1, stacks.isEmpty ? sorted.count * 2 <= names.count : sorted.count < names.count else {
      return
    }
    let numbers = Dictionary(uniqueKeysWithValues: sorted.enumerated().map { ($0.element, $0.offset) })
    parts = sorted.map { ModelDifference.Part(name: $0.name, stack: $0.stack, layer: $0.layer) }
    partOfName = keys.map { numbers[$0] ?? 0 }
  }

  /// The names of the stacks of layers by their prefixes, and for each of `names` its layer, if it has one.
  private static func stacks(_ names: [String]) -> (names: [Substring: String], layers: [LayerNumber?]) {
    let stacks = LayerStack.all(in: names)
    var layers = [LayerNumber?](repeating: nil, count: names.count)
    for stack in stacks { for member in stack.members { layers[member.index] = member.layer } }
    // Two numbered tensors of a head are not a stack of layers.
    let largest = stacks.first?.members.count ?? 0
    let prefixes = stacks.filter { $0.members.count * 8 >= largest }.map(\.prefix)
    let stackNames = prefixes.map { prefix in
      let end = prefix.lastIndex { !"./_-".contains($0) }
      return (prefix, end.map { String(prefix[...$0]) } ?? String(prefix))
    }
    return (Dictionary(uniqueKeysWithValues: stackNames), layers)
  }

  private static func components(_ name: String) -> [Substring] {
    name.split(maxSplits: 8) { $0 == "." || $0 == "/" }
  }

  /// What more than half of the names begin with.
  private static func base(_ names: [String]) -> Substring? {
    var counts: [Substring: Int] = [:]
    for name in names { if let first = components(name).first { counts[first, default: 0] += 1 } }
    return counts.first { $0.value * 2 > names.count }?.key
  }

  private static func label(_ name: String, base: Substring?) -> String {
    var parts = components(name)
    if parts.count > 1, parts.first == base { parts.removeFirst() }
    let isEmbedding = parts.contains { part in
      part == "wte" || part == "wpe" || part.lowercased().contains("embed")
    }
    return isEmbedding ? "embeddings" : String(parts.first ?? Substring(name))
  }
}
