import ModelFamilies
import TensorIO

/// Families that are told by a few names each, so that a file can be called what it is even where no table converts it.
struct KnownFamily: Sendable {
  struct Signature: Sendable {
    let all: [Glob]
    let shapes: [(name: Glob, shape: [Int?])]
  }

  let family: String
  let description: String
  let signatures: [Signature]

  static func builtIn() throws -> [KnownFamily] {
    try parse(String(decoding: PackageResources.known_families_yaml, as: UTF8.self), file: "known-families.yaml")
  }

  static func parse(_ yaml: String, file: String?) throws(FormatError) -> [KnownFamily] {
    let root = try YAMLValue.parse(yaml, file: file)
    var result: [KnownFamily] = []
    guard let families = try root.fields("the file", ["families"])["families"] else { return [] }
    for item in try families.list("families") {
      let fields = try item.fields("a family", ["family", "description", "any"])
      guard let family = fields["family"], let description = fields["description"], let any = fields["any"] else {
        throw item.fail("a family needs 'family', 'description' and 'any'")
      }
      var signatures: [Signature] = []
      for entry in try any.list("any") { signatures.append(try parseSignature(entry)) }
      result.append(
        KnownFamily(
          family: try family.string("family"), description: try description.string("description"),
          signatures: signatures))
    }
    return result
  }

  private static func parseSignature(_ value: YAMLValue) throws(FormatError) -> Signature {
    let fields = try value.fields("a signature", ["all", "shapes"])
    var shapes: [(name: Glob, shape: [Int?])] = []
    for (name, entry) in try fields["shapes"]?.map("shapes") ?? [] {
      var shape: [Int?] = []
      for item in try entry.list("a shape") { shape.append(item.isNull ? nil : try item.int("a dimension")) }
      shapes.append((Glob(name), shape))
    }
    let all = try fields["all"]?.strings("all") ?? []
    guard !all.isEmpty else { throw value.fail("a signature needs 'all'") }
    return Signature(all: all.map { Glob($0) }, shapes: shapes)
  }

  /// The first family whose signature `tensors` have.
  static func find(_ families: [KnownFamily], in tensors: [TensorInfo], names: [String]) -> KnownFamily? {
    // Numbers made equal, a model of any depth has a few dozen names; what has more is no model that we know.
    var patterns: Set<String> = []
    var byPattern: [(pattern: String, tensor: Int)] = []
    for (index, name) in names.enumerated() {
      let pattern = NamePattern.withoutNumbers(name)
      if patterns.insert(pattern).inserted { byPattern.append((pattern, index)) }
      if byPattern.count == 5000 { break }
    }
    func matches(_ signature: Signature) -> Bool {
      signature.all.allSatisfy { glob in byPattern.contains { glob.matches($0.pattern) } }
        && signature.shapes.allSatisfy { wanted in
          byPattern.contains { entry in
            let shape = tensors[entry.tensor].shape
            return shape.count == wanted.shape.count
              && zip(shape, wanted.shape).allSatisfy { $1 == nil || $0 == $1 }
              && wanted.name.matches(entry.pattern)
          }
        }
    }
    return families.first { $0.signatures.contains(where: matches) }
  }
}
