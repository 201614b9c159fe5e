import ModelFamilies
import TensorIO

/// Rules that a dialect does not write out: every canonical name for itself, or by the convention of a framework.
extension DialectParser {
  /// Tensors in `others` need no rule.
  mutating func addConventionalRules(
    _ fields: [String: YAMLValue], at value: YAMLValue, except others: [Int]
  ) throws(FormatError) {
    let isIdentity = try fields["identity"]?.bool("identity") == true
    let convention = try fields["convention"].map(Convention.named)
    guard !isIdentity || convention == nil else { throw value.fail("'identity' and 'convention' exclude each other") }
    for key in ["replace", "groups", "below", "separate_heads"] where convention == nil && fields[key] != nil {
      throw value.fail("'\(key)' is for a dialect with a convention")
    }
    if isIdentity {
      for (index, tensor) in model.tensors.enumerated() where rules.ruleOfTensor[index] == nil {
        try rules.add(.rename, [tensor.pattern.text], [index], at: value)
      }
    }
    if let convention {
      let groups = try fields["groups"].map(parseGroups) ?? Set(model.groups.indices)
      let replacements = try fields["replace"].map(Convention.replacements) ?? []
      let heads = try fields["separate_heads"]?.bool("separate_heads") == true ? try headKey(value) : nil
      let prefix = try fields["below"]?.string("below") ?? ""
      for (index, tensor) in model.tensors.enumerated()
      where groups.contains(tensor.group) && rules.ruleOfTensor[index] == nil && !others.contains(index)
        && (tensor.tiedTo == nil || convention.hasTiedTensors)
      {
        let (source, isTransposed) = convention.source(of: tensor, in: model, replacements)
        let shape = heads.flatMap { Self.shapeByHead(of: tensor, heads: $0) }
        let operation: RuleOperation = isTransposed ? .transpose : shape == nil ? .rename : .reshape
        try rules.add(operation, [prefix + source], [index], shape: shape, at: value)
      }
    }
  }

  private func parseGroups(_ value: YAMLValue) throws(FormatError) -> Set<Int> {
    var result: Set<Int> = []
    for name in try value.strings("groups") {
      guard let index = model.groups.firstIndex(where: { $0.name == name }) else {
        throw value.fail("unknown group '\(name)'", expected: model.groups.map(\.name).joined(separator: ", "))
      }
      result.insert(index)
    }
    return result
  }

  private func headKey(_ value: YAMLValue) throws(FormatError) -> String {
    guard let key = configKeys.first(where: \.countsHeads) else {
      throw value.fail("'separate_heads' needs a config key with 'infer: heads'")
    }
    return key.name
  }

  /// The shape of an attention parameter whose heads are an axis of their own; `nil` for another tensor.
  private static func shapeByHead(of tensor: CanonicalTensor, heads: String) -> [Dimension]? {
    guard let role = tensor.role, let rows = tensor.shape.first, let columns = tensor.shape.last else { return nil }
    func byHead(_ dimension: Dimension) -> [Dimension]? {
      guard case .symbol(let name, 1) = dimension else { return nil }
      return [.symbol(heads, times: 1), .quotient(name, by: heads)]
    }
    switch (role.part, role.parameter) {
    case (.query, .weight), (.key, .weight), (.value, .weight): return byHead(rows).map { [columns] + $0 }
    case (.query, .bias), (.key, .bias), (.value, .bias): return byHead(rows)
    case (.attentionOutput, .weight): return byHead(columns).map { $0 + [rows] }
    default: return nil
    }
  }
}
