import ModelFamilies
import TensorIO

/// The settings that a config of Keras shows: the `model_config` of a whole model in HDF5 or `.keras`, and the `config.json` of
/// KerasHub. Each layer is `{"class_name": …, "config": {…}}`.
///
/// A value counts only where all layers that have it agree, and an activation only where its name shows which function it is.
struct KerasSettings {
  private var heads: Set<Int> = []
  private var widths: Set<Int> = []
  private var layers: Set<Int> = []
  /// `nil` for one that the layer leaves to its program.
  private var epsilons: Set<Double?> = []
  private var activations: Set<Word?> = []

  private struct Word: Hashable {
    let text: String
    /// Whether another program may mean another function by it.
    let isOfDialect: Bool
  }

  /// Whether a JSON value is an object of Keras.
  static func isOne(_ json: JSON?) -> Bool {
    json?["class_name"]?.stringValue != nil && json?["config"]?.members != nil
  }

  init(_ json: JSON) { visit(json) }

  func observed(origin: String) -> [ObservedSetting] {
    var result: [ObservedSetting] = []
    if heads.count == 1, let count = heads.first, count > 0 {
      result.append(
        ObservedSetting(.headCount, .int(count), size: widths.count == 1 ? widths.first : nil, origin: origin))
    }
    if layers.count == 1, let count = layers.first, count > 0 {
      result.append(ObservedSetting(.layerCount, .int(count), origin: origin))
    }
    if epsilons.count == 1, let first = epsilons.first, let epsilon = first, epsilon > 0, epsilon < 1 {
      result.append(ObservedSetting(.layerNormEpsilon, .double(epsilon), origin: origin))
    }
    if activations.count == 1, let first = activations.first, let word = first {
      result.append(
        ObservedSetting(
          .activation, .string(word.text), isDialectWord: word.isOfDialect, origin: origin))
    }
    return result
  }

  // MARK: Layers

  /// Parts of the names of classes that have heads or an activation inside.
  private static let blocks = ["Attention", "Transformer", "Encoder", "Backbone", "BERT", "Bert", "FeedForward"]
  private static let names = SharedDefinitions.settingNames(of: .keras)

  private mutating func visit(_ json: JSON) {
    if let elements = json.elements {
      for element in elements { visit(element) }
    } else if let members = json.members {
      if let type = json["class_name"]?.stringValue, let config = json["config"], config.members != nil {
        add(type.split(separator: ">").last.map(String.init) ?? type, config)
      }
      for member in members { visit(member.value) }
    }
  }

  private mutating func add(_ type: String, _ config: JSON) {
    if type.contains("LayerNorm") { addEpsilons(Self.names.normEpsilon, config) }
    guard Self.blocks.contains(where: type.contains) else { return }
    for key in Self.names[.headCount] {
      guard let count = config[key]?.intValue else { continue }
      heads.insert(count)
      for size in Self.names.headSize.compactMap({ config[$0]?.intValue }).prefix(1) {
        let (width, overflow) = count.multipliedReportingOverflow(by: size)
        if !overflow { widths.insert(width) }
      }
    }
    addEpsilons(Self.names[.layerNormEpsilon], config)
    // Attention has an activation too, of the projections.
    guard !type.contains("Attention") else { return }
    if type.contains("Backbone") || type.contains("BertEncoder") {
      for key in Self.names[.layerCount] { if let count = config[key]?.intValue { layers.insert(count) } }
    }
    for key in Self.names[.activation] {
      if let value = config[key], value != .null { activations.insert(word(value)) }
    }
  }

  private mutating func addEpsilons(_ keys: [String], _ config: JSON) {
    for key in keys { if let epsilon = config[key] { epsilons.insert(epsilon.doubleValue) } }
  }

  /// What an activation is: a word, a function of Keras 3 by its name, or a list of one.
  private func word(_ value: JSON) -> Word? {
    if let elements = value.elements { return elements.count == 1 ? word(elements[0]) : nil }
    guard let name = value.stringValue ?? value["config"]?.stringValue ?? value["class_name"]?.stringValue else {
      return nil
    }
    let plain = name.split(separator: ">").last.map(String.init) ?? name
    if let known = SharedDefinitions.activation(named: plain, in: .keras) {
      return Word(text: known, isOfDialect: false)
    }
    guard SharedDefinitions.activations.contains(where: { $0.word == plain }) else { return nil }
    return Word(text: plain, isOfDialect: true)
  }
}
