import TensorIO

/// What a comparison of two checkpoints found, tensor by tensor.
public struct ModelDifference: Sendable {
  public struct Side: Sendable, Equatable {
    /// The type that it is stored in; 8-bit weights are compared as the numbers that they stand for.
    public let elementType: ElementType
    public let shape: [Int]
    /// The tensors of the checkpoint that it is made of, where their names are others.
    public let sources: [String]
  }

  public enum Kind: String, Sendable, CaseIterable { case added, removed, retyped, reshaped, changed }

  public struct Entry: Sendable {
    public let name: String
    public let kind: Kind
    /// `nil` for what was added.
    public let a: Side?
    /// `nil` for what was removed.
    public let b: Side?
    /// Infinite where one is NaN and the other is not; `nil` where the shapes differ or the values are not numbers.
    public let maximum: Double?
    /// The number of values that are not the same.
    public let differing: Int?
  }

  public internal(set) var tolerance = 0.0
  /// Whether the names were matched through a table; otherwise they are the checkpoints' own.
  public internal(set) var isMatchedByTable = false
  public internal(set) var family: String?
  public internal(set) var dialects: [String?] = [nil, nil]
  /// In the order of A, then what B has beside it.
  public internal(set) var entries: [Entry] = []
  public internal(set) var equalCount = 0
  /// The largest difference among those counted as equal: not zero only with a tolerance.
  public internal(set) var largestTolerated = 0.0
  /// How many of those counted as equal are of another type: none without a tolerance.
  public internal(set) var toleratedTypes = 0
  /// What was left out or could not be done, a sentence each.
  public internal(set) var notes: [String] = []

  public var isEqual: Bool { entries.isEmpty }
  public func count(_ kind: Kind) -> Int { entries.count { $0.kind == kind } }
}

extension ModelDifference {
  /// One of the two checkpoints.
  public struct Input {
    let source: any TensorSource
    let name: String
    let config: JSON?

    public init(_ source: any TensorSource, name: String, config: JSON?) {
      // Integers and their scales are compared as the numbers that they stand for.
      self.source = DequantisedSource(source) ?? source
      self.name = name
      self.config = config
    }
  }

  /// Compares `a` with `b`.
  ///
  /// Where a table knows both, and as one family, tensors are compared as it names and turns them; otherwise as they
  /// are. Without a tolerance two tensors are equal when their type and every bit are; with one, when no two values
  /// differ by more, whatever their types.
  /// `progress` is told how many bytes of A, of those given first, have been compared.
  public init(
    _ a: Input, _ b: Input, mapper: Mapper, tolerance: Double, progress: ((_ done: Int, _ total: Int) -> Void)? = nil
  ) throws {
    self.tolerance = tolerance
    let (left, right) = match(a, b, mapper)
    var places: [String: Int] = [:]
    for (index, target) in right.enumerated() where places[target.info.name] == nil { places[target.info.name] = index }
    let total = left.reduce(0) { $0 + $1.info.byteCount }
    var done = 0
    for target in left {
      let name = target.info.name
      if let place = places.removeValue(forKey: name) {
        try compare(target, a.source, right[place], b.source)
      } else {
        entries.append(
          Entry(name: name, kind: .removed, a: side(target, a.source), b: nil, maximum: nil, differing: nil))
      }
      done += target.info.byteCount
      progress?(done, total)
    }
    for target in right where places[target.info.name] != nil {
      entries.append(
        Entry(
          name: target.info.name, kind: .added, a: nil, b: side(target, b.source), maximum: nil, differing: nil))
    }
  }

  // MARK: Names

  private mutating func match(
    _ a: Input, _ b: Input, _ mapper: Mapper
  ) -> (left: [MappingPlan.Target], right: [MappingPlan.Target]) {
    let found = [a, b].map { mapper.recognise($0.source.tensors) }
    dialects = found.map(\.dialect)
    if found[0].dialect != nil, found[1].dialect != nil, found[0].family == found[1].family {
      do {
        let plans = try [a, b].map { input in
          try mapper.plan(
            for: input.source.tensors, file: input.name, config: input.config, configFile: nil, allowUnexpected: ["*"]
          ).resolvingTies(in: input.source)
        }
        isMatchedByTable = true
        family = found[0].family
        let targets = zip([a, b], plans).map { input, plan in
          let dropped = plan.report.dropped.filter { !Self.isUnknown($0) && $0.rule != "tied" && $0.rule != "alias" }
          if !dropped.isEmpty {
            notes.append(
              "\(input.name): \(grouped(dropped.count)) tensors that are no part of the model are not compared: "
                + Set(dropped.map(\.reason)).sorted().joined(separator: "; "))
          }
          // What no rule knows is compared under its own name, not left out.
          let unknown = Set(plan.report.dropped.filter(Self.isUnknown).map(\.name))
          return plan.targets + Self.asTheyAre(input.source).filter { unknown.contains($0.info.name) }
        }
        return (targets[0], targets[1])
      } catch {
        // The first line says what is wrong; the tensors that it is about are in the comparison anyhow.
        let reason = "\(error)".split(separator: "\n").first ?? ""
        notes.append("names could not be matched through the tables: \(reason)")
      }
    } else if found.contains(where: { $0.dialect != nil }) {
      notes.append("no table knows both checkpoints as one family: they are compared by their own names")
    }
    for input in [a, b] {
      let count = input.source.tensors.count { $0.elementType.size == nil }
      if count > 0 { notes.append("\(input.name): \(grouped(count)) tensors without numbers are not compared") }
    }
    return (Self.asTheyAre(a.source), Self.asTheyAre(b.source))
  }

  private static func isUnknown(_ dropped: MappingReport.Dropped) -> Bool {
    dropped.rule.hasPrefix("--allow-unexpected")
  }

  private static func asTheyAre(_ source: any TensorSource) -> [MappingPlan.Target] {
    source.tensors.enumerated().filter { $0.element.elementType.size != nil }.map { index, info in
      MappingPlan.Target(info: info, operation: .rename, sources: [index])
    }
  }

  private func side(_ target: MappingPlan.Target, _ source: any TensorSource) -> Side {
    let names = target.sources.map { source.tensors[$0].name }
    return Side(
      elementType: target.sources.first.map { source.storedType(ofTensorAt: $0) } ?? target.info.elementType,
      shape: target.info.shape,
      sources: names == [target.info.name] ? [] : names)
  }

  // MARK: Values

  private mutating func compare(
    _ x: MappingPlan.Target, _ a: any TensorSource, _ y: MappingPlan.Target, _ b: any TensorSource
  ) throws {
    let name = x.info.name
    let sides = (side(x, a), side(y, b))
    guard x.info.shape == y.info.shape else {
      entries.append(
        Entry(name: name, kind: .reshaped, a: sides.0, b: sides.1, maximum: nil, differing: nil))
      return
    }
    var tally = ValueTally(x.info.elementType, y.info.elementType)
    try Converter.withBytes(of: y, from: b) { whole in
      try Converter.stream(x, from: a) { piece in tally.add(piece, whole) }
    }
    guard tally.isWhole(x.info.elementCount) else {
      throw FormatError("a checkpoint has not the bytes that the tensor's shape says", tensor: name)
    }
    let isRetyped = sides.0.elementType != sides.1.elementType
    let isWithin = tolerance > 0 && tally.maximum.map { $0 <= tolerance } == true
    if isWithin || !isRetyped && tally.differing == 0 {
      equalCount += 1
      if isRetyped { toleratedTypes += 1 }
      largestTolerated = max(largestTolerated, tally.maximum ?? 0)
      return
    }
    entries.append(
      Entry(
        name: name, kind: isRetyped ? .retyped : .changed, a: sides.0, b: sides.1, maximum: tally.maximum,
        differing: tally.differing))
  }
}

/// Compares values of any two numeric types.
struct ValueTally {
  private let sizes: (Int, Int)
  private let isOneType: Bool
  private let decoders: ((RawSpan, Int) -> Double, (RawSpan, Int) -> Double)?
  private let areFloats: Bool
  private var position = 0
  private var isShort = false
  private(set) var differing = 0
  private var largest = 0.0

  init(_ a: ElementType, _ b: ElementType) {
    sizes = (a.size ?? 1, b.size ?? 1)
    isOneType = a == b
    areFloats = a == .f32 && b == .f32
    // Whole numbers beside floats are most likely scaled: their difference would say nothing.
    if a.isFloatingPoint == b.isFloatingPoint, let x = TensorStatistics.decoder(a),
      let y = TensorStatistics.decoder(b)
    {
      decoders = (x, y)
    } else {
      decoders = nil
    }
  }

  var maximum: Double? { decoders == nil ? nil : largest }

  func isWhole(_ count: Int) -> Bool { !isShort && position == count }

  /// `piece` is the next of one tensor, `whole` all of the other.
  mutating func add(_ piece: RawSpan, _ whole: RawSpan) {
    let count = piece.byteCount / sizes.0
    defer { position += count }
    guard (position + count) * sizes.1 <= whole.byteCount else {
      isShort = true
      return
    }
    let other = whole.extracting((position * sizes.1)..<((position + count) * sizes.1))
    if isOneType, piece.elementsEqual(other) { return }
    for index in 0..<count {
      if areFloats {
        let x = piece.littleEndian(UInt32.self, at: index * 4)
        let y = other.littleEndian(UInt32.self, at: index * 4)
        if x != y { note(Double(Float(bitPattern: x)), Double(Float(bitPattern: y)), isSame: false) }
        continue
      }
      let isSame =
        isOneType
        && piece.extracting((index * sizes.0)..<((index + 1) * sizes.0))
          .elementsEqual(other.extracting((index * sizes.1)..<((index + 1) * sizes.1)))
      if isSame { continue }
      guard let decoders else {
        differing += 1
        continue
      }
      let x = decoders.0(piece, index * sizes.0)
      let y = decoders.1(other, index * sizes.1)
      note(x, y, isSame: !isOneType && (x == y || x.isNaN && y.isNaN))
    }
  }

  private mutating func note(_ x: Double, _ y: Double, isSame: Bool) {
    guard !isSame else { return }
    differing += 1
    if x == y || x.isNaN && y.isNaN { return }
    let difference = (x - y).magnitude
    largest = max(largest, difference.isNaN ? .infinity : difference)
  }
}

// MARK: Reports

extension ModelDifference {
  public func json() -> JSON {
    var result = JSON.object([
      "equal": .bool(isEqual), "tolerance": .double(tolerance),
      "matched_by": .string(isMatchedByTable ? "table" : "name"), "family": family.map { .string($0) } ?? .null,
      "dialects": .array(dialects.map { $0.map { .string($0) } ?? .null }),
    ])
    var counts = JSON.object(["equal": .int(equalCount), "equal_of_other_types": .int(toleratedTypes)])
    for kind in Kind.allCases { counts.set(kind.rawValue, .int(count(kind))) }
    result.set("counts", counts)
    for kind in Kind.allCases {
      result.set(kind.rawValue, .array(entries.filter { $0.kind == kind }.map(Self.json)))
    }
    result.set("notes", .strings(notes))
    return result
  }

  private static func json(_ entry: Entry) -> JSON {
    var result = JSON.object(["name": .string(entry.name)])
    for (key, side) in [("a", entry.a), ("b", entry.b)] {
      guard let side else { continue }
      var value = JSON.object(["dtype": .string(side.elementType.rawValue), "shape": .ints(side.shape)])
      if !side.sources.isEmpty { value.set("sources", .strings(side.sources)) }
      result.set(key, value)
    }
    if let differing = entry.differing {
      result.set("differing", .int(differing))
      result.set("max_abs_difference", entry.maximum.map { .double($0) } ?? .null)
    }
    return result
  }

  /// A line each for the first `limit` tensors that differ, and one that sums up.
  public func text(limit: Int = 50) -> String {
    var lines = entries.prefix(limit).map(Self.line)
    if entries.count > limit { lines.append("and \(grouped(entries.count - limit)) more: --json lists them all") }
    var summary = "\(grouped(equalCount)) equal"
    for kind in Kind.allCases where count(kind) > 0 { summary += ", \(grouped(count(kind))) \(kind.rawValue)" }
    if toleratedTypes > 0 { summary += " (\(grouped(toleratedTypes)) of other types)" }
    if tolerance > 0 {
      summary += " (tolerance \(tolerance), largest difference within it \(significant(largestTolerated)))"
    }
    summary += isMatchedByTable ? "; names matched as \(family ?? "a model")" : "; names as they are"
    return (lines + [summary]).joined(separator: "\n")
  }

  private static func line(_ entry: Entry) -> String {
    func form(_ side: Side?) -> String { side.map { "\($0.elementType.rawValue) \(shapeText($0.shape))" } ?? "" }
    let start = "\(entry.kind.rawValue): \(printable(entry.name)): "
    let extent = entry.maximum.map { ", largest difference \(significant($0))" } ?? ""
    switch entry.kind {
    case .added: return start + form(entry.b)
    case .removed: return start + form(entry.a)
    case .reshaped: return start + "\(form(entry.a)) and \(form(entry.b))"
    case .retyped: return start + "\(form(entry.a)) and \(form(entry.b))\(extent)"
    case .changed:
      let count = entry.a.flatMap { checkedElementCount($0.shape) } ?? 0
      return start + "\(grouped(entry.differing ?? 0)) of \(grouped(count)) values differ\(extent)"
    }
  }
}
