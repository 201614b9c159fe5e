import TensorIO

extension ModelDifference {
  /// Named values, as `diff --json` prints them.
  public func json() -> JSON {
    var result = JSON.object([
      "equal": .bool(isEqual), "tolerance": .double(tolerance),
      "matched_by": .string(isMatchedByTable ? "table" : "name"), "family": family.map { .string($0) } ?? .null,
      "dialects": .array(dialects.map { $0.map { .string($0) } ?? .null }),
    ])
    var counts = JSON.object(["equal": .int(equalCount), "equal_of_other_types": .int(toleratedTypes)])
    for kind in Kind.allCases { counts.set(kind.rawValue, .int(count(kind))) }
    result.set("counts", counts)
    for kind in Kind.allCases {
      result.set(kind.rawValue, .array(entries.filter { $0.kind == kind }.map(Self.json)))
    }
    result.set("parts", .array(parts.map(Self.json)))
    result.set("notes", .strings(notes.map(\.text)))
    return result
  }

  private static func json(_ entry: Entry) -> JSON {
    var result = JSON.object(["name": .string(entry.name)])
    if let name = entry.newName { result.set("new_name", .string(name)) }
    for (key, side) in [("a", entry.a), ("b", entry.b)] {
      guard let side else { continue }
      var value = JSON.object(["dtype": .string(side.elementType.rawValue), "shape": .ints(side.shape)])
      if !side.sources.isEmpty { value.set("sources", .strings(side.sources)) }
      result.set(key, value)
    }
    if let differing = entry.differing {
      func number(_ value: Double?) -> JSON { value.map { .double($0) } ?? .null }
      result.set("differing", .int(differing))
      result.set("max_abs_difference", number(entry.maximum))
      result.set("rms_difference", number(entry.distance?.rms))
      result.set("relative_change", number(entry.distance?.relativeChange))
      result.set("cosine", number(entry.distance?.cosine))
    }
    return result
  }

  private static func json(_ part: Part) -> JSON {
    .object([
      "part": .string(part.name), "tensors": .int(part.tensors), "changed": .int(part.changed),
      "values": .int(part.values), "differing": .int(part.differing),
      "relative_change": part.relativeChange.map { .double($0) } ?? .null,
      "max_abs_difference": part.maximum.map { .double($0) } ?? .null,
    ])
  }
}
