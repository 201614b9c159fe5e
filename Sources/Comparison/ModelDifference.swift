import TensorIO

/// The result of comparing two checkpoints, tensor by tensor.
public struct ModelDifference: Sendable {
  public struct Side: Sendable, Equatable {
    /// The type that it is stored in; 8-bit weights are compared as the numbers that they represent.
    public let elementType: ElementType
    public let shape: [Int]
    /// The tensors of the checkpoint that it is made of, where their names are different.
    public let sources: [String]
  }

  public enum Kind: String, Sendable, CaseIterable {
    case added, removed
    /// The same type, shape and bytes under another name.
    case renamed
    case retyped, reshaped, changed
  }

  public struct Entry: Sendable {
    public let name: String
    public let kind: Kind
    /// `nil` for what was added.
    public let a: Side?
    /// `nil` for what was removed.
    public let b: Side?
    /// The name in B of what was renamed.
    public internal(set) var newName: String?
    /// `nil` where the shapes differ or the values are not numbers.
    public internal(set) var distance: ValueDistance?
    /// The number of values that are not the same; `nil` where the shapes differ.
    public internal(set) var differing: Int?

    /// Infinite where one is NaN and the other is not; `nil` where the shapes differ or the values are not numbers.
    public var maximum: Double? { distance?.maximum }

    init(_ name: String, _ kind: Kind, a: Side?, b: Side?) {
      self.name = name
      self.kind = kind
      self.a = a
      self.b = b
    }
  }

  /// What was left out of a comparison, or could not be done.
  public enum Note: Sendable, Equatable {
    /// The number of tensors of a checkpoint that are not part of its model, with the reasons.
    case notPartOfModel(checkpoint: String, count: Int, reasons: [String])
    /// A checkpoint lacks these tensors of its model.
    case missing(checkpoint: String, tensors: [String])
    /// Tables match the names, but cannot make plans, for this reason.
    case notMatchedByTables(reason: String)
    case differentFamilies
    /// The number of tensors of a checkpoint that have no numbers.
    case withoutNumbers(checkpoint: String, count: Int)
  }

  public internal(set) var tolerance = 0.0
  /// Whether the names were matched through a table; otherwise they are the checkpoints' own.
  public internal(set) var isMatchedByTable = false
  public internal(set) var family: String?
  public internal(set) var dialects: [String?] = [nil, nil]
  /// In the order of A, then what only B has.
  public internal(set) var entries: [Entry] = []
  /// How far each part of the model moved, in the order of the model; empty where no values differ, or where the names
  /// show no parts.
  public internal(set) var parts: [Part] = []
  public internal(set) var equalCount = 0
  /// The largest difference among those counted as equal: not zero only with a tolerance.
  public internal(set) var largestTolerated = 0.0
  /// How many of those counted as equal are of another type: none without a tolerance.
  public internal(set) var toleratedTypes = 0
  public internal(set) var notes: [Note] = []

  init() {}

  public var isEqual: Bool { entries.isEmpty }
  public func count(_ kind: Kind) -> Int { entries.count { $0.kind == kind } }
}

extension ModelDifference.Note {
  /// The note in a sentence.
  public var text: String {
    switch self {
    case .notPartOfModel(let checkpoint, let count, let reasons):
      return "\(checkpoint): \(counted(count, "tensor")) not part of the model, not compared: "
        + reasons.joined(separator: "; ")
    case .missing(let checkpoint, let tensors):
      let names = tensors.prefix(5).joined(separator: ", ") + (tensors.count > 5 ? ", …" : "")
      return "\(checkpoint): not a whole model, \(counted(tensors.count, "tensor")) missing: \(names)"
    case .notMatchedByTables(let reason): return "names could not be matched through the tables: \(reason)"
    case .differentFamilies:
      return "no table matches both checkpoints as one family: they are compared by their own names"
    case .withoutNumbers(let checkpoint, let count):
      return "\(checkpoint): \(counted(count, "tensor")) without numbers, not compared"
    }
  }
}
