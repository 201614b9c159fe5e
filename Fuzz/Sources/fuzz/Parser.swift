import TensorIO

@testable import CheckpointReaders
@testable import Comparison
@testable import Conversion
@testable import Encoder
@testable import NativeFormat
@testable import Tokenizers
@testable import Verification
@testable import WeightMapping

/// The parsers of what a stranger may have written, each as a user reaches it.
enum Parser: String, CaseIterable {
  case table, bundle
  case objectGraph = "object-graph"
  case graph
  case zip, pickle, legacy, tar, torch, joblib, distributed, unknown
  case scriptCode = "script-code"
  case safetensors, native, npy, npz, hdf5, keras, flax
  case yaml, glob, plan, convert, config, fixture
  case tokenizer, sentencepiece, regex, text

  /// Parses `data` and reads what it holds. An error is an answer; anything else is a find.
  func run(_ data: [UInt8]) {
    do { try parse(Bytes(data, file: "input")) } catch {}
  }

  private func parse(_ file: Bytes) throws {
    switch self {
    case .table: _ = try Table(file)
    case .bundle: try read(try TensorFlowFormat().open(file, path: "input.index"))
    case .objectGraph: _ = try objectGraphNames(file)
    case .graph:
      for message in [GraphReader.Message.metaGraph, .savedModel] {
        if let graph = try? GraphReader.read(file, as: message, path: "input") { inspect(graph) }
      }
      let frozen = try FrozenGraph(file, path: "input")
      if let graph = frozen.graph { inspect(graph) }
      try read(frozen)
    case .zip:
      let archive = try ZipArchive(file)
      for (index, entry) in archive.entries.enumerated() where entry.size < Self.limit {
        _ = try archive.bytes(ofEntryAt: index)
      }
    case .pickle:
      var cursor = ByteCursor(file)
      var machine = PickleMachine(file: "input")
      machine.outsideValues = .storages
      _ = try machine.load(&cursor)
    case .legacy:
      guard TorchLegacy.recognizes(file) else { return }
      try read(try TorchLegacy.open(file, path: "input"))
    case .tar:
      guard TorchTar.recognizes(file) else { return }
      try read(try TorchTar.open(file, path: "input"))
    case .torch: try read(try TorchZipFormat().open(file, path: "input"))
    case .joblib:
      if CompressedPickleFormat().recognizes(file, path: "input") {
        try read(try CompressedPickleFormat().open(file, path: "input"))
      } else if TorchLegacy.recognizes(file) {
        try read(try TorchLegacy.open(file, path: "input"))
      }
    case .distributed: _ = try DistributedMetadata(file, path: "input")
    case .scriptCode:
      var code = TorchScriptCode()
      code.read(file)
      _ = ContainedCode.warnings(of: code.finished())
    case .unknown:
      for name in ["input.bin", "input.onnx", "input.joblib", "input.index"] {
        _ = UnknownFormat.error(for: file, path: name).description
      }
      _ = UnknownFormat.error(forJSON: file, path: "input.json")
    case .safetensors: try read(try SafetensorsFormat().open(file, path: "input"))
    case .native:
      let model = try NativeModel(file, path: "input")
      try model.verifyChecksums()
      if let config = model.config { _ = try EncoderConfig(config) }
    case .npy: try read(try NpyFormat().open(file, path: "input.npy"))
    case .npz: try read(try NpzFormat().open(file, path: "input"))
    case .hdf5: try read(try HDF5Format().open(file, path: "input"))
    case .keras: try read(try KerasZipFormat().open(file, path: "input"))
    case .flax: try read(try FlaxFormat().open(file, path: "input"))
    case .yaml: _ = try MappingTable(yaml: String(decoding: file.array(), as: UTF8.self), file: "input")
    case .glob:
      // A pattern, and a name in each line after it.
      let lines = String(decoding: file.array(), as: UTF8.self).split(separator: "\n").map(String.init)
      guard let pattern = lines.first else { return }
      let glob = Glob(pattern)
      for name in lines.dropFirst() { _ = glob.matches(name) }
    case .plan: try plan(file.array())
    case .convert: try convert(try SafetensorsFormat().open(file, path: "input"))
    case .config: _ = try EncoderConfig(try JSON.parse(file.array(), file: "input"))
    case .fixture:
      let fixture = try Fixture(try NpzFormat().open(file, path: "input"))
      for reference in fixture.references { _ = try fixture.values(of: reference) }
    case .tokenizer:
      let definition = try TokenizerDefinition(json: file.array(), file: "input")
      try encode("A text, Naïve [MASK] 中 \u{301}\u{1F600} 12", with: try Tokenizer(definition))
    case .sentencepiece:
      _ = try SentencePieceModel(file)
    case .regex:
      // An expression, and a text in each line after it.
      let lines = file.array().split(separator: 10, omittingEmptySubsequences: false)
      let regex = try Regex(String(decoding: lines.first ?? [], as: UTF8.self))
      for line in lines.dropFirst() where line.count < 200 {
        var buffer = TextBuffer()
        let text = Array(String(decoding: line, as: UTF8.self).utf8)
        buffer.load(text.span)
        var matches: [Range<Int>] = []
        regex.findAll(in: buffer, 0..<text.count, into: &matches)
      }
    case .text:
      let text = String(decoding: file.array(), as: UTF8.self)
      for tokenizer in Self.tokenizers { try encode(text, with: tokenizer) }
    }
  }

  /// Encodes a text alone and as a pair, and decodes what that makes.
  private func encode(_ text: String, with tokenizer: Tokenizer) throws {
    let encoding = try tokenizer.encode(text)
    _ = try tokenizer.encode(text, pair: text, options: Tokenizer.Options(maxLength: 9))
    _ = encoding.texts
    _ = tokenizer.decode(encoding.ids)
  }

  /// Tokenizers with all that rewrites texts.
  private static let tokenizers: [Tokenizer] = {
    let pieces = #"{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["▁",-3],["a",-4],["▁a",-5],["é",-6]]}"#
    let normalizers = [
      #"{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}"#,
      #"{"type":"Sequence","normalizers":[{"type":"Nmt"},{"type":"NFKC"},{"type":"Lowercase"},{"type":"Strip","strip_left":true,"strip_right":true}]}"#,
      #"{"type":"Sequence","normalizers":[{"type":"NFD"},{"type":"StripAccents"},{"type":"Replace","pattern":{"Regex":" {2,}|\\p{Lu}"},"content":"é"},{"type":"Prepend","prepend":"▁"}]}"#,
    ]
    let preTokenizers = [
      #"{"type":"BertPreTokenizer"}"#, #"{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true}"#,
      #"{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true}]}"#,
    ]
    var tokenizers: [Tokenizer] = []
    for normalizer in normalizers {
      for preTokenizer in preTokenizers {
        let json = #"{"normalizer":\#(normalizer),"pre_tokenizer":\#(preTokenizer),"model":\#(pieces)}"#
        if let definition = try? TokenizerDefinition(json: Array(json.utf8)), let made = try? Tokenizer(definition) {
          tokenizers.append(made)
        }
      }
    }
    return tokenizers
  }()

  /// What is read of one tensor: more would be slow and find nothing.
  private static let limit = 1 << 20

  /// A table, a zero byte, and a JSON object with the shape of each tensor: a plan of it, and the way back.
  private func plan(_ data: [UInt8]) throws {
    let parts = data.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2 else { return }
    let table = try MappingTable(yaml: String(decoding: parts[0], as: UTF8.self), file: "input")
    let tensors = (try JSON.parse(Array(parts[1]), file: "input").members ?? []).compactMap { member in
      TensorInfo(
        name: member.key, elementType: .f32, shape: (member.value.elements ?? []).map { $0.intValue ?? 0 })
    }
    try look(at: tensors, Mapper(tables: [table]), config: nil)
  }

  /// A checkpoint with its config among its metadata, through everything that reads neither files nor the processor's memory.
  private func convert(_ source: any TensorSource) throws {
    let config = try source.metadata.first { $0.key == "config" }.map { try JSON.parse($0.value, file: "input") }
    let mapper = try Mapper(tablesAt: [])
    try look(at: source.tensors, mapper, config: config)
    let input = ModelDifference.Input(source, name: "input", config: config)
    _ = try ModelDifference.between(input, input, mapper: mapper)
    let plan = try mapper.plan(
      for: source.tensors, file: "input", config: config, configFile: nil, allowUnexpected: ["*"])
    guard plan.byteCount < Self.limit else { return }
    try Converter.write(plan, from: source, to: Nowhere(), progress: nil)
  }

  private func look(at tensors: [TensorInfo], _ mapper: Mapper, config: JSON?) throws {
    let outline = mapper.outline(of: tensors, config: config)
    _ = outline.report.problemLines
    guard
      let plan = try? mapper.plan(
        for: tensors, file: "input", config: config, configFile: nil, allowUnexpected: ["*"], allowsMissing: true)
    else { return }
    for dialect in ["google-tf1", "transformers", plan.dialect] {
      _ = try? mapper.exportPlan(
        for: plan.targets.map(\.info), file: "input", config: plan.config, family: plan.family, dialect: dialect)
    }
  }

  /// A sink that keeps nothing.
  private final class Nowhere: TensorSink {
    func begin(_ tensors: [TensorInfo]) {}
    func append(_ bytes: RawSpan, toTensorAt index: Int) {}
    func finish() {}
    func cancel() {}
  }

  private func inspect(_ graph: TensorFlowGraph) {
    _ = graph.code
    _ = GraphSettings(graph).observed(origin: "input")
  }

  private func read(_ source: any TensorSource) throws {
    for (index, tensor) in source.tensors.enumerated() where tensor.byteCount < Self.limit {
      // One tensor that is damaged must not hide the others.
      do {
        if tensor.elementType == .string {
          _ = try source.strings(ofTensorAt: index)
        } else {
          try source.streamBytes(ofTensorAt: index) { _ in }
          _ = try source.withBytes(ofTensorAt: index) { $0.byteCount }
        }
      } catch is FormatError {}
    }
  }
}
