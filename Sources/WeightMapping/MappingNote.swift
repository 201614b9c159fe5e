/// A note on a plan for the user: what was assumed, inferred or changed. A program switches on the kind; the
/// text is for people.
public struct MappingNote: Sendable, Equatable {
  public enum Kind: Sendable, Equatable {
    /// A config key whose value nothing gives.
    case assumed(key: String)
    /// A key that the config lacks, for which the program that it was written for has a value of its own.
    case programDefault(key: String)
    /// Config keys whose values the shapes of the tensors give.
    case inferred(keys: [String])
    /// Config keys whose values the checkpoint itself gives.
    case takenFromCheckpoint(keys: [String])
    /// The config and the checkpoint give two values of this key, and the config's is taken.
    case configPreferred(key: String)
    /// The weights have more rows than the config gives, which are kept.
    case padded(key: String)
    /// A word of the config has another meaning in the dialect's program.
    case reworded(key: String)
    /// The user chose the family, and the config names another.
    case familyChosen
    /// A word of the config has had two meanings in the dialect's program; one of them is taken.
    case twoMeanings(key: String)
    /// The architecture that was taken is not the config's, or one of several.
    case architecture
    /// A part is missing that outputs of the architecture go through.
    case missingPart(group: String)
    /// The classes have no names in the config.
    case unnamedLabels
    /// The tensor of this name is kept, though it is usually tied to another: it differs.
    case untied(String)
    /// The config's word on tied weights was changed to what the weights are.
    case tieCorrected
    /// Names were read without the parts that wrappers of modules add.
    case wrappers
    /// Second forms of weights are taken: copies in f32, moving averages.
    case secondForms
    /// The program that reads an export has a fixed value of this config key, which is not the model's.
    case fixedByProgram(key: String)
    /// The tensor of this name is zeros: the dialect's program has none.
    case zeros(String)
    /// A note that the dialect has for every source.
    case dialect
    /// A note of the program that made the plan.
    case program
  }

  public let kind: Kind
  public let text: String

  public init(_ kind: Kind, _ text: String) {
    self.kind = kind
    self.text = text
  }
}

/// A contradiction between the config and the weights, or within one of them. A program switches on the kind; the text is
/// for people.
public struct MappingConflict: Sendable, Equatable {
  public enum Kind: Sendable, Equatable {
    /// The value of this config key is not one that it can have, or not the one that the weights have.
    case value(key: String)
    /// Nothing gives a value of this config key, and the model cannot be made without it.
    case missingValue(key: String)
    /// The config is of another family.
    case family
    /// The layers do not count up from 0.
    case layers
    /// The names of the classes are not as many as the head has.
    case labels
    /// A tensor cannot be cut: the sizes of its parts are not known.
    case parts(tensor: String)
    /// No dialect is known for the values next to the tensors.
    case condition(key: String)
    /// The modules of sentence-transformers are not ones that are converted.
    case sentenceModules
  }

  public let kind: Kind
  public let text: String

  init(_ kind: Kind, _ text: String) {
    self.kind = kind
    self.text = text
  }
}
