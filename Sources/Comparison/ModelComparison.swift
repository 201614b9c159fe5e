import TensorIO

/// A tensor of a model that is not what a conversion makes of the model's source.
public struct TensorDifference: Sendable, Equatable {
  public enum Kind: Sendable {
    /// Not in the model.
    case missing
    /// In the model, but not from the source.
    case unexpected
    /// Of another shape, or of a type that no conversion makes of it.
    case form
    case values
  }

  /// Canonical name.
  public let name: String
  public let kind: Kind
  /// What differs, in a clause.
  public let problem: String
}

/// The result of comparing a model with its source.
public struct ModelComparison: Sendable {
  /// Tensors that are stored in another type than the source's.
  public struct Reduction: Sendable {
    public let source: ElementType
    public let stored: ElementType
    public internal(set) var count = 0
    /// The largest absolute difference of a value, and the tensor that has it: what the type costs.
    public internal(set) var largest = 0.0
    public internal(set) var tensor: String?
  }

  /// In forward order, then what the model has besides.
  public internal(set) var differences: [TensorDifference] = []
  /// Of the tensors that are exactly the source rounded to their type.
  public internal(set) var reductions: [Reduction] = []
  /// How many tensors differ by no more than the tolerance, and by how much.
  public internal(set) var toleratedCount = 0
  public internal(set) var largestTolerated = 0.0

  /// Named values, as `verify --json` prints them.
  public func json() -> [JSON.Member] {
    [
      JSON.Member(
        "differences",
        .array(differences.map { .object(["name": .string($0.name), "problem": .string($0.problem)]) })),
      JSON.Member("reduced", .array(reductions.map(\.json))),
      JSON.Member("tolerated", .int(toleratedCount)),
    ]
  }

  mutating func note(_ stored: ElementType, from source: ElementType, error: Double, of name: String) {
    let index: Int
    if let found = reductions.firstIndex(where: { $0.stored == stored && $0.source == source }) {
      index = found
    } else {
      index = reductions.count
      reductions.append(Reduction(source: source, stored: stored))
    }
    reductions[index].count += 1
    if error > reductions[index].largest {
      reductions[index].largest = error
      reductions[index].tensor = name
    }
  }
}

extension ModelComparison.Reduction {
  fileprivate var json: JSON {
    .object([
      "source": .string(source.rawValue), "stored": .string(stored.rawValue), "tensors": .int(count),
      "max_abs_error": .double(largest), "tensor": tensor.map { .string($0) } ?? .null,
    ])
  }
}
