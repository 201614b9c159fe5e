import TestSupport
import Testing

@testable import WeightMapping

/// Names that are looked up together lead where each leads by itself.
@Suite struct NameCatalogTests {
  private static let indexed = (try? MappingTable.builtIn()) ?? []

  @Test func thereAreFamilies() { #expect(Self.indexed.count > 10) }

  @Test(arguments: indexed.map(\.family)) func allLeadWhereEachLeads(family: String) throws {
    try check(try #require(Self.indexed.first { $0.family == family }))
  }

  /// The names of the index lead where parsed ones do, so that two families are enough here: one with spellings, one without.
  @Test func parsedOnesLeadWhereEachLeads() throws {
    let parsed = try MappingTable.parsedBuiltIn()
    try check(try #require(parsed.first { $0.dialects.contains { !$0.names.spellings.isEmpty } }))
    try check(try #require(parsed.first { $0.dialects.allSatisfy(\.names.spellings.isEmpty) }))
  }

  private func check(_ table: MappingTable) throws {
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
