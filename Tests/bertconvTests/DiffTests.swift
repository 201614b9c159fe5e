import TensorIO
import TestSupport
import Testing

private let base = fixture("heads/BertForMaskedLM")

/// The tensors of a safetensors file, to be written anew with others.
private struct Checkpoint {
  struct Tensor {
    var name: String
    var type = ElementType.f32
    var shape: [Int]
    var bytes: [UInt8]

    /// As many values of F32 as the shape has.
    init(_ name: String, _ shape: [Int], _ value: (Int) -> Float) {
      self.name = name
      self.shape = shape
      bytes = (0..<shape.reduce(1, *)).flatMap { Tensor.bytes(value($0)) }
    }

    init(_ entry: SafetensorsHeader.Entry, _ bytes: [UInt8]) {
      name = entry.name
      type = entry.elementType
      shape = entry.shape
      self.bytes = bytes
    }

    private static func bytes(_ value: Float) -> [UInt8] {
      [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt32($0)) }
    }

    /// Adds to each value.
    mutating func add(_ change: Float) {
      var changed: [UInt8] = []
      for start in stride(from: 0, to: bytes.count, by: 4) {
        let bits = bytes[start..<(start + 4)].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        changed += Tensor.bytes(Float(bitPattern: bits) + change)
      }
      bytes = changed
    }
  }

  var tensors: [Tensor] = []

  init() {}

  init(_ path: String) throws {
    let file = try MappedFile.open(path)
    let header = try SafetensorsHeader(file)
    let all = file.array()
    tensors = header.entries.map { entry in
      Tensor(
        entry, Array(all[(header.dataStart + entry.range.lowerBound)..<(header.dataStart + entry.range.upperBound)]))
    }
  }

  func write(_ folder: TemporaryFolder, _ name: String) throws -> String {
    var entries: [SafetensorsHeader.Entry] = []
    var data: [UInt8] = []
    for tensor in tensors {
      let end = data.count + tensor.bytes.count
      entries.append(.init(name: tensor.name, elementType: tensor.type, shape: tensor.shape, range: data.count..<end))
      data += tensor.bytes
    }
    return try folder.write(SafetensorsHeader.serialise(entries, metadata: [], alignment: 8) + data, name)
  }
}

/// A text as words, so that the width of a column is no matter.
private func words(_ line: some StringProtocol) -> String { line.split(separator: " ").joined(separator: " ") }

@Suite("What diff prints")
struct DiffTests {
  private func diff(_ a: Checkpoint, _ b: Checkpoint, _ options: String...) throws -> Program.Result {
    let folder = TemporaryFolder()
    return try Program.run(
      ["diff", a.write(folder, "a.safetensors"), b.write(folder, "b.safetensors")] + options)
  }

  private func lines(_ result: Program.Result) -> [String] {
    result.output.split(separator: "\n", omittingEmptySubsequences: false).map { words($0) }
  }

  /// The model itself, and one whose second layer and output bias moved.
  private func models() throws -> (Checkpoint, Checkpoint) {
    let a = try Checkpoint(base + "/model.safetensors")
    var b = a
    for index in b.tensors.indices where b.tensors[index].name.contains(".layer.1.") { b.tensors[index].add(0.5) }
    for index in b.tensors.indices where b.tensors[index].name == "cls.predictions.bias" { b.tensors[index].add(0.25) }
    return (a, b)
  }

  @Test func equalCheckpointsTakeALine() throws {
    let result = try Program.run("diff", base, base)
    #expect(result.status == 0 && result.output == "equal: 42 tensors; names matched as bert (transformers)\n")
    var a = Checkpoint()
    a.tensors = [.init("x", [2], { Float($0) })]
    #expect(try diff(a, a).output == "equal: 1 tensor; names as they are\n")
    var b = a
    b.tensors[0].add(0.25)
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
    var a = Checkpoint()
    for layer in 0..<7 {
      for part in ["w", "b"] { a.tensors.append(.init("h.\(layer).\(part)", [2, 2], { Float($0) * 10 })) }
    }
    a.tensors.append(.init("embed.weight", [3], { Float($0 + 1) }))
    var b = a
    for layer in moved { b.tensors[2 * layer].add(Float((layer + 1) * (layer + 1))) }
    b.tensors[14].add(1)
    let lines = lines(try diff(a, b))
    #expect(lines[2] == "\(layers); the embeddings (0.463) moved\(equal.map { "; \($0)" } ?? "").")
  }

  @Test func stacksAreToldApart() throws {
    var a = Checkpoint()
    for layer in 0..<2 {
      for part in ["w", "b"] {
        a.tensors.append(.init("encoder.block.\(layer).\(part)", [2], { Float($0 + 3) }))
        a.tensors.append(.init("decoder.block.\(layer).\(part)", [2], { Float($0 + 3) }))
      }
    }
    var b = a
    b.tensors[0].add(1)
    let output = lines(try diff(a, b))
    #expect(
      output[2]
        == "In encoder.block layer 0 moved (relative change 0.200), layer 1 is equal; in decoder.block no layer moved.")
    #expect(output.contains("decoder.block 1 0 of 2 equal"))
  }

  @Test func aModelWithoutItsHeadIsToldInAFewLines() throws {
    var (a, b) = try models()
    b = a
    a.tensors.removeAll { $0.name.hasPrefix("cls.") }
    let headless = lines(try diff(a, b))
    #expect(headless[0].hasPrefix("not equal: 5 added, 37 equal"))
    #expect(headless.contains("cls.predictions.bias F32 [40] 160 bytes"))
    // The layers of a model beside one of the embeddings alone.
    var c = Checkpoint()
    c.tensors = a.tensors.filter { $0.name.contains("embeddings") }
    let output = lines(try diff(a, c))
    #expect(output.contains("removed: 32") && output.count < 30)
    #expect(
      output.contains("bert.encoder.layer.{0,1}.attention.self.key.weight × 2 F32 [16, 16] 1.0 KiB"), "\(output)")
  }

  @Test func renamedTensorsAreToldPlainly() throws {
    let (a, _) = try models()
    var b = a
    for index in b.tensors.indices {
      b.tensors[index].name =
        "other/" + b.tensors[index].name.replacing("layer.", with: "block_").replacing(".", with: "/")
    }
    b.tensors.reverse()
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
    var (a, b) = (Checkpoint(), Checkpoint())
    a.tensors = [
      .init("shaped", [2, 3], { Float($0) }), .init("zero", [4], { _ in 0 }), .init("lost", [2], { Float($0 + 1) }),
      .init("typed", [2], { Float($0) }),
    ]
    b.tensors = [
      .init("shaped", [3, 2], { Float($0) }), .init("zero", [4], { _ in 0.5 }), .init("lost", [2], { _ in .nan }),
      .init("typed", [2], { Float($0) }),
    ]
    b.tensors[3].type = .i32
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
    var (a, b) = (Checkpoint(), Checkpoint())
    for number in 0..<300 { a.tensors.append(.init("t\(number)x", [2], { _ in Float(number + 1) })) }
    b = a
    for index in b.tensors.indices { b.tensors[index].add(index == 250 ? 1000 : 0.5) }
    let output = lines(try diff(a, b))
    #expect(output.contains("changed: 300, of which these 20 changed most"))
    #expect(output.last == "" && output[output.count - 2] == "… and 280 more tensors: --json lists them all")
    #expect(output.contains { $0.hasPrefix("t250x ") } && !output.contains { $0.hasPrefix("t299x ") })
    let removed = lines(try diff(a, Checkpoint(b.tensors.prefix(1))))
    #expect(removed.contains("… and 259 more lines: --json lists them all"), "\(removed.suffix(3))")
  }

  /// A line for several layers says exactly which tensors it stands for.
  @Test func onlyLayersInARowThatAreAlikeShareALine() throws {
    var a = Checkpoint()
    for layer in [0, 1, 2, 4, 5] { a.tensors.append(.init("h.\(layer).w", [2], { Float($0) })) }
    for layer in 0..<3 { a.tensors.append(.init("h.\(layer).b", [layer == 1 ? 3 : 2], { Float($0) })) }
    for layer in ["00", "01"] { a.tensors.append(.init("g.\(layer).w", [2], { Float($0) })) }
    a.tensors.append(.init("same", [1], { Float($0) }))
    let output = lines(try diff(a, Checkpoint(a.tensors.suffix(1))))
    let expected = [
      "removed: 10", "only in A", "h.{0..2}.w × 3 F32 [2] 8 bytes", "h.{4,5}.w × 2 F32 [2] 8 bytes",
      "h.0.b F32 [2] 8 bytes", "h.1.b F32 [3] 12 bytes", "h.2.b F32 [2] 8 bytes", "g.00.w F32 [2] 8 bytes",
      "g.01.w F32 [2] 8 bytes",
    ]
    #expect(output.dropFirst(2).dropLast() == expected[...], "\(output)")
  }

  /// Names come from strangers' files.
  @Test func namesCannotSteerTheTerminalOrWidenTheOthers() throws {
    var (a, b) = (Checkpoint(), Checkpoint())
    let long = String(repeating: "n", count: 100_000)
    let escape = "esc\u{1B}[2J"
    let layers = (0..<2).flatMap { layer in
      ["w", "v"].map { Checkpoint.Tensor("\(escape).\(layer).\($0)", [2], { Float($0 + 1) }) }
    }
    a.tensors = layers + [.init(long, [2], { Float($0 + 7) }), .init("gone\u{202E}", [3], { Float($0) })]
    b.tensors = layers + [.init("new\u{7}", [2], { Float($0 + 7) }), .init(long + ".x", [5], { Float($0) })]
    b.tensors[0].add(1)
    for options in [[], ["--json"]] as [[String]] {
      let folder = TemporaryFolder()
      let result = try Program.run(
        ["diff", a.write(folder, "a.safetensors"), b.write(folder, "b.safetensors")] + options)
      #expect(result.status == 1)
      #expect(
        !result.output.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" || $0.value == 0x202E || $0.value == 7 })
      #expect(result.output.utf8.count < 400_000)
    }
    let short = lines(try diff(a, b))
    #expect(short.contains { $0.hasPrefix("esc\\u{1b}[2J.0.w 2 of 2 ") })
  }
}

extension Checkpoint {
  fileprivate init(_ tensors: some Sequence<Tensor>) { self.tensors = Array(tensors) }
}
