import CheckpointReaders
import TensorIO
import TestSupport
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// Every command of docs/FAQ.md, run in a folder that is prepared for its question, prints what is shown there.
/// `BERTCONV_RECORD=1 swift test --filter FAQ` writes it anew; the difference is then reviewed like any other change.
@Suite("The questions and answers")
struct FAQTests {
  private static let path = fixture("../../docs/FAQ.md")
  private static let prompt = "    $ bertconv "

  /// What lies in the folder of each question, by its heading.
  private static let preparations: [String: @Sendable (Folder) throws -> Void] = [
    "Which of the three files do I give?": { try $0.bert("uncased") },
    "There is no config": {
      try $0.bert("found", without: ["bert_config.json", "vocab.txt"])
      for name in ["bert_config.json", "reference.npz"] { try $0.copy("tensorflow/bert-tiny/\(name)", to: name) }
    },
    "`LayerNorm.gamma` and `LayerNorm.beta`, or `weight` and `bias`?": {
      try $0.copy("torch/bert-2018", to: "bert-2018")
    },
    "Unexpected key `bert.embeddings.position_ids`": { try $0.withPositionIDs("bert") },
    "`cls.predictions.decoder.weight` is missing": {
      try $0.copy("heads/BertForMaskedLM", to: "without")
      try $0.copy("torch/bert-tiny-zip", to: "with")
    },
    "`adam_m`, `adam_v` and `global_step`": { try $0.copy("tensorflow/bert-training", to: "finetuned") },
    "It converts, and the numbers are a little wrong": {
      try $0.copy("heads/BertForMaskedLM", to: "bert")
      try $0.replace("\"gelu_new\"", with: "\"gelu\"", in: "bert/config.json", as: "wrong-gelu.json")
      try $0.replace("1e-05", with: "1e-12", in: "bert/config.json", as: "wrong-epsilon.json")
    },
    "Everything becomes `[UNK]`": {
      for (name, lowers) in [("cased", "true"), ("uncased", "false")] {
        try $0.bert(name)
        try $0.write("{\"do_lower_case\": \(lowers)}\n", to: "\(name)/tokenizer_config.json")
      }
      let vocabulary = try FileSystem.text($0.file("cased/vocab.txt"))
      try $0.write(vocabulary.replacing("the\nof\nand\n", with: "The\nOf\nAnd\n"), to: "cased/vocab.txt")
    },
    "A file of 134 bytes": {
      try $0.bert("clone", without: ["bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"])
      try $0.write(
        """
        version https://git-lfs.github.com/spec/v1
        oid sha256:97104a0b9e8c1f3de5c5a4d3e1f4b8e0d5a1c7f65b0a2d9f8e4c3b2a19087654
        size 440473133

        """, to: "clone/pytorch_model.bin")
    },
    "The vocabulary and the embeddings have different sizes": {
      try $0.bert("padded")
      try $0.replace("\"vocab_size\": 101", with: "\"vocab_size\": 98", in: "padded/bert_config.json")
      let tokens = try FileSystem.text($0.file("padded/vocab.txt")).split(separator: "\n")
      try $0.write(tokens.prefix(98).joined(separator: "\n") + "\n", to: "padded/vocab.txt")
    },
    "`0.encoder.weight` is in no BERT": {
      try $0.bert("bert")
      try $0.copy("torch/other-models/fwd_wt103.h5", to: "fwd_wt103.h5")
    },
    "Can I trust this `pytorch_model.bin`?": {
      try $0.copy("torch/hostile/system-zip.pt", to: "stranger.pt")
      try $0.copy("torch/script-code/reads-a-file.pt", to: "script.pt")
    },
    "The index without its data, or the data without its index": {
      try $0.bert("index-alone", without: ["bert_model.ckpt.data-00000-of-00001"])
      try $0.bert("data-alone", without: ["bert_model.ckpt.index"])
    },
    "The download stopped half-way": {
      try $0.copy("heads/BertForMaskedLM/model.safetensors", to: "model.safetensors", bytes: 9_000)
      try $0.copy("torch/bert-tiny-zip/pytorch_model.bin", to: "pytorch_model.bin", bytes: 100_000)
      try $0.bert("uncased", without: ["bert_model.ckpt.data-00000-of-00001"])
      let data = "bert_model.ckpt.data-00000-of-00001"
      try $0.copy("tensorflow/bert-tiny/\(data)", to: "uncased/\(data)", bytes: 150_000)
      try $0.write("<!DOCTYPE html>\n<title>Too many requests</title>\n", to: "page.bin")
    },
    "A shard is missing": {
      try $0.copy("safetensors/sharded", to: "sharded", without: ["expected.json", "model-00002-of-00002.safetensors"])
    },
    "An `.h5` that no Keras opens": { try $0.copy("torch/other-models/fwd_wt103.h5", to: "fwd_wt103.h5") },
    "Texts of more than 512 tokens": { try $0.longText() },
  ]

  /// The folder that a question's commands are run in.
  private struct Folder {
    let folder = TemporaryFolder()

    func file(_ name: String) -> String { folder.file(name) }

    func write(_ text: String, to name: String) throws { _ = try folder.write(Array(text.utf8), name) }

    /// Copies a fixture: a file, or the files of a folder.
    func copy(_ source: String, to name: String, bytes: Int? = nil, without: [String] = []) throws {
      let path = fixture(source)
      guard FileSystem.kind(of: path) == .folder else {
        let content = try contents(path)
        #expect(bytes ?? 0 < content.count)
        _ = try folder.write(Array(content.prefix(bytes ?? content.count)), name)
        return
      }
      folder.makeFolder(name)
      for file in try FileSystem.names(inFolder: path) where !without.contains(file) {
        _ = try folder.write(try contents(FileSystem.join(path, file)), "\(name)/\(file)")
      }
    }

    /// A BERT as google-research releases it.
    func bert(_ name: String, without: [String] = []) throws {
      try copy("tensorflow/bert-tiny", to: name, without: without + ["expected.safetensors", "reference.npz"])
    }

    func replace(_ text: String, with other: String, in name: String, as copy: String? = nil) throws {
      let content = try FileSystem.text(file(name))
      #expect(content.contains(text))
      try write(content.replacing(text, with: other), to: copy ?? name)
    }

    /// A model with the buffer that transformers 3.1 to 4.30 saved with it.
    func withPositionIDs(_ name: String) throws {
      try copy("heads/BertForMaskedLM", to: name)
      var model = try MemorySource(copying: CheckpointOpener().open(file("\(name)/model.safetensors")).source)
      model.add("bert.embeddings.position_ids", [1, 24], integers: Array(0..<24))
      try model.writeSafetensors(to: folder, "\(name)/model.safetensors")
    }

    func longText() throws {
      try TinyBERT.maskedLM(positions: 512).write(to: folder, "bert.safetensors")
      var inputs = MemorySource()
      inputs.add("input_ids", [1, 600], integers: (0..<600).map { 1 + $0 % 39 })
      try inputs.writeSafetensors(to: folder, "ids.safetensors")
    }
  }

  /// One section of the page.
  private struct Section {
    let heading: String
    var lines: [String] = []
  }

  private func sections(_ text: String) -> [Section] {
    var result = [Section(heading: "")]
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
      if line.hasPrefix("## ") { result.append(Section(heading: String(line.dropFirst(3)))) }
      result[result.count - 1].lines.append(line)
    }
    return result
  }

  /// What the arithmetic leaves open is made equal: its last digits are the processor's.
  private func settled(_ line: String) -> String {
    let words = line.split(separator: " ")
    // A row of the table of outputs: name, largest error, mean error, cosine, argmax, verdict.
    if words.count == 6, words[5] == "ok" || words[5] == "FAILED" { return "\(words[0]) \(words[4]) \(words[5])" }
    return line.replacing(/-?\d\.\d\de-\d\d/, with: "ERROR").replacing(/-?\d+\.\d{5,}/, with: "NUMBER")
  }

  /// The lines of a section with what its commands print now in place of what is shown there.
  private func run(_ section: Section, _ prepare: (Folder) throws -> Void) throws -> [String] {
    let folder = Folder()
    try prepare(folder)
    var result: [String] = []
    var rest = section.lines[...]
    while let line = rest.popFirst() {
      result.append(line)
      guard line.hasPrefix(Self.prompt) else { continue }
      let arguments = line.dropFirst(Self.prompt.count).split(separator: " ").map { String($0.filter { $0 != "'" }) }
      let program = try Program.run(arguments, in: folder.folder.path)
      #expect([0, 1, 2].contains(program.status), "\(line): \(program.status)")
      var printed = (program.errors + program.output).split(separator: "\n", omittingEmptySubsequences: false).map(
        String.init)
      while printed.last?.isEmpty == true { printed.removeLast() }
      printed = printed.map { $0.isEmpty ? "" : "    " + $0 }
      var shown = rest.prefix { $0.isEmpty || $0.hasPrefix("    ") && !$0.hasPrefix(Self.prompt) }
      rest = rest.dropFirst(shown.count)
      let blanks = shown.reversed().prefix(while: \.isEmpty).count
      shown = shown.dropLast(blanks)
      // Digits that mean nothing make no difference to review.
      result += shown.map(settled) == printed.map(settled) ? Array(shown) : printed
      result += [String](repeating: "", count: blanks)
    }
    return result
  }

  /// Each question is in the list at the top, once, under the name that Markdown gives to its heading.
  @Test func theListLeadsToEachQuestion() throws {
    let sections = sections(try FileSystem.text(Self.path))
    let links = sections[0].lines.filter { $0.hasPrefix("- [") }
    let expected = sections.dropFirst().map { section in
      let anchor = section.heading.lowercased().filter { $0.isLetter || $0.isNumber || "_- ".contains($0) }
      return "- [\(section.heading)](#\(String(anchor.map { $0 == " " ? "-" : $0 })))"
    }
    #expect(links.sorted() == expected.sorted())
  }

  @Test func theOutputIsAsPrinted() throws {
    let text = try FileSystem.text(Self.path)
    let sections = sections(text)
    #expect(sections.dropFirst().map(\.heading).sorted() == Self.preparations.keys.sorted())
    var made: [String] = sections[0].lines
    for section in sections.dropFirst() {
      let prepare = try #require(Self.preparations[section.heading])
      #expect(section.lines.contains { $0.hasPrefix(Self.prompt) }, "\(section.heading) shows no command")
      let lines = try run(section, prepare)
      if unsafe getenv("BERTCONV_RECORD") == nil { #expect(lines == section.lines) }
      made += lines
    }
    if unsafe getenv("BERTCONV_RECORD") != nil {
      try AtomicFile.write(Array(made.joined(separator: "\n").utf8), to: Self.path, overwrites: true)
    }
  }
}
