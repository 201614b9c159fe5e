import TestSupport
import Testing

@testable import WeightMapping

/// Names that are looked up together lead where each leads by itself.
@Suite struct NameCatalogTests {
  private static let families = ((try? MappingTable.builtIn()) ?? []).map(\.family)

  @Test func thereAreFamilies() { #expect(Self.families.count > 10) }

  /// With the names as they are parsed, and as the index has them.
  @Test(arguments: families, [false, true]) func allLeadWhereEachLeads(family: String, isIndexed: Bool) throws {
    let tables = isIndexed ? try MappingTable.builtIn() : try MappingTable.parsedBuiltIn()
    let table = try #require(tables.first { $0.family == family })
    for dialect in table.dialects {
      var own = dialect.rules.flatMap(\.sources).flatMap { pattern in
        pattern.isPerLayer ? [0, 1, 11].map { pattern.name(layer: $0) } : [pattern.name(layer: nil)]
      }
      own += own.prefix(40).map { $0 + "/adam_m" } + ["", "x", "0", "encoder.layer.007.x", "a.1.b.2.c.3"]
      for spelling in dialect.names.spellings {
        own += own.prefix(60).map { $0.replacing(spelling.ours, with: spelling.other) }
      }
      let bare = own.map { $0.hasPrefix(dialect.root) ? String($0.dropFirst(dialect.root.count)) : $0 }
      let names = own + (own + bare).flatMap { ["model.0." + $0, "m/" + $0] } + bare
      let catalog = NameCatalog(names)
      for prefix in ["", "m/", "model.0.", "model."] {
        for isBare in [false, true] {
          let scope = Scope(prefix: prefix, isBare: isBare)
          let together = dialect.names.find(allOf: catalog, in: scope)
          let differing = names.indices.filter { together[$0] != dialect.names.find(names[$0], in: scope) }
          #expect(differing.isEmpty, "\(dialect.name) in '\(prefix)': \(differing.prefix(3).map { names[$0] })")
        }
      }
    }
  }
}
