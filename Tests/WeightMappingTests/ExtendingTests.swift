import Conversion
import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

/// The table of docs/EXTENDING.md, and the claims of that page.
@Suite struct ExtendingTests {
  private func page() throws -> String { try FileSystem.text(TestSupport.fixture("../../docs/EXTENDING.md")) }

  private func yaml() throws -> String {
    let text = try page()
    let start = try #require(text.firstRange(of: "```yaml\n"))
    return String(text[start.upperBound...].prefix { $0 != "`" })
  }

  /// The table with the dialect that the page adds to it.
  private func longerYAML() throws -> String {
    let text = try page()
    let section = try #require(text.firstRange(of: "### Other forms of an operation"))
    let start = try #require(text[section.upperBound...].firstRange(of: "```yaml\n"))
    return try yaml() + String(text[start.upperBound...].prefix { $0 != "`" })
  }

  private func mapper() throws -> Mapper { Mapper(tables: [try MappingTable(yaml: try yaml(), file: "toy.yaml")]) }

  /// A model of width 8, vocabulary 6 and two layers, in the names of the dialect `ours`.
  private func toy(_ prefix: String = "net/") -> MemorySource {
    var source = MemorySource()
    source.add(prefix + "emb", [6, 8])
    source.add(prefix + "pos", [8, 32])
    for layer in 0..<2 {
      source.add(prefix + "h\(layer)/qk", [16, 8])
      source.add(prefix + "h\(layer)/m", [32, 8])
      source.add(prefix + "h\(layer)/n", [8])
    }
    return source
  }

  private func plan(_ source: MemorySource, config: String? = nil) throws -> MappingPlan {
    try mapper().plan(
      for: source.tensors, file: "toy", config: try config.map { try JSON.parse($0) }, configFile: "config.json",
      allowUnexpected: []
    ).resolvingTies(in: source)
  }

  private func problem(_ source: MemorySource, config: String? = nil) -> String {
    errorText { _ = try plan(source, config: config) }
  }

  /// The dialect by a convention that the page shows.
  @Test func aConventionMakesTheRules() throws {
    let text = try page()
    let section = try #require(text.firstRange(of: "### Conventions of frameworks"))
    let start = try #require(text[section.upperBound...].firstRange(of: "```yaml\n"))
    let table = try MappingTable(yaml: String(text[start.upperBound...].prefix { $0 != "`" }), file: "mpnet.yaml")
    var source = MemorySource()
    source.add("net/embeddings/word_embeddings/embedding", [11, 8])
    source.add("net/embeddings/position_embeddings/embedding", [9, 8])
    source.add("net/encoder/relative_attention_bias/embedding", [32, 2])
    var norms = ["net/embeddings/LayerNorm"]
    for layer in 0..<2 {
      for part in ["q", "k", "v", "o"] {
        source.add("net/block_\(layer)/attention/\(part)/kernel", [8, 8])
        source.add("net/block_\(layer)/attention/\(part)/bias", [8])
      }
      source.add("net/block_\(layer)/intermediate/dense/kernel", [8, 16])
      source.add("net/block_\(layer)/intermediate/dense/bias", [16])
      source.add("net/block_\(layer)/output/dense/kernel", [16, 8])
      source.add("net/block_\(layer)/output/dense/bias", [8])
      norms += ["net/block_\(layer)/attention/LayerNorm", "net/block_\(layer)/output/layer_norm"]
    }
    for norm in norms {
      source.add(norm + "/scale", [8])
      source.add(norm + "/bias", [8])
    }
    source.add("opt_state/0/count", [1], type: .i32)
    let plan = try Mapper(tables: [table]).plan(
      for: source.tensors, file: "m", config: nil, configFile: nil, allowUnexpected: [])
    #expect(plan.family == "mpnet" && plan.dialect == "ours" && plan.report.dropped.map(\.cause) == [.optimizer])
    let target = try #require(
      plan.targets.first { $0.info.name == "mpnet.encoder.layer.1.intermediate.dense.weight" })
    #expect(target.info.shape == [16, 8] && target.operation == .transpose)
  }

  @Test func everyKeyOfTheLanguageIsInTheTable() throws {
    let text = try yaml()
    let keys = [
      "family", "description", "model_type", "more_model_types", "config", "config_leaves_out", "labels",
      "architectures", "tensors", "dialects", "infer", "padded", "of", "head_size", "names", "default", "quiet", "name",
      "heads", "or", "reads", "dimension", "not_for", "group", "required", "shape", "tied", "root", "anchors",
      "identity",
      "rename", "transpose", "reshape", "split", "concat", "alias", "drop", "axis", "into", "from", "glob", "reason",
      "beside", "hint", "sizes", "where", "export_where",
    ]
    for key in keys { #expect(text.contains("\(key):"), "\(key)") }
    // And the page has no key that the parser lacks: the table is read whole.
    #expect(try MappingTable(yaml: text, file: nil).dialectNames == ["ours", "canonical"])
  }

  @Test(arguments: ["net/", "", "model/net/", "model/"])
  func theRootMayBeAbsentAndAScopeInFront(prefix: String) throws {
    let plan = try plan(toy(prefix))
    #expect(plan.dialect == "ours" && plan.targets.count == 10)
    #expect(
      plan.targets.map(\.info.name).prefix(4) == ["embeddings", "positions", "layer.0.query", "layer.0.key"])
  }

  @Test func theOperations() throws {
    var source = toy()
    source.add("net/pool", [8, 8])
    source.add("out/b1", [4])
    source.add("out/b2", [2])
    let plan = try plan(source)
    let sink = MemorySink()
    try Converter.write(plan, from: source, to: sink, progress: nil)
    #expect(sink.bytes("positions") == source.bytes("net/pos"))
    #expect(sink.bytes("layer.1.query") + sink.bytes("layer.1.key") == source.bytes("net/h1/qk"))
    #expect(sink.bytes("words.bias") == source.bytes("out/b1") + source.bytes("out/b2"))
    let pool = source.bytes("net/pool")
    var transposed: [UInt8] = []
    for index in 0..<64 {
      let start = (index % 8 * 8 + index / 8) * 4
      transposed += pool[start..<(start + 4)]
    }
    #expect(sink.bytes("pooler") == transposed)
    #expect(plan.config["architectures"] == .strings(["ToyForWords"]))
    #expect(plan.config["width"]?.intValue == 8 && plan.config["depth"]?.intValue == 2)
    #expect(plan.config["heads"]?.intValue == 2 && plan.config["dropout"]?.doubleValue == 0.1)
    #expect(
      plan.notes.contains { $0.kind == .assumed(key: "activation") }
        && !plan.notes.contains { $0.kind == .assumed(key: "dropout") })
    // The way back refuses a reshape, and names the tensor.
    let failed = #expect(throws: FormatError.self) {
      try mapper().exportPlan(
        for: plan.targets.map(\.info), file: "toy", config: plan.config, family: "toy", dialect: "ours")
    }
    #expect(failed?.description.contains("positions") == true && failed?.description.contains("reshape") == true)
    let back = try mapper().exportPlan(
      for: plan.targets.map(\.info), file: "toy", config: plan.config, family: "toy", dialect: "canonical")
    #expect(back.targets.map(\.info.name) == plan.targets.map(\.info.name))
  }

  @Test func conditions() throws {
    var gated = toy()
    for layer in 0..<2 { gated.add("net/h\(layer)/g", [8]) }
    #expect(try plan(gated, config: #"{"gated": true}"#).targets.count == 12)
    #expect(problem(gated).contains("gated is false, but 'net/h0/g' belongs to models where it is true"))
    #expect(problem(toy(), config: #"{"gated": true}"#).contains("missing: net/h1/g"))
    var narrow = toy()
    for layer in 0..<2 {
      narrow.remove("net/h\(layer)/m")
      narrow.add("net/h\(layer)/m", [24, 8])
    }
    let misshapen = problem(narrow)
    #expect(misshapen.contains("2 wrong shape") && misshapen.contains("expected [16 or 32, 8]"), "\(misshapen)")
    let other = try plan(toy(), config: #"{"activation": "relu"}"#)
    let failed = #expect(throws: FormatError.self) {
      try mapper().exportPlan(
        for: other.targets.map(\.info), file: "toy", config: other.config, family: "toy", dialect: "ours")
    }
    #expect(failed?.description.contains("found activation \"relu\", expected activation \"gelu\"") == true)
  }

  @Test func aliasesTiesAndDrops() throws {
    // Another name of the norm: alone, next to an equal one, next to a different one.
    var alone = toy().renamed { $0 == "net/h1/n" ? "net/h1/scale" : $0 }
    #expect(try plan(alone).targets.count == 10)
    alone.add("net/h0/scale", [8], bytes: alone.bytes("net/h0/n"))
    #expect(try plan(alone).report.dropped.map(\.rule) == ["alias"])
    var different = toy()
    different.add("net/h0/scale", [8])
    #expect(problem(different).contains("has different values"))

    var words = toy()
    words.add("out/b1", [3])
    words.add("out/b2", [3])
    var tied = words
    tied.add("out/words", [6, 8], bytes: words.bytes("net/emb"))
    #expect(try plan(tied).report.dropped.map(\.rule) == ["tied"])
    words.add("out/words", [6, 8])
    #expect(try plan(words).config["tie_word_embeddings"] == .bool(false))

    var dropped = toy()
    for name in ["adam/m/net/emb", "net/emb/ema"] { dropped.add(name, [6, 8]) }
    #expect(try plan(dropped).report.dropped.map(\.rule) == ["adam/*", "*/ema"])
    dropped.add("net/gone/ema", [6, 8])
    #expect(problem(dropped).contains("net/gone/ema (a moving average whose weight is not in the file)"))
  }

  @Test func theConfig() throws {
    let plan = try plan(
      toy(),
      config:
        #"{"model_type": "plaything", "d_model": 8, "vocab_size": 5, "created_at": 1, "note": "kept", "depth": null}"#)
    #expect(plan.config["model_type"]?.stringValue == "plaything" && plan.config["width"]?.intValue == 8)
    #expect(plan.config["created_at"] == nil && plan.config["note"]?.stringValue == "kept")
    #expect(plan.config["vocab_size"]?.intValue == 6 && plan.notes.contains { $0.kind == .padded(key: "vocab_size") })
    #expect(problem(toy(), config: #"{"hidden": 9}"#).contains("hidden of config.json is 9, but the weights have 8"))
    #expect(problem(toy(), config: #"{"depth": 3}"#).contains("the layers found are 2"))
    #expect(
      problem(toy(), config: #"{"model_type": "bert"}"#).contains(
        "config.json has the model_type 'bert', which is not converted"))
    #expect(problem(toy(), config: #"{"activation": 7}"#).contains("not a word"))
    var classes = toy()
    classes.add("out/c", [8, 3])
    let made = try self.plan(classes)
    #expect(made.config["id2label"]?.members?.count == 3)
    #expect(made.notes.contains { $0.kind == .missingPart(group: "pooler") })
    #expect(try self.plan(classes, config: #"{"architectures": ["ToyForChoice"]}"#).config["id2label"] == nil)
    #expect(problem(classes, config: #"{"id2label": {"0": "a"}}"#).contains("has 1 labels, but the head has 3"))
  }

  @Test func theOtherForms() throws {
    let text = try longerYAML()
    for key in ["when", "config", "spellings", "note", "heads", "order"] {
      #expect(text.contains("    \(key):") || text.contains("\(key): "), "\(key)")
    }
    let mapper = Mapper(tables: [try MappingTable(yaml: text, file: "toy.yaml")])
    var source = MemorySource()
    source.add("emb", [6, 8])
    source.add("pos", [32, 8])
    for (part, shape) in [("qk", [16, 8]), ("m", [8, 32]), ("n", [8])] {
      source.add("h.0.\(part)", shape)
      source.add("block.1.\(part)", shape)
    }
    func plan(_ metadata: [(key: String, value: String)], _ config: String?) throws -> MappingPlan {
      try mapper.plan(
        for: source.tensors, metadata: metadata, file: "toy", config: try config.map { try JSON.parse($0) },
        configFile: "config.json", allowUnexpected: [])
    }
    let made = try plan([("layout", "2.0"), ("args.n_heads", "4")], nil)
    #expect(made.dialect == "fused" && made.config["heads"] == .int(4))
    #expect(made.notes.first == MappingNote(.dialect, "the two are taken to lie by head"))
    let sink = MemorySink()
    try Converter.write(made, from: source, to: sink, progress: nil)
    // Heads of two rows of 32 bytes: those of the query, those of the key, and so on.
    let whole = source.bytes("block.1.qk")
    let heads = stride(from: 0, to: whole.count, by: 64).map { Array(whole[$0..<($0 + 64)]) }
    #expect(sink.bytes("layer.1.query") == heads[0] + heads[2] + heads[4] + heads[6])
    #expect(sink.bytes("layer.1.key") == heads[1] + heads[3] + heads[5] + heads[7])

    func problem(_ metadata: [(key: String, value: String)], _ config: String?) -> String {
      errorText { _ = try plan(metadata, config) }
    }
    #expect(problem([("layout", "3")], nil).contains("no shape gives heads"))
    #expect(problem([("layout", "3")], #"{"heads": 2}"#) == "no error")
    #expect(
      problem([("layout", "3"), ("args.n_heads", "4")], #"{"heads": 2}"#).contains(
        "args.n_heads of the checkpoint is 4"))
    #expect(
      problem([("layout", "1")], #"{"heads": 2}"#).contains(
        "layout is 1, for which the layout of the tensors is unknown"))
    #expect(problem([], #"{"heads": 2}"#).contains("layout is not among the values of the checkpoint"))
    #expect(problem([], #"{"heads": 2, "layout": 2}"#) == "no error")
  }

  /// The faults that the page lists, in the words that it shows.
  @Test(arguments: [
    ("    rename:", "    renam: {}\n    rename:", "unknown key 'renam' in the dialect 'ours'"),
    ("      out/words: words.weight", "      net/pos: words.weight", "two rules take 'net/pos'"),
    ("    reshape:\n      net/pos: positions", "    reshape: {}", "makes the required 'positions'"),
    ("net/emb: embeddings", "net/emb: embedings", "unknown target 'embedings'"),
    ("positions: [32, width]", "positions: [32, widht]", "unknown dimension 'widht'"),
    ("{axis: 0, into", "{axis: 2, into", "axis 2 is beyond a target's shape"),
    ("layer.{layer}.key: [width, width]", "layer.{layer}.key: [width, 4]", "the targets differ in another axis"),
    ("anchors: [embeddings]", "anchors: [x]", "no rule takes the anchor 'x'"),
    ("      out/c: classifier", "      net/h0/m: classifier", "both 'net/h0/m' and 'net/h{layer}/m' take 'net/h0/m'"),
    ("      out/c: classifier", "      pool: classifier", "cannot be distinguished"),
  ])
  func theFaults(part: String, other: String, expected: String) throws {
    expectRefusal(of: try yaml(), replacing: part, with: other, expected)
  }

  @Test(arguments: [
    ("[head, part, row]", "[head, row]", "an order that does not have each axis once"),
    ("heads: heads, order", "heads: width, order", "'width' counts no heads"),
    ("{\"block.\": \"h.\"}", "{\"h.\": \"b.\"}", "'h.' is a part of 'h."),
  ])
  func theFaultsOfTheOtherForms(part: String, other: String, expected: String) throws {
    expectRefusal(of: try longerYAML(), replacing: part, with: other, expected)
  }
}
