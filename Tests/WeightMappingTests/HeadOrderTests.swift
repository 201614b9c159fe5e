import Conversion
import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

/// Rows that are ordered by head, in every order of the three axes, along the first axis and along the second.
@Suite struct HeadOrderTests {
  private static let axes = ["part", "head", "row"]
  static let orders = axes.flatMap { a in axes.flatMap { b in axes.map { [a, b, $0] } } }.filter { Set($0).count == 3 }

  /// Three parts of `size` 8 in 2 heads of 4, fused in `axis` of a matrix of which the other side is 5.
  private func yaml(_ order: [String], axis: Int) -> String {
    let shape = axis == 0 ? "[size, 5]" : "[5, size]"
    return """
      family: toy
      config:
        size: {infer: dimension}
        layers: {infer: layers}
        heads: {infer: heads, of: size, head_size: 4}
      tensors:
        - group: all
          required: true
          tensors:
            emb: [3, size]
            layer.{layer}.q: \(shape)
            layer.{layer}.k: \(shape)
            layer.{layer}.v: \(shape)
      dialects:
        d:
          anchors: [e]
          rename: {e: emb}
          split:
            b{layer}: {axis: \(axis), heads: heads, order: [\(order.joined(separator: ", "))], into: ["layer.{layer}.q", "layer.{layer}.k", "layer.{layer}.v"]}
      """
  }

  private func source(axis: Int) -> MemorySource {
    var source = MemorySource()
    source.add("e", [3, 8])
    for layer in 0..<2 { source.add("b\(layer)", axis == 0 ? [24, 5] : [5, 24]) }
    return source
  }

  @Test(arguments: orders, [0, 1])
  func everyRowIsInOrder(order: [String], axis: Int) throws {
    let source = source(axis: axis)
    let mapper = Mapper(tables: [try MappingTable(yaml: yaml(order, axis: axis), file: nil)])
    let config = JSON.object(["heads": .int(2)])
    let plan = try mapper.plan(
      for: source.tensors, file: "toy", config: config, configFile: "c.json", allowUnexpected: [])
    let sink = MemorySink()
    try Converter.write(plan, from: source, to: sink, progress: nil)
    let extents = ["part": 3, "head": 2, "row": 4]
    for layer in 0..<2 {
      let whole = source.bytes("b\(layer)")
      for (part, name) in ["q", "k", "v"].enumerated() {
        let made = sink.bytes("layer.\(layer).\(name)")
        #expect(made.count == 8 * 5 * 4)
        for head in 0..<2 {
          for row in 0..<4 {
            // The index along the axis, from the definition: a number whose digits are the indices.
            let index = order.reduce(0) {
              $0 * (extents[$1] ?? 0) + (["part": part, "head": head, "row": row][$1] ?? 0)
            }
            for other in 0..<5 {
              let from = axis == 0 ? index * 5 + other : other * 24 + index
              let to = axis == 0 ? (head * 4 + row) * 5 + other : other * 8 + head * 4 + row
              #expect(made[(to * 4)..<(to * 4 + 4)] == whole[(from * 4)..<(from * 4 + 4)].map(\.self)[...])
            }
          }
        }
      }
    }
    // And back again.
    var native = MemorySource()
    for (info, data) in zip(sink.infos, sink.data) { native.add(info.name, info.shape, bytes: data) }
    let back = MemorySink()
    try Converter.write(
      try mapper.exportPlan(for: native.tensors, file: "m", config: plan.config, family: "toy", dialect: "d"),
      from: native, to: back, progress: nil)
    #expect(Set(back.infos.map(\.name)) == ["e", "b0", "b1"])
    for tensor in source.tensors { #expect(back.bytes(tensor.name) == source.bytes(tensor.name), "\(tensor.name)") }
  }

  @Test func aMatrixOfAnotherHeightIsRefused() throws {
    var source = source(axis: 0)
    source.remove("b1")
    source.add("b1", [16, 5])
    let mapper = Mapper(tables: [try MappingTable(yaml: yaml(["head", "part", "row"], axis: 0), file: nil)])
    let failed = #expect(throws: FormatError.self) {
      try mapper.plan(
        for: source.tensors, file: "toy", config: .object(["heads": .int(2)]), configFile: "c.json",
        allowUnexpected: [])
    }
    #expect(failed?.description.contains("wrong shape: b1: found F32 [16, 5], expected [24, 5]") == true)
  }

  @Test(arguments: [
    ("heads: heads, ", "", "'heads' and 'order' need each other"),
    ("order: [head, part, row], ", "", "'heads' and 'order' need each other"),
    ("heads: heads, order", "heads: size, order", "'size' counts no heads"),
    ("[head, part, row]", "[head, part]", "an order that does not have each axis once"),
    ("[head, part, row]", "[head, part, part]", "an order that does not have each axis once"),
    ("[head, part, row]", "[head, part, column]", "found head, part, column, expected part, head, row"),
    ("layer.{layer}.v: [size, 5]", "layer.{layer}.v: [\"2*size\", 5]", "must be of one size"),
    ("anchors: [e]", "anchors: [e]\n    when: {version: []}", "'version' has no value that would do"),
    ("anchors: [e]", "anchors: [e]\n    config: {sise: x}", "Did you mean 'size'?"),
    ("anchors: [e]", "anchors: [e]\n    spellings: {b: c}", "'b' is a part of 'b{layer}', which a rule takes as it is"),
    (
      "layers: {infer: layers}", "layers: {infer: layers}\n  a: {default: x, values: [y]}",
      "the default of 'a' is \"x\""
    ),
    ("layers: {infer: layers}", "layers: {infer: layers}\n  a: {default: 1, values: [y]}", "whose default is a word"),
    ("layers: {infer: layers}", "layers: {infer: layers}\n  a: {default: x, least: 0}", "whose default is a number"),
    ("layers: {infer: layers}", "layers: {infer: layers}\n  a: {default: 1, below: one}", "below must be a number"),
    ("layers: {infer: layers}", "layers: {infer: layers}\n  a: {default: 1, below: 1}", "is 1, not below 1.0"),
  ])
  func aWrongTableIsRefused(text: String, other: String, message: String) {
    expectRefusal(of: yaml(["head", "part", "row"], axis: 0), replacing: text, with: other, message)
  }
}
