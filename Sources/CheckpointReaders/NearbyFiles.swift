import TensorIO

/// The config, the vocabulary and the folders of other files near a checkpoint, where the programs that write checkpoints put them.
///
///     bert_config.json, config.json, vocab.txt         in the folder of the checkpoint
///     NAME_config.json, NAME-config.json               of the checkpoint NAME.bin, NAME.ckpt, …
///     SAVED_MODEL/variables/variables.index            SAVED_MODEL, its assets/ and assets.extra/, and the folder above a version number
///     SAVED/saved_model/1/variables/variables.index    SAVED (transformers' save_pretrained with saved_model=True)
///     KERAS_HUB/assets/tokenizer/vocabulary.txt        a preset of KerasHub
///     SAVED/pytorch_model_fsdp_0/.metadata             SAVED (accelerate), and so of global_step10/ (DeepSpeed)
///
/// The folder that the user gave is searched too, where the checkpoint lies in one below it.
package struct NearbyFiles {
  package let configPath: String?
  package let vocabularyPath: String?
  /// The folders that are searched, the nearest first.
  package let folders: [String]

  package init(of checkpoint: String, given: String? = nil) {
    var folders = Self.folders(of: checkpoint)
    if let given, FileSystem.isFolder(given), !folders.contains(given) { folders.append(given) }
    self.folders = folders
    let stem = Self.stem(of: FileSystem.baseName(checkpoint))
    configPath = folders.lazy.compactMap { Self.config(in: $0, stem: stem) }.first
    vocabularyPath = folders.lazy.compactMap { Self.vocabulary(in: $0, stem: stem) }.first
  }

  /// The folders that are searched, the nearest first.
  private static func folders(of checkpoint: String) -> [String] {
    let folder = FileSystem.folder(of: checkpoint)
    var folders = [folder] + assets(of: folder)
    let isSavedModel =
      FileSystem.baseName(folder) == "variables" && FileSystem.baseName(checkpoint).hasPrefix("variables.")
    let model = isSavedModel ? above(folder) : folder
    if isSavedModel { folders += [model] + assets(of: model) }
    if isSavedModel || FileSystem.isFile(FileSystem.join(model, "saved_model.pb")) {
      // TensorFlow Serving has a folder for each version of a model.
      let isVersion = isVersion(FileSystem.baseName(model))
      folders += [above(model)] + assets(of: above(model))
      if isVersion, FileSystem.baseName(above(model)) == savedModelFolder { folders.append(above(above(model))) }
    }
    let isPart =
      FileSystem.baseName(checkpoint) == TorchDistributedFormat.metadataName
      || FileSystem.baseName(folder).hasPrefix(deepSpeedStep)
    if isPart { folders.append(above(folder)) }
    return folders.filter(FileSystem.isFolder)
  }

  private static func assets(of folder: String) -> [String] {
    ["assets", "assets.extra", "assets/tokenizer"].map { FileSystem.join(folder, $0) }
  }

  private static func above(_ folder: String) -> String {
    // A path such as "variables" or "." has no parent in it.
    folder.contains("/") && FileSystem.isPlainName(FileSystem.baseName(folder))
      ? FileSystem.folder(of: folder) : FileSystem.join(folder, "..")
  }

  /// The folder of the SavedModel that `save_pretrained(saved_model=True)` of `transformers` writes.
  static let savedModelFolder = "saved_model"
  /// The beginning of the name of a folder that DeepSpeed saves a step of the training in.
  private static let deepSpeedStep = "global_step"

  static func isVersion(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
  }

  /// `bert_model` of `bert_model.ckpt.index`.
  private static func stem(of name: String) -> String { String(name.prefix { $0 != "." }) }

  private static let otherConfigs: Set = [
    "tokenizer_config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
    "adapter_config.json",
  ]

  private static func config(in folder: String, stem: String) -> String? {
    let own = ["\(stem)_config.json", "\(stem)-config.json"].filter { !otherConfigs.contains($0) }
    let fixed = own + ["bert_config.json", "config.json"]
    return first(of: fixed, in: folder)
      ?? only(in: folder) { name in
        (name.hasSuffix("_config.json") || name.hasSuffix("-config.json")) && !otherConfigs.contains(name)
          && !name.hasPrefix("prediction_head_")
      }
  }

  private static func vocabulary(in folder: String, stem: String) -> String? {
    first(of: ["vocab.txt", "\(stem)-vocab.txt", "\(stem)_vocab.txt", "vocabulary.txt"], in: folder)
      ?? only(in: folder) { $0.hasSuffix("-vocab.txt") || $0.hasSuffix("_vocab.txt") }
  }

  private static func first(of names: [String], in folder: String) -> String? {
    names.map { FileSystem.join(folder, $0) }.first(where: FileSystem.isFile)
  }

  /// The only file of a folder whose name is one of those wanted.
  private static func only(in folder: String, where isWanted: (String) -> Bool) -> String? {
    let found = ((try? FileSystem.names(inFolder: folder)) ?? []).filter(isWanted)
    let path = found.count == 1 ? FileSystem.join(folder, found[0]) : nil
    return path.flatMap { FileSystem.isFile($0) ? $0 : nil }
  }
}
