import TensorIO

/// What one reading of a tensor tells.
struct TensorLook {
  let statistics: TensorStatistics
  let histogram: Histogram?
  /// CRC32C of the bytes: tensors that are the same have the same.
  fileprivate let checksum: UInt32

  /// Each of `shown` that has numeric values, by its index, read once and with every checksum that the format has.
  static func read(_ source: any TensorSource, _ shown: [Int]) throws -> [Int: TensorLook] {
    let tensors = source.tensors
    var bar = ProgressBar("reading", total: shown.reduce(0) { $0 + tensors[$1].byteCount })
    defer { bar.finish() }
    var done = 0
    var looks: [Int: TensorLook] = [:]
    for index in shown where tensors[index].elementType.size != nil {
      looks[index] = try source.withBytes(ofTensorAt: index) { bytes in
        TensorLook(bytes, tensors[index].elementType)
      }
      done += tensors[index].byteCount
      bar.update(done)
    }
    return looks
  }

  private init?(_ bytes: RawSpan, _ type: ElementType) {
    guard let statistics = TensorStatistics(bytes, type) else { return nil }
    self.statistics = statistics
    histogram = Histogram(bytes, type, statistics)
    checksum = CRC32C.checksum(bytes)
  }

  /// Whether all values are one and the same.
  var isConstant: Bool {
    statistics.nan == 0 && statistics.infinite == 0 && statistics.minimum == statistics.maximum
  }

  /// The histogram in `columns` characters, the fullest bin highest; empty where no value is finite.
  func drawing(columns: Int = 16) -> String {
    guard let counts = histogram?.counts, !counts.isEmpty else { return "" }
    // One value, in the middle.
    if counts.count == 1 { return String(repeating: " ", count: columns / 2) + "█" }
    var bins = [Int](repeating: 0, count: columns)
    for (index, count) in counts.enumerated() { bins[index * columns / counts.count] += count }
    let most = max(1, bins.max() ?? 1)
    let bars: [Character] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
    return String(
      bins.map { count in
        count == 0 ? " " : bars[min(7, Int(Double(count) / Double(most) * 8))]
      })
  }
}

/// What is odd about the values that were read, a sentence each.
struct Findings {
  struct Finding {
    let style: Style
    let kind: String
    let sentence: String
    let tensors: [String]
  }

  private(set) var all: [Finding] = []

  /// Tensors that seem to be the same are read once more, to be sure.
  init(_ looks: [Int: TensorLook], of source: any TensorSource) throws {
    let tensors = source.tensors
    let indices = looks.keys.sorted()
    func named(_ isOdd: (TensorLook) -> Bool) -> [String] {
      indices.filter { looks[$0].map(isOdd) == true }.map { tensors[$0].name }
    }
    add(.bad, "nan", "NaN in", named { $0.statistics.nan > 0 })
    add(.bad, "inf", "infinities in", named { $0.statistics.infinite > 0 })
    add(
      .notable, "zeros", "nothing but zeros in",
      named { $0.statistics.count > 1 && $0.statistics.zeros == $0.statistics.count })
    for group in try Self.equals(looks, source) {
      add(.notable, "same", "the same values in", group.map { tensors[$0].name })
    }
  }

  private mutating func add(_ style: Style, _ kind: String, _ sentence: String, _ names: [String]) {
    if !names.isEmpty { all.append(Finding(style: style, kind: kind, sentence: sentence, tensors: names)) }
  }

  private struct Content: Hashable {
    let type: ElementType
    let shape: [Int]
    let checksum: UInt32
  }

  /// Groups of tensors that hold the same bytes. All-zero biases and the like are equal everywhere, and mean nothing.
  private static func equals(_ looks: [Int: TensorLook], _ source: any TensorSource) throws -> [[Int]] {
    let tensors = source.tensors
    let candidates = looks.filter { $0.value.statistics.count > 1 && !$0.value.isConstant }
    let groups = Dictionary(grouping: candidates.keys.sorted()) { index in
      Content(
        type: tensors[index].elementType, shape: tensors[index].shape, checksum: candidates[index]?.checksum ?? 0)
    }
    return try groups.values.filter { $0.count > 1 }.sorted { $0[0] < $1[0] }.compactMap { group in
      let same = try source.withBytes(ofTensorAt: group[0]) { first in
        try group.dropFirst().filter { index in
          try source.withBytes(ofTensorAt: index) { $0.elementsEqual(first) }
        }
      }
      return same.isEmpty ? nil : [group[0]] + same
    }
  }

  var text: String {
    let width = all.map(\.kind.count).max() ?? 0
    return all.map { finding in
      let space = String(repeating: " ", count: width + 2 - finding.kind.count)
      let names = finding.tensors.prefix(5).map { printable($0) }.joined(separator: ", ")
      let more = finding.tensors.count > 5 ? " and \(grouped(finding.tensors.count - 5)) more" : ""
      let count = counted(finding.tensors.count, "tensor")
      return finding.style(finding.kind) + space + "\(finding.sentence) \(count): \(names)\(more)"
    }.joined(separator: "\n")
  }

  var json: JSON {
    .array(all.map { .object(["kind": .string($0.kind), "tensors": .strings($0.tensors)]) })
  }
}

/// The first values of a tensor.
enum FirstValues {
  private struct Enough: Error {}

  /// At most `count` of them, as text and as JSON. Reads no more than the first piece of the tensor, where the format lets
  /// it; checksums are not looked at then.
  static func read(_ source: any TensorSource, _ index: Int, count: Int) throws -> (texts: [String], json: [JSON]) {
    let info = source.tensors[index]
    if info.elementType == .string {
      let strings = try source.strings(ofTensorAt: index).prefix(count).map { String(decoding: $0, as: UTF8.self) }
      return (
        strings.map { text in
          let start = String(text.prefix(60))
          return "'\(printable(start))\(start.utf8.count < text.utf8.count ? "…" : "")'"
        }, strings.map { .string($0) }
      )
    }
    guard let size = info.elementType.size else { return ([], []) }
    var texts: [String] = []
    var json: [JSON] = []
    do {
      try source.streamBytes(ofTensorAt: index) { bytes in
        for place in 0..<min(count - texts.count, bytes.byteCount / size) {
          guard let (text, value) = info.elementType.element(of: bytes, at: place * size) else { break }
          texts.append(text)
          json.append(value)
        }
        if texts.count == count { throw Enough() }
      }
    } catch is Enough {}
    return (texts, json)
  }
}
