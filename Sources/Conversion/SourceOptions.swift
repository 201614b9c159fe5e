import CheckpointReaders
import NativeFormat
import TensorIO
import WeightMapping

/// How the tensors of a checkpoint are read: what a conversion, an inspection, a comparison and a verification take alike. The
/// defaults change nothing.
public struct SourceOptions: Sendable, Equatable {
  /// Paths of mapping tables, which take precedence over the built-in ones.
  public var tables: [String] = []
  /// The family that the model is of, whatever its config and its names suggest; `nil` recognizes it.
  public var family: String?
  /// Parts of names that are replaced before anything else looks at them, in this order.
  public var renamings: [Renaming] = []
  /// Folder of a LoRA adapter (PEFT) that is merged into the weights.
  public var adapter: String?
  /// Whether native files keep their names and weights: renamings and adapter are for checkpoints as they were.
  public var sparesNativeFiles = false
  /// Whether the moving averages of weights are taken where a checkpoint has both; where it has nothing else they are taken
  /// in any case.
  public var takesAverages = false
  /// Globs of names: unexpected tensors that match one are left out, and reported.
  public var allowUnexpected: [String] = []

  public init() {}

  /// The built-in tables and those at ``tables``, for models of ``family`` alone where one is given.
  public func mapper() throws -> Mapper {
    let mapper = try Mapper(tablesAt: tables)
    return try family.map { try mapper.restricted(to: $0) } ?? mapper
  }

  /// What changes the tensors or their meaning, for `bertconv.source` of a native file; `nil` where nothing does.
  var json: JSON? {
    var json = JSON.object([])
    if let family { json.set("family", .string(family)) }
    if !renamings.isEmpty { json.set("renamed", .strings(renamings.map(\.text))) }
    if takesAverages { json.set("averages", .bool(true)) }
    if adapter != nil { json.set("adapter", .bool(true)) }
    if !allowUnexpected.isEmpty { json.set("allowed", .strings(allowUnexpected)) }
    return json.members?.isEmpty == false ? json : nil
  }

  /// The same, with what a native file records of its conversion for what is not given.
  ///
  /// - Throws: `FormatError` of kind `input` where an adapter was merged and none is given: its folder is not known
  public func completed(by model: NativeModel) throws(FormatError) -> SourceOptions {
    guard let recorded = model.source?["options"] else { return self }
    var result = self
    result.family = family ?? recorded["family"]?.stringValue
    result.takesAverages = takesAverages || recorded["averages"]?.boolValue == true
    if renamings.isEmpty {
      result.renamings = recorded["renamed"]?.elements?.compactMap { $0.stringValue.flatMap(Renaming.init) } ?? []
    }
    if allowUnexpected.isEmpty {
      result.allowUnexpected = recorded["allowed"]?.elements?.compactMap(\.stringValue) ?? []
    }
    if adapter == nil, recorded["adapter"]?.boolValue == true {
      throw FormatError(
        .input, "an adapter was merged into this model, and its folder is not given", file: model.path,
        advice: .giveAdapter)
    }
    return result
  }
}

/// A part of names, in whole components, and its replacement: `encoder` by `bert.encoder`.
public struct Renaming: Sendable, Equatable {
  /// Components, as they are between dots and slashes.
  let old: [String]
  /// Empty where the part is removed.
  let new: String
  /// As it is written: `OLD=NEW`.
  public let text: String

  /// `nil` unless `text` is `OLD=NEW` with an `OLD` of whole components.
  public init?(_ text: String) {
    let sides = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard sides.count == 2, !sides[0].isEmpty else { return nil }
    old = Self.components(sides[0]).map(\.text)
    new = sides[1]
    self.text = text
    guard !old.contains("") else { return nil }
  }

  /// The components of a name, each with the separator before it.
  private static func components(_ name: String) -> [(separator: String, text: String)] {
    var result: [(separator: String, text: String)] = [("", "")]
    for character in name.unicodeScalars {
      if character == "." || character == "/" {
        result.append((String(character), ""))
      } else {
        result[result.count - 1].text.unicodeScalars.append(character)
      }
    }
    return result
  }

  /// The name with each occurrence of the part replaced; `nil` where it has none.
  func applied(to name: String) -> String? {
    let parts = Self.components(name)
    guard parts.count >= old.count else { return nil }
    var result = ""
    var index = 0
    var isChanged = false
    while index < parts.count {
      let end = index + old.count
      guard end <= parts.count, zip(parts[index..<end], old).allSatisfy({ $0.text == $1 }) else {
        result += (result.isEmpty ? "" : parts[index].separator) + parts[index].text
        index += 1
        continue
      }
      isChanged = true
      if !new.isEmpty { result += (result.isEmpty ? "" : parts[index].separator) + new }
      index = end
    }
    return isChanged ? result : nil
  }
}

extension OpenedCheckpoint {
  /// The checkpoint with the tensors that `options` make of it, what was done in sentences, and the adapter that was merged.
  package func applying(_ options: SourceOptions) throws -> AppliedOptions {
    var applied = AppliedOptions(checkpoint: self)
    applied.takesAverages = options.takesAverages
    if options.sparesNativeFiles, source.format == .native { return applied }
    if !options.renamings.isEmpty {
      let renamed = try RenamedSource(source, options.renamings, file: path)
      applied.notes.append(contentsOf: renamed.notes)
      applied.checkpoint = replacing(source: renamed)
    }
    if let folder = options.adapter {
      let adapter = try LoRAAdapter(folder)
      let base = applied.checkpoint.source
      let merged = try AdaptedSource(base: DequantizedSource(base) ?? base, adapter: adapter, file: path)
      applied.notes.append(merged.note)
      applied.adapter = adapter
      applied.adapted = merged
      applied.checkpoint = applied.checkpoint.replacing(source: merged)
    }
    return applied
  }
}

/// A checkpoint with ``SourceOptions`` applied.
package struct AppliedOptions {
  package var checkpoint: OpenedCheckpoint
  package var notes: [String] = []
  package var takesAverages = false
  var adapter: LoRAAdapter?
  var adapted: AdaptedSource?

  package init(checkpoint: OpenedCheckpoint) { self.checkpoint = checkpoint }

  /// The config of the base model, with the class that the adapter was trained for.
  package func adjusted(_ config: JSON?) -> JSON? {
    guard let adapter, let config else { return config }
    return adapter.adjusting(config)
  }
}
