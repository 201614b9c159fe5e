import TensorIO
import TestSupport
import Testing

@testable import WeightMapping

/// Expects that a table with one part of its text replaced is refused with an error of kind `table` that names the file and
/// contains `message`.
func expectRefusal(
  of table: String, replacing part: String, with other: String, _ message: String,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let changed = table.replacing(part, with: other, maxReplacements: 1)
  #expect(changed != table, sourceLocation: sourceLocation)
  let error = expectError(.table, words: [message], sourceLocation: sourceLocation) {
    _ = try MappingTable(yaml: changed, file: "toy.yaml")
  }
  #expect(error?.file == "toy.yaml", sourceLocation: sourceLocation)
}
