import ModelSupport
import TensorIO
import TestSupport
import Testing

@testable import Comparison

/// The names in A and in B of what was renamed, and all that is left.
private func renames(_ result: ModelDifference) -> (pairs: [[String]], others: [String]) {
  (
    result.entries.filter { $0.kind == .renamed }.map { [$0.name, $0.newName ?? ""] },
    result.entries.filter { $0.kind != .renamed }.map { "\($0.kind.rawValue) \($0.name)" }
  )
}

/// A checkpoint of tensors of three values each, those of one letter alike; digits are constant tensors.
private func source(_ tensors: [(String, Character)]) -> MemorySource {
  var source = MemorySource()
  for (name, content) in tensors {
    if let digit = content.wholeNumberValue {
      source.add(name, floats: Array(repeating: Float(digit), count: 3))
    } else {
      source.add(name, [3], seed: String(content))
    }
  }
  return source
}

@Suite("Tensors under other names")
struct RenamedTensorTests {
  @Test func theSameBytesUnderAnotherNameAreOneEntry() throws {
    let result = try difference(
      source([("same", "s"), ("old", "x"), ("gone", "y")]), source([("new", "x"), ("same", "s"), ("fresh", "z")]))
    #expect(renames(result).pairs == [["old", "new"]] && renames(result).others == ["removed gone", "added fresh"])
    #expect(!result.isEqual && result.equalCount == 1)
    let json = result.json()
    #expect(json["equal"] == .bool(false) && json["counts"]?["renamed"] == .int(1))
    let entry = json["renamed"]?.elements?.first
    #expect(entry?["name"] == .string("old") && entry?["new_name"] == .string("new"))
    #expect(entry?["a"]?["shape"] == .ints([3]) && entry?["b"]?["dtype"] == .string("F32"))
    #expect(json["added"]?.elements?.count == 1 && json["removed"]?.elements?.count == 1)
  }

  @Test func aToleranceDoesNotMakeNames() throws {
    var (a, b) = (MemorySource(), MemorySource())
    a.add("old", floats: [1, 2])
    b.add("new", floats: [1, 2.5])
    #expect(try renames(difference(a, b, tolerance: 1)).pairs == [])
    #expect(try renames(difference(a, a.renamed { _ in "new" }, tolerance: 1)).pairs == [["old", "new"]])
  }

  /// The same bytes in another form are another tensor.
  @Test func typeAndShapeMustBeTheSame() throws {
    var (a, b) = (MemorySource(), MemorySource())
    a.add("a", [2, 3], seed: "x")
    b.add("b", [3, 2], seed: "x")
    a.add("c", [4], type: .i32, seed: "y")
    b.add("d", [4], type: .f32, seed: "y")
    #expect(try renames(difference(a, b)).others == ["removed a", "removed c", "added b", "added d"])
  }

  /// Of several tensors of the same bytes the most similar names go together, whatever the order.
  @Test func theNearestNamesArePaired() throws {
    func alike(_ names: [String]) -> MemorySource { source(names.map { ($0, "x") }) }
    let a = alike((0..<12).flatMap { ["h.\($0).norm.weight", "h.\($0).norm.bias"] })
    let b = alike(
      [11, 3, 0, 1, 10, 2, 4, 5, 6, 7, 8, 9].flatMap { ["layer_\($0)/LayerNorm/bias", "layer_\($0)/LayerNorm/weight"] })
    let (pairs, others) = try renames(difference(a, b))
    #expect(others == [] && pairs.count == 24)
    for layer in 0..<12 {
      for part in ["weight", "bias"] {
        #expect(pairs.contains(["h.\(layer).norm.\(part)", "layer_\(layer)/LayerNorm/\(part)"]))
      }
    }
    #expect(try renames(difference(b, a)).pairs.count == 24)
  }

  @Test func whatIsLeftOverIsAddedOrRemoved() throws {
    let (pairs, others) = try renames(
      difference(source([("embedding.weight", "x"), ("decoder.weight", "x")]), source([("out.decoder.weight", "x")])))
    #expect(pairs == [["decoder.weight", "out.decoder.weight"]] && others == ["removed embedding.weight"])
    let back = try renames(
      difference(source([("out", "x")]), source([("embedding.weight", "x"), ("decoder.weight", "x")])))
    #expect(back.pairs == [["out", "embedding.weight"]] && back.others == ["added decoder.weight"])
  }

  /// A new bias of zeros is not the old one of another part.
  @Test func constantTensorsAloneAreNotRenamed() throws {
    let (pairs, others) = try renames(difference(source([("pooler.bias", "0")]), source([("classifier.bias", "0")])))
    #expect(pairs == [] && others == ["removed pooler.bias", "added classifier.bias"])
  }

  @Test func constantTensorsGoWithOthersWhereAllOfThemDo() throws {
    let a = source([
      ("h.0.w", "x"), ("h.0.b", "0"), ("h.0.norm", "1"), ("h.1.w", "y"), ("h.1.b", "0"), ("h.1.norm", "1"),
    ])
    let names = [
      "h.0.w": "l0/k", "h.0.b": "l0/b", "h.0.norm": "l0/g", "h.1.w": "l1/k", "h.1.b": "l1/b", "h.1.norm": "l1/g",
    ]
    #expect(
      try renames(difference(a, a.renamed { names[$0] })).pairs == a.tensors.map { [$0.name, names[$0.name] ?? ""] })
    // One of zeros is gone: nobody can know which.
    let (pairs, others) = try renames(difference(a, a.renamed { $0 == "h.0.b" ? nil : names[$0] }))
    #expect(pairs.map { $0[0] } == ["h.0.w", "h.0.norm", "h.1.w", "h.1.norm"])
    #expect(others == ["removed h.0.b", "removed h.1.b", "added l1/b"])
  }

  /// Scalars and empty tensors are constant.
  @Test func whatHasHardlyAnyBytesIsNotRenamed() throws {
    var a = MemorySource()
    a.add("step", [], seed: "x")
    a.add("none", [0, 4], bytes: [])
    let (pairs, others) = try renames(difference(a, a.renamed { "the." + $0 }))
    #expect(pairs == [] && others == ["removed step", "removed none", "added the.step", "added the.none"])
  }

  @Test func bytesThatAgreeInPartAreNotRenamed() throws {
    var (a, b) = (MemorySource(), MemorySource())
    a.add("a", floats: [1, 2, 3, 4, 5])
    b.add("b", floats: [1, 2, 3, 4, 6])
    a.add("c", floats: [7, 7, 7, 7, 1])
    b.add("d", floats: [7, 7, 7, 7, 2])
    #expect(try renames(difference(a, b)).pairs == [])
  }

  /// Through a table it is the model's tensor that is compared: a kernel is a transpose.
  @Test func whatATableTransposesIsComparedTransposed() throws {
    let google = googleTensors()
    let sink = try convert(google)
    var model = MemorySource()
    for info in sink.infos {
      let name = info.name.hasPrefix("cls.") ? "my" + info.name.dropFirst(3) : info.name
      model.add(name, info.shape, bytes: sink.bytes(info.name))
    }
    let result = try difference(google, model)
    let heads = sink.infos.map(\.name).filter { $0.hasPrefix("cls.") }
    #expect(result.isMatchedByTable && heads.count == 7)
    #expect(renames(result).pairs == heads.map { [$0, "my" + $0.dropFirst(3)] } && renames(result).others == [])
    let kernel = result.entries.first { $0.name == "cls.predictions.transform.dense.weight" }
    #expect(kernel?.a?.sources == ["cls/predictions/transform/dense/kernel"])
  }

  /// Nothing is read more than twice, and nothing at all that no other tensor could be.
  @Test func theDataIsReadAtMostTwice() throws {
    var (a, b) = (MemorySource(), MemorySource())
    for number in 0..<200 {
      a.add("a.\(number).weight", [2], seed: "a\(number)")
      b.add("b.\(number).weight", [2], seed: number % 2 == 0 ? "a\(number)" : "b\(number)")
    }
    a.add("long", [50])
    b.add("longer", [51])
    let (x, y) = (ObservedSource(a), ObservedSource(b))
    let result = try difference(x, y)
    #expect(result.count(.renamed) == 100 && result.count(.added) == 101 && result.count(.removed) == 101)
    for (source, name) in [(x, "long"), (y, "longer")] { #expect(source.reads(name) == 0) }
    for number in 0..<200 {
      #expect(x.reads("a.\(number).weight") == (number % 2 == 0 ? 2 : 1))
      #expect(y.reads("b.\(number).weight") == (number % 2 == 0 ? 2 : 1))
    }
  }
}
