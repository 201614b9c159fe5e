import CheckpointFormats
import CheckpointReaders
import Conversion
import TensorIO
import WeightMapping

/// What is known of a checkpoint without reading its tensors: what it is, how it is made, and what belongs to it.
///
/// ```swift
/// let inspection = try CheckpointInspection("bert/bert_model.ckpt")
/// print(inspection.outline.recognition.family ?? "no family", inspection.total.values)
/// ```
///
/// The terminal's listing, `--json` and the page of `inspect` are all made of it.
public struct CheckpointInspection: Sendable {
  public let checkpoint: OpenedCheckpoint
  /// Family, dialect, parts and ties, and what happens to each tensor in a conversion.
  public let outline: ModelOutline
  /// The config of the checkpoint; `nil` also for one that cannot be used, and for tensors that no table recognizes.
  public let config: JSON?
  public let configState: ConfigState
  /// `nil` where there is none.
  public let vocabulary: InspectedVocabulary?
  /// `nil` where there is none.
  public let tokenizer: InspectedTokenizer?
  public let warnings: [Warning]
  /// Of all tensors, optimizer state included.
  public let total: TensorTotal
  /// The most frequent type first.
  public let types: [(type: ElementType, total: TensorTotal)]
  /// In the order of the parts; empty where no table matches.
  public let parts: [(part: ModelOutline.Part, total: TensorTotal)]

  /// Where the config is.
  public enum ConfigState: Sendable, Equatable {
    case none
    case inCheckpoint
    case file(String)
    /// A file whose content cannot be used.
    case unusable(String)
  }

  /// What a user should know before the file is trusted.
  public enum Warning: Sendable, Equatable {
    case source(String)
    /// The config cannot be used, for this reason.
    case config(String)
    case vocabulary(VocabularyFinding)
    /// The vocabulary in this file cannot be read.
    case unreadableVocabulary(String)
    /// Tokenizer and model disagree, or the tokenizer cannot be read.
    case tokenizer(String)

    public var text: String {
      switch self {
      case .source(let text), .tokenizer(let text): text
      case .config(let reason): "the config cannot be used: \(reason)"
      case .vocabulary(let finding): finding.text
      case .unreadableVocabulary(let path): "the vocabulary cannot be read: \(path)"
      }
    }
  }

  /// Opens and inspects the checkpoint at `path`, its tensors read as `options` ask.
  public init(_ path: String, options: SourceOptions = SourceOptions()) throws {
    self.init(try CheckpointOpener().open(path).applying(options), mapper: try options.mapper())
  }

  private init(_ applied: AppliedOptions, mapper: Mapper) {
    let checkpoint = applied.checkpoint
    self.checkpoint = checkpoint
    var warnings = checkpoint.warnings.map { Warning.source($0) }
    var found: ConfigFile?
    do {
      found = try ConfigFile(for: checkpoint, given: nil).replacing { applied.adjusted($0) }
    } catch {
      warnings.append(.config("\(error)"))
    }
    outline = Self.outline(checkpoint, mapper: mapper, config: found, takesAverages: applied.takesAverages)
    // Files in the same folder do not describe it where its tensors are not those of a model that is known.
    let isModel = outline.recognition.description != nil || checkpoint.source.format == .native
    config = isModel ? found?.json : nil
    configState = isModel ? Self.state(checkpoint, config: config) : .none
    total = TensorTotal(checkpoint.source.tensors)
    (types, parts) = Self.totals(checkpoint.source.tensors, outline.parts)
    vocabulary = isModel ? InspectedVocabulary(checkpoint) : nil
    let modelConfig = outline.config ?? config
    tokenizer =
      isModel
      ? InspectedTokenizer(
        checkpoint, modelType: found?.json?["model_type"]?.stringValue ?? modelConfig?["model_type"]?.stringValue)
      : nil
    let ofVocabulary = vocabulary?.warnings(config: modelConfig) ?? []
    let findings = ofVocabulary.compactMap { if case .vocabulary(let finding) = $0 { finding } else { nil } }
    warnings += ofVocabulary
    warnings += tokenizer?.warnings(config: modelConfig, findings: findings) ?? []
    self.warnings = warnings
  }

  private static func state(_ checkpoint: OpenedCheckpoint, config: JSON?) -> ConfigState {
    if checkpoint.source.format == .native { return .inCheckpoint }
    guard let path = checkpoint.configPath else { return .none }
    return config == nil ? .unusable(path) : .file(path)
  }

  private static func outline(
    _ checkpoint: OpenedCheckpoint, mapper: Mapper, config: ConfigFile?, takesAverages: Bool
  ) -> ModelOutline {
    let source = checkpoint.source
    // Integers and their scales are one tensor of a model.
    let dequantized = DequantizedSource(source)
    var outline = mapper.outline(
      of: dequantized?.tensors ?? source.tensors, metadata: source.metadata,
      observed: checkpoint.observedSettings, config: config?.json,
      configFile: config?.path.map { FileSystem.baseName($0) }, takesAverages: takesAverages)
    if let dequantized { outline.spread(from: dequantized.tensors, over: source.tensors) }
    return outline
  }

  private static func totals(
    _ tensors: [TensorInfo], _ parts: [ModelOutline.Part]?
  ) -> (types: [(type: ElementType, total: TensorTotal)], parts: [(part: ModelOutline.Part, total: TensorTotal)]) {
    var ofType: [ElementType: TensorTotal] = [:]
    var ofPart: [ModelOutline.Part: TensorTotal] = [:]
    for (index, info) in tensors.enumerated() {
      ofType[info.elementType, default: TensorTotal()].add(info)
      if let parts { ofPart[parts[index], default: TensorTotal()].add(info) }
    }
    let types = ofType.sorted { ($1.value.tensors, $0.key.rawValue) < ($0.value.tensors, $1.key.rawValue) }
    return (
      types.map { ($0.key, $0.value) },
      ModelOutline.Part.allCases.compactMap { part in ofPart[part].map { (part, $0) } }
    )
  }

  /// The files that were inspected.
  public var inputs: [String] {
    checkpoint.source.files.map(\.path) + [checkpoint.configPath, checkpoint.vocabularyPath].compactMap(\.self)
  }

  /// The modules of a sentence-transformers folder; `nil` where there are none.
  public var sentenceModules: [SentenceModule]? { SentenceModule.all(inConfig: config) }
}

/// How many tensors, values and bytes. Sums that would not fit wrap around.
public struct TensorTotal: Sendable, Equatable {
  public private(set) var tensors = 0
  /// Of types with elements of a fixed size.
  public private(set) var values = 0
  public private(set) var bytes = 0

  init() {}

  init(_ tensors: [TensorInfo]) { for tensor in tensors { add(tensor) } }

  mutating func add(_ info: TensorInfo) {
    tensors += 1
    if info.elementType.size != nil { values = values.addingReportingOverflow(info.elementCount).partialValue }
    bytes = bytes.addingReportingOverflow(info.byteCount).partialValue
  }

  var json: JSON { .object(["tensors": .int(tensors), "parameters": .int(values), "bytes": .int(bytes)]) }
}

/// The vocabulary that was found with a checkpoint.
public struct InspectedVocabulary: Sendable {
  /// `nil` for one inside the checkpoint.
  public let path: String?
  /// `nil` where it cannot be read.
  public let contents: Vocabulary?
  public let tokenCount: Int?
  /// The ids of the tokens that other files add to them.
  public let addedTokens: Set<Int>

  /// `nil` where there is none.
  init?(_ checkpoint: OpenedCheckpoint) {
    if let own = Vocabulary.embedded(in: checkpoint.source) {
      (path, contents) = (nil, Vocabulary(path: nil, text: own))
    } else if let file = checkpoint.vocabularyPath {
      (path, contents) = (file, (try? FileSystem.text(file)).map { Vocabulary(path: file, text: $0) })
    } else {
      return nil
    }
    tokenCount = contents?.tokenCount
    addedTokens = contents?.addedTokens() ?? []
  }

  func warnings(config: JSON?) -> [CheckpointInspection.Warning] {
    guard let contents else { return path.map { [.unreadableVocabulary($0)] } ?? [] }
    let findings = (config.map { contents.findings(config: $0, added: addedTokens) } ?? []) + contents.tokenizerFindings
    return findings.filter(\.isWarning).map { .vocabulary($0) }
  }
}
