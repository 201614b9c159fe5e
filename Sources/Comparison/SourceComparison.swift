import CheckpointFormats
import CheckpointReaders
import Conversion
import TensorIO
import WeightMapping

extension ModelComparison {
  /// Compares the converted model in the file at `model` with the checkpoint that it was made of.
  ///
  /// ```swift
  /// let options = try SourceOptions().completed(by: try NativeModel.open("model.safetensors"))
  /// let source = try SourceModel("bert/bert_model.ckpt", options: options)
  /// let comparison = try ModelComparison.compare(modelAt: "model.safetensors", with: source)
  /// print(comparison.differences.isEmpty)
  /// ```
  ///
  /// - Parameters:
  ///   - model: path of the native file
  ///   - source: the opened checkpoint, with the options that its conversion had
  ///   - tolerance: the largest difference of two values that counts as equal; `nil` for none
  ///   - progress: bytes compared and bytes to compare, called on this thread
  public static func compare(
    modelAt model: String, with source: SourceModel, tolerance: Double? = nil,
    progress: ((_ done: Int, _ total: Int) -> Void)? = nil
  ) throws -> ModelComparison {
    try compare(
      try source.plan(), from: source.tensors, with: try CheckpointOpener().openFile(model), tolerance: tolerance,
      progress: progress)
  }

  /// Compares every target of `plan` with the tensor of its name in `model`.
  ///
  /// A tensor of the source's type must be equal bit for bit. One of another type must hold the very bytes that a
  /// conversion to that type makes of the source: the type alone then accounts for the difference. With a `tolerance`
  /// whatever differs by no more than it is accepted as well. `progress` is called with the bytes of the targets that
  /// were compared, and with those of all.
  public static func compare(
    _ plan: MappingPlan, from source: any TensorSource, with model: any TensorSource, tolerance: Double? = nil,
    progress: ((_ done: Int, _ total: Int) -> Void)? = nil
  ) throws -> ModelComparison {
    let plan = try plan.resolvingTies(in: source)
    let comparer = TargetComparer(source: source, stored: model, tolerance: tolerance)
    var result = ModelComparison()
    let total = plan.byteCount
    var done = 0
    for target in plan.targets {
      switch try comparer.compare(target) {
      case .equal: break
      case .reduced(let stored, let largest):
        result.note(stored, from: target.info.elementType, error: largest, of: target.info.name)
      case .tolerated(let largest):
        result.toleratedCount += 1
        result.largestTolerated = max(result.largestTolerated, largest)
      case .different(let kind, let problem):
        result.differences.append(.init(name: target.info.name, kind: kind, problem: problem))
      }
      done += target.info.byteCount
      progress?(done, total)
    }
    let names = Set(plan.targets.map(\.info.name))
    for info in comparer.model.tensors where !names.contains(info.name) {
      result.differences.append(
        .init(name: info.name, kind: .unexpected, problem: "in the model, but not from the source"))
    }
    return result
  }
}

/// Compares the targets of a plan with the tensors of a model.
private struct TargetComparer {
  enum Outcome {
    case equal
    /// Exactly what rounding to the type `stored` gives, or the same numbers by other scales.
    case reduced(stored: ElementType, largest: Double)
    case tolerated(largest: Double)
    case different(TensorDifference.Kind, problem: String)
  }

  let source: any TensorSource
  /// The model's tensors as they are stored, and as the numbers that they represent.
  let stored: any TensorSource
  let model: any TensorSource
  let tolerance: Double?
  private let storedIndices: [String: Int]
  private let modelIndices: [String: Int]

  init(source: any TensorSource, stored: any TensorSource, tolerance: Double?) {
    self.source = source
    self.stored = stored
    self.tolerance = tolerance
    model = DequantizedSource(stored) ?? stored
    func indices(_ source: any TensorSource) -> [String: Int] {
      Dictionary(source.tensors.enumerated().map { ($0.element.name, $0.offset) }, uniquingKeysWith: { $1 })
    }
    storedIndices = indices(stored)
    modelIndices = indices(model)
  }

  func compare(_ target: MappingPlan.Target) throws -> Outcome {
    let name = target.info.name
    guard let index = modelIndices[name], storedIndices[name] != nil else {
      return .different(.missing, problem: "not in the model")
    }
    let type = model.storedType(ofTensorAt: index)
    let found = "\(type.rawValue) \(shapeText(model.tensors[index].shape))"
    let wanted = "\(target.info.elementType.rawValue) \(shapeText(target.info.shape))"
    let otherForm = Outcome.different(.form, problem: "\(found) in the model, \(wanted) from the source")
    guard model.tensors[index].shape == target.info.shape else { return otherForm }
    let isOneType = type == target.info.elementType
    var problem: String?
    if isOneType {
      problem = try difference(of: target, from: index)
      if problem == nil { return .equal }
    } else {
      guard let storage = StorageType(type) else { return otherForm }
      problem = try roundingDifference(of: target, storage)
    }
    var values = ValueTally(target.info.elementType, model.tensors[index].elementType)
    try model.withBytes(ofTensorAt: index) { theirs in
      try Converter.stream(target, from: source) { ours in values.add(ours, theirs) }
    }
    let largest = values.maximum ?? .infinity
    // 8-bit weights of a source that has such itself may be the same numbers by other scales.
    if problem == nil || values.differing == 0 && values.isWhole(target.info.elementCount) {
      return .reduced(stored: type, largest: largest)
    }
    if let tolerance, largest <= tolerance, values.isWhole(target.info.elementCount) {
      return .tolerated(largest: largest)
    }
    let types = isOneType ? "" : "\(found) in the model is not \(wanted) rounded: "
    return .different(
      .values, problem: types + (problem ?? "") + ", largest difference \(significant(largest))")
  }

  /// What differs between `target` and a tensor of its type; `nil` where nothing does.
  private func difference(of target: MappingPlan.Target, from index: Int) throws -> String? {
    var tally = Tally(shape: target.info.shape, size: target.info.elementType.size ?? 1)
    try model.withBytes(ofTensorAt: index) { theirs in
      try Converter.stream(target, from: source) { ours in tally.add(ours, theirs) }
    }
    return tally.problem
  }

  /// What differs between `target` rounded to `type` and the stored tensor of its name, or its scales.
  private func roundingDifference(of target: MappingPlan.Target, _ type: StorageType) throws -> String? {
    let name = target.info.name
    let indices = [storedIndices[name], storedIndices[Int8Quantization.scaleName(name)]].compactMap(\.self)
    let sink = ChunkSink()
    let reducing = ReducingSink(sink, type: type)
    try reducing.begin([target.info])
    guard sink.infos.count <= indices.count else { return "there are no scales" }
    for (info, index) in zip(sink.infos, indices)
    where info.elementType != stored.tensors[index].elementType || info.shape != stored.tensors[index].shape {
      return "a conversion would not store it in this form"
    }
    var tallies = sink.infos.map { Tally(shape: $0.shape, size: $0.elementType.size ?? 1) }
    // The scales are few: a copy of them costs nothing.
    let scales = sink.infos.count > 1 ? try stored.withBytes(ofTensorAt: indices[1]) { Bytes($0.array()) } : nil
    do {
      try stored.withBytes(ofTensorAt: indices[0]) { theirs in
        try Converter.stream(target, from: source) { ours in
          var start = 0
          // A computed target comes in one chunk, which is not to be there twice.
          while start < ours.byteCount {
            let end = min(ours.byteCount, start + 1 << 20)
            try reducing.append(ours.extracting(start..<end), toTensorAt: 0)
            start = end
            sink.drain { index, chunk in
              if index == 0 {
                tallies[0].add(chunk, theirs)
              } else {
                scales?.withSpan { tallies[index].add(chunk, $0) }
              }
            }
          }
        }
      }
      try reducing.finish()
    } catch let error as FormatError where error.tensor == name && error.file == nil {
      // Values that the type cannot hold.
      return error.description
    }
    let problems = zip(sink.infos, tallies).compactMap { info, tally in
      tally.problem.map { info.name == name ? $0 : "of the scales \($0)" }
    }
    return problems.first
  }
}

extension StorageType {
  fileprivate init?(_ type: ElementType) {
    switch type {
    case .f32: self = .f32
    case .f16: self = .f16
    case .bf16: self = .bf16
    case .i8: self = .int8
    default: return nil
    }
  }
}

/// Keeps what is written until it is looked at.
private final class ChunkSink: TensorSink {
  private(set) var infos: [TensorInfo] = []
  private var chunks: [[UInt8]] = []

  func begin(_ tensors: [TensorInfo]) throws {
    infos = tensors
    chunks = tensors.map { _ in [] }
  }
  func append(_ bytes: RawSpan, toTensorAt index: Int) throws { chunks[index] += bytes.array() }
  func finish() throws {}
  func cancel() {}

  func drain(_ body: (Int, RawSpan) -> Void) {
    for index in chunks.indices where !chunks[index].isEmpty {
      Bytes(chunks[index]).withSpan { body(index, $0) }
      chunks[index] = []
    }
  }
}
