import TensorIO

/// One dimension of a shape: `2`, `hidden_size`, `3*hidden_size` or `hidden_size/num_attention_heads`.
package enum Dimension: Sendable, Equatable {
  case number(Int)
  case symbol(String, times: Int)
  case quotient(String, by: String)

  /// The number of elements; `nil` where a symbol has no value or the arithmetic does not work out.
  package func value(_ symbols: [String: Int]) -> Int? {
    switch self {
    case .number(let value): return value
    case .symbol(let name, let times):
      guard let value = symbols[name] else { return nil }
      let (product, overflow) = value.multipliedReportingOverflow(by: times)
      return overflow ? nil : product
    case .quotient(let name, let divisor):
      guard let value = symbols[name], let parts = symbols[divisor], parts > 0, value % parts == 0 else { return nil }
      return value / parts
    }
  }

  /// The number where it is known, else the symbol.
  package func text(_ symbols: [String: Int]) -> String {
    if let value = value(symbols) { return String(value) }
    switch self {
    case .number(let value): return String(value)
    case .symbol(let name, let times): return times == 1 ? name : "\(times)*\(name)"
    case .quotient(let name, let divisor): return "\(name)/\(divisor)"
    }
  }
}

/// Tensors that are present together or not at all.
package struct TensorGroup: Sendable {
  package let name: String
  package let isRequired: Bool
  /// Two dimensions that the group connects: it is required where they differ.
  package var requiredWhereDiffer: [String] = []
  /// Keys of the canonical config with values: it is present where the config has all of them, and nowhere else.
  package var settings: [(key: String, value: JSON)] = []

  package var canBeRequired: Bool { isRequired || !requiredWhereDiffer.isEmpty || !settings.isEmpty }

  /// The first of ``settings`` that `config` does not have.
  package func contradictedSetting(in config: JSON) -> (key: String, value: JSON)? {
    settings.first { config[$0.key] != $0.value }
  }

  /// Whether a model of these sizes needs it; a size that is not known makes no demand.
  package func isRequired(_ dimensions: [String: Int], _ config: JSON) -> Bool {
    if !settings.isEmpty { return contradictedSetting(in: config) == nil }
    guard !isRequired, requiredWhereDiffer.count == 2 else { return isRequired }
    guard let a = dimensions[requiredWhereDiffer[0]], let b = dimensions[requiredWhereDiffer[1]] else { return false }
    return a != b
  }
}

/// A tensor of a family under its canonical name, that of `transformers`.
package struct CanonicalTensor: Sendable {
  /// With `{layer}` for the number of a layer, or of a group of layers that share their weights.
  package let pattern: NamePattern
  /// `nil` for a tensor that the encoder does not read, and in a user's table.
  package var role: TensorRole?
  package let shape: [Dimension]
  /// The shape in the first layer and in the last, where they differ in some dimension.
  package var firstShape: [Dimension]?
  package var lastShape: [Dimension]?
  /// Index into the family's groups.
  package let group: Int
  /// Index of the tensor that this one is a copy of, unless its bytes differ.
  package var tiedTo: Int?

  package init(
    pattern: NamePattern, role: TensorRole?, shape: [Dimension], firstShape: [Dimension]? = nil,
    lastShape: [Dimension]? = nil, group: Int, tiedTo: Int? = nil
  ) {
    self.pattern = pattern
    self.role = role
    self.shape = shape
    self.firstShape = firstShape
    self.lastShape = lastShape
    self.group = group
    self.tiedTo = tiedTo
  }
}
