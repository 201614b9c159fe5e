import CheckpointReaders
import Conversion
import ModelSupport
import TensorIO
import TestSupport
import Testing
import WeightMapping

/// What Megatron-LM leaves: names of two generations, and query, key and value in one matrix, in three orders.
@Suite struct MegatronTests {
  private static let folder = TestSupport.fixture("torch/megatron-lm/")

  private func open(_ name: String) throws -> any TensorSource {
    try CheckpointOpener().open(Self.folder + name).source
  }

  private func config() throws -> JSON { try JSON.parse(try FileSystem.text(Self.folder + "config.json")) }

  private func plan(
    _ source: any TensorSource, _ config: JSON?, metadata: [(key: String, value: String)]? = nil
  ) throws -> MappingPlan {
    try mapper().plan(
      for: source.tensors, metadata: metadata ?? source.metadata, file: "m.pt", config: config,
      configFile: config == nil ? nil : "config.json", allowUnexpected: []
    ).resolvingTies(in: source)
  }

  private func problem(
    _ name: String, _ config: JSON?, metadata: [(key: String, value: String)]? = nil
  ) throws -> String {
    let source = try open(name)
    return errorText { _ = try plan(source, config, metadata: metadata) }
  }

  private func contents(_ source: any TensorSource) throws -> [String: [UInt8]] {
    var result: [String: [UInt8]] = [:]
    for (index, info) in source.tensors.enumerated() {
      result[info.name] = try source.withBytes(ofTensorAt: index) { $0.array() }
    }
    return result
  }

  private func written(_ plan: MappingPlan, _ source: any TensorSource) throws -> [String: [UInt8]] {
    let sink = MemorySink()
    try Converter.write(plan, from: source, to: sink, progress: nil)
    return Dictionary(uniqueKeysWithValues: zip(sink.infos.map(\.name), sink.data))
  }

  @Test(arguments: [
    ("unversioned", "megatron-lm-unversioned"), ("version-0", "megatron-lm-v0"), ("version-1", "megatron-lm-v1"),
    ("version-2", "megatron-lm"), ("version-3", "megatron-lm"),
  ])
  func everyVersionIsTheModelOfTransformers(name: String, dialect: String) throws {
    let source = try open(name + ".pt")
    let plan = try plan(source, try config())
    #expect(plan.family == "megatron-bert" && plan.dialect == dialect && plan.report.isComplete)
    #expect(plan.report.dropped.count == 2)
    #expect(
      plan.notes.contains { $0.kind == .dialect && $0.text.contains("taken to lie as in version 0") }
        == (name == "unversioned"))
    let made = try written(plan, source)
    let expected = try contents(try open("expected.safetensors"))
    #expect(expected.count == 46 && made == expected)
    let recognition = try mapper().recognize(source.tensors, metadata: source.metadata)
    #expect(recognition.family == "megatron-bert" && recognition.dialect == dialect)
  }

  @Test(arguments: [("version-0", "megatron-lm-v0"), ("version-1", "megatron-lm-v1"), ("version-2", "megatron-lm")])
  func theWayBackIsWhatMegatronWrote(name: String, dialect: String) throws {
    let native = try open("expected.safetensors")
    let back = try mapper().exportPlan(
      for: native.tensors, file: "m", config: try config(), family: "megatron-bert", dialect: dialect)
    let made = try written(back, native)
    let expected = try contents(try open(name + ".pt")).filter { $0.key.hasPrefix("model.") }
    #expect(Set(made.keys.map { "model." + $0 }) == Set(expected.keys))
    for (name, bytes) in made { #expect(bytes == expected["model." + name], "\(name)") }
    let failed = #expect(throws: FormatError.self) {
      try mapper().exportPlan(
        for: native.tensors, file: "m", config: try config().changing("num_attention_heads", .int(3)),
        family: "megatron-bert", dialect: "megatron-lm")
    }
    #expect(failed?.description.contains("parts of one size that the config's num_attention_heads divides") == true)
  }

  // MARK: The number of heads

  @Test func theNumberOfHeadsIsNeverAssumed() throws {
    for name in ["version-1.pt", "version-2.pt"] {
      let text = try problem(name, nil)
      #expect(text.contains("no shape gives num_attention_heads, and no config was given: the rows of"), "\(text)")
      #expect(text.contains("query_key_value"), "\(text)")
      let error = formatError { _ = try self.plan(try open(name), nil) }
      #expect(error?.kind == .mismatch && error?.advice == .all([.giveConfig]))
    }
    // One after the other, they can be separated without it.
    let plan = try plan(try open("version-0.pt"), nil)
    #expect(plan.notes.contains { $0.kind == .assumed(key: "num_attention_heads") })
  }

  @Test func theCheckpointsOwnArgumentsTellIt() throws {
    let plan = try plan(try open("version-3.pt"), nil)
    #expect(plan.config["num_attention_heads"] == .int(4))
    #expect(plan.config["layer_norm_eps"]?.doubleValue == 1e-5)
    #expect(plan.notes.contains { $0.text.contains("num_attention_heads 4 (args.num_attention_heads)") })
    let made = try written(plan, try open("version-3.pt"))
    let expected = try contents(try open("expected.safetensors"))
    #expect(made == expected)
  }

  @Test func anotherNumberOfHeadsIsRefused() throws {
    let text = try problem("version-3.pt", try config().changing("num_attention_heads", .int(2)))
    #expect(
      text.contains("num_attention_heads of config.json is 2, but args.num_attention_heads of the checkpoint is 4"),
      "\(text)")
    let odd = try problem("version-2.pt", try config().changing("num_attention_heads", .int(3)))
    #expect(odd.contains("num_attention_heads of config.json is 3, which does not divide hidden_size 16"), "\(odd)")
    // An epsilon is no matter of the layout: the config's own is taken.
    let plan = try plan(try open("version-3.pt"), try config().changing("layer_norm_eps", .number("1e-12")))
    #expect(plan.config["layer_norm_eps"] == .number("1e-12"))
    #expect(plan.notes.contains { $0.text.contains("args.layernorm_epsilon of the checkpoint is 1e-05: the config's") })
  }

  // MARK: The version

  @Test func anUnknownVersionIsRefusedByName() throws {
    for version in ["4.0", "0.5", "two"] {
      let text = try problem("version-2.pt", try config(), metadata: [("checkpoint_version", version)])
      #expect(text.contains("checkpoint_version is \(version), for which"), "\(text)")
      #expect(text.contains("known are 0, 1.0, 2.0, 3.0"), "\(text)")
    }
    let source = try open("version-2.pt")
    let recognition = try mapper().recognize(source.tensors, metadata: [("checkpoint_version", "4.0")])
    #expect(recognition.family == "megatron-bert" && recognition.dialect == nil)
  }

  @Test func aMissingVersionIsRequested() throws {
    // The later names were never written without one.
    let text = try problem("version-3.pt", try config(), metadata: [])
    #expect(text.contains("checkpoint_version is not among the values of the checkpoint"), "\(text)")
    #expect(text.contains("a config with this key works too"), "\(text)")
    let given = try config().changing("checkpoint_version", .number("3.0"))
    let source = try open("version-3.pt")
    let plan = try plan(source, given, metadata: [])
    #expect(plan.dialect == "megatron-lm" && plan.config["checkpoint_version"] == nil)
    let made = try written(plan, source)
    let expected = try contents(try open("expected.safetensors"))
    #expect(made == expected)
    let two = try problem("version-1.pt", given)
    #expect(two.contains("checkpoint_version is 1.0 in the checkpoint, but 3.0 in the config"), "\(two)")
  }

  /// The values are those of a checkpoint in several files, of which each has a part of every matrix.
  @Test(arguments: ["tensor_model_parallel_size", "pipeline_model_parallel_size", "model_parallel_size"])
  func aModelInPartsIsRefused(key: String) throws {
    for (name, version) in [("version-0.pt", "0.0"), ("version-1.pt", "1.0"), ("version-2.pt", "2.0")] {
      let parts = [("checkpoint_version", version), ("args." + key, "2")]
      let text = try problem(name, try config(), metadata: parts)
      #expect(
        text.contains(
          "1 in conflict with the config\n  args.\(key) is 2, for which the layout of the tensors is unknown"),
        "\(text)")
      let whole = [("checkpoint_version", version), ("args." + key, "1")]
      #expect(try problem(name, try config(), metadata: whole) == "no error")
    }
  }

  @Test func bothSpellingsOfOneTensorAreTooMany() throws {
    let real = try open("version-2.pt")
    var source = MemorySource()
    for info in real.tensors { source.add(info.name, info.shape, type: info.elementType) }
    source.add("model.language_model.encoder.final_norm.weight", [16])
    let plan = { try self.plan(source, try config(), metadata: real.metadata) }
    let failed = #expect(throws: FormatError.self) { _ = try plan() }
    #expect(failed?.description.contains("it would be the same tensor as") == true)
  }
}
