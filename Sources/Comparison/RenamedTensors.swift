import Conversion
import ModelFamilies
import TensorIO
import WeightMapping

/// Finds the tensors of two checkpoints that are the same under other names.
///
/// Only tensors of one type and shape can be, so only those are read: once for a checksum, and once more where a tensor on
/// the other side has the same one, for then the bytes decide. The time follows the bytes, not the number of pairs.
///
/// A tensor whose elements are all the same, such as a new bias, has the bytes of many others. Such tensors count as
/// renamed only where both sides have as many of them, and only where another tensor was renamed too; otherwise they are
/// one removed and one added.
struct RenamedTensors {
  struct Candidate {
    /// Among the targets of its side.
    let index: Int
    let target: MappingPlan.Target
    let storedType: ElementType
  }

  private struct Form: Hashable {
    let type: ElementType
    let storedType: ElementType
    let shape: [Int]

    init(_ candidate: Candidate) {
      type = candidate.target.info.elementType
      storedType = candidate.storedType
      shape = candidate.target.info.shape
    }
  }

  /// Two checksums of unlike polynomials: what agrees in both by chance is not worth planning for.
  private struct Content: Hashable {
    let crc32c: UInt32
    let crc32: UInt32
    let isConstant: Bool
  }

  private let a: any TensorSource
  private let b: any TensorSource

  /// Indices among the targets of A, and of B.
  typealias Pair = (a: Int, b: Int)

  /// `progress` is called with each tensor of A that was read.
  static func find(
    _ left: [Candidate], in a: any TensorSource, _ right: [Candidate], in b: any TensorSource,
    progress: (Candidate) -> Void
  ) throws -> [Pair] {
    let finder = RenamedTensors(a: a, b: b)
    let lefts = Dictionary(grouping: left, by: Form.init)
    let rights = Dictionary(grouping: right, by: Form.init)
    var pairs: [Pair] = []
    var constant: [(left: [Candidate], right: [Candidate])] = []
    // The order of a dictionary is another one in every run, but the pairs of a form depend on that form alone.
    for (form, ours) in lefts {
      guard let theirs = rights[form] else { continue }
      let (known, found) = (try contents(ours, in: a, progress), try contents(theirs, in: b) { _ in })
      for (content, ours) in known {
        guard let theirs = found[content] else { continue }
        if content.isConstant {
          if ours.count == theirs.count { constant.append((ours, theirs)) }
        } else {
          pairs += try finder.equal(NamePairing.pairs(ours, theirs))
        }
      }
    }
    guard !pairs.isEmpty else { return [] }
    for group in constant { pairs += try finder.equal(NamePairing.pairs(group.left, group.right)) }
    return pairs
  }

  private static func contents(
    _ candidates: [Candidate], in source: any TensorSource, _ progress: (Candidate) -> Void
  ) throws -> [Content: [Candidate]] {
    var result: [Content: [Candidate]] = [:]
    for candidate in candidates {
      result[try content(candidate.target, in: source), default: []].append(candidate)
      progress(candidate)
    }
    return result
  }

  private static func content(_ target: MappingPlan.Target, in source: any TensorSource) throws -> Content {
    let size = target.info.elementType.size ?? 1
    var (crc32c, crc32) = (CRC32C(), CRC32())
    var first: [UInt8] = []
    var isConstant = true
    try Converter.stream(target, from: source) { chunk in
      crc32c.update(chunk)
      crc32.update(chunk)
      guard isConstant, chunk.byteCount >= size else { return }
      if first.isEmpty { first = chunk.extracting(0..<size).array() }
      // Each element is that before it.
      isConstant =
        first == chunk.extracting(0..<size).array()
        && chunk.extracting(0..<(chunk.byteCount - size)).elementsEqual(chunk.extracting(size..<chunk.byteCount))
    }
    return Content(crc32c: crc32c.value, crc32: crc32.value, isConstant: isConstant)
  }

  /// Those of `pairs` whose bytes are the same.
  private func equal(_ pairs: [(Candidate, Candidate)]) throws -> [Pair] {
    try pairs.compactMap { ours, theirs in
      var tally = Tally(shape: ours.target.info.shape, size: ours.target.info.elementType.size ?? 1)
      try Converter.withBytes(of: theirs.target, from: b) { whole in
        try Converter.stream(ours.target, from: a) { chunk in tally.add(chunk, whole) }
      }
      return tally.problem == nil ? (ours.index, theirs.index) : nil
    }
  }
}

/// Pairs tensors that could all be each other, so that those of the most similar names go together.
private enum NamePairing {
  /// What two names have in common, the closest first.
  private enum Likeness: CaseIterable { case layerAndTwoParts, layerAndLastPart, layer, lastPart, none }

  private struct Key: Hashable {
    var layer: [Int]?
    var ending: [Substring] = []

    init(_ name: String, _ likeness: Likeness) {
      let parts =
        switch likeness {
        case .layerAndTwoParts: 2
        case .layerAndLastPart, .lastPart: 1
        case .layer, .none: 0
        }
      if likeness != .lastPart, likeness != .none { layer = LayerNumber.all(in: name).map(\.number) }
      ending = name.split { $0 == "." || $0 == "/" }.suffix(parts)
    }
  }

  /// Each tensor is in at most one pair; what is left over on one side is in none. Ties go by the order of the tensors.
  static func pairs(
    _ left: [RenamedTensors.Candidate], _ right: [RenamedTensors.Candidate]
  ) -> [(RenamedTensors.Candidate, RenamedTensors.Candidate)] {
    var (left, right) = (left, right)
    var result: [(RenamedTensors.Candidate, RenamedTensors.Candidate)] = []
    for likeness in Likeness.allCases where !left.isEmpty && !right.isEmpty {
      // Where there is no choice, nothing has to be alike.
      if left.count == 1, right.count == 1, likeness != .none { continue }
      func key(_ candidate: RenamedTensors.Candidate) -> Key { Key(candidate.target.info.name, likeness) }
      var open = Dictionary(grouping: right.indices.reversed(), by: { key(right[$0]) })
      var taken: Set<Int> = []
      left.removeAll { candidate in
        guard let index = open[key(candidate)]?.popLast() else { return false }
        result.append((candidate, right[index]))
        taken.insert(index)
        return true
      }
      right = right.enumerated().filter { !taken.contains($0.offset) }.map(\.element)
    }
    return result
  }
}
