import TensorIO

/// The locations of the chunks of a dataset: one of the six kinds of index that libhdf5 chooses from.
struct ChunkIndex {
  enum Kind {
    /// A tree of nodes TREE, of any dataset that the earliest library can read.
    case tree
    case single(size: Int?, mask: UInt32)
    case implicit
    case fixedArray
    case extensibleArray
    case tree2
  }

  struct Chunk {
    /// Of its first element, in elements.
    let offset: [Int]
    let address: Int
    /// Bytes as stored.
    let size: Int
    let mask: UInt32
  }

  let kind: Kind
  let address: Int?
  /// In elements.
  let shape: [Int]
  /// The dataset's, and what each dimension can grow to.
  let extent: [Int]
  let maxExtent: [Int?]
  /// Bytes of a chunk before any filter.
  let chunkSize: Int
  let isFiltered: Bool

  private static let maxChunks = 1 << 24
  private static let fewChunks = 1 << 16

  /// The number of chunks along each dimension.
  private var counts: [Int] { zip(extent, shape).map { $0 / $1 + ($0 % $1 > 0 ? 1 : 0) } }

  /// The maximum number of chunks; `nil` if it does not fit.
  var count: Int? { checkedElementCount(counts) }

  /// Bytes in which indexes of the later kind keep the size of a filtered chunk.
  private var sizeBytes: Int { min(8, 1 + ((Int.bitWidth - 1 - max(chunkSize, 1).leadingZeroBitCount) + 8) / 8) }

  /// Calls `body` with each chunk that is stored.
  func forEachChunk(_ file: HDF5File, _ body: (Chunk) throws -> Void) throws {
    guard let address, !extent.contains(0) else { return }
    switch kind {
    case .single(let size, let mask):
      try body(Chunk(offset: shape.map { _ in 0 }, address: address, size: size ?? chunkSize, mask: mask))
    case .tree:
      var walk = TreeWalk()
      try visit(address, file, &walk, body)
    case .tree2: try forEachRecord(file, address, body)
    case .implicit:
      try forEachNumber(file) { number, offset in
        let (distance, overflow) = number.multipliedReportingOverflow(by: chunkSize)
        let (start, beyond) = address.addingReportingOverflow(distance)
        guard !overflow, !beyond else { throw tooLarge(file) }
        try body(Chunk(offset: offset, address: start, size: chunkSize, mask: 0))
      }
    case .fixedArray:
      let array = try FixedChunkArray(file, at: address, sizeBytes: isFiltered ? sizeBytes : nil, chunkSize: chunkSize)
      try forEachNumber(file) { number, offset in
        if let element = try array.element(number) { try body(element.chunk(at: offset)) }
      }
    case .extensibleArray:
      let array = try ExtensibleChunkArray(
        file, at: address, sizeBytes: isFiltered ? sizeBytes : nil, chunkSize: chunkSize)
      try forEachNumber(file) { number, offset in
        if let element = try array.element(number) { try body(element.chunk(at: offset)) }
      }
    }
  }

  private func tooLarge(_ file: HDF5File) -> FormatError {
    FormatError(.limit, "a dataset has too many chunks", file: file.bytes.file, found: shapeText(extent))
  }

  /// The distance between the numbers of neighbors along each axis, as if the dataset had grown to its limits; an axis
  /// without a limit comes before all others.
  private var numberStrides: [Int]? {
    var axes = Array(shape.indices)
    if let endless = maxExtent.firstIndex(of: nil) {
      axes.remove(at: endless)
      axes.insert(endless, at: 0)
    }
    var strides = shape.map { _ in 0 }
    var product = 1
    for axis in axes.reversed() {
      strides[axis] = product
      guard axis != axes[0] else { break }
      guard let limit = maxExtent[axis] else { return nil }
      let count = limit / shape[axis] + (limit % shape[axis] > 0 ? 1 : 0)
      let (next, overflow) = product.multipliedReportingOverflow(by: count)
      if overflow { return nil }
      product = next
    }
    return strides
  }

  /// Calls `body` with each chunk's number and the index of its first element.
  private func forEachNumber(_ file: HDF5File, _ body: (Int, [Int]) throws -> Void) throws {
    let counts = counts
    // Each chunk that was written takes some bytes; a few may be unwritten.
    let limit = max(Self.fewChunks, min(Self.maxChunks, file.bytes.count))
    guard let total = count, total <= limit, let strides = numberStrides else {
      throw FormatError(.limit, "a dataset has too many chunks", found: shapeText(extent), expected: "at most \(limit)")
    }
    var position = counts.map { _ in 0 }
    for _ in 0..<total {
      var number = 0
      for (step, stride) in zip(position, strides) {
        let (product, overflow) = step.multipliedReportingOverflow(by: stride)
        let (sum, beyond) = number.addingReportingOverflow(product)
        guard !overflow, !beyond else {
          throw FormatError(.limit, "a dataset has too many chunks", found: shapeText(extent))
        }
        number = sum
      }
      try body(number, zip(position, shape).map { $0 * $1 })
      for axis in position.indices.reversed() {
        position[axis] += 1
        if position[axis] < counts[axis] { break }
        position[axis] = 0
      }
    }
  }

  private struct TreeWalk {
    var seen: Set<Int> = []
    var last: [Int]?
  }

  /// | TREE | 1 | level | entries 2 | left | right | key | child | key … |, key = | size 4 | mask 4 | offsets, 8 each |.
  private func visit(
    _ address: Int, _ file: HDF5File, _ walk: inout TreeWalk, above: UInt8? = nil, _ body: (Chunk) throws -> Void
  ) throws {
    let what = "a node of a dataset's chunks"
    var cursor = try file.cursor(at: address, what)
    guard walk.seen.insert(address).inserted else {
      throw cursor.error(.damaged, "the B-tree of the chunks contains itself")
    }
    try cursor.expect("TREE", what)
    let (level, count) = try cursor.treeNode(1, above: above, what)
    for _ in 0..<count {
      let size = try cursor.size(4, "a chunk's size")
      let mask = UInt32(try cursor.number(4, "a chunk's filters"))
      var offset: [Int] = []
      for _ in shape { offset.append(try cursor.size(8, "a chunk's offset")) }
      try cursor.skip(8)
      guard let child = try cursor.address(what) else {
        throw cursor.error(.damaged, "the B-tree of the chunks lacks a child")
      }
      if level > 0 {
        guard walk.seen.count < Self.maxChunks else { throw tooLarge(file) }
        try visit(child, file, &walk, above: level, body)
      } else {
        // libhdf5 searches by the order of the offsets, and would not find a chunk that is out of order.
        guard walk.last.map({ $0.lexicographicallyPrecedes(offset) || $0 == offset }) ?? true else {
          throw cursor.error(
            .damaged, "the chunks of a dataset are not in order",
            found: "\(shapeText(offset)) after \(shapeText(walk.last ?? []))")
        }
        walk.last = offset
        try body(Chunk(offset: offset, address: child, size: size, mask: mask))
      }
    }
  }

  /// Records | address | size, mask where filtered | offsets in chunks, 8 each |.
  private func forEachRecord(_ file: HDF5File, _ address: Int, _ body: (Chunk) throws -> Void) throws {
    let tree = try BTree2(file, at: address)
    guard tree.type == (isFiltered ? 11 : 10) else {
      throw FormatError(
        .unsupported, "the B-tree of the chunks has an unknown type", file: file.bytes.file, found: "\(tree.type)")
    }
    var chunks: [Chunk] = []
    try tree.forEachRecord { (record) throws(FormatError) in
      var record = record
      guard let address = try record.address("a chunk") else { return }
      let size = isFiltered ? try record.size(sizeBytes, "a chunk's size") : chunkSize
      let mask = isFiltered ? UInt32(try record.number(4, "a chunk's filters")) : 0
      var offset: [Int] = []
      for dimension in shape {
        let (product, overflow) = try record.size(8, "a chunk's offset").multipliedReportingOverflow(by: dimension)
        guard !overflow else { throw record.error(.damaged, "a chunk lies outside its dataset") }
        offset.append(product)
      }
      chunks.append(Chunk(offset: offset, address: address, size: size, mask: mask))
      guard chunks.count <= Self.maxChunks else { throw record.error(.limit, "a dataset has too many chunks") }
    }
    for chunk in chunks { try body(chunk) }
  }
}
