import ModelFamilies
import TensorIO

/// Reads a table from YAML and refuses what is ambiguous, misspelled or undefined in it, with the line.
struct TableParser {
  let root: YAMLValue
  /// The families that a table may name without describing them; those that are built in where it is `nil`.
  let families: FamilyCatalog?
  /// The lists of drop rules that a dialect may name; those that are built in where it is `nil`.
  var dropLists: [String: [DropRule]]?

  /// The table of a family with its dialects.
  func parse() throws(FormatError) -> MappingTable {
    let fields = try root.fields("the table", FamilyParser.keys + ["dialects"])
    let model = try family(fields)
    return MappingTable(FamilyCatalog.Entry(model), dialects: try dialects(of: model, fields))
  }

  /// The dialects of each family that the file names under `family` or `families`.
  func parseDialects() throws(FormatError) -> [(family: String, dialects: [Dialect])] {
    let fields = try root.fields("the file", Self.dialectKeys)
    var result: [(family: String, dialects: [Dialect])] = []
    let names =
      if let list = fields["families"] { try list.list("families") } else { [try root.require("family", in: fields)] }
    for value in names {
      let model = try knownFamily(value)
      result.append((model.name, try dialects(of: model, fields)))
    }
    return result
  }

  /// One of the file's dialects, for a family.
  func dialect(_ name: String, of model: ModelFamily) throws(FormatError) -> Dialect {
    let fields = try root.fields("the file", Self.dialectKeys)
    for (other, value) in try root.require("dialects", in: fields).map("dialects") where other == name {
      return try dialect(name, value, of: model)
    }
    throw root.fail("the file has no dialect '\(name)'")
  }

  private func dialect(_ name: String, _ value: YAMLValue, of model: ModelFamily) throws(FormatError) -> Dialect {
    let lists = if let dropLists { dropLists } else { try DropLists.builtIn() }
    var parser = DialectParser(name: name, model: model, dropLists: lists)
    return try parser.parse(value)
  }

  private static let dialectKeys = ["family", "families", "dialects"]

  private func dialects(of model: ModelFamily, _ fields: [String: YAMLValue]) throws(FormatError) -> [Dialect] {
    var dialects: [Dialect] = []
    for (name, value) in try root.require("dialects", in: fields).map("dialects") {
      dialects.append(try dialect(name, value, of: model))
    }
    guard !dialects.isEmpty else { throw root.fail("the table has no dialect") }
    for dialect in dialects {
      if let variant = dialect.names.variant,
        !dialects.contains(where: { $0.name == variant.of && $0.names.variant == nil })
      {
        throw root.fail("'\(dialect.name)' is a variant of '\(variant.of)', which is no dialect of its own")
      }
    }
    return dialects
  }

  private func family(_ fields: [String: YAMLValue]) throws(FormatError) -> ModelFamily {
    // A table with nothing of a family but its name means one that is known.
    guard Set(fields.keys).isSubset(of: ["family", "dialects"]), let value = fields["family"] else {
      return try FamilyParser.parse(root, otherKeys: ["dialects"])
    }
    return try knownFamily(value)
  }

  private func knownFamily(_ value: YAMLValue) throws(FormatError) -> ModelFamily {
    let name = try value.string("the name of a family")
    let known = if let families { families } else { try FamilyCatalog.builtIn() }
    guard let family = known[name] else {
      throw value.fail(
        "the family '\(name)' is not built in, and the table does not describe it",
        expected: "'config' and 'tensors', or one of \(known.entries.map(\.identity.name).joined(separator: ", "))")
    }
    return family
  }
}
