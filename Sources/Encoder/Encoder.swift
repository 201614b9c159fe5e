import COneDNN
import COpenBLAS
import NativeFormat
import TensorIO

/// A model of the BERT family, ready to run in f32 on the weights of its mapped file.
///
/// Safe to share: a run keeps its activations to itself. OpenBLAS's number of threads is one for the whole process.
public final class Encoder: Sendable {
  public let config: EncoderConfig
  private let model: NativeModel
  private let weights: EncoderWeights
  private let outputs: [(name: String, kind: OutputKind)]
  private let requestedThreads: Int?
  public let precision: Precision
  public let library: MathLibrary
  /// What runs need beside the weights, kept for the next one.
  private let idle = Lock<[Worker]>([])

  /// What one pass at a time needs beside the weights.
  ///
  /// Thread safety: a run takes it out of `idle`, so that no other has it, and uses it on one thread at a time.
  private final class Worker: @unchecked Sendable {
    let backend: Backend
    private var state: EncoderState?

    init(_ backend: Backend) { self.backend = backend }

    /// Activations for a group, those of an earlier one where they are large enough.
    func state(_ config: EncoderConfig, for group: PackedGroup) -> EncoderState {
      if let state, state.holds(group) { return state }
      let made = EncoderState(config, tokens: group.tokens)
      state = made
      return made
    }
  }

  /// Finds and checks every weight that the config asks for.
  ///
  /// - Parameters:
  ///   - model: the file, which stays mapped
  ///   - config: in place of the config that the file holds; needed for a plain safetensors file
  ///   - threads: for matrix products; all cores when absent
  ///   - precision: of the products in the layers; the heads compute in f32
  ///   - library: without it oneDNN where it can be had, which packs the layers' weights now; OpenBLAS computes on the
  ///     mapped file as it is, in f32 alone
  public convenience init(
    _ model: NativeModel, config: JSON? = nil, threads: Int? = nil, precision: Precision = .f32,
    library: MathLibrary? = nil
  ) throws {
    guard let json = config ?? model.config else {
      throw FormatError(
        "the file holds no config", file: model.path,
        advice: "Give its config.json with --config, or convert it with 'bertconv convert'.")
    }
    try self.init(
      model, EncoderConfig(json, file: config == nil ? model.path : nil), threads: threads, precision: precision,
      library: library)
  }

  package init(
    _ model: NativeModel, _ config: EncoderConfig, threads: Int?, precision: Precision = .f32,
    library: MathLibrary? = nil
  ) throws(FormatError) {
    if let threads, threads < 1 || threads > 1024 {
      throw FormatError("the number of threads is out of range", found: "\(threads)", expected: "1 to 1024")
    }
    if config.family.recurrent != nil, precision != .f32 {
      throw FormatError(
        "a recurrent stack is computed in f32 alone", file: model.path, found: "precision \(precision.rawValue)",
        expected: "precision f32")
    }
    let best = try MathLibrary.best(for: precision)
    // A step of an LSTM is a product with few rows, for which nothing is packed.
    self.library = library ?? (config.family.recurrent == nil ? best : .openBLAS)
    if library == .openBLAS, precision != .f32 {
      throw FormatError("OpenBLAS computes in f32 alone", found: "precision \(precision.rawValue)")
    }
    if library == .oneDNN, best != .oneDNN { throw FormatError("oneDNN is not installed", expected: "libdnnl") }
    // With either library: what is not packed, such as the heads, is multiplied by OpenBLAS.
    // Memory safety: the problem is a text that the library keeps.
    if let problem = unsafe bertconv_openblas_load() {
      throw FormatError(
        "OpenBLAS (libopenblas.so.0) cannot be loaded: \(unsafe String(cString: problem))",
        advice: "Install libopenblas0, as the package is called in Debian and Ubuntu.")
    }
    self.precision = precision
    self.model = model
    self.config = config
    requestedThreads = threads
    Self.setThreads(threads)
    guard let backend = self.library.makeBackend(precision) else {
      throw FormatError(.system, "oneDNN cannot be started", found: "no memory for it")
    }
    idle.withLock { $0.append(Worker(backend)) }
    weights = try EncoderWeights(model, config, packing: self.library == .oneDNN ? precision : nil)
    outputs = weights.outputs(config)
  }

  /// In each library: OpenBLAS has one number for the process, OpenMP one for each thread that calls it.
  private static func setThreads(_ threads: Int?) {
    guard let requested = threads else { return }
    // Beyond the cores each thread costs memory and time alone; OpenBLAS waits for ever for memory that it cannot have.
    let threads = min(requested, max(Processors.count, 16))
    bertconv_openblas_set_threads(Int32(threads))
    bertconv_onednn_set_threads(Int32(threads))
  }

  /// The threads that matrix products use.
  public var threads: Int { library.threads }

  /// The names that ``run(_:outputs:progress:)`` takes, in the order of the pass: `hidden_states.0` (the embeddings) to
  /// `hidden_states.L`, `last_hidden_state`, and those of pooler and heads that the file has.
  public var availableOutputs: [String] { outputs.map(\.name) }

  /// What is of use without asking: the last hidden state, the pooler's output, and what the heads say, each once.
  public var defaultOutputs: [String] {
    let hasPredictionLogits = outputs.contains { $0.name == "logits" && $0.kind == .prediction }
    return availableOutputs.filter {
      !$0.hasPrefix("hidden_states.") && !($0 == "prediction_logits" && hasPredictionLogits)
    }
  }

  package func kind(of output: String) -> OutputKind? { outputs.first { $0.name == output }?.kind }

  /// Runs the model and gives the outputs that are asked for, in the order of ``availableOutputs``.
  ///
  /// `progress` is told how many tokens are through, and how many there are. Throws `FormatError` for an unknown output and
  /// for an input that does not fit the model.
  public func run(
    _ input: EncoderInput, outputs names: Set<String>, progress: ((_ done: Int, _ total: Int) -> Void)? = nil
  ) throws -> [EncoderOutput] {
    if let unknown = names.sorted().first(where: { kind(of: $0) == nil }) {
      throw FormatError(
        "the model has no such output", file: model.path, found: "'\(unknown)'",
        expected: Self.summary(availableOutputs))
    }
    try input.check(config)
    let wanted = outputs.filter { names.contains($0.name) }
    var results: [OutputKind: OutputValues] = [:]
    for (_, kind) in wanted where results[kind] == nil { results[kind] = OutputValues(shape(of: kind, input)) }

    let poolsFirstToken = wanted.contains { $0.kind.isPooled }
    // Nothing beyond the deepest hidden state is computed.
    let depth = wanted.map { if case .hidden(let index) = $0.kind { index } else { config.layerCount } }.max() ?? 0
    forEachGroup(of: input, poolsFirstToken: poolsFirstToken) { pass in
      pass.embed()
      pass.keep(hidden: 0, in: results)
      for layer in 0..<depth {
        pass.run(layer: layer)
        pass.keep(hidden: layer + 1, in: results)
      }
    } heads: { pass in
      pass.runHeads(sequenceLength: input.sequence, results)
    } progress: {
      progress?($0, $1)
    }
    // A file that shrank under us reads as zeros: its results are worth nothing.
    try model.file.checkIntact()
    return wanted.compactMap { output in
      results[output.kind].map { EncoderOutput(name: output.name, shape: $0.shape, values: $0.values) }
    }
  }

  /// Runs the model and gives one output.
  public func run(_ input: EncoderInput, output name: String = "last_hidden_state") throws -> EncoderOutput {
    guard let result = try run(input, outputs: [name]).first else {
      preconditionFailure("an output that was asked for is given, or an error is thrown")
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
      pass.keep(hidden: layers.upperBound, in: [.hidden(layers.upperBound): result])
    }
    try model.file.checkIntact()
    return result.values
  }

  /// Whether the pooler has weights that could be wrong.
  package var hasPoolerWeights: Bool { if case .dense? = weights.pooler { true } else { false } }

  /// The weights of the layer normalisation that a layer ends with, [H] each, and its name; `nil` where it ends with a
  /// plain sum, or with a norm that takes no statistics.
  package func outputNorm(ofLayer index: Int) -> (name: String, gamma: [Float], beta: [Float])? {
    let family = config.family
    let isLast = index == config.layerCount - 1
    switch family.normPlacement {
    case .afterSum:
      guard let block = weights.layers[index].last else { return nil }
      let last = block.bottleneck?.output.norm
      let norm = last ?? block.feedForward.norm
      guard case .variance = norm.kind else { return nil }
      let bottleneck = family.bottleneck.map { $0.output + "." + $0.norm }
      let name = last == nil ? family.outputNorm : bottleneck ?? family.outputNorm
      return (name, norm.gamma.array(), norm.beta.array())
    case .beforeBlock:
      guard isLast, let name = family.finalNorm, let norm = weights.finalNorm, case .variance = norm.kind else {
        return nil
      }
      return (name, norm.gamma.array(), norm.beta.array())
    }
  }

  /// Calls `layers` for each group of sequences, several at once where they are for a thread each, and then `heads`, on all
  /// threads together.
  private func forEachGroup(
    of input: EncoderInput, poolsFirstToken: Bool, layers: (ForwardPass) -> Void,
    heads: (ForwardPass) -> Void = { _ in }, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) {
    Self.setThreads(requestedThreads)
    var workers = [takeWorker()]
    let backend = workers[0].backend
    let batches = PackedGroup.split(
      input, config, poolsFirstToken: poolsFirstToken, threads: backend.groupsAtOnce)
    while workers.count < batches.map(\.count).max() ?? 0 { workers.append(takeWorker()) }
    defer { idle.withLock { $0 += workers } }
    let total = batches.joined().reduce(0) { $0 + $1.tokens }
    var done = 0
    for groups in batches {
      let passes = zip(groups, workers).map { group, worker in
        ForwardPass(
          config: config, weights: weights, state: worker.state(config, for: group), group: group,
          backend: worker.backend)
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
    // The library was loaded when the first one was made; what is left is lack of memory for a few hundred bytes.
    guard let backend = library.makeBackend(precision) else { preconditionFailure("no memory for another run") }
    return Worker(backend)
  }

  /// The padded shape of an output.
  private func shape(of kind: OutputKind, _ input: EncoderInput) -> [Int] {
    switch kind {
    case .hidden(let index): [input.batch, input.sequence, config.width(ofHidden: index)]
    case .pooled: [input.batch, config.hiddenSize]
    case .prediction: [input.batch, input.sequence, config.vocabularySize]
    case .nextSentence: [input.batch, 2]
    case .sentence: [input.batch, weights.sentence?.size ?? 0]
    case .sequenceClassification: [input.batch, weights.classifier?.weight.rows ?? 0]
    case .tokenClassification: [input.batch, input.sequence, weights.classifier?.weight.rows ?? 0]
    case .multipleChoice: [input.batch / (input.choices ?? 1), input.choices ?? 1]
    case .replacedToken, .answer: [input.batch, input.sequence]
    }
  }

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

/// The values of one output while they are filled in, group by group; from several threads, each for sequences of its own.
final class OutputValues: Sendable {
  let shape: [Int]
  private let storage: Lock<[Float]>

  init(_ shape: [Int]) {
    self.shape = shape
    storage = Lock(Array(repeating: 0, count: shape.reduce(1, *)))
  }

  var values: [Float] { storage.withLock { $0 } }

  func fill(_ body: (inout [Float]) -> Void) { storage.withLock { body(&$0) } }
}

extension ForwardPass {
  /// Copies the hidden states of that number to their place in the output, if they were asked for.
  func keep(hidden index: Int, in results: [OutputKind: OutputValues]) {
    if let result = results[.hidden(index)] { scatter(hidden(index), to: result) }
  }

  /// Rows of tokens to their padded places.
  private func scatter(_ x: Matrix, to result: OutputValues) {
    for sequence in group.sequences {
      let rows = x.rows(sequence.keys)
      result.fill { rows.copy(toRows: group.targets[sequence.keys].compactMap(\.self), of: &$0) }
    }
  }

  /// Everything above the last layer that was asked for. `attended` and `context` are free by now.
  func runHeads(sequenceLength: Int, _ results: [OutputKind: OutputValues]) {
    let rows = group.sequences.map(\.row)
    if let pooler = weights.pooler, let result = results[.pooled] {
      let pooled = pool(pooler)  // [sequences, H]
      result.fill { pooled.copy(toRows: rows, of: &$0) }
    }
    if let pooler = weights.nextSentencePooler, let head = weights.nextSentence, let result = results[.nextSentence] {
      let logits = classify(pool(pooler), head)  // [sequences, 2]
      result.fill { logits.copy(toRows: rows, of: &$0) }
    }
    if let head = weights.classifier, let transform = weights.classifierTransform ?? weights.pooler,
      let result = results[.sequenceClassification] ?? results[.multipleChoice]
    {
      let logits = classify(pool(transform), head)  // [sequences, labels]
      result.fill { logits.copy(toRows: rows, of: &$0) }
    }
    if let head = weights.replacedToken, let result = results[.replacedToken] {
      scatter(detectReplaced(head), to: result)  // [T, 1]
    }
    if let head = weights.classifier, let result = results[.tokenClassification] {
      scatter(classify(hidden, head), to: result)  // [T, labels]
    }
    let answers = (0...1).compactMap { index in results[.answer(index)].map { (index, $0) } }
    if let head = weights.questionAnswering, !answers.isEmpty {
      let scores = classify(hidden, head)  // [T, 2]
      for (index, result) in answers { scatter(scores.columns(index..<(index + 1)), to: result) }
    }
    if let head = weights.sentence, let result = results[.sentence] {
      let embeddings = embedSentences(head)  // [sequences, size]
      result.fill { embeddings.copy(toRows: rows, of: &$0) }
    }
    if let head = weights.prediction, let result = results[.prediction] {
      result.fill { predict(head, sequenceLength: sequenceLength, into: &$0) }
    }
  }
}
