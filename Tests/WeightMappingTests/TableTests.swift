import Conversion
import ModelSupport
import TensorIO
import TestSupport
import Testing

@testable import WeightMapping

/// A small table; the tests change one line of it.
private let small = """
  family: toy
  config:
    size: {infer: dimension}
    layers: {infer: layers}
  tensors:
    - group: all
      required: true
      tensors:
        emb: [5, size]
        layer.{layer}.q: [size, size]
        layer.{layer}.k: [size, size]
        joined: ["2*size", 3]
        flat: ["4*size"]
  dialects:
    d:
      anchors: [e]
      rename: {e: emb}
      reshape: {matrix: flat}
      split:
        block{layer}/qk: {axis: 1, into: ["layer.{layer}.q", "layer.{layer}.k"]}
      concat:
        joined: {axis: 0, from: [j1, j2]}
  """

@Suite struct TableTests {
  @Test func theBuiltInTablesAreSound() throws {
    let tables = try MappingTable.parsedBuiltIn()
    #expect(tables.map(\.family).contains("bert"))
    #expect(tables.first?.dialectNames.first == "google-tf1")
    #expect(tables.allSatisfy { !$0.dialectNames.isEmpty } && Set(tables.map(\.family)).count == tables.count)
  }

  @Test(arguments: [
    ("anchors: [e]", "anchors: [e]\n    renam: {}", "unknown key 'renam'"),
    ("rename: {e: emb}", "rename: {e: embb}", "unknown target 'embb'"),
    ("rename: {e: emb}", "variant_of: x\n    rename: {e: emb}", "'variant_of' and 'for' need each other"),
    ("rename: {e: emb}", "variant_of: x\n    for: [A]\n    rename: {e: emb}", "which is no dialect of its own"),
    ("layers: {infer: layers}", "layers: {infer: layers}\n  n: {infer: groups, of: [al]}", "unknown group 'al'"),
    ("rename: {e: emb}", "rename: {e: emb, f: emb}", "two rules make 'emb'"),
    ("reshape: {matrix: flat}", "reshape: {e: flat}", "two rules take 'e'"),
    ("rename: {e: emb}", "rename: {e: emb, e: emb}", "line 17: the key 'e' is there twice"),
    ("reshape: {matrix: flat}", "rehsape: {matrix: flat}", "Did you mean 'reshape'?"),
    ("reshape: {matrix: flat}", "alias: {matrix: flat}", "makes the required 'flat'"),
    ("reshape: {matrix: flat}", "reshape: {matrix: flat}\n    alias: {e2: joined}", "a tensor that has no one name"),
    ("emb: [5, size]", "emb: [5, sise]", "unknown dimension 'sise'"),
    ("required: true", "required_where_differ: [size, sise]", "unknown dimension 'sise'"),
    ("required: true", "required_where_differ: [size]", "'required_where_differ' needs two dimensions; found size"),
    ("required: true", "required_where_differ: [size, 5]", "'required_where_differ' needs the names of dimensions"),
    ("required: true", "where: {sise: 4}", "'where' names 'sise', which is no key of the config"),
    (
      "anchors: [e]", "anchors: [e]\n    export_where: {x: 4}",
      "'export_where' names 'x', which is no key of the config"
    ),
    ("layers: {infer: layers}", "layers: {infer: layers}\nsizes: {size: []}", "the dimension 'size' is there twice"),
    ("layers: {infer: layers}", "layers: {infer: layers}\nsizes: {other: [sise]}", "unknown dimension 'sise'"),
    ("layers: {infer: layers}", "layers: {infer: layers}\nsizes: {other: []}", "no shape uses the dimension 'other'"),
    ("emb: [5, size]", "emb: [5, size]\n      emb: [1]", "line 10: the key 'emb' is there twice"),
    ("family: toy", "1: toy\n\"1\": toy", "line 2: the key '1' is there twice"),
    ("block{layer}/qk", "block/qk", "{layer} must be in both"),
    ("matrix", "block0/qk", "ambiguous"),
    ("axis: 1", "axis: 2", "axis 2 is beyond"),
    ("infer: layers", "infer: magic", "unknown inference 'magic'"),
    ("anchors: [e]", "anchors: [x]", "no rule takes the anchor 'x'"),
    ("family: toy", "model_type: toy", "'family' is missing"),
    ("anchors: [e]", "anchors: [e]\n    drop: [{glob: x}]", "needs a glob and a reason"),
  ])
  func aWrongTableIsRefused(text: String, replacement: String, message: String) {
    expectRefusal(of: small, replacing: text, with: replacement, message)
  }

  @Test func anErrorNamesItsLine() {
    expectRefusal(of: small, replacing: "{e: emb}", with: "{e: embb}", "line 17")
  }

  @Test(arguments: [
    ("", "the table is empty"),
    ("# nothing\n", "the table is empty"),
    ("family: toy\nconfig: {a: [}\n", "line 2: not valid YAML: did not find expected node content"),
    ("family: toy\nconfig: {a: [}\n", "found column 14 of 'config: {a: [}'"),
    ("family: toy\nconfig:\n\t- b\n", "line 3: not valid YAML: found character that cannot start any token"),
    ("family: \"\u{1}\"\n", "at byte 9: not valid YAML: control characters are not allowed"),
    ("a: 1\n---\nb: 2\n", "line 2: a second document"),
    ("a: 1\n? [b]\n: 2\n", "line 2: a key that is not a word"),
    ("a: 1\nb: *c\n", "line 2: the alias 'c' precedes its anchor"),
    // What would reach a terminal as it is.
    ("family: \"\\e[31m\"", "line 1: a text with a control character or an invisible one: '\\u{1b}[31m'"),
    ("a: 1\ndescription: \"x\\u202ey\"", "line 2: a text with a control character"),
    ("dialects: {\"a\\ab\": 1}", "line 1: a text with a control character"),
    // A value that holds itself would never end.
    ("a: &a [1, *a]\n", "line 1: the alias 'a' precedes its anchor"),
    (String(repeating: "[", count: 100_000), "line 1: the table is nested more than 64 levels deep"),
    (
      (["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
        + (1...6).map { "a\($0): &a\($0) [\(Array(repeating: "*a\($0 - 1)", count: 9).joined(separator: ", "))]" })
        .joined(separator: "\n"), "the table has more than 200,000 values"
    ),
  ])
  func whatIsNoOneYAMLDocumentOfReasonIsRefused(text: String, message: String) {
    let error = #expect(throws: FormatError.self) { try MappingTable(yaml: text, file: "toy.yaml") }
    #expect(error?.description.contains(message) == true, "\(String(describing: error))")
    #expect(error?.file == "toy.yaml")
  }

  @Test func anAliasIsTheValueOfTheLastAnchor() throws {
    // Shapes and names by alias, the anchor `a` set anew between them; the key by alias too.
    var text = small
    text.replace("emb: [5, size]", with: "&a emb: &s [5, size]")
    text.replace("anchors: [e]", with: "anchors: [&a e]")
    text.replace("rename: {e: emb}", with: "rename: {*a : emb, other: more}")
    text.replace("joined: [\"2*size\", 3]", with: "more: *s\n      joined: [\"2*size\", 3]")
    let table = try MappingTable(yaml: text, file: nil)
    #expect(table.dialectNames == ["d"])
  }

  private func toy() -> MemorySource {
    var source = MemorySource()
    source.add("e", [5, 4])
    for layer in 0..<2 { source.add("block\(layer)/qk", [4, 8]) }
    source.add("j1", [5, 3])
    source.add("j2", [3, 3])
    source.add("matrix", [2, 8])
    return source
  }

  @Test func splitConcatAndReshape() throws {
    let source = toy()
    let mapper = Mapper(tables: [try MappingTable(yaml: small, file: nil)] + (try MappingTable.builtIn()))
    let plan = try mapper.plan(for: source.tensors, file: "toy", config: nil, configFile: nil, allowUnexpected: [])
    #expect(plan.family == "toy")
    #expect(plan.names == ["emb", "layer.0.q", "layer.0.k", "layer.1.q", "layer.1.k", "joined", "flat"])
    let sink = MemorySink()
    var progress: [Int] = []
    try Converter.write(plan, from: source, to: sink, progress: { progress.append($0) })
    #expect(progress.last == plan.byteCount)
    let whole = source.bytes("block1/qk")
    let rows = stride(from: 0, to: whole.count, by: 32).map { Array(whole[$0..<($0 + 32)]) }
    #expect(sink.bytes("layer.1.q") == rows.flatMap { $0[..<16] })
    #expect(sink.bytes("layer.1.k") == rows.flatMap { $0[16...] })
    #expect(sink.bytes("joined") == source.bytes("j1") + source.bytes("j2"))
    #expect(sink.bytes("flat") == source.bytes("matrix"))
  }

  @Test func aPartOfAJoinedTensorThatIsMissingIsNamed() throws {
    var source = toy()
    source.remove("j2")
    let mapper = Mapper(tables: [try MappingTable(yaml: small, file: nil)])
    let report = mapper.outline(of: source.tensors, config: nil).report
    #expect(report.missing.map(\.name) == ["j2"] && report.missing.map(\.target) == ["joined"])
    #expect(report.mapped.map(\.name).contains("j1"))
  }

  @Test func operationsHaveInversesOrSayThatTheyHaveNone() {
    let all: [RuleOperation] = [.rename, .transpose, .reshape, .split(axis: 1), .concat(axis: 0)]
    for operation in all { #expect(operation.inverse?.inverse == operation) }
    for operation in [RuleOperation.drop, .alias, .splitTransposed] { #expect(operation.inverse == nil) }
  }
}
