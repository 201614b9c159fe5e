import CheckpointFormats
import Conversion
import TensorIO
import WeightMapping

/// Where a model differs from what a plan makes of its source.
public struct TensorDifference: Sendable, Equatable {
  /// Canonical name.
  public let name: String
  public let problem: String
}

/// What a comparison of a model with its source found.
public struct ModelComparison: Sendable {
  /// Tensors that are stored in another type than the source's.
  public struct Reduction: Sendable {
    public let source: ElementType
    public let stored: ElementType
    public internal(set) var count = 0
    /// The largest absolute difference of a value, and the tensor that has it: what the type costs.
    public internal(set) var largest = 0.0
    public internal(set) var tensor: String?
  }

  /// In forward order, then what the model has beside it.
  public internal(set) var differences: [TensorDifference] = []
  /// Of the tensors that hold exactly what rounding the source to their type gives.
  public internal(set) var reductions: [Reduction] = []
  /// How many tensors differ by no more than the tolerance, and by how much.
  public internal(set) var toleratedCount = 0
  public internal(set) var largestTolerated = 0.0

  public func json() -> [JSON.Member] {
    [
      JSON.Member(
        "differences",
        .array(differences.map { .object(["name": .string($0.name), "problem": .string($0.problem)]) })),
      JSON.Member(
        "reduced",
        .array(
          reductions.map {
            .object([
              "source": .string($0.source.rawValue), "stored": .string($0.stored.rawValue), "tensors": .int($0.count),
              "max_abs_error": .double($0.largest), "tensor": $0.tensor.map { .string($0) } ?? .null,
            ])
          })),
      JSON.Member("tolerated", .int(toleratedCount)),
    ]
  }

  /// The lines of a report; `source` is what the model was compared with.
  public func text(source: String) -> [String] {
    var lines = differences.prefix(20).map { "differs: \(printable($0.name)): \(printable($0.problem))" }
    if differences.count > 20 { lines.append("and \(grouped(differences.count - 20)) more") }
    for entry in reductions {
      lines.append(
        "\(grouped(entry.count)) tensors are \(entry.stored.rawValue), \(entry.source.rawValue) in the source: exactly what "
          + "rounding gives; largest error \(significant(entry.largest))"
          + (entry.tensor.map { " (\(printable($0)))" } ?? ""))
    }
    if toleratedCount > 0 {
      lines.append(
        "\(grouped(toleratedCount)) tensors differ within the tolerance, by at most \(significant(largestTolerated))")
    }
    if !differences.isEmpty {
      lines.append("\(grouped(differences.count)) tensors differ from \(printable(source))")
    } else if toleratedCount > 0 {
      lines.append("every tensor is that of \(printable(source)), within the tolerance")
    } else if !reductions.isEmpty {
      lines.append("every tensor is that of \(printable(source)), bit for bit after the rounding that its type implies")
    } else {
      lines.append("every tensor is that of \(printable(source)), bit for bit")
    }
    return lines
  }

  fileprivate mutating func note(_ reduced: ElementType, from source: ElementType, error: Double, of name: String) {
    let place: Int
    if let found = reductions.firstIndex(where: { $0.stored == reduced && $0.source == source }) {
      place = found
    } else {
      place = reductions.count
      reductions.append(Reduction(source: source, stored: reduced))
    }
    reductions[place].count += 1
    if error > reductions[place].largest {
      reductions[place].largest = error
      reductions[place].tensor = name
    }
  }
}

extension Converter {
  /// Compares every target with the tensor of its name in `other`.
  ///
  /// A tensor of the source's type must be equal bit for bit. One of another type must hold the very bytes that a
  /// conversion to that type makes of the source: the type alone then accounts for the difference. With a `tolerance`
  /// whatever differs by no more than it is accepted as well. `progress` is told how many bytes of the targets have been
  /// compared, and how many there are.
  public static func compare(
    _ plan: MappingPlan, from source: any TensorSource, with other: any TensorSource, tolerance: Double? = nil,
    progress: ((_ done: Int, _ total: Int) -> Void)? = nil
  ) throws -> ModelComparison {
    let plan = try plan.resolvingTies(in: source)
    let model = DequantizedSource(other) ?? other
    var stored: [String: Int] = [:]
    for (index, info) in other.tensors.enumerated() { stored[info.name] = index }
    var places: [String: Int] = [:]
    for (index, info) in model.tensors.enumerated() { places[info.name] = index }
    var result = ModelComparison()
    let total = plan.byteCount
    var done = 0
    for target in plan.targets {
      defer {
        done += target.info.byteCount
        progress?(done, total)
      }
      let name = target.info.name
      guard let place = places.removeValue(forKey: name), let storedPlace = stored[name] else {
        result.differences.append(.init(name: name, problem: "not in the model"))
        continue
      }
      let type = model.storedType(ofTensorAt: place)
      let found = "\(type.rawValue) \(shapeText(model.tensors[place].shape))"
      let wanted = "\(target.info.elementType.rawValue) \(shapeText(target.info.shape))"
      guard model.tensors[place].shape == target.info.shape else {
        result.differences.append(.init(name: name, problem: "\(found) in the model, \(wanted) from the source"))
        continue
      }
      var problem: String?
      if type == target.info.elementType {
        var tally = Tally(shape: target.info.shape, size: type.size ?? 1)
        try model.withBytes(ofTensorAt: place) { theirs in
          try stream(target, from: source) { ours in tally.add(ours, theirs) }
        }
        problem = tally.problem
        if problem == nil { continue }
      } else {
        guard let storage = StorageType(type) else {
          result.differences.append(.init(name: name, problem: "\(found) in the model, \(wanted) from the source"))
          continue
        }
        problem = try rounded(
          target, from: source, to: storage, other,
          at: [storedPlace] + [stored[Int8Quantization.scaleName(name)]].compactMap(\.self))
      }
      var values = ValueTally(target.info.elementType, model.tensors[place].elementType)
      try model.withBytes(ofTensorAt: place) { theirs in
        try stream(target, from: source) { ours in values.add(ours, theirs) }
      }
      let largest = values.maximum ?? .infinity
      // 8-bit weights of a source that has such itself may be the same numbers by other scales.
      if problem == nil || values.differing == 0 && values.isWhole(target.info.elementCount) {
        result.note(type, from: target.info.elementType, error: largest, of: name)
      } else if let tolerance, largest <= tolerance, values.isWhole(target.info.elementCount) {
        result.toleratedCount += 1
        result.largestTolerated = max(result.largestTolerated, largest)
      } else {
        let types = type == target.info.elementType ? "" : "\(found) in the model is not \(wanted) rounded: "
        result.differences.append(
          .init(name: name, problem: types + (problem ?? "") + ", largest difference \(significant(largest))"))
      }
    }
    for info in model.tensors where places[info.name] != nil {
      result.differences.append(.init(name: info.name, problem: "in the model, but not from the source"))
    }
    return result
  }

  /// What differs between `target` rounded to `type` and the tensors of `model` at `places`, its own and its scales'.
  private static func rounded(
    _ target: MappingPlan.Target, from source: any TensorSource, to type: StorageType, _ model: any TensorSource,
    at places: [Int]
  ) throws -> String? {
    let sink = PieceSink()
    let reducing = ReducingSink(sink, type: type)
    try reducing.begin([target.info])
    guard sink.infos.count <= places.count else { return "there are no scales" }
    for (info, place) in zip(sink.infos, places)
    where info.elementType != model.tensors[place].elementType || info.shape != model.tensors[place].shape {
      return "a conversion would not store it so"
    }
    var tallies = sink.infos.map { Tally(shape: $0.shape, size: $0.elementType.size ?? 1) }
    // The scales are few: a copy of them costs nothing.
    let scales = sink.infos.count > 1 ? try model.withBytes(ofTensorAt: places[1]) { Bytes($0.array()) } : nil
    do {
      try model.withBytes(ofTensorAt: places[0]) { theirs in
        try stream(target, from: source) { ours in
          var start = 0
          // What is made comes in one piece, which is not to be there twice.
          while start < ours.byteCount {
            let end = min(ours.byteCount, start + 1 << 20)
            try reducing.append(ours.extracting(start..<end), toTensorAt: 0)
            start = end
            sink.drain { index, piece in
              if index == 0 {
                tallies[0].add(piece, theirs)
              } else {
                scales?.withSpan { tallies[index].add(piece, $0) }
              }
            }
          }
        }
      }
      try reducing.finish()
    } catch let error as FormatError where error.tensor == target.info.name && error.file == nil {
      // Values that the type cannot hold.
      return error.description
    }
    let problems = zip(sink.infos, tallies).compactMap { info, tally in
      tally.problem.map { info.name == target.info.name ? $0 : "of the scales \($0)" }
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
private final class PieceSink: TensorSink {
  private(set) var infos: [TensorInfo] = []
  private var pieces: [[UInt8]] = []

  func begin(_ tensors: [TensorInfo]) throws {
    infos = tensors
    pieces = tensors.map { _ in [] }
  }
  func append(_ bytes: RawSpan, toTensorAt index: Int) throws { pieces[index] += bytes.array() }
  func finish() throws {}
  func cancel() {}

  func drain(_ body: (Int, RawSpan) -> Void) {
    for index in pieces.indices where !pieces[index].isEmpty {
      Bytes(pieces[index]).withSpan { body(index, $0) }
      pieces[index] = []
    }
  }
}
