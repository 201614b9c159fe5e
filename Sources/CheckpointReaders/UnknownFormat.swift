import CheckpointFormats
import TensorIO

/// Names files that are not supported checkpoints: formats of other programs, archives, parts of a model, answers of servers. Each
/// with what to do.
enum UnknownFormat {
  /// What a file is, and what its owner can do.
  private struct Kind {
    let name: String
    let advice: FormatError.Advice

    init(_ name: String, _ advice: FormatError.Advice) {
      self.name = name
      self.advice = advice
    }
  }

  private static let original: FormatError.Advice =
    "Give the checkpoint that it was made from: the files of PyTorch, TensorFlow, Keras, Flax or safetensors."

  /// An error for a file that no format recognizes.
  static func error(for file: Bytes, path: String) -> FormatError {
    if path.hasSuffix(BundleFiles.indexSuffix) {
      do throws(FormatError) { _ = try Table(file) } catch { return error }
    }
    let head = file.slice(0, min(512, file.count))?.array() ?? []
    if let answer = serverAnswer(file, head) { return answer.inFile(path) }
    let kind =
      archive(file, head, path) ?? binary(file, head, path) ?? message(head, path) ?? text(file, head, path)
      ?? Kind("unknown", "Give a TensorFlow, PyTorch, Keras, NumPy, Flax or safetensors checkpoint.")
    return FormatError(
      .unrecognized,
      kind.name == "unknown" ? "the file has an unknown format" : "the file is \(kind.name), which is not read",
      file: path, offset: 0, found: hexadecimal(head.prefix(16)), advice: kind.advice)
  }

  // MARK: Archives

  private static let signatures: [(bytes: [UInt8], name: String, command: String)] = [
    (Array("BZh".utf8), "compressed with bzip2", "bunzip2 -k"),
    ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0], "compressed with xz", "xz -dk"),
    ([0x28, 0xB5, 0x2F, 0xFD], "compressed with zstd", "zstd -dk"),
    ([0x04, 0x22, 0x4D, 0x18], "compressed with lz4", "lz4 -dk"),
    ([0x5D, 0, 0], "compressed with lzma", "xz -dk --format=lzma"),
  ]

  private static func archive(_ file: Bytes, _ head: [UInt8], _ path: String) -> Kind? {
    if head.isEmpty { return Kind("empty", "It was not copied or downloaded whole.") }
    if head.starts(with: [0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C]) { return Kind("a 7z archive", unpack("7z x", path)) }
    if head.starts(with: Array("Rar!".utf8)) { return Kind("a rar archive", unpack("unrar x", path)) }
    if head.starts(with: Array("PK".utf8)) {
      return Kind("a zip archive without a known checkpoint", unpack("unzip", path))
    }
    if isTar(head) {
      return Kind(path.hasSuffix(".nemo") ? "a model of NeMo" : "a tar archive", unpack("tar xf", path))
    }
    if CompressedPickleFormat.isGzip(file) {
      let content = Deflate.beginning(file, count: 512)
      if isTar(content) { return Kind("a tar archive, compressed with gzip", unpack("tar xzf", path)) }
      return Kind("compressed with gzip", unpack("gunzip -k", path))
    }
    if CompressedPickleFormat.isZlib(file) {
      return Kind("compressed with zlib", "Unpack it with the program that wrote it, and give the result.")
    }
    guard let known = signatures.first(where: { head.starts(with: $0.bytes) }) else { return nil }
    if isPickleName(path) {
      return Kind("a pickle \(known.name)", "Load it with joblib and save it again with joblib.dump(…, compress=0).")
    }
    return Kind(known.name, unpack(known.command, path))
  }

  private static func unpack(_ command: String, _ path: String) -> FormatError.Advice {
    .sentence("Unpack it first, and give what is in it: \(command) \(FileSystem.baseName(path)).")
  }

  private static func isPickleName(_ path: String) -> Bool {
    [".pkl", ".pickle", ".joblib"].contains { path.contains($0) }
  }

  /// Whether 512 bytes are the header of a tar archive: of POSIX by its word, of Unix 7 by its checksum.
  private static func isTar(_ head: [UInt8]) -> Bool {
    guard head.count == 512 else { return false }
    if head[257..<262].elementsEqual("ustar".utf8) { return true }
    let digits = head[148..<156].filter { $0 != 0x20 && $0 != 0 }
    guard let declared = Int(String(decoding: digits, as: UTF8.self), radix: 8), head[0] != 0 else { return false }
    let sum = head.indices.reduce(0) { $0 + ((148..<156).contains($1) ? 0x20 : Int(head[$1])) }
    return sum == declared
  }

  /// An error for a zip archive that is not a checkpoint itself: the checkpoints in it are named.
  static func error(forZip names: [String], path: String) -> FormatError {
    if let program = torchProgram(names) {
      return FormatError(
        .unsupported, "the archive is \(program), whose weights are not read", file: path,
        advice: "Save the model's state_dict() with torch.save or with safetensors, and give that.")
    }
    let suffixes = CheckpointKind.allCases.flatMap(\.suffixes) + [".pickle", ".joblib", "saved_model.pb"]
    let models = names.filter { name in
      suffixes.contains { name.hasSuffix($0) } && !TrainingFiles.isTrainingState(FileSystem.baseName(name))
        && !name.hasPrefix("__MACOSX/")
    }
    let shown = (models.isEmpty ? names : models).prefix(3).map { "'\(withoutMiddle($0))'" }
    guard let model = models.first else {
      return FormatError(
        .unrecognized, "the archive contains no checkpoint", file: path,
        found: shown.isEmpty ? "no files" : shown.joined(separator: ", "),
        expected: "a torch checkpoint (data.pkl), NumPy arrays (.npy) or a Keras model (config.json)",
        advice: "If the checkpoint was packed into this archive, unpack it first.")
    }
    let folder = model.split(separator: "/").dropLast().joined(separator: "/")
    return FormatError(
      .unrecognized, "the archive is a zip of a model's folder, which is not read as it is", file: path,
      found: shown.joined(separator: ", "),
      advice: .sentence(
        "Unpack it (unzip \(FileSystem.baseName(path))) and give the \(folder.isEmpty ? "folder that it is unpacked to" : "folder '\(withoutMiddle(folder))'")."
      ))
  }

  /// The archives of torch that hold a program: of torch.package (torch/package/package_exporter.py) and torch.export
  /// (torch/export/pt2_archive).
  private static func torchProgram(_ names: [String]) -> String? {
    func has(_ endings: String...) -> Bool {
      endings.allSatisfy { ending in names.contains { $0.hasSuffix("/" + ending) } }
    }
    if has(".data/extern_modules") { return "a package of torch.package" }
    if has("archive_format"), names.contains(where: { $0.hasSuffix("/models/model.json") || $0.contains("/data/") }) {
      return "a program of torch.export"
    }
    return has("serialized_exported_program.json") || names.contains("serialized_exported_program.json")
      ? "a program of torch.export" : nil
  }

  // MARK: Models of other programs

  private static func binary(_ file: Bytes, _ head: [UInt8], _ path: String) -> Kind? {
    func begins(_ text: String, at offset: Int = 0) -> Bool { head.dropFirst(offset).starts(with: Array(text.utf8)) }
    if begins("GGUF") || ["lmgg", "tjgg", "fmgg", "algg"].contains(where: { begins($0) }) {
      return Kind(
        begins("GGUF") ? "a GGUF model of llama.cpp" : "a GGML model of llama.cpp",
        .sentence("Its weights are mostly rounded, under names of its own. \(original.text)"))
    }
    if begins("TFL3", at: 4) {
      return Kind("a TensorFlow Lite model", .sentence("It is made for one purpose and rounded. \(original.text)"))
    }
    // Maps of MessagePack, by their first key.
    if head.dropFirst().starts(with: [0xA5] + Array("nodes".utf8)) {
      return Kind("the weights of a spaCy pipeline", spacyAdvice)
    }
    if head.starts(with: [0x82, 0xA7] + Array("version".utf8)), contains("optimizer", in: head) {
      return Kind(
        "a checkpoint of T5X",
        "Restore it with t5x and save the parameters with flax.serialization.to_bytes (.msgpack).")
    }
    if isCTranslate2(head) { return Kind("a model of CTranslate2", original) }
    let folder = FileSystem.folder(of: path)
    let base = FileSystem.baseName(path)
    if base.hasSuffix(".bin"), FileSystem.isFile(FileSystem.join(folder, base.dropLast(4) + ".xml")) {
      return Kind("the weights of an OpenVINO model (\(base.dropLast(4)).xml)", original)
    }
    if begins("<?xml") || begins("<net") {
      if String(decoding: head, as: UTF8.self).contains("<net") { return Kind("an OpenVINO model", original) }
    }
    if base.hasSuffix(".pdparams") || base.hasSuffix(".pdiparams") || base.hasSuffix(".pdmodel") {
      return Kind("a model of Paddle", .sentence("Save its state with paddle.save as NumPy arrays. \(original.text)"))
    }
    return nil
  }

  private static func contains(_ word: String, in head: [UInt8]) -> Bool {
    let bytes = Array(word.utf8)
    return head.indices.contains { head[$0...].starts(with: bytes) }
  }

  /// The head of CTranslate2's model.bin: a version in four bytes, and the name of a specification with its length in two.
  private static func isCTranslate2(_ head: [UInt8]) -> Bool {
    guard head.count > 16, head[0] < 32, head[1] == 0, head[2] == 0, head[3] == 0 else { return false }
    let length = Int(head[4]) | Int(head[5]) << 8
    guard (5...64).contains(length), head.count >= 6 + length, head[5 + length] == 0 else { return false }
    return head[6..<(5 + length)].allSatisfy { $0 > 0x20 && $0 < 0x7F }
      && String(decoding: head[6..<(5 + length)], as: UTF8.self).hasSuffix("Spec")
  }

  /// What protobuf messages begin with: a field's number and type, and a length.
  private static func message(_ head: [UInt8], _ path: String) -> Kind? {
    guard head.count > 16 else { return nil }
    // ONNX: ir_version, then the producer's name or the graph.
    if head[0] == 0x08, (1..<32).contains(head[1]), path.hasSuffix(".onnx") || isOfONNX(head) {
      return Kind(
        "an ONNX model",
        .sentence("It contains a graph for one purpose, and most of its weights have no names. \(original.text)"))
    }
    guard head[0] == 0x0A, let (start, outer) = varint(head, 1), outer > 2, head.count > start + 2, head[start] == 0x0A,
      let (name, length) = varint(head, start + 1), length < 200, head.count > name + length + 2
    else { return nil }
    let next = head[name + length]
    let isText = head[name..<(name + length)].allSatisfy { $0 >= 0x20 && $0 != 0x7F }
    guard isText else { return nil }
    if next == 0x15 {
      return Kind(
        "a vocabulary of SentencePiece", "Give the checkpoint that it belongs to: it is found in the same folder.")
    }
    guard next == 0x12, let (inner, size) = varint(head, name + length + 1), head.count > inner else { return nil }
    // A node of a graph has the name of an operator there, a parameter a tensor.
    let content = head[inner..<min(head.count, inner + min(size, 24))]
    if (1..<64).contains(size), content.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) {
      return Kind(
        "a frozen graph of TensorFlow",
        "Its weights are constants of the graph: give the checkpoint or the SavedModel that it was made from.")
    }
    return Kind(
      "a checkpoint of MindSpore",
      "Load it with mindspore.load_checkpoint and save its parameters as NumPy arrays (numpy.savez).")
  }

  private static func isOfONNX(_ head: [UInt8]) -> Bool {
    guard head[1] >= 3 else { return false }
    switch head[2] {
    case 0x12:
      let length = Int(head[3])
      return length < 100 && head.count > 5 + length && head[4..<(4 + length)].allSatisfy { $0 >= 0x20 && $0 < 0x7F }
        && [0x1A, 0x22, 0x28, 0x32, 0x3A].contains(head[4 + length])
    case 0x3A, 0x42: return true
    default: return false
    }
  }

  /// A number at an index, and the index after it.
  private static func varint(_ head: [UInt8], _ start: Int) -> (next: Int, value: Int)? {
    var value = 0
    for index in 0..<5 where start + index < head.count {
      value |= Int(head[start + index] & 0x7F) << (7 * index)
      if head[start + index] < 0x80 { return (start + index + 1, value) }
    }
    return nil
  }

  // MARK: Texts

  /// What servers answer instead of a file.
  private static let answers = [
    "entry not found", "repository not found", "invalid username or password", "invalid credentials", "not found",
    "404: not found", "404 not found", "403 forbidden", "unauthorized", "access denied", "access to model",
    "too many requests", "rate limit", "internal server error", "bad gateway", "service unavailable",
    "gateway time-out",
    "authentication required", "file not found", "no such file", "revision not found", "gatedrepo", "forbidden",
  ]

  /// An error for a small text that explains why there is no file.
  private static func serverAnswer(_ file: Bytes, _ head: [UInt8]) -> FormatError? {
    guard file.count < 1 << 20, let whole = file.slice(0, min(4096, file.count))?.utf8String() else { return nil }
    let text = String(whole.drop { $0.isWhitespace })
    let isPage = text.first == "<" && !text.hasPrefix("<?xml version") && !text.hasPrefix("<net")
    let lower = text.lowercased()
    let isMessage =
      text.hasPrefix("{") && ["\"error\"", "\"message\"", "\"detail\""].contains { lower.contains($0) }
      && file.count < 4096
      || text.utf8.count < 500 && answers.contains { lower.hasPrefix($0) }
      || lower.hasPrefix("<?xml") && lower.contains("<error>")
    guard isPage || isMessage else { return nil }
    let line = text.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
    return FormatError(
      .unrecognized,
      isPage
        ? "the file is a web page: the download did not return the file itself"
        : "the file is a server's answer, not the file itself",
      found: "'\(line.prefix(120))'",
      advice: "Check the address, log in if the model requires it (huggingface-cli login), and download the file again."
    )
  }

  private static func text(_ file: Bytes, _ head: [UInt8], _ path: String) -> Kind? {
    guard file.count < 64 << 20, let start = file.slice(0, min(4096, file.count))?.utf8String(), !start.contains("\0")
    else { return nil }
    let base = FileSystem.baseName(path)
    if base.hasSuffix("vocab.txt") || start.contains("[UNK]") || base == "merges.txt" {
      return Kind("a vocabulary", "Give the checkpoint that it belongs to: it is found in the same folder.")
    }
    if start.first == "{" || start.first == "[" { return Kind("a text in JSON", .giveCheckpointWithConfig) }
    return Kind("a text", "Give a TensorFlow, PyTorch, Keras, NumPy, Flax or safetensors checkpoint.")
  }

  // MARK: JSON

  /// An error for a JSON file that is known and lists no tensors; `nil` for any other.
  static func error(forJSON file: Bytes, path: String) -> FormatError? {
    if let answer = serverAnswer(file, []) { return answer.inFile(path) }
    guard file.count < 64 << 20, let text = file.utf8String(), let json = try? JSON.parse(text, file: path),
      json.members != nil
    else { return nil }
    func has(_ keys: String...) -> Bool { keys.allSatisfy { json[$0] != nil } }
    let kind: Kind? =
      if has("weight_map") {
        nil
      } else if has("model", "added_tokens") || has("model", "pre_tokenizer") {
        Kind("a tokenizer", "Give the checkpoint that it belongs to: the tokenizer is found in the same folder.")
      } else if has("pipeline", "lang") || has("spacy_version") {
        Kind("the description of a spaCy pipeline", Self.spacyAdvice)
      } else if has("class_name", "config") {
        Kind(
          "the architecture of a Keras model, without weights",
          "Give the file with the weights (.h5, .keras or a SavedModel).")
      } else {
        nil
      }
    return kind.map { kind in
      FormatError(.unrecognized, "the file is \(kind.name)", file: path, advice: kind.advice)
    }
  }

  private static let spacyAdvice: FormatError.Advice =
    "Load it with spaCy, take the transformer out of nlp.get_pipe(\"transformer\").model and save it with its save_pretrained."

  // MARK: Folders

  /// An error for a folder whose model is known and not read; `nil` where nothing is known of it.
  static func error(forFolder folder: String, _ names: [String]) -> FormatError? {
    func file(_ suffixes: String...) -> String? { names.first { name in suffixes.contains { name.hasSuffix($0) } } }
    func inner(_ path: String) -> Bool { FileSystem.kind(of: FileSystem.join(folder, path)) != nil }
    let kind: (name: String, found: String, advice: FormatError.Advice)? =
      if names.contains("meta.json"), names.contains("config.cfg") || names.contains("transformer") {
        ("a spaCy pipeline", inner("transformer/model") ? "transformer/model" : "meta.json", spacyAdvice)
      } else if let name = file(".onnx") {
        ("an ONNX model", name, original)
      } else if inner("onnx/model.onnx") {
        ("an ONNX model", "onnx/model.onnx", original)
      } else if let name = file(".gguf") {
        ("a GGUF model of llama.cpp", name, original)
      } else if let name = file(".tflite") {
        ("a TensorFlow Lite model", name, original)
      } else if let name = file(".xml"), names.contains(where: { $0 == name.dropLast(4) + ".bin" }) {
        ("an OpenVINO model", name, original)
      } else if let name = file(".pdparams", ".pdiparams", ".pdmodel") {
        ("a model of Paddle", name, "Give the .pdparams file itself to see what is in it.")
      } else if let name = file(".mlmodel", ".mlpackage") {
        ("a Core ML model", name, original)
      } else if let name = file("manifest.ocdbt", "_CHECKPOINT_METADATA", "_METADATA") {
        (
          "a checkpoint of Orbax (JAX)", name,
          "Restore it with orbax.checkpoint and save the parameters with flax.serialization.to_bytes (.msgpack)."
        )
      } else if let name = names.first(where: { inner($0 + "/.zarray") }) {
        (
          "a checkpoint of T5X", name,
          "Restore it with t5x and save the parameters with flax.serialization.to_bytes (.msgpack)."
        )
      } else if let name = file(".safetensors.index.json", ".bin.index.json") {
        ("an index of shards without the shards", name, "Download the files that the index lists into the same folder.")
      } else if let name = file(".tar.gz", ".tgz", ".tar", ".zip", ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst") {
        ("an archive", name, .sentence("Give the file itself, or unpack it first: \(name)."))
      } else if let name = file("tokenizer.json", "vocab.txt", ".model", "tokenizer_config.json", "vocab.json") {
        (
          "a tokenizer without a model", name,
          "Copy the checkpoint (model.safetensors, pytorch_model.bin, …) into the folder as well."
        )
      } else {
        nil
      }
    return kind.map { kind in
      FormatError(
        .unrecognized, "the folder contains no checkpoint that is read, but \(kind.name)", file: folder,
        found: kind.found,
        advice: kind.advice)
    }
  }
}
