/// What a rule of a table does with the tensors that it names.
public enum RuleOperation: Sendable, Equatable {
  case rename
  /// The transpose of a matrix.
  case transpose
  /// The same elements in the target's shape.
  case reshape
  /// One source becomes several targets, cut along `axis`.
  case split(axis: Int)
  /// One matrix becomes several targets, the transposes of some of its columns each.
  case splitTransposed
  /// The same of targets of one size whose rows are ordered by head in the source; `heads` is the config key that counts them.
  case splitHeads(axis: Int, heads: String, order: HeadOrder)
  /// Several sources become one target, joined along `axis`.
  case concat(axis: Int)
  /// The source with that many rows of zeros before its own.
  case zerosBefore(rows: Int)
  /// That many rows of zeros, as wide as the source.
  case zeros(rows: Int)
  /// What ``splitHeads(axis:heads:order:)`` leads back by.
  case joinHeads(axis: Int, heads: String, order: HeadOrder)
  /// An alias of a tensor, used where its own name is absent.
  case alias
  /// The tensor is left out, for a reason that the report gives.
  case drop

  /// What leads back from the targets to the sources; `nil` where nothing does.
  ///
  /// An alias has none since its target goes back to its own name, and what was dropped is gone; nothing joins
  /// transposes, and zeros that were added are left where they are.
  public var inverse: RuleOperation? {
    switch self {
    case .rename: .rename
    case .transpose: .transpose
    case .reshape: .reshape
    case .split(let axis): .concat(axis: axis)
    case .concat(let axis): .split(axis: axis)
    case .splitHeads(let axis, let heads, let order): .joinHeads(axis: axis, heads: heads, order: order)
    case .joinHeads(let axis, let heads, let order): .splitHeads(axis: axis, heads: heads, order: order)
    case .splitTransposed, .zerosBefore, .zeros, .alias, .drop: nil
    }
  }

  var name: String {
    switch self {
    case .rename: "rename"
    case .transpose: "transpose"
    case .reshape: "reshape"
    case .split, .splitHeads, .splitTransposed: "split"
    case .concat, .joinHeads: "concat"
    case .zerosBefore: "zeros before"
    case .zeros: "zeros"
    case .alias: "alias"
    case .drop: "drop"
    }
  }
}

/// How one target of a plan is made of its sources.
public enum Operation: Sendable, Equatable, CustomStringConvertible {
  /// The bytes of the source as they are.
  case rename
  /// The transpose of the source, a matrix; of more dimensions, those of the matrix are some of them together.
  case transpose
  /// The transpose of `count` columns of the source from `start` on.
  case transposeColumns(start: Int, count: Int)
  /// The bytes of the source in another shape.
  case reshape
  /// Part of the source: `count` steps along `axis` from `start` on.
  case slice(axis: Int, start: Int, count: Int)
  /// The sources in order, joined along `axis`.
  case concatenate(axis: Int)
  /// One part of a source in which the rows of several are ordered by head.
  case takeHeads(axis: Int, part: Int, layout: HeadLayout)
  /// The source with that many rows of zeros before its own.
  case zerosBefore(rows: Int)
  /// Zeros in place of the source.
  case zeros
  /// The sources in order, as the parts of one whole whose rows are ordered by head.
  case joinHeads(axis: Int, layout: HeadLayout)

  public var description: String {
    switch self {
    case .rename: "rename"
    case .transpose: "transpose"
    case .transposeColumns(let start, let count): "transpose columns \(start)..<\(start + count)"
    case .reshape: "reshape"
    case .slice(let axis, let start, let count): "slice \(start)..<\(start + count) of axis \(axis)"
    case .concatenate(let axis): "concatenate along axis \(axis)"
    case .takeHeads(let axis, let part, let layout): "part \(part) of \(layout.heads) heads along axis \(axis)"
    case .zerosBefore(let rows): "\(rows) rows of zeros before it"
    case .zeros: "zeros"
    case .joinHeads(let axis, let layout): "join by \(layout.heads) heads along axis \(axis)"
    }
  }

  /// Whether the target's bytes are the first source's, unchanged.
  package var keepsBytes: Bool { self == .rename || self == .reshape }
}
