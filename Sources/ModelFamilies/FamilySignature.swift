import TensorIO

/// Names, and shapes where names do not decide, that checkpoints of one family have and others do not.
package struct FamilySignature: Sendable {
  /// Each must match a name. Names are compared with every number in them written as 0.
  let names: [Glob]
  /// Each must match a name of that shape; `nil` is any size.
  let shapes: [(name: Glob, shape: [Int?])]

  /// Reads a list of signatures, any of which will do.
  package static func parseAll(_ value: YAMLValue) throws(FormatError) -> [FamilySignature] {
    var result: [FamilySignature] = []
    for item in try value.list("signatures") {
      let fields = try item.fields("a signature", ["all", "shapes"])
      var shapes: [(name: Glob, shape: [Int?])] = []
      for (name, entry) in try fields["shapes"]?.map("shapes") ?? [] {
        var shape: [Int?] = []
        for size in try entry.list("a shape") { shape.append(size.isNull ? nil : try size.int("a dimension")) }
        shapes.append((Glob(name), shape))
      }
      let names = try fields["all"]?.strings("all") ?? []
      guard !names.isEmpty else { throw item.fail("a signature needs 'all'") }
      result.append(FamilySignature(names: names.map { Glob($0) }, shapes: shapes))
    }
    return result
  }

  package func matches(_ names: SignatureNames) -> Bool {
    self.names.allSatisfy { glob in names.entries.contains { glob.matches($0.pattern) } }
      && shapes.allSatisfy { wanted in
        names.entries.contains { entry in
          entry.shape.count == wanted.shape.count && zip(entry.shape, wanted.shape).allSatisfy { $1 == nil || $0 == $1 }
            && wanted.name.matches(entry.pattern)
        }
      }
  }
}

/// The names of a checkpoint, as signatures are compared with them.
package struct SignatureNames: Sendable {
  /// With numbers made equal, a model of any depth has a few dozen names; what has more is no model that is known.
  private static let maxCount = 5000

  let entries: [(pattern: String, shape: [Int])]

  /// `names` are those of `tensors`, or others that were given to them.
  package init(_ names: [String], of tensors: [TensorInfo]) {
    var patterns: Set<String> = []
    var entries: [(pattern: String, shape: [Int])] = []
    for (name, tensor) in zip(names, tensors) {
      let pattern = NamePattern.withoutNumbers(name)
      if patterns.insert(pattern).inserted { entries.append((pattern, tensor.shape)) }
      if entries.count == Self.maxCount { break }
    }
    self.entries = entries
  }
}
