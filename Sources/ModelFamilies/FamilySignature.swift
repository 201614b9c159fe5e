import TensorIO

/// Names, and shapes where names do not decide, that checkpoints of one family have and others do not.
package struct FamilySignature: Sendable {
  /// A dimension that a shape may have.
  enum Size: Sendable, Equatable {
    case any
    case exactly(Int)
    /// `2^k+2`: a power of two of positions, counted from behind a padding id of 1.
    case powerOfTwoAndTwo

    func fits(_ size: Int) -> Bool {
      switch self {
      case .any: true
      case .exactly(let wanted): size == wanted
      case .powerOfTwoAndTwo: size >= 18 && (size - 2) & (size - 3) == 0
      }
    }
  }

  /// Each must match a name. Names are compared with every number in them written as 0.
  let names: [LazyGlob]
  /// Each must match a name of that shape.
  let shapes: [(name: LazyGlob, shape: [Size])]
  /// Where it is not empty, every name must match one of these or of ``names``: there is nothing else in such a file.
  let only: [LazyGlob]
  /// Values that the config must have.
  let config: [(key: String, value: JSON)]

  /// Reads a list of signatures, any of which is enough.
  package static func parseAll(_ value: YAMLValue) throws(FormatError) -> [FamilySignature] {
    var result: [FamilySignature] = []
    for item in try value.list("signatures") {
      let fields = try item.fields("a signature", ["all", "shapes", "only", "config"])
      var shapes: [(name: LazyGlob, shape: [Size])] = []
      for (name, entry) in try fields["shapes"]?.map("shapes") ?? [] {
        var shape: [Size] = []
        for size in try entry.list("a shape") { shape.append(try parseSize(size)) }
        shapes.append((LazyGlob(name), shape))
      }
      let names = try fields["all"]?.strings("all") ?? []
      guard !names.isEmpty else { throw item.fail("a signature needs 'all'") }
      let only = try fields["only"]?.strings("only") ?? []
      var config: [(key: String, value: JSON)] = []
      for (key, entry) in try fields["config"]?.map("config") ?? [] { config.append((key, try entry.json("a value"))) }
      result.append(
        FamilySignature(
          names: names.map { LazyGlob($0) }, shapes: shapes, only: only.map { LazyGlob($0) }, config: config))
    }
    return result
  }

  private static func parseSize(_ value: YAMLValue) throws(FormatError) -> Size {
    if value.isNull { return .any }
    if case .scalar("2^k+2", _) = value.content { return .powerOfTwoAndTwo }
    return .exactly(try value.int("a dimension"))
  }

  /// Whether names, shapes and config are those of the signature.
  package func matches(_ names: SignatureNames, config: JSON?) -> Bool {
    self.config.allSatisfy { key, value in config?[key] == value }
      && self.names.allSatisfy { glob in names.entries.contains { glob.matches($0.pattern) } }
      && (only.isEmpty
        || names.entries.allSatisfy { entry in (self.names + only).contains { $0.matches(entry.pattern) } })
      && shapes.allSatisfy { wanted in
        names.entries.contains { entry in
          entry.shape.count == wanted.shape.count && zip(entry.shape, wanted.shape).allSatisfy { $1.fits($0) }
            && wanted.name.matches(entry.pattern)
        }
      }
  }
}

/// The names of a checkpoint, as signatures are compared with them.
package struct SignatureNames: Sendable {
  /// With numbers made equal, a model of any depth has a few dozen names; what has more is not a model that is known.
  private static let maxCount = 5000

  let entries: [(pattern: String, shape: [Int])]

  /// `names` are those of `tensors`, or others that were given to them.
  package init(_ names: [String], of tensors: [TensorInfo]) {
    var patterns: Set<String> = []
    var entries: [(pattern: String, shape: [Int])] = []
    for (name, tensor) in zip(names, tensors) {
      let pattern = NamePattern.withoutNumbers(name)
      if patterns.insert(pattern).inserted { entries.append((pattern, tensor.shape)) }
      if entries.count == Self.maxCount { break }
    }
    self.entries = entries
  }
}

// MARK: Signatures in an index

extension IndexEncoder {
  package mutating func add(_ signatures: [FamilySignature]) {
    add(signatures) { encoder, signature in
      encoder.add(signature.names.map(\.pattern))
      encoder.add(signature.shapes) { encoder, wanted in
        encoder.add(wanted.name.pattern)
        encoder.add(wanted.shape) { $0.add($1) }
      }
      encoder.add(signature.only.map(\.pattern))
      encoder.add(signature.config) { encoder, entry in
        encoder.add(entry.key)
        encoder.add(entry.value.text())
      }
    }
  }

  private mutating func add(_ size: FamilySignature.Size) {
    switch size {
    case .any: add(0)
    case .powerOfTwoAndTwo: add(1)
    case .exactly(let size): add(2 + size)
    }
  }
}

extension IndexDecoder {
  package mutating func signatures() throws(FormatError) -> [FamilySignature] {
    var signatures: [FamilySignature] = []
    for _ in 0..<(try count()) { signatures.append(try signature()) }
    return signatures
  }

  private mutating func signature() throws(FormatError) -> FamilySignature {
    let names = try globs()
    var shapes: [(name: LazyGlob, shape: [FamilySignature.Size])] = []
    for _ in 0..<(try count()) {
      let name = LazyGlob(try text())
      var shape: [FamilySignature.Size] = []
      for _ in 0..<(try count()) { shape.append(try size()) }
      shapes.append((name, shape))
    }
    let only = try globs()
    var config: [(key: String, value: JSON)] = []
    for _ in 0..<(try count()) {
      let key = try text()
      config.append((key, try JSON.parse(try text())))
    }
    return FamilySignature(names: names, shapes: shapes, only: only, config: config)
  }

  private mutating func globs() throws(FormatError) -> [LazyGlob] { try texts().map { LazyGlob($0) } }

  private mutating func size() throws(FormatError) -> FamilySignature.Size {
    switch try number() {
    case 0: .any
    case 1: .powerOfTwoAndTwo
    case let size: .exactly(size - 2)
    }
  }
}
