import TensorIO
import TestSupport
import Testing

@testable import WeightMapping

#if canImport(Glibc)
  import Glibc
#endif

/// The rules that the dialects' files and the conventions of their frameworks make, compared with what was reviewed before.
/// `BERTCONV_RECORD=1 swift test --filter DialectListing` writes the listings anew; the difference is then reviewed like any
/// other change.
@Suite("Dialect listings")
struct DialectListingTests {
  private static let families: [String] = ((try? MappingTable.builtIn()) ?? []).map(\.family)

  @Test func everyFileOfDialectsIsBuiltIn() throws {
    let folder = TestSupport.fixture("../../Sources/WeightMapping/Tables")
    let others = ["conventions.yaml", "known-families.yaml", "training-state.yaml"]
    let files = Set(try FileSystem.names(inFolder: folder)).subtracting(others)
    #expect(files == Set(MappingTable.dialectFiles.map(\.name)))
  }

  @Test func thereIsAListingForEveryFamily() {
    #expect(Self.families.count >= 10)
  }

  @Test(arguments: families)
  func rules(_ family: String) throws {
    let table = try #require(try MappingTable.builtIn().first { $0.family == family })
    let text = table.dialects.map { Self.listing(of: $0, in: table) }.joined(separator: "\n")
    let path = TestSupport.fixture("../WeightMappingTests/Listings/\(family).txt")
    if unsafe getenv("BERTCONV_RECORD") != nil {
      try AtomicFile.write(Array(text.utf8), to: path, overwrites: true)
    }
    #expect(text == (try FileSystem.text(path)))
  }

  /// One line for each rule, in the order of the tensors that they make.
  private static func listing(of dialect: Dialect, in table: MappingTable) -> String {
    let rules = dialect.rules.map { rule in
      let sources = rule.sources.map(\.text).joined(separator: " + ")
      let targets = rule.targets.map { table.tensors[$0].pattern.text }.joined(separator: " + ")
      let shape = rule.shape.map { " as [" + $0.map { $0.text([:]) }.joined(separator: ", ") + "]" } ?? ""
      return (order: rule.targets[0], text: "  \(operation(rule.operation)) \(sources)\(shape) -> \(targets)")
    }
    let lines = rules.sorted { ($0.order, $0.text) < ($1.order, $1.text) }.map(\.text)
    return "\(dialect.name)\(dialect.root.isEmpty ? "" : " (root \(dialect.root))")\n" + lines.joined(separator: "\n")
      + "\n"
  }

  private static func operation(_ operation: RuleOperation) -> String {
    switch operation {
    case .split(let axis): "split along \(axis):"
    case .splitTransposed: "split transposed:"
    case .splitHeads(let axis, let heads, let order):
      "split along \(axis) by \(heads) in order \(order.axes.map(\.rawValue).joined(separator: ",")):"
    case .concat(let axis): "concat along \(axis):"
    default: "\(operation.name)"
    }
  }
}
