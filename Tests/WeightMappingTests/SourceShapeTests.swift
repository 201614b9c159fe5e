import Conversion
import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

/// Sources whose tensors have other dimensions than the model's, and names that count their layers otherwise.
private let table = """
  family: axes
  config:
    size: {infer: dimension}
    heads: {infer: heads, of: size, head_size: 4}
    layers: {infer: layers}
    wide: {infer: dimension}
  tensors:
    - group: all
      required: true
      tensors:
        emb: [5, size]
        l.{layer}.w: [size, size]
        l.{layer}.b: [size]
        l.{layer}.q: [size, size]
        l.{layer}.k: [size, size]
        l.{layer}.r: {shape: [wide, wide], first: [wide, size], last: [size, wide]}
  dialects:
    d:
      first_layer: 1
      anchors: [e]
      rename: {e: emb, "L-{layer}/r": "l.{layer}.r"}
      transpose:
        L-{layer}/L-{layer}_w2: {to: "l.{layer}.w", shape: [size, heads, size/heads]}
      reshape:
        L-{layer}/L-{layer}_b2: {to: "l.{layer}.b", shape: [heads, size/heads]}
      split:
        L-{layer}/qk: {transposed: true, shape: [1, size, 2*size], into: ["l.{layer}.q", "l.{layer}.k"]}

  """

@Suite struct SourceShapeTests {
  private static let size = 6, heads = 2, wide = 4

  private func source(layers: Int = 3) -> MemorySource {
    let (size, heads, wide) = (Self.size, Self.heads, Self.wide)
    var source = MemorySource()
    source.add("e", [5, size])
    for number in 1...layers {
      let name = "L-\(number)/"
      source.add("\(name)L-\(number)_w2", [size, heads, size / heads])
      source.add("\(name)L-\(number)_b2", [heads, size / heads])
      source.add(name + "qk", [1, size, 2 * size])
      source.add(name + "r", [number == layers ? size : wide, number == 1 ? size : wide])
    }
    return source
  }

  private func mapper(_ yaml: String = table) throws -> Mapper {
    Mapper(tables: [try MappingTable(yaml: yaml, file: "toy.yaml")])
  }

  private func plan(_ source: MemorySource, _ config: JSON? = nil) throws -> MappingPlan {
    try mapper().plan(
      for: source.tensors, file: "axes", config: config, configFile: "config.json", allowUnexpected: [])
  }

  private func problem(_ source: MemorySource, _ config: JSON? = nil) -> String {
    errorText { _ = try plan(source, config) }
  }

  /// Elements of four bytes, those of the matrix [rows, columns] transposed.
  private func transposed(_ bytes: [UInt8], _ rows: Int, _ columns: Int, from first: Int = 0, count: Int? = nil)
    -> [UInt8]
  {
    var result: [UInt8] = []
    for column in first..<(first + (count ?? columns)) {
      for row in 0..<rows {
        let offset = (row * columns + column) * 4
        result += bytes[offset..<(offset + 4)]
      }
    }
    return result
  }

  @Test func everyElementIsInItsPlace() throws {
    let source = source()
    let plan = try plan(source)
    #expect(plan.config["heads"] == .int(Self.heads) && plan.config["layers"] == .int(3))
    #expect(plan.config["wide"] == .int(Self.wide))
    let sink = MemorySink()
    try Converter.write(plan, from: source, to: sink, progress: nil)
    for layer in 0..<3 {
      let name = "L-\(layer + 1)/L-\(layer + 1)"
      #expect(sink.bytes("l.\(layer).w") == transposed(source.bytes(name + "_w2"), Self.size, Self.size))
      #expect(sink.bytes("l.\(layer).b") == source.bytes(name + "_b2"))
      let both = source.bytes("L-\(layer + 1)/qk")
      #expect(sink.bytes("l.\(layer).q") == transposed(both, Self.size, 2 * Self.size, count: Self.size))
      #expect(
        sink.bytes("l.\(layer).k") == transposed(both, Self.size, 2 * Self.size, from: Self.size, count: Self.size))
      #expect(sink.bytes("l.\(layer).r") == source.bytes("L-\(layer + 1)/r"))
    }
    let shapes = Dictionary(uniqueKeysWithValues: plan.targets.map { ($0.info.name, $0.info.shape) })
    #expect(shapes["l.0.r"] == [Self.wide, Self.size] && shapes["l.2.r"] == [Self.size, Self.wide])
    #expect(shapes["l.1.r"] == [Self.wide, Self.wide])
  }

  @Test func theOnlyLayerIsTheFirstAndTheLast() throws {
    let plan = try plan(source(layers: 1))
    #expect(plan.targets.first { $0.info.name == "l.0.r" }?.info.shape == [Self.size, Self.size])
  }

  @Test(arguments: [false, true])
  func whatIsNextToTheModelIsItsOwnUnlessItIsContained(_ isContained: Bool) throws {
    let yaml =
      table.replacing("\ndialects:", with: "\n  - {group: head, tensors: {head: [size, size]}}\ndialects:")
      .replacing("rename: {e: emb,", with: "rename: {h: head, e: emb,")
      .replacing("first_layer: 1", with: "first_layer: 1\n    contained: \(isContained)")
    var source = MemorySource()
    for tensor in self.source().tensors { source.add("inner/" + tensor.name, tensor.shape) }
    source.add("h", [Self.size, Self.size])
    func plan(_ allowed: [String] = []) throws -> MappingPlan {
      try mapper(yaml).plan(for: source.tensors, file: "axes", config: nil, configFile: nil, allowUnexpected: allowed)
    }
    guard isContained else {
      #expect(try plan().targets.contains { $0.info.name == "head" })
      return
    }
    #expect { try plan() } throws: { "\($0)".contains("unexpected: h") }
    #expect(try !plan(["h"]).targets.contains { $0.info.name == "head" })
    source.add("inner/h", [Self.size, Self.size])
    #expect(try plan(["h"]).targets.contains { $0.info.name == "head" })
  }

  @Test func aLayerBeforeTheFirstIsNone() {
    var source = source()
    source.add("L-0/r", [Self.wide, Self.wide])
    #expect(problem(source).contains("unexpected: L-0/r"))
  }

  @Test func aShapeGivesTheHeads() {
    let text = problem(source(), .object(["heads": .int(3), "size": .int(6)]))
    #expect(text.contains("heads of config.json is 3, but the weights have 2: 'L-1/L-1_w2' of shape [6, 2, 3]"))
  }

  @Test(arguments: [
    ("L-2/L-2_w2", [3, 2, 6], "wrong shape: L-2/L-2_w2: found F32 [3, 2, 6], expected [6, 2, 3]"),
    ("L-2/L-2_w2", [6, 6], "wrong shape: L-2/L-2_w2: found F32 [6, 6], expected [6, 2, 3]"),
    ("L-2/qk", [6, 12], "wrong shape: L-2/qk: found F32 [6, 12], expected [1, 6, 12]"),
    ("L-2/r", [6, 4], "wrong shape: L-2/r: found F32 [6, 4], expected [4, 4]"),
  ])
  func anotherShapeIsReported(name: String, shape: [Int], message: String) {
    var source = source()
    source.remove(name)
    source.add(name, shape)
    let text = problem(source)
    #expect(text.contains(message), "\(text)")
  }

  /// A table may be wrong in a way that only sizes show.
  @Test func dimensionsThatDoNotMakeTheMatrixAreReported() throws {
    let wrong = table.replacing("shape: [1, size, 2*size]", with: "shape: [2, size, size]")
    var source = source()
    for number in 1...3 {
      source.remove("L-\(number)/qk")
      source.add("L-\(number)/qk", [2, 6, 6])
    }
    let error = #expect(throws: FormatError.self) {
      try mapper(wrong).plan(for: source.tensors, file: "axes", config: nil, configFile: nil, allowUnexpected: [])
    }
    #expect(error?.description.contains("dimensions that combine to [6, 6]") == true)
  }

  @Test func theWayBackHasTheShapesOfTheSource() throws {
    // What was split and transposed at once has no way back.
    let yaml = table.replacing(
      "L-{layer}/qk: {transposed: true, shape: [1, size, 2*size], into: [\"l.{layer}.q\", \"l.{layer}.k\"]}",
      with: "L-{layer}/qk: {into: [\"l.{layer}.q\", \"l.{layer}.k\"]}")
    var source = source()
    for number in 1...3 {
      source.remove("L-\(number)/qk")
      source.add("L-\(number)/qk", [2 * Self.size, Self.size])
    }
    let mapper = try mapper(yaml)
    let plan = try mapper.plan(for: source.tensors, file: "a", config: nil, configFile: nil, allowUnexpected: [])
    let sink = MemorySink()
    try Converter.write(plan, from: source, to: sink, progress: nil)
    var model = MemorySource()
    for (info, data) in zip(sink.infos, sink.data) { model.add(info.name, info.shape, bytes: data) }
    let back = try mapper.exportPlan(for: model.tensors, file: "a", config: plan.config, family: "axes", dialect: "d")
    let written = MemorySink()
    try Converter.write(back, from: model, to: written, progress: nil)
    #expect(Set(written.infos.map(\.name)) == Set(source.tensors.map(\.name)))
    for info in source.tensors {
      #expect(written.infos.first { $0.name == info.name }?.shape == info.shape)
      #expect(written.bytes(info.name) == source.bytes(info.name), "\(info.name)")
    }
  }

  @Test func whatIsSplitAndTransposedHasNoWayBack() throws {
    let source = source()
    let plan = try plan(source)
    let error = #expect(throws: FormatError.self) {
      try mapper().exportPlan(
        for: plan.targets.map(\.info), file: "a", config: plan.config, family: "axes", dialect: "d")
    }
    #expect(error?.description.contains("a shape that split leads back from") == true)
  }

  @Test(arguments: [
    ("size/heads]}\n", "size/head]}\n", "unknown dimension 'head'"),
    (
      "to: \"l.{layer}.w\", shape: [size, heads, size/heads]", "to: \"l.{layer}.w\"", "'to' and 'shape' need each other"
    ),
    ("transposed: true, shape", "axis: 1, transposed: true, shape", "is split along axis 0"),
    ("transposed: true, shape", "shape", "'shape' is for what is transposed"),
    ("first_layer: 1", "first_layer: 2000", "is no number that layers begin with"),
    ("first: [wide, size]", "first: [wide]", "'first' and 'last' must have as many dimensions as 'shape'"),
    ("emb: [5, size]", "emb: {shape: [5, size], last: [5, wide]}", "are for tensors with {layer}"),
    ("l.{layer}.b: [size]", "l.{layer}.{layer}.b: [size]", "has {layer} twice"),
  ])
  func aWrongTableIsRefused(text: String, other: String, message: String) {
    expectRefusal(of: table, replacing: text, with: other, message)
  }
}
