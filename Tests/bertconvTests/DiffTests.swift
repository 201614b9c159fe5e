import CheckpointReaders
import TensorIO
import TestSupport
import Testing

private let base = fixture("heads/BertForMaskedLM")

extension MemorySource {
  /// Adds as many values of F32 as the shape has, each made of its index.
  fileprivate mutating func add(_ name: String, _ shape: [Int], _ value: (Int) -> Float) {
    add(name, shape, floats: (0..<shape.reduce(1, *)).map(value))
  }

  /// Adds to each value of the tensors that `selects` names.
  fileprivate mutating func shift(by change: Float, where selects: (String) -> Bool) {
    for tensor in tensors where selects(tensor.name) { changeFloats(tensor.name) { $0 = $0.map { $0 + change } } }
  }

  fileprivate func only(_ selects: (String) -> Bool) -> MemorySource { renamed { selects($0) ? $0 : nil } }
}

/// A text as words, so that the width of a column is no matter.
private func words(_ line: some StringProtocol) -> String { line.split(separator: " ").joined(separator: " ") }

@Suite("What diff prints")
struct DiffTests {
  private func diff(_ a: MemorySource, _ b: MemorySource, _ options: String...) throws -> Program.Result {
    let folder = TemporaryFolder()
    let paths = try [a.writeSafetensors(to: folder, "a.safetensors"), b.writeSafetensors(to: folder, "b.safetensors")]
    return try Program.run(["diff"] + paths + options)
  }

  private func lines(_ result: Program.Result) -> [String] {
    result.output.split(separator: "\n", omittingEmptySubsequences: false).map { words($0) }
  }

  /// The model itself, and one whose second layer and output bias moved.
  private func models() throws -> (MemorySource, MemorySource) {
    let a = try MemorySource(copying: CheckpointOpener().open(base + "/model.safetensors").source)
    var b = a
    b.shift(by: 0.5) { $0.contains(".layer.1.") }
    b.shift(by: 0.25) { $0 == "cls.predictions.bias" }
    return (a, b)
  }

  @Test func equalCheckpointsTakeALine() throws {
    let result = try Program.run("diff", base, base)
    #expect(result.status == 0 && result.output == "equal: 42 tensors; names matched as bert (transformers)\n")
    var a = MemorySource()
    a.add("x", [2]) { Float($0) }
    #expect(try diff(a, a).output == "equal: 1 tensor; names as they are\n")
    var b = a
    b.shift(by: 0.25) { _ in true }
    let tolerant = try diff(a, b, "--tolerance", "0.5")
    #expect(tolerant.status == 0)
    #expect(
      tolerant.output == "equal: 1 tensor; tolerance 0.5, largest difference within it 0.25000; names as they are\n")
  }

  @Test func whichLayersMovedAndHowFar() throws {
    let (a, b) = try models()
    let result = try diff(a, b)
    let lines = lines(result)
    #expect(result.status == 1 && result.errors.isEmpty, "\(result.both)")
    #expect(lines[0] == "not equal: 17 changed, 25 equal; names matched as bert (transformers)")
    #expect(lines[2].hasPrefix("Layer 1 moved (relative change "), "\(lines[2])")
    #expect(
      lines[2].contains("; the cls (") && lines[2].hasSuffix(") moved; layer 0 and the embeddings are equal."),
      "\(lines[2])")
    #expect(lines[3] == "part changed values that differ relative change largest")
    #expect(lines[4] == "embeddings 0 of 5 equal" && lines[5] == "layer 0 0 of 16 equal")
    #expect(lines[6].hasPrefix("layer 1 16 of 16 all ") && lines[6].hasSuffix("█"), "\(lines[6])")
    #expect(lines[7].hasPrefix("cls 1 of 5 ") && lines[7].contains(" % "), "\(lines[7])")
    #expect(lines.contains("changed: 17"))
    #expect(lines.contains { $0.hasPrefix("cls.predictions.bias 40 of 40 ") })
    let json = try JSON.parse(try diff(a, b, "--json").output)
    let parts = try #require(json["parts"]?.elements)
    #expect(parts.map { $0["part"]?.stringValue } == ["embeddings", "layer 0", "layer 1", "cls"])
    #expect(parts.map { $0["changed"]?.intValue } == [0, 0, 16, 1])
    #expect(parts[2]["relative_change"]?.doubleValue ?? 0 > parts[3]["relative_change"]?.doubleValue ?? 1)
    let entry = json["changed"]?.elements?.first
    for key in ["max_abs_difference", "differing", "rms_difference", "relative_change", "cosine"] {
      #expect(entry?[key]?.doubleValue != nil, "\(key)")
    }
  }

  /// One sentence for what happened to seven layers.
  @Test(
    arguments: [
      (Array(0..<7), "Every layer moved: layer 6 most (relative change 1.85), layer 0 least (0.0378)", nil),
      ([], "No layer moved", nil),
      ([3], "Layer 3 moved (relative change 0.605)", "layers 0 to 2 and 4 to 6 are equal"),
      (
        [5, 6], "Layers 5 and 6 moved: layer 6 most (relative change 1.85), layer 5 least (1.36)",
        "layers 0 to 4 are equal"
      ),
      (
        Array(1..<7), "Layers 1 to 6 moved: layer 6 most (relative change 1.85), layer 1 least (0.151)",
        "layer 0 is equal"
      ),
      ([0, 2, 4, 6], "4 of 7 layers moved: layer 6 most (relative change 1.85), layer 0 least (0.0378)", nil),
    ] as [([Int], String, String?)])
  func theSentence(_ moved: [Int], _ layers: String, _ equal: String?) throws {
    var a = MemorySource()
    for layer in 0..<7 {
      for part in ["w", "b"] { a.add("h.\(layer).\(part)", [2, 2]) { Float($0) * 10 } }
    }
    a.add("embed.weight", [3]) { Float($0 + 1) }
    var b = a
    for layer in moved { b.shift(by: Float((layer + 1) * (layer + 1))) { $0 == "h.\(layer).w" } }
    b.shift(by: 1) { $0 == "embed.weight" }
    let lines = lines(try diff(a, b))
    #expect(lines[2] == "\(layers); the embeddings (0.463) moved\(equal.map { "; \($0)" } ?? "").")
  }

  @Test func stacksAreDistinguished() throws {
    var a = MemorySource()
    for layer in 0..<2 {
      for part in ["w", "b"] {
        a.add("encoder.block.\(layer).\(part)", [2]) { Float($0 + 3) }
        a.add("decoder.block.\(layer).\(part)", [2]) { Float($0 + 3) }
      }
    }
    var b = a
    b.shift(by: 1) { $0 == "encoder.block.0.w" }
    let output = lines(try diff(a, b))
    #expect(
      output[2]
        == "In encoder.block layer 0 moved (relative change 0.200), layer 1 is equal; in decoder.block no layer moved.")
    #expect(output.contains("decoder.block 1 0 of 2 equal"))
  }

  @Test func aModelWithoutItsHeadIsReportedInAFewLines() throws {
    var (a, b) = try models()
    b = a
    a = a.only { !$0.hasPrefix("cls.") }
    let headless = lines(try diff(a, b))
    #expect(headless[0].hasPrefix("not equal: 5 added, 37 equal"))
    #expect(headless.contains("cls.predictions.bias F32 [40] 160 bytes"))
    // The layers of a model, next to one of the embeddings alone.
    let output = lines(try diff(a, a.only { $0.contains("embeddings") }))
    #expect(output.contains("removed: 32") && output.count < 30)
    #expect(
      output.contains("bert.encoder.layer.{0,1}.attention.self.key.weight × 2 F32 [16, 16] 1.0 KiB"), "\(output)")
  }

  @Test func renamedTensorsAreReportedPlainly() throws {
    let (a, _) = try models()
    var b = MemorySource()
    for tensor in a.tensors.reversed() {
      let name = "other/" + tensor.name.replacing("layer.", with: "block_").replacing(".", with: "/")
      b.add(name, tensor.shape, bytes: a.bytes(tensor.name))
    }
    let result = try diff(a, b)
    let output = lines(result)
    #expect(result.status == 1 && result.errors.contains("note: "), "\(result.both)")
    #expect(output[0].hasPrefix("not equal: 42 renamed, 0 equal"), "\(output[0])")
    #expect(output[1] == "Every tensor that was compared is on both sides, bit for bit: only names differ.")
    #expect(
      output.contains(
        "bert.encoder.layer.{0,1}.output.dense.bias other/bert/encoder/block_{0,1}/output/dense/bias × 2 F32 [16] 64 bytes"
      ),
      "\(result.output)")
    #expect(output.count < 35)
  }

  @Test func everyKindHasItsForm() throws {
    var (a, b) = (MemorySource(), MemorySource())
    a.add("shaped", [2, 3]) { Float($0) }
    a.add("zero", [4]) { _ in 0 }
    a.add("lost", [2]) { Float($0 + 1) }
    a.add("typed", [2]) { Float($0) }
    b.add("shaped", [3, 2]) { Float($0) }
    b.add("zero", [4]) { _ in 0.5 }
    b.add("lost", [2]) { _ in .nan }
    b.add("typed", [2], type: .i32, bytes: a.bytes("typed"))
    let output = lines(try diff(a, b))
    #expect(output[0] == "not equal: 1 retyped, 1 reshaped, 2 changed, 0 equal; names as they are")
    #expect(output.contains("shaped F32 [2, 3] → F32 [3, 2]"))
    #expect(output.contains("typed F32 → I32 2 of 2"))
    #expect(output.contains("zero 4 of 4 from zero 0.500 0.500"))
    #expect(output.contains("lost 2 of 2 inf inf inf"))
    let json = try JSON.parse(try diff(a, b, "--json").output)
    #expect(json["changed"]?.elements?.map { $0["relative_change"] } == [.null, .null])
  }

  /// Of many changes those are shown that one would look for.
  @Test func aLongListIsCut() throws {
    var a = MemorySource()
    for number in 0..<300 { a.add("t\(number)x", [2]) { _ in Float(number + 1) } }
    var b = a
    b.shift(by: 0.5) { $0 != "t250x" }
    b.shift(by: 1000) { $0 == "t250x" }
    let output = lines(try diff(a, b))
    #expect(output.contains("changed: 300, of which these 20 changed most"))
    #expect(output.last == "" && output[output.count - 2] == "… and 280 more tensors: --json lists them all")
    #expect(output.contains { $0.hasPrefix("t250x ") } && !output.contains { $0.hasPrefix("t299x ") })
    let removed = lines(try diff(a, b.only { $0 == "t0x" }))
    #expect(removed.contains("… and 259 more lines: --json lists them all"), "\(removed.suffix(3))")
  }

  /// A line for several layers shows exactly which tensors it describes.
  @Test func layersWhoseTensorsAreAlikeShareALine() throws {
    var a = MemorySource()
    for layer in [0, 1, 2, 4, 5] { a.add("h.\(layer).w", [2]) { Float($0) } }
    for layer in 0..<3 { a.add("h.\(layer).b", [layer == 1 ? 3 : 2]) { Float($0) } }
    for layer in ["00", "01"] { a.add("g.\(layer).w", [2]) { Float($0) } }
    a.add("same", [1]) { Float($0) }
    let output = lines(try diff(a, a.only { $0 == "same" }))
    let expected = [
      "removed: 10", "only in A", "h.{0..2,4,5}.w × 5 F32 [2] 8 bytes", "h.{0,2}.b × 2 F32 [2] 8 bytes",
      "h.1.b F32 [3] 12 bytes", "g.00.w F32 [2] 8 bytes", "g.01.w F32 [2] 8 bytes",
    ]
    #expect(output.dropFirst(2).dropLast() == expected[...], "\(output)")
  }

  /// Names come from strangers' files.
  @Test func namesCannotSteerTheTerminalOrWidenTheOthers() throws {
    var (a, b) = (MemorySource(), MemorySource())
    let long = String(repeating: "n", count: 100_000)
    let escape = "esc\u{1B}[2J"
    for layer in 0..<2 {
      for part in ["w", "v"] { a.add("\(escape).\(layer).\(part)", [2]) { Float($0 + 1) } }
    }
    b = a
    a.add(long, [2]) { Float($0 + 7) }
    a.add("gone\u{202E}", [3]) { Float($0) }
    b.add("new\u{7}", [2]) { Float($0 + 7) }
    b.add(long + ".x", [5]) { Float($0) }
    b.shift(by: 1) { $0 == "\(escape).0.w" }
    for result in try [diff(a, b), diff(a, b, "--json")] {
      #expect(result.status == 1)
      #expect(
        !result.output.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" || $0.value == 0x202E || $0.value == 7 })
      #expect(result.output.utf8.count < 400_000)
    }
    let short = lines(try diff(a, b))
    #expect(short.contains { $0.hasPrefix("esc\\u{1b}[2J.0.w 2 of 2 ") })
  }
}
