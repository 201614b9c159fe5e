import CheckpointFormats
import TensorIO
import TestSupport
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// The data that a page carries, by name.
private struct PageData {
  let text: String

  init(_ path: String) throws { text = String(decoding: try contents(path), as: UTF8.self) }

  func callAsFunction(_ name: String) throws -> JSON {
    let start = try #require(text.firstRange(of: "id=\"data-\(name)\">")).upperBound
    return try JSON.parse(String(text[start..<(try #require(text[start...].firstRange(of: "</script>")).lowerBound)]))
  }
}

@Suite("Pages, end to end")
struct PageTests {
  let folder = TemporaryFolder()

  private func inspect(_ arguments: String...) throws -> PageData {
    let result = try Program.run(["inspect"] + arguments + ["--html", folder.file("page.html")])
    #expect(result.status == 0, "\(result.both)")
    return try PageData(folder.file("page.html"))
  }

  // MARK: inspect

  /// The page holds what --json prints, and a histogram that counts every finite value.
  @Test(arguments: [
    "tensorflow/bert-training", "tensorflow/object-graph", "tensorflow/dtypes/dtypes", "tensorflow/bert-sharded",
    "safetensors/dtypes.safetensors", "keras/latest.h5", "numpy/stored.npz", "torch/bert-tiny-zip",
  ])
  func aPageHoldsWhatIsListed(name: String) throws {
    let page = try inspect(fixture(name))
    let listed = try JSON.parse(try Program.run("inspect", fixture(name), "--stats", "--json").output)
    let tensors = try #require(listed["tensors"]?.elements)
    let rows = try #require(try page("tensors").elements)
    let nodes = try #require(try page("nodes").elements)
    #expect(rows.count == tensors.count && !rows.isEmpty)
    for (row, tensor) in zip(rows, tensors) {
      // What is printed is in the page under the same key.
      for member in try #require(tensor.members) where member.key != "stats" {
        #expect(row[member.key] == member.value, "\(member.key)")
      }
      #expect(nodes.indices.contains(try #require(row["node"]?.intValue)) && row["label"]?.stringValue != nil)
      guard let stats = tensor["stats"], stats != .null else {
        #expect(row["stats"] == nil && row["histogram"] == nil)
        continue
      }
      #expect(row["stats"] == stats)
      let counts = try #require(row["histogram"]?.stringValue).split(separator: " ").compactMap { Int($0) }
      let values = try #require(tensor["shape"]?.elements).compactMap(\.intValue).reduce(1, *)
      #expect(counts.reduce(0, +) == values - (stats["nan"]?.intValue ?? 0) - (stats["inf"]?.intValue ?? 0))
    }
    let summary = try page("summary")
    for (key, other) in [("total_tensors", JSON.int(tensors.count)), ("bytes", listed["bytes"])] {
      #expect(summary[key] == other)
    }
    #expect(summary["parameters"] == listed["parameters"] && summary["imports"] == listed["imports"])
    let unmapped = try JSON.parse(try Program.run("inspect", fixture(name), "--unmapped", "--json").output)
    #expect(try page("mapping") == unmapped["mapping"])
    #expect(page.text.utf8.count > 5000 && page.text.contains("<svg"))
  }

  @Test func whatIsPrintedStaysTheSame() throws {
    for options in [[], ["--stats"], ["--json"], ["--json", "--stats"], ["--unmapped"], ["--sort", "size"]] {
      let arguments = ["inspect", fixture("tensorflow/bert-training")] + options
      let plain = try Program.run(arguments)
      let both = try Program.run(arguments + ["--html", folder.file("page.html")])
      #expect(both.output == plain.output && both.errors == plain.errors && both.status == 0, "\(options)")
    }
  }

  @Test func theSameInputGivesTheSamePage() throws {
    let first = try inspect(fixture("torch/bert-tiny-zip")).text
    #expect(try inspect(fixture("torch/bert-tiny-zip")).text == first)
  }

  @Test func aFilterNarrowsWhatIsRead() throws {
    let page = try inspect(fixture("tensorflow/bert-training"), "--filter", "*pooler*", "--sort", "name")
    let names = try page("tensors").elements?.compactMap { $0["name"]?.stringValue }
    #expect(names?.count == 6 && names?.allSatisfy { $0.contains("pooler") } == true && names == names?.sorted())
    let summary = try page("summary")
    #expect(summary["total_tensors"] == .int(76) && summary["filter"] == .string("*pooler*"))
  }

  /// What one wants to know before a file is trusted.
  @Test func theChecks() throws {
    let model = TinyBERT.maskedLM()
    var weights = model.distinctWeights()
    func checks() throws -> [String] {
      try #require(try inspect(try model.write(to: folder, weights: weights))("summary")["checks"]?.elements).map {
        "\($0["level"]?.stringValue ?? "") \($0["text"]?.stringValue ?? "")"
      }
    }
    #expect(
      try checks() == [
        "good Contains no executable code.",
        "good Every tensor is accounted for: \(weights.tensors.count) mapped, 0 dropped by rules.",
        "good No value is NaN or infinite.", "good No tensor is all zeros.", "good Config found.",
        "note No vocabulary found.",
      ])
    _ = try folder.write(Array("a\nb\n".utf8), "vocab.txt")
    weights.changeFloats("bert.embeddings.word_embeddings.weight") { $0[0] = .nan }
    weights.changeFloats("bert.embeddings.position_embeddings.weight") { $0 = $0.map { _ in 0 } }
    weights = weights.renamed { $0.replacing("token_type_embeddings", with: "token_type_embedding") }
    let found = try checks()
    #expect(found.contains("bad 1 tensor contains NaN or infinity.") && found.contains("note 1 tensor is all zeros."))
    #expect(found.contains { $0.hasPrefix("bad Not all tensors fit: 1 missing, 1 unexpected") }, "\(found)")
    #expect(found.contains("good Vocabulary found: 2 tokens."))
    #expect(found.contains { $0.hasPrefix("note the vocabulary has 2 tokens and the model 40 rows") })
    // The model is written anew, and its config with it.
    let path = try model.write(to: folder, weights: weights)
    _ = try folder.write(Array("no config".utf8), "config.json")
    let useless = try inspect(path)("summary")["checks"]
    #expect(useless?.text().contains("Config found, but it cannot be used") == true)
  }

  @Test(arguments: ["system-zip.pt", "system-legacy.pt"])
  func aPickleThatAsksForCode(name: String) throws {
    let summary = try inspect(fixture("torch/hostile/\(name)"))("summary")
    #expect(summary["checks"]?.elements?[0]["level"] == .string("bad"))
    #expect(summary["imports"]?.elements?.contains { $0["name"] == .string("posix.system") } == true)
  }

  @Test func codeInACheckpointIsOnThePage() throws {
    let summary = try inspect(fixture("torch/script-code/writes-a-file.pt"))("summary")
    #expect(summary["checks"]?.elements?[0]["level"] == .string("bad"))
    let code = summary["code"]?.elements?.first { $0["name"] == .string("aten::save") }
    #expect(code?["verdict"] == .string("dangerous") && code?["kind"] == .string("torchscript"))
  }

  /// Names with markup are data in the page and nothing else.
  @Test(arguments: ["<script>alert(1)</script>", "</script><b>", "\" onclick=\"alert(1)", "a\u{2028}b\u{1B}[31m"])
  func namesCannotInjectMarkup(name: String) throws {
    let model = TinyBERT.maskedLM()
    var weights = model.distinctWeights()
    weights.add(name, floats: [1, 2, 3])
    let page = try inspect(try model.write(to: folder, weights: weights))
    #expect(!page.text.contains(name) || !name.contains { "<\u{2028}\u{1B}".contains($0) })
    let row = try #require(try page("tensors").elements?.last)
    #expect(row["name"]?.stringValue == printable(name))
    // The page ends where it should: each script element that begins was made here.
    #expect(page.text.split(separator: "<script", omittingEmptySubsequences: false).count == 8)
    #expect(page.text.split(separator: "</script", omittingEmptySubsequences: false).count == 8)
  }

  // MARK: Where the page goes

  @Test func aPageReplacesAPageAndNothingElse() throws {
    let path = try folder.write([], "page.html")
    _ = try inspect(fixture("numpy/stored.npz"))
    let first = try contents(path)
    _ = try inspect(fixture("tensorflow/bert-tiny"))
    #expect(try contents(path) != first && contents(path).starts(with: "<!doctype html>".utf8))
    #expect(try FileSystem.names(inFolder: folder.path) == ["page.html"])
    for other in ["old", "<!doctype html>\n<title>mine</title>"] {
      _ = try folder.write(Array(other.utf8), "page.html")
      let result = try Program.run("inspect", fixture("numpy/stored.npz"), "--html", path)
      #expect(result.status == 2 && result.errors.contains("not a report of bertconv"), "\(result.both)")
      #expect(try contents(path) == Array(other.utf8))
    }
  }

  /// Files that a checkpoint is opened through, and that are no part of its content.
  @Test func aPageReplacesNothingThatTheCheckpointNeeds() throws {
    for (name, file) in [("sentence/modules", "modules.json"), ("tensorflow/bert-training", "checkpoint")] {
      let copy = TemporaryFolder()
      #expect(unsafe system("cp -r '\(fixture(name))/.' '\(copy.path)'") == 0)
      let before = try contents(copy.file(file))
      let result = try Program.run("inspect", copy.path, "--html", copy.file(file))
      #expect(result.status == 2 && result.errors.contains("--html"), "\(result.both)")
      #expect(try contents(copy.file(file)) == before)
    }
  }

  @Test func aPageReplacesNoFileThatItDescribes() throws {
    let model = try TinyBERT.maskedLM().write(to: folder)
    _ = try folder.write(Array("a\n".utf8), "vocab.txt")
    #expect(unsafe symlink(model, folder.file("link")) == 0)
    #expect(unsafe link(model, folder.file("hard")) == 0)
    let table = try folder.copy(fixture("tables/fused-bert.yaml"), as: "mine.yaml")
    for name in ["model.safetensors", "config.json", "vocab.txt", "link", "hard", "mine.yaml"] {
      let before = try contents(folder.file(name))
      let result = try Program.run("inspect", model, "--table", table, "--html", folder.file(name))
      #expect(result.status == 2 && result.errors.contains("--html"), "\(name): \(result.both)")
      #expect(try contents(folder.file(name)) == before)
    }
  }

  @Test(arguments: [("", "a folder"), ("/dev/null", "not a regular file"), ("nowhere/page.html", "does not exist")])
  func pathsThatCannotBeWritten(target: String, word: String) throws {
    let path = target.hasPrefix("/") ? target : FileSystem.join(folder.path, target)
    let result = try Program.run("inspect", fixture("numpy/stored.npz"), "--html", path)
    #expect(result.status == 2 && result.errors.contains(word) && result.output.isEmpty, "\(result.both)")
    #expect(try FileSystem.names(inFolder: folder.path).isEmpty)
  }

  @Test func damageLeavesThePageThatWasThere() throws {
    for name in try FileSystem.names(inFolder: fixture("tensorflow/bert-tiny")) {
      _ = try folder.copy(FileSystem.join(fixture("tensorflow/bert-tiny"), name))
    }
    let data = folder.file("bert_model.ckpt.data-00000-of-00001")
    var bytes = try contents(data)
    bytes[100] ^= 1
    _ = try folder.write(bytes, FileSystem.baseName(data))
    let page = folder.file("page.html")
    #expect(try Program.run("inspect", fixture("numpy/stored.npz"), "--html", page).status == 0)
    let old = try contents(page)
    let before = try FileSystem.names(inFolder: folder.path).sorted()
    let result = try Program.run("inspect", folder.path, "--html", page)
    #expect(result.status == 2 && result.errors.contains("error: "), "\(result.both)")
    #expect(try contents(page) == old)
    #expect(try FileSystem.names(inFolder: folder.path).sorted() == before)
  }

  // MARK: verify

  private let reference = fixture("tensorflow/bert-tiny/reference.npz")

  private func convert(_ name: String) throws -> String {
    let model = folder.file("m.safetensors")
    #expect(try Program.run("convert", "tf-to-native", fixture(name), "-o", model, "--force").status == 0)
    return model
  }

  /// `bent` has other numbers in one matrix.
  @Test(arguments: [("bert-tiny", true), ("bent", false)])
  func aPageOfAVerification(name: String, passes: Bool) throws {
    let model = try convert("tensorflow/bert-tiny")
    if !passes { try bend(model, "bert.encoder.layer.1.output.dense.weight") }
    let arguments = ["verify", model, "--fixtures", reference, "--json"]
    let plain = try Program.run(arguments)
    let result = try Program.run(arguments + ["--html", folder.file("v.html")])
    #expect(result.output == plain.output && result.status == (passes ? 0 : 1), "\(result.both)")
    let report = try JSON.parse(result.output)
    let page = try PageData(folder.file("v.html"))
    let summary = try page("summary")
    #expect(summary["passed"] == .bool(passes) && summary["divergence"] == report["first_divergence"])
    let outputs = try #require(try page("outputs").elements)
    for (output, other) in zip(outputs, try #require(report["outputs"]?.elements)) {
      for (key, otherKey) in [
        ("name", "name"), ("max", "max_abs_error"), ("mean", "mean_abs_error"), ("cosine", "cosine"),
        ("argmax", "argmax_agreement"), ("passed", "passed"),
      ] { #expect(output[key] == other[otherKey]) }
      let counts = try #require(output["counts"]?.elements).compactMap(\.intValue)
      let rest = (output["equal"]?.intValue ?? 0) + (output["odd"]?.intValue ?? 0)
      #expect(counts.reduce(rest, +) == output["count"]?.intValue)
      #expect(output["worst"]?.elements?[0]["row"] == other["worst"]?["row"])
    }
    // The largest number of each row of the map is the output's largest error.
    let errors = try page("errors")
    let names = try #require(errors["rows"]?.elements)
    let largest = try #require(errors["largest"]?.elements)
    #expect(names.first == .string("hidden_states.0") && names.count == 5 && largest.count == 5)
    for (name, row) in zip(names, largest) {
      let output = try #require(outputs.first { $0["name"] == name })
      let most = row.elements?.compactMap(\.doubleValue).max() ?? 0
      #expect((most - (output["max"]?.doubleValue ?? -1)).magnitude < 1e-6 * (1 + most))
    }
    #expect(try page("sequences").elements?.count == report["sequences"]?.intValue)
  }

  @Test func aPageDescribesTheSourceToo() throws {
    let model = try convert("tensorflow/bert-tiny")
    let source = fixture("tensorflow/bert-tiny")
    let result = try Program.run(
      "verify", model, "--fixtures", reference, "--against", source, "--html", folder.file("v.html"))
    #expect(result.status == 0, "\(result.both)")
    let checks = try #require(try PageData(folder.file("v.html"))("summary")["checks"]?.elements).compactMap(
      \.stringValue)
    #expect(checks.count == 3 && checks[0].contains("intact: layout, metadata") && checks[2].contains("bit for bit"))
    #expect(checks[1].contains("its tokenizer can be used"))
  }

  @Test func aPageOfAVerificationReplacesNoInput() throws {
    let model = try convert("tensorflow/bert-tiny")
    let copy = try folder.copy(reference)
    for path in [model, copy] {
      let before = try contents(path)
      let result = try Program.run("verify", model, "--fixtures", copy, "--html", path)
      #expect(result.status == 2 && result.errors.contains("--html"), "\(result.both)")
      #expect(try contents(path) == before)
    }
    for name in try FileSystem.names(inFolder: fixture("tensorflow/bert-tiny")) {
      _ = try folder.copy(FileSystem.join(fixture("tensorflow/bert-tiny"), name))
    }
    let index = folder.file("bert_model.ckpt.index")
    let before = try contents(index)
    let result = try Program.run(
      "verify", model, "--fixtures", copy, "--against", folder.file("bert_model.ckpt"), "--html", index)
    #expect(result.status == 2 && result.errors.contains("--html"), "\(result.both)")
    #expect(try contents(index) == before)
  }

  @Test func aPageNeedsAFixture() throws {
    let result = try Program.run("verify", try convert("tensorflow/bert-tiny"), "--html", folder.file("v.html"))
    #expect(result.status == 64 && result.errors.contains("--fixtures"))
    #expect(FileSystem.kind(of: folder.file("v.html")) == nil)
  }

  /// Adds to the first numbers of a tensor of F32, and makes a plain safetensors file of it with its config next to it.
  private func bend(_ path: String, _ name: String) throws {
    let file = try MappedFile.open(path)
    let header = try SafetensorsHeader(file)
    let config = try #require(header.metadata.first { $0.key == "bertconv.config" }).value
    _ = try folder.write(Array(config.utf8), "config.json")
    var data: [UInt8] = []
    var entries: [SafetensorsHeader.Entry] = []
    for entry in header.entries {
      var bytes = try #require(file.slice(header.dataStart + entry.range.lowerBound, entry.range.count)).array()
      if entry.name == name { for index in 0..<8 { bytes[4 * index + 2] ^= 0x40 } }
      entries.append(
        .init(
          name: entry.name, elementType: entry.elementType, shape: entry.shape,
          range: data.count..<(data.count + bytes.count)))
      data += bytes
    }
    _ = try folder.write(
      SafetensorsHeader.encoded(entries, metadata: [], alignment: 8) + data, FileSystem.baseName(path))
  }
}
