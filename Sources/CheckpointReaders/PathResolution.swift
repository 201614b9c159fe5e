import CheckpointFormats
import TensorIO

/// Finds the file to open for the path that the user gave.
///
/// A TensorFlow prefix, `.index`, `.data-*` or `.meta` file leads to the index; `params_N.npy` to the list of shapes in the same folder;
/// a folder to the checkpoint that its `checkpoint` state file names, else to its only checkpoint; a SavedModel to its variables.
struct PathResolution {
  /// If given, only this kind is looked for.
  let kind: CheckpointKind?

  struct Result {
    var path: String
    var warnings: [String] = []
  }

  func resolve(_ path: String) throws(FormatError) -> Result {
    switch FileSystem.kind(of: path) {
    case .file: return Result(path: try index(forDataFile: path) ?? shapes(forShard: path) ?? path)
    case .folder: return try resolveFolder(path)
    case .other:
      throw FormatError(
        .unreadable, "neither a file nor a folder", file: path, advice: "Give a checkpoint's file, prefix or folder.")
    case nil:
      if FileSystem.isFile(path + BundleFiles.indexSuffix) { return Result(path: path + BundleFiles.indexSuffix) }
      if let part = firstV1Part(path) { return Result(path: part) }
      let data = BundleFiles.shard(path, 0, of: 1)
      if FileSystem.isFile(data) { throw missingIndex(path, data: data) }
      throw notFound(path)
    }
  }

  // MARK: Files

  /// `PREFIX.index` for a data file, and for the graph that TensorFlow 1 writes next to it (`PREFIX.meta`), which contains
  /// no weights; `nil` for other names.
  private func index(forDataFile path: String) throws(FormatError) -> String? {
    let name = FileSystem.baseName(path)
    let graph = name.hasSuffix(".meta") ? String(name.dropLast(5)) : nil
    guard let plain = BundleFiles.prefix(ofShard: name) ?? graph else { return nil }
    let prefix = FileSystem.join(FileSystem.folder(of: path), plain)
    let index =
      (path.hasPrefix("./") ? "./" + prefix.drop(while: { $0 == "." || $0 == "/" }) : prefix) + BundleFiles.indexSuffix
    if FileSystem.isFile(index) { return index }
    // A graph next to a checkpoint of version 1, or something else with that name.
    if graph != nil { return FileSystem.isFile(prefix) ? prefix : nil }
    throw missingIndex(prefix, data: path)
  }

  /// `params_shapes.json` in the folder of `params_N.npy`; `nil` for other names.
  private func shapes(forShard path: String) -> String? {
    guard NpyShardsSource.shardNumber(FileSystem.baseName(path)) != nil else { return nil }
    let shapes = FileSystem.join(FileSystem.folder(of: path), NpyShardsSource.shapesName)
    return FileSystem.isFile(shapes) ? shapes : nil
  }

  private func missingIndex(_ prefix: String, data: String) -> FormatError {
    FormatError(
      .unreadable, "the index of the checkpoint is missing", file: prefix + BundleFiles.indexSuffix,
      found: "only \(FileSystem.baseName(data))",
      advice: "A checkpoint consists of the .index file and all .data files: put them into one folder.")
  }

  /// The first file of a V1 checkpoint saved in several, given its prefix.
  private func firstV1Part(_ prefix: String) -> String? {
    let start = FileSystem.baseName(prefix) + "-00000-of-"
    let folder = FileSystem.folder(of: prefix)
    let names = ((try? FileSystem.names(inFolder: folder)) ?? []).filter { $0.hasPrefix(start) }
    return names.count == 1 ? FileSystem.join(folder, names[0]) : nil
  }

  private func notFound(_ path: String) -> FormatError {
    let folder = FileSystem.folder(of: path)
    let there = checkpoints(in: (try? FileSystem.names(inFolder: folder)) ?? [])
    return FormatError(
      .unreadable, "no such file, folder or checkpoint prefix", file: path,
      advice: there.isEmpty ? "Check the path." : "\(folder) contains: \(there.prefix(8).joined(separator: ", ")).")
  }

  // MARK: Folders

  private func accepts(_ other: CheckpointKind) -> Bool { kind == nil || kind == other }

  private func resolveFolder(_ folder: String) throws(FormatError) -> Result {
    let names = try FileSystem.names(inFolder: folder)
    var warnings: [String] = []
    if accepts(.tensorFlow) {
      let variables = FileSystem.join(folder, "variables/variables.index")
      if FileSystem.isFile(variables) { return Result(path: variables) }
      if names.contains("checkpoint") {
        let state = FileSystem.join(folder, "checkpoint")
        if let name = try stateFileChoice(state) {
          let prefix = FileSystem.join(folder, name)
          if FileSystem.isFile(prefix + BundleFiles.indexSuffix) {
            return Result(path: prefix + BundleFiles.indexSuffix)
          }
          if FileSystem.isFile(prefix) { return Result(path: prefix) }
          if let part = firstV1Part(prefix) { return Result(path: part) }
          warnings.append("the state file \(state) names '\(name)', which does not exist")
        }
      }
    }
    for candidate in [CheckpointKind.safetensors, .pyTorch, .flax, .numPy] where accepts(candidate) {
      for name in candidate.usualNames where names.contains(name) {
        return Result(path: FileSystem.join(folder, name), warnings: warnings)
      }
    }
    for candidate in [CheckpointKind.tensorFlow, .safetensors, .pyTorch, .flax, .numPy, .keras] where accepts(candidate)
    {
      let found = names.filter { name in candidate.suffixes.contains { name.hasSuffix($0) } }
      if found.count == 1 { return Result(path: FileSystem.join(folder, found[0]), warnings: warnings) }
      if found.count > 1 {
        throw FormatError(
          .unreadable, "the folder contains several checkpoints", file: folder,
          found: found.prefix(12).map {
            candidate == .tensorFlow ? String($0.dropLast(BundleFiles.indexSuffix.count)) : $0
          }.joined(
            separator: ", "),
          advice: "Give one of them instead of the folder.")
      }
    }
    if accepts(.tensorFlow), let data = names.first(where: { BundleFiles.prefix(ofShard: $0) != nil }) {
      throw missingIndex(FileSystem.join(folder, BundleFiles.prefix(ofShard: data) ?? ""), data: data)
    }
    throw FormatError(
      .unrecognized, "the folder contains no checkpoint" + (kind.map { " for this route (\($0.title))" } ?? ""),
      file: folder,
      found: names.isEmpty ? "an empty folder" : names.prefix(12).joined(separator: ", "),
      advice: warnings.isEmpty ? "Give the checkpoint's file or prefix." : .sentence(warnings.joined(separator: "; ")))
  }

  private func checkpoints(in names: [String]) -> [String] {
    names.filter { name in
      CheckpointKind.allCases.contains { accepts($0) && $0.suffixes.contains { name.hasSuffix($0) } }
    }
  }

  /// The checkpoint that a state file (`CheckpointState` as text) names. The path there is often that of another machine
  /// and must not leave the folder, so only its last component counts.
  private func stateFileChoice(_ path: String) throws(FormatError) -> String? {
    let text = try FileSystem.text(path, limit: 16 << 20)
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 1)
      guard parts.count == 2, parts[0].trimmingSpaces == "model_checkpoint_path" else { continue }
      let value = parts[1].trimmingSpaces
      guard value.count >= 2, value.hasPrefix("\""), value.hasSuffix("\"") else { return nil }
      let name = FileSystem.baseName(String(value.dropFirst().dropLast()))
      return FileSystem.isPlainName(name) ? name : nil
    }
    return nil
  }
}

extension Substring {
  var trimmingSpaces: Substring {
    var result = self
    while let first = result.first, first.isWhitespace { result = result.dropFirst() }
    while let last = result.last, last.isWhitespace { result = result.dropLast() }
    return result
  }
}
