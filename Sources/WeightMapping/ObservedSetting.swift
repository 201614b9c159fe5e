import ModelFamilies
import TensorIO

/// A setting that neither a config nor a tensor gives, and something else in the checkpoint shows: the graph that computes
/// the model, the layers of a Keras model, the attributes of a pickled module.
public struct ObservedSetting: Sendable, Equatable {
  public let setting: ConfigSetting
  /// In the words of `transformers`, except with ``isDialectWord``.
  public let value: JSON
  /// Whether the value is a word of the program that wrote the checkpoint, which may mean another function by it.
  public let isDialectWord: Bool
  /// The size of the model that the value goes with, where a checkpoint may have several models: heads times the size of a
  /// head.
  public let size: Int?
  /// Where it was seen, in the words of a sentence: "the graph in bert_model.ckpt.meta".
  public let origin: String

  public init(
    _ setting: ConfigSetting, _ value: JSON, size: Int? = nil, isDialectWord: Bool = false, origin: String
  ) {
    self.setting = setting
    self.value = value
    self.isDialectWord = isDialectWord
    self.size = size
    self.origin = origin
  }
}

/// The observed value of a key, taken only where all that was observed agrees.
extension ConfigBuilder {
  func observedValue(of key: ConfigKey) -> SourceConfig.Value? {
    guard let setting = key.setting else { return nil }
    let found = source.observed.filter { $0.setting == setting && fits($0, key) }.map {
      SourceConfig.Value(
        name: key.name, json: $0.value, origin: $0.origin, wasObserved: true, isCanonical: !$0.isDialectWord)
    }
    guard let first = found.first,
      found.allSatisfy({ value in
        isSameActivation(key, value, first)
          || value.isCanonical == first.isCanonical && SourceValues.isSame(value.text, first.text)
      })
    else { return nil }
    return first
  }

  private func fits(_ observed: ObservedSetting, _ key: ConfigKey) -> Bool {
    // Most families have tensors of each layer, which are sure; a graph counts blocks of attention.
    if observed.setting == .layerCount { return key.inference == .nothing && blocksPerLayer == 1 }
    guard let size = observed.size, case .heads(let whole, _) = key.inference, let found = dimensions.values[whole]
    else { return true }
    return size == found
  }

  private var blocksPerLayer: Int {
    guard case .groups(let names)? = table.model.key(for: .blocksPerLayer)?.inference else { return 1 }
    let present = Set(assignments.presentGroups.map { table.groups[$0].name })
    return names.count(where: present.contains)
  }

  /// Whether the two are one function, whatever it is called.
  func isSameActivation(_ key: ConfigKey, _ a: SourceConfig.Value, _ b: SourceConfig.Value) -> Bool {
    guard key.setting == .activation, let x = a.json.stringValue, let y = b.json.stringValue,
      let function = table.model.activation(named: meaning(of: x, key, a))
    else { return false }
    return function == table.model.activation(named: meaning(of: y, key, b))
  }

  /// Whether programs mean two functions by the config's word, and what was observed is one of them.
  func settlesWord(_ observed: SourceConfig.Value, _ config: SourceConfig.Value, of key: ConfigKey) -> Bool {
    guard observed.wasObserved, key.setting == .activation, config.json.stringValue == Activation.gelu.rawValue,
      let word = observed.json.stringValue, let function = table.model.activation(named: word)
    else { return false }
    return function == .gelu || function == .geluTanh
  }
}
