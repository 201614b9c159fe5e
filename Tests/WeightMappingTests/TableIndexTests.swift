import ModelFamilies
import TensorIO
import TestSupport
import Testing

@testable import WeightMapping

#if canImport(Glibc)
  import Glibc
#endif

/// The indexes of families and dialects match their files. `make index` writes them anew.
@Suite(.serialized) struct TableIndexTests {
  private static let families = TestSupport.fixture("../../Sources/CIndex/families.index")
  private static let tables = TestSupport.fixture("../../Sources/CIndex/tables.index")

  private func compare(_ index: [UInt8], with path: String) throws {
    if unsafe getenv("BERTCONV_RECORD") != nil { try AtomicFile.write(index, to: path, overwrites: true) }
    let written = try MappedFile.open(path).array()
    #expect(index == written, "the index is out of date: run make index")
  }

  @Test func theIndexOfFamiliesIsOfTheirFiles() throws {
    try compare(FamilyIndex.encoded(FamilyCatalog(FamilyCatalog.parsed())), with: Self.families)
  }

  @Test func theIndexOfDialectsIsOfTheirFiles() throws {
    try compare(try TableIndex.encoded(), with: Self.tables)
  }

  @Test func theProgramUsesThem() throws {
    // Written again, what was read is the same.
    #expect(
      try FamilyIndex.encoded(FamilyIndex.catalog()) == FamilyIndex.encoded(FamilyCatalog(FamilyCatalog.parsed())))
    #expect(try ModelFamily.keys(of: .hiddenSize) == FamilyCatalog(FamilyCatalog.parsed()).keys(of: .hiddenSize))
    let index = try #require(TableIndex.builtIn)
    #expect(try index.dropLists == DropLists.parsedBuiltIn())
    let known = try KnownFamily.parsedBuiltIn()
    #expect(index.knownFamilies.map(\.family) == known.map(\.family))
    #expect(index.knownFamilies.map(\.description) == known.map(\.description))
    #expect(index.knownFamilies.map(\.advice) == known.map(\.advice))
    #expect(index.knownFamilies.map(\.signatures.count) == known.map(\.signatures.count))
  }

  /// What is looked up by hashes leads where the parsed names lead.
  @Test func aDialectOfTheIndexFindsWhatTheParsedOneFinds() throws {
    let indexed = try MappingTable.builtIn()
    let parsed = try MappingTable.parsedBuiltIn()
    #expect(indexed.map(\.family) == parsed.map(\.family))
    let names = parsed.flatMap(\.dialects).flatMap(\.rules).flatMap(\.sources).flatMap { pattern in
      pattern.isPerLayer ? [0, 1, 13].map { pattern.name(layer: $0) } : [pattern.name(layer: nil)]
    }
    let all = Array(Set(names)).sorted() + ["", "x", "bert", "encoder.layer.0"]
    #expect(all.count > 2000)
    for (table, other) in zip(indexed, parsed) {
      #expect(table.dialectNames == other.dialectNames)
      for (dialect, same) in zip(table.dialects, other.dialects) {
        let differing = all.filter { dialect.names.find($0) != same.names.find($0) }
        #expect(differing.isEmpty, "\(table.family), \(dialect.name): \(differing.prefix(3))")
        #expect(dialect.names.anchors == same.names.anchors && dialect.root == same.root)
        #expect(dialect.names.drops.all == same.names.drops.all)
        #expect(dialect.names.conditions == same.names.conditions)
        #expect(dialect.names.renumbered == same.names.renumbered)
        #expect(dialect.names.firstLayer == same.names.firstLayer)
        #expect(dialect.names.isContained == same.names.isContained)
        #expect(dialect.names.repeatsLayer == same.names.repeatsLayer)
        #expect(dialect.names.variant?.of == same.names.variant?.of)
        #expect(dialect.names.variant?.architectures == same.names.variant?.architectures)
        #expect(dialect.names.spellings.map(\.ours) == same.names.spellings.map(\.ours))
        #expect(dialect.names.spellings.map(\.other) == same.names.spellings.map(\.other))
        #expect(dialect.rules.map(\.operation) == same.rules.map(\.operation))
        #expect(dialect.rules.map(\.sources) == same.rules.map(\.sources))
        #expect(dialect.rules.map(\.targets) == same.rules.map(\.targets))
      }
    }
  }

  @Test func anIndexOfOtherFilesOrOneThatIsCutIsNotUsed() throws {
    let index = try TableIndex.encoded()
    #expect((try? TableIndex(decoding: Bytes(index))) != nil)
    for count in stride(from: 0, to: index.count, by: 997) {
      #expect((try? TableIndex(decoding: Bytes(Array(index.prefix(count))))) == nil)
    }
    #expect((try? TableIndex(decoding: Bytes([1] + index.dropFirst()))) == nil)
    #expect((try? TableIndex(decoding: Bytes(index + [0]))) == nil)
  }
}
