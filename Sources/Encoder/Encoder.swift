import COneDNN
import COpenBLAS
import CheckpointFormats
import NativeFormat
import TensorIO

/// A model of the BERT family, ready to run on the weights of its mapped file.
///
/// Safe to share: a run keeps its activations to itself. OpenBLAS's number of threads is one for the whole process.
public final class Encoder: Sendable {
  public let config: EncoderConfig
  public let precision: Precision
  public let library: MathLibrary
  private let file: NativeModel
  private let model: EncoderModel
  private let outputs: [(name: String, kind: OutputKind)]
  private let requestedThreads: Int?
  /// What runs need besides the weights, kept for the next one.
  private let idle = Lock<[Worker]>([])

  /// What one pass at a time needs besides the weights.
  ///
  /// Thread safety: a run takes it out of `idle`, so that no other has it, and uses it on one thread at a time.
  private final class Worker: @unchecked Sendable {
    let backend: Backend
    private var state: EncoderState?

    init(_ backend: Backend) { self.backend = backend }

    /// Activations for a group, those of an earlier one where they are large enough.
    func state(_ config: EncoderConfig, for group: PackedGroup) -> EncoderState {
      if let state, state.fits(group) { return state }
      let made = EncoderState(config, tokens: group.tokens)
      state = made
      return made
    }
  }

  /// Finds and checks every weight that the config requires.
  ///
  /// - Parameters:
  ///   - model: the file, which stays mapped
  ///   - config: in place of the config in the file; needed for a plain safetensors file
  ///   - threads: for matrix products; all cores when absent
  ///   - precision: of the products in the layers; the heads compute in f32
  ///   - library: when absent the fastest one on this processor. oneDNN and the package's own kernels pack the layers' weights
  ///     now, into a copy; OpenBLAS computes on the mapped file as it is, only in f32
  public convenience init(
    _ model: NativeModel, config: JSON? = nil, threads: Int? = nil, precision: Precision = .f32,
    library: MathLibrary? = nil
  ) throws {
    guard let json = config ?? model.config else {
      throw FormatError(
        .config, "the file has no config", file: model.path, advice: .all([.giveConfig, .convertFirst]))
    }
    try self.init(
      model, EncoderConfig(json, file: config == nil ? model.path : nil), threads: threads, precision: precision,
      library: library)
  }

  package init(
    _ file: NativeModel, _ config: EncoderConfig, threads: Int?, precision: Precision = .f32,
    library: MathLibrary? = nil
  ) throws(FormatError) {
    if let threads, threads < 1 || threads > 1024 {
      throw FormatError(.input, "the number of threads is out of range", found: "\(threads)", expected: "1 to 1024")
    }
    try ProcessorLevel.checkEnvironment()
    let library = try Self.library(library, precision, config, file: file.path)
    // Weights that are packed, and what a run needs.
    try library.load(threads: threads, memory: 2 * file.file.count)
    self.library = library
    self.precision = precision
    self.file = file
    self.config = config
    requestedThreads = threads
    guard let backend = library.makeBackend(precision, threads: threads) else {
      throw FormatError(.system, "the library that computes cannot be started", found: "no memory for it")
    }
    model = try EncoderModel(file, config, packing: backend.packing)
    idle.withLock { $0.append(Worker(backend)) }
    outputs = model.outputs(config)
  }

  /// The requested library, or the best one, if it computes such a model in this precision.
  private static func library(
    _ asked: MathLibrary?, _ precision: Precision, _ config: EncoderConfig, file: String
  ) throws(FormatError) -> MathLibrary {
    let isRecurrent = config.recurrentSize != nil
    guard !isRecurrent || precision == .f32 else {
      throw FormatError(
        .input, "a recurrent stack is computed only in f32", file: file, found: "precision \(precision.rawValue)",
        expected: "precision f32", advice: .choosePrecision([Precision.f32.rawValue]))
    }
    // A step of an LSTM is a product with few rows, for which nothing is packed.
    guard let asked else { return isRecurrent ? .openBLAS : .best(for: precision) }
    guard asked.computes(precision) else {
      guard asked != .oneDNN else {
        throw FormatError(
          .system, "oneDNN is not installed, or has no products in this precision on this processor",
          found: "precision \(precision.rawValue)", advice: "Leave the choice of the library to the encoder.")
      }
      throw FormatError(
        .input, "this library computes only in f32", found: "precision \(precision.rawValue)",
        expected: "precision f32")
    }
    return asked
  }

  /// The threads that matrix products use.
  public var threads: Int { library.threads(requestedThreads) }

  /// The names that ``run(_:outputs:progress:)`` takes, in the order of the pass: `hidden_states.0` (the embeddings) to
  /// `hidden_states.L`, `last_hidden_state`, and those of pooler and heads that the file has.
  public var availableOutputs: [String] { outputs.map(\.name) }

  /// The outputs that are of use without asking: the last hidden state, the pooler's output and those of the heads, each
  /// once.
  public var defaultOutputs: [String] {
    let hasPredictionLogits = outputs.contains { $0.name == "logits" && $0.kind == .prediction }
    return availableOutputs.filter {
      !$0.hasPrefix("hidden_states.") && !($0 == "prediction_logits" && hasPredictionLogits)
    }
  }

  package func kind(of output: String) -> OutputKind? { outputs.first { $0.name == output }?.kind }

  /// The names, the hidden states in short.
  package static func summary(_ names: [String]) -> String {
    let hidden = names.filter { $0.hasPrefix("hidden_states.") }
    let others = names.filter { !$0.hasPrefix("hidden_states.") }
    guard hidden.count > 2, let first = hidden.first, let last = hidden.last else {
      return names.joined(separator: ", ")
    }
    return (["\(first) … \(last)"] + others).joined(separator: ", ")
  }
}

// MARK: Running

extension Encoder {
  /// Runs the model and returns the requested outputs, in the order of ``availableOutputs``.
  ///
  /// `progress` is called with the number of tokens that are through, and of all. Throws `FormatError` for an unknown output
  /// and for an input that does not fit the model.
  public func run(
    _ input: EncoderInput, outputs names: Set<String>, progress: ((_ done: Int, _ total: Int) -> Void)? = nil
  ) throws -> [EncoderOutput] {
    if let unknown = names.sorted().first(where: { kind(of: $0) == nil }) {
      throw FormatError(
        .input, "the model has no such output", file: file.path, found: "'\(unknown)'",
        expected: Self.summary(availableOutputs))
    }
    try input.check(config)
    let wanted = outputs.filter { names.contains($0.name) }
    let results = try run(checked: input, kinds: Set(wanted.map(\.kind)), progress: progress)
    return wanted.compactMap { output in
      results[output.kind].map { EncoderOutput(name: output.name, shape: $0.shape, values: $0.values) }
    }
  }

  /// Runs the model and returns one output by its kind, row-major in the shape of the kind; `nil` where the model has none.
  package func values(of kind: OutputKind, _ input: EncoderInput) throws -> (shape: [Int], values: [Float])? {
    guard has(kind) else { return nil }
    try input.check(config)
    return try run(checked: input, kinds: [kind])[kind].map { ($0.shape, $0.values) }
  }

  /// The scores of the first and of the last token of an answer, [batch, sequence] each, of one pass.
  package func answers(_ input: EncoderInput) throws -> (starts: [Float], ends: [Float]) {
    guard has(.answer(0)), has(.answer(1)) else { return ([], []) }
    try input.check(config)
    let results = try run(checked: input, kinds: [.answer(0), .answer(1)])
    return (results[.answer(0)]?.values ?? [], results[.answer(1)]?.values ?? [])
  }

  /// Whether the model can compute this.
  package func has(_ kind: OutputKind) -> Bool {
    kind == .pooledSentence ? model.sentence != nil : outputs.contains { $0.kind == kind }
  }

  /// How the modules of sentence-transformers pool tokens, in the order in which the results are joined; empty where the
  /// model has none.
  package var poolingModes: [SentenceModule.PoolingMode] { model.sentence?.modes ?? [] }

  /// The embeddings [rows, features] of pooled sequences [rows, H · modes]: what follows the pooling.
  package func finishSentences(_ pooled: [Float], rows: Int) -> (size: Int, values: [Float]) {
    guard let sentence = model.sentence, rows > 0 else { return (0, []) }
    let width = config.hiddenSize * sentence.modes.count
    precondition(pooled.count == rows * width)
    library.setThreads(requestedThreads)
    let worker = takeWorker()
    defer { idle.withLock { $0.append(worker) } }
    let x = Buffer(count: rows * width).matrix(rows, width)
    for row in 0..<rows { x.set(row: row, to: pooled.span.extracting((row * width)..<((row + 1) * width))) }
    var values = [Float](repeating: 0, count: rows * sentence.size)
    sentence.finish(x, worker.backend).copy(toRows: Array(0..<rows), of: &values)
    return (sentence.size, values)
  }

  private func run(
    checked input: EncoderInput, kinds: Set<OutputKind>, progress: ((_ done: Int, _ total: Int) -> Void)? = nil
  ) throws -> [OutputKind: OutputValues] {
    try requireMemory(for: kinds, of: input)
    var results: [OutputKind: OutputValues] = [:]
    for kind in kinds { results[kind] = OutputValues(model.shape(of: kind, config, input)) }
    let poolsFirstToken = kinds.contains(where: \.isPooled)
    // Nothing beyond the deepest hidden state is computed.
    let depth = kinds.map { if case .hidden(let index) = $0 { index } else { config.layerCount } }.max() ?? 0
    forEachGroup(of: input, poolsFirstToken: poolsFirstToken) { pass in
      pass.runLayers(to: depth) { number in
        if let result = results[.hidden(number)] { pass.scatter(pass.hidden(number), to: result) }
      }
    } heads: { pass in
      pass.runHeads(into: results)
    } progress: {
      progress?($0, $1)
    }
    // A file that shrank under us reads as zeros: its results are worth nothing.
    try file.file.checkIntact()
    return results
  }

  /// A small file and a smaller input can request outputs of any size.
  private func requireMemory(for kinds: Set<OutputKind>, of input: EncoderInput) throws(FormatError) {
    var total: Int? = 0
    for kind in kinds {
      let bytes = checkedByteCount(model.shape(of: kind, config, input), .f32)
      total = total.flatMap { sum in bytes.map { sum + $0 } }
    }
    try Memory.require(
      total, for: "the outputs", advice: "Request fewer outputs, or run the input in parts.")
  }

  /// Runs the model and returns one output.
  public func run(_ input: EncoderInput, output name: String = "last_hidden_state") throws -> EncoderOutput {
    guard let result = try run(input, outputs: [name]).first else {
      preconditionFailure("a requested output is returned, or an error thrown")
    }
    return result
  }

  /// `hidden_states` number `layers.upperBound` from given ones of number `layers.lowerBound`, both padded
  /// `[batch, sequence, H]`: what these layers make of a reference's values.
  package func run(
    layers: Range<Int>, on input: EncoderInput, hidden values: [Float]
  ) throws(FormatError) -> [Float] {
    try input.check(config)
    let size = config.width(ofHidden: layers.lowerBound)
    precondition(layers.lowerBound >= 0 && layers.upperBound <= config.layerCount)
    precondition(values.count == input.batch * input.sequence * size)
    let result = OutputValues([input.batch, input.sequence, config.width(ofHidden: layers.upperBound)])
    forEachGroup(of: input, poolsFirstToken: false) { pass in
      for (row, target) in pass.group.targets.enumerated() {
        guard let target else { continue }
        pass.hidden(layers.lowerBound).set(
          row: row, to: values.span.extracting((target * size)..<((target + 1) * size)))
      }
      for layer in layers { pass.run(layer: layer) }
      pass.scatter(pass.hidden(layers.upperBound), to: result)
    }
    try file.file.checkIntact()
    return result.values
  }

  /// Whether the pooler has weights that could be wrong.
  package var hasPoolerWeights: Bool { if case .dense? = model.heads.pooler { true } else { false } }

  /// The weights of the layer normalization that a layer ends with, [H] each, and its name; `nil` where it ends with a
  /// plain sum, or with a norm that takes no statistics.
  package func outputNorm(ofLayer index: Int) -> (name: String, gamma: [Float], beta: [Float])? {
    model.outputNorm(ofLayer: index).map { ($0.name, $0.gamma.array(), $0.beta.array()) }
  }

  /// Calls `layers` for each group of sequences, several at once where each is for one thread, and then `heads`, on all
  /// threads together.
  private func forEachGroup(
    of input: EncoderInput, poolsFirstToken: Bool, layers: (ForwardPass) -> Void,
    heads: (ForwardPass) -> Void = { _ in }, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) {
    library.setThreads(requestedThreads)
    var workers = [takeWorker()]
    let backend = workers[0].backend
    let batches = PackedGroup.split(
      input, config, poolsFirstToken: poolsFirstToken, groupsAtOnce: backend.groupsAtOnce)
    while workers.count < batches.map(\.count).max() ?? 0 { workers.append(takeWorker()) }
    defer { idle.withLock { $0 += workers } }
    let bias = model.relativeBias.map { DistanceBias($0, length: input.sequence) }
    let predictionRows = input.predictedTokens.map { tokens in
      Dictionary(tokens.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    }
    let total = batches.joined().reduce(0) { $0 + $1.tokens }
    var done = 0
    for groups in batches {
      let passes = zip(groups, workers).map { group, worker in
        ForwardPass(
          config: config, model: model, state: worker.state(config, for: group), group: group,
          backend: worker.backend, distanceBias: bias, sequenceLength: input.sequence,
          predictionRows: predictionRows)
      }
      backend.forEachGroup(passes.count) { layers(passes[$0]) }
      for pass in passes { heads(pass) }
      done += groups.reduce(0) { $0 + $1.tokens }
      progress(done, total)
    }
  }

  /// One that no run uses, or a new one.
  private func takeWorker() -> Worker {
    if let worker = idle.withLock({ $0.popLast() }) { return worker }
    // The library was loaded when the first one was made; what could be lacking is memory for a few hundred bytes.
    guard let backend = library.makeBackend(precision, threads: requestedThreads) else {
      preconditionFailure("no memory for another run")
    }
    return Worker(backend)
  }
}
