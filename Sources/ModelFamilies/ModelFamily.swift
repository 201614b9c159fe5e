import TensorIO

/// What a family of models is: its config, its tensors with their roles and shapes, how it computes, its heads.
///
/// Mapping, encoder, exporters and summaries read this value. It is made of one YAML file per family (`Families/`);
/// `docs/EXTENDING.md` specifies the form of such a file. It never changes, and is a class so that it is shared and not copied.
public final class ModelFamily: Sendable {
  package let identity: FamilyIdentity
  /// What the canonical names of the base model begin with, as in `bert.`; files of a bare model may lack it.
  public let basePrefix: String
  public let computation: Computation

  /// The canonical config, in this order.
  package let configKeys: [ConfigKey]
  /// Keys of a source's config that do not describe the model, or that are written again.
  package let configKeysLeftOut: Set<String>
  /// Symbols of shapes that no key of the config gives, and what they can be: anything where the list is empty.
  package let sizes: [(name: String, choices: [Dimension])]
  package let labels: Labels?
  package let architectures: [Architecture]
  package let groups: [TensorGroup]
  /// In forward order; those with `{layer}` that follow one another repeat together.
  package let tensors: [CanonicalTensor]
  /// Indices into ``tensors``, in their order; several where a tensor may have an alias.
  private let tensorsByRole: [TensorRole: [Int]]
  private let parts: Set<ModelPart>
  private let keysBySetting: [ConfigSetting: Int]

  package init(
    name: String, description: String, modelTypes: [String], basePrefix: String, computation: Computation,
    configKeys: [ConfigKey], configKeysLeftOut: Set<String>, sizes: [(name: String, choices: [Dimension])],
    labels: Labels?, architectures: [Architecture], groups: [TensorGroup], tensors: [CanonicalTensor],
    signatures: [FamilySignature] = [], possibleSignatures: [FamilySignature] = []
  ) {
    identity = FamilyIdentity(
      name: name, description: description, modelTypes: modelTypes,
      architectures: architectures.flatMap { [$0.name] + $0.others }, signatures: signatures,
      possibleSignatures: possibleSignatures,
      sizeKeys: Set(configKeys.filter { $0.inference != .nothing }.flatMap { [$0.name] + $0.otherNames }).sorted())
    self.basePrefix = basePrefix
    self.computation = computation
    self.configKeys = configKeys
    self.configKeysLeftOut = configKeysLeftOut
    self.sizes = sizes
    self.labels = labels
    self.architectures = architectures
    self.groups = groups
    self.tensors = tensors
    var byRole: [TensorRole: [Int]] = [:]
    for (index, tensor) in tensors.enumerated() {
      if let role = tensor.role { byRole[role, default: []].append(index) }
    }
    tensorsByRole = byRole
    parts = Set(byRole.keys.map(\.part))
    keysBySetting = Dictionary(
      configKeys.enumerated().compactMap { index, key in key.setting.map { ($0, index) } },
      uniquingKeysWith: { first, _ in first })
  }

  public var name: String { identity.name }
  /// The family with its article, as in "a BERT".
  public var description: String { identity.description }
  /// Values of `model_type` that mean this model, the canonical one first.
  public var modelTypes: [String] { identity.modelTypes }
  public var modelType: String { identity.modelType }

  public func isOf(modelType type: String?) -> Bool { identity.isOf(modelType: type) }

  /// Whether models of the family can have weights of that part.
  public func has(_ part: ModelPart) -> Bool { parts.contains(part) }

  /// The tensors of that role, with names as patterns.
  package func tensors(_ role: TensorRole) -> [CanonicalTensor] { (tensorsByRole[role] ?? []).map { tensors[$0] } }

  /// The canonical names of that role, the preferred one first; of layer `layer` where each layer has the part.
  public func names(_ role: TensorRole, layer: Int? = nil) -> [String] {
    tensors(role).map { $0.pattern.name(layer: layer) }
  }

  /// The key of the config that gives a setting; `nil` where the family has none.
  package func key(for setting: ConfigSetting) -> ConfigKey? { keysBySetting[setting].map { configKeys[$0] } }

  /// What a word of the activation setting means; `nil` for a word that is not known, or whose function is not computed.
  public func activation(named word: String) -> Activation? {
    guard computation.activationMeanings.isEmpty else { return computation.activationMeanings[word] }
    return SharedDefinitions.activations.first { $0.word == word }?.function
  }

  /// The words of the activation setting whose functions are computed.
  public var computedActivations: [String] {
    guard computation.activationMeanings.isEmpty else { return computation.activationMeanings.keys.sorted() }
    return SharedDefinitions.activations.filter { $0.function != nil }.map(\.word)
  }
}
