import TensorIO

/// Where the chunks of a dataset lie: one of the six indexes that libhdf5 chooses among.
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
  let most: [Int?]
  /// Bytes of a chunk before any filter.
  let chunkSize: Int
  let isFiltered: Bool

  private static let mostChunks = 1 << 24
  private static let fewChunks = 1 << 16

  /// The number of chunks along each dimension.
  private var counts: [Int] { zip(extent, shape).map { $0 / $1 + ($0 % $1 > 0 ? 1 : 0) } }

  /// The most that can be stored; `nil` where that is no number.
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
        let (place, overflow) = number.multipliedReportingOverflow(by: chunkSize)
        let (start, beyond) = address.addingReportingOverflow(place)
        guard !overflow, !beyond else { throw tooLarge(file) }
        try body(Chunk(offset: offset, address: start, size: chunkSize, mask: 0))
      }
    case .fixedArray:
      let array = try FixedArray(file, at: address, sizeBytes: isFiltered ? sizeBytes : nil, chunkSize: chunkSize)
      try forEachNumber(file) { number, offset in
        if let element = try array.element(number) { try body(element.chunk(at: offset)) }
      }
    case .extensibleArray:
      let array = try ExtensibleArray(file, at: address, sizeBytes: isFiltered ? sizeBytes : nil, chunkSize: chunkSize)
      try forEachNumber(file) { number, offset in
        if let element = try array.element(number) { try body(element.chunk(at: offset)) }
      }
    }
  }

  private func tooLarge(_ file: HDF5File) -> FormatError {
    FormatError("a dataset has too many chunks", file: file.bytes.file, found: shapeText(extent))
  }

  /// How far apart the numbers of two neighbours along each axis are: as if the dataset had grown to its limits, the axis
  /// without one going before all others.
  private var numberStrides: [Int]? {
    var axes = Array(shape.indices)
    if let endless = most.firstIndex(of: nil) {
      axes.remove(at: endless)
      axes.insert(endless, at: 0)
    }
    var strides = shape.map { _ in 0 }
    var product = 1
    for axis in axes.reversed() {
      strides[axis] = product
      guard axis != axes[0] else { break }
      guard let most = most[axis] else { return nil }
      let count = most / shape[axis] + (most % shape[axis] > 0 ? 1 : 0)
      let (next, overflow) = product.multipliedReportingOverflow(by: count)
      if overflow { return nil }
      product = next
    }
    return strides
  }

  /// Calls `body` with each chunk's number and its first element's place.
  private func forEachNumber(_ file: HDF5File, _ body: (Int, [Int]) throws -> Void) throws {
    let counts = counts
    // Each that was written takes some bytes; a few that were not are honest.
    let most = max(Self.fewChunks, min(Self.mostChunks, file.bytes.count))
    guard let total = count, total <= most, let strides = numberStrides else {
      throw FormatError("a dataset has too many chunks", found: shapeText(extent), expected: "at most \(most)")
    }
    var place = counts.map { _ in 0 }
    for _ in 0..<total {
      var number = 0
      for (step, stride) in zip(place, strides) {
        let (product, overflow) = step.multipliedReportingOverflow(by: stride)
        let (sum, beyond) = number.addingReportingOverflow(product)
        guard !overflow, !beyond else { throw FormatError("a dataset has too many chunks", found: shapeText(extent)) }
        number = sum
      }
      try body(number, zip(place, shape).map { $0 * $1 })
      for axis in place.indices.reversed() {
        place[axis] += 1
        if place[axis] < counts[axis] { break }
        place[axis] = 0
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
    guard walk.seen.insert(address).inserted else { throw cursor.error("a tree of chunks holds itself") }
    try cursor.expect("TREE", what)
    let (level, count) = try cursor.treeNode(1, above: above, what)
    for _ in 0..<count {
      let size = try cursor.size(4, "a chunk's size")
      let mask = UInt32(try cursor.number(4, "a chunk's filters"))
      var offset: [Int] = []
      for _ in shape { offset.append(try cursor.size(8, "a chunk's place")) }
      try cursor.skip(8)
      guard let child = try cursor.address(what) else { throw cursor.error("a tree of chunks has a gap") }
      if level > 0 {
        guard walk.seen.count < Self.mostChunks else { throw tooLarge(file) }
        try visit(child, file, &walk, above: level, body)
      } else {
        // libhdf5 searches by the order of the places, and would not find one that lies out of it.
        guard walk.last.map({ $0.lexicographicallyPrecedes(offset) || $0 == offset }) ?? true else {
          throw cursor.error(
            "the chunks of a dataset are not in order",
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
      throw FormatError("a tree of chunks of an unknown kind", file: file.bytes.file, found: "\(tree.type)")
    }
    var chunks: [Chunk] = []
    try tree.forEachRecord { (record) throws(FormatError) in
      var record = record
      guard let place = try record.address("a chunk") else { return }
      let size = isFiltered ? try record.size(sizeBytes, "a chunk's size") : chunkSize
      let mask = isFiltered ? UInt32(try record.number(4, "a chunk's filters")) : 0
      var offset: [Int] = []
      for dimension in shape {
        let (product, overflow) = try record.size(8, "a chunk's place").multipliedReportingOverflow(by: dimension)
        guard !overflow else { throw record.error("a chunk lies outside its dataset") }
        offset.append(product)
      }
      chunks.append(Chunk(offset: offset, address: place, size: size, mask: mask))
      guard chunks.count <= Self.mostChunks else { throw record.error("a dataset has too many chunks") }
    }
    for chunk in chunks { try body(chunk) }
  }
}

/// An entry of an array of chunks.
private struct ArrayElement {
  let address: Int
  let size: Int
  let mask: UInt32

  func chunk(at offset: [Int]) -> ChunkIndex.Chunk {
    .init(offset: offset, address: address, size: size, mask: mask)
  }

  /// | address | size, mask where filtered |; `nil` where there is none.
  init?(_ cursor: inout HDF5Cursor, _ sizeBytes: Int?, _ chunkSize: Int) throws(FormatError) {
    let address = try cursor.address("a chunk")
    size = if let sizeBytes { try cursor.size(sizeBytes, "a chunk's size") } else { chunkSize }
    mask = sizeBytes == nil ? 0 : UInt32(try cursor.number(4, "a chunk's filters"))
    guard let address else { return nil }
    self.address = address
  }
}

/// What the two arrays of chunks share: pages of elements, each with a checksum.
private struct ArrayForm {
  let file: HDF5File
  let sizeBytes: Int?
  let chunkSize: Int
  let elementSize: Int

  init(_ file: HDF5File, _ sizeBytes: Int?, _ chunkSize: Int) {
    self.file = file
    self.sizeBytes = sizeBytes
    self.chunkSize = chunkSize
    elementSize = file.offsetSize + (sizeBytes.map { $0 + 4 } ?? 0)
  }

  /// Element `index` of those that lie at `address`.
  func element(_ index: Int, at address: Int) throws(FormatError) -> ArrayElement? {
    let (place, overflow) = index.multipliedReportingOverflow(by: elementSize)
    let (start, beyond) = address.addingReportingOverflow(place)
    guard !overflow, !beyond else { throw FormatError("an array of chunks is too large", file: file.bytes.file) }
    var cursor = try file.cursor(at: start, count: elementSize, "an array of chunks")
    return try ArrayElement(&cursor, sizeBytes, chunkSize)
  }

  static func bit(_ map: Bytes, _ index: Int) -> Bool { (map.byte(at: index / 8) ?? 0) & 0x80 >> UInt8(index % 8) != 0 }
}

/// | FAHD | 0 | client | element size | page bits | elements | data block | checksum |, and the block FADB, which is in pages
/// where it has more elements than one.
private struct FixedArray {
  private let form: ArrayForm
  private let count: Int
  private let pageSize: Int
  private let elements: Int
  private let pages: Bytes?

  init(_ file: HDF5File, at address: Int, sizeBytes: Int?, chunkSize: Int) throws(FormatError) {
    form = ArrayForm(file, sizeBytes, chunkSize)
    let what = "an array of chunks"
    var cursor = try file.block(at: address, signature: "FAHD", what)
    _ = try cursor.byte(what)
    let size = Int(try cursor.byte(what))
    let bits = Int(try cursor.byte(what))
    count = try cursor.length("the number of chunks")
    let place = try cursor.address(what)
    try file.check(at: address, count: cursor.position + 4, what)
    guard size == form.elementSize, bits < 32, let place else {
      throw cursor.error("an array of chunks of impossible sizes", found: "elements of \(size) bytes")
    }
    pageSize = 1 << bits
    guard count <= file.bytes.count else { throw cursor.error("an array of more chunks than the file has bytes") }
    var block = try file.block(at: place, signature: "FADB", what)
    try block.skip(1)
    _ = try block.address(what)
    if count > pageSize {
      pages = try block.take(((count + pageSize - 1) / pageSize + 7) / 8, "the pages of an array of chunks")
      try file.check(at: place, count: block.position + 4, what)
      elements = place + block.position + 4
    } else {
      pages = nil
      elements = place + block.position
      try file.check(at: place, count: block.position + count * size + 4, what)
    }
  }

  func element(_ index: Int) throws(FormatError) -> ArrayElement? {
    guard index < count else { return nil }
    guard let pages else { return try form.element(index, at: elements) }
    let page = index / pageSize
    guard ArrayForm.bit(pages, page) else { return nil }
    let start = elements + page * (pageSize * form.elementSize + 4)
    if index % pageSize == 0 {
      let own = min(pageSize, count - page * pageSize)
      try form.file.check(at: start, count: own * form.elementSize + 4, "a page of an array of chunks")
    }
    return try form.element(index % pageSize, at: start)
  }
}

/// | EAHD | … |: some elements in the index block EAIB, then data blocks EADB of growing size that the index block or super
/// blocks EASB name.
private struct ExtensibleArray {
  private let form: ArrayForm
  private let count: Int
  private let ownElements: Int
  private let leastElements: Int
  private let leastPointers: Int
  private let offsetBytes: Int
  private let pageSize: Int
  private let superBlockCount: Int
  /// Of the index block.
  private let elements: Int
  private let dataBlocks: Int
  private let superBlocks: Int

  init(_ file: HDF5File, at address: Int, sizeBytes: Int?, chunkSize: Int) throws(FormatError) {
    form = ArrayForm(file, sizeBytes, chunkSize)
    let what = "an array of chunks"
    var cursor = try file.block(at: address, signature: "EAHD", what)
    _ = try cursor.byte(what)
    let size = Int(try cursor.byte(what))
    let bits = Int(try cursor.byte(what))
    ownElements = Int(try cursor.byte(what))
    leastElements = Int(try cursor.byte(what))
    leastPointers = Int(try cursor.byte(what))
    let pageBits = Int(try cursor.byte(what))
    for _ in 0..<4 { _ = try cursor.length(what) }
    count = try cursor.length("the number of chunks")
    _ = try cursor.length(what)
    let place = try cursor.address(what)
    try file.check(at: address, count: cursor.position + 4, what)
    guard size == form.elementSize, (1...64).contains(bits), pageBits < 32, leastElements > 0,
      leastElements & (leastElements - 1) == 0, leastPointers > 1, leastPointers & (leastPointers - 1) == 0,
      bits >= leastElements.trailingZeroBitCount, let place
    else { throw cursor.error("an array of chunks of impossible sizes", found: "elements of \(size) bytes") }
    offsetBytes = (bits + 7) / 8
    pageSize = 1 << pageBits
    superBlockCount = 1 + bits - leastElements.trailingZeroBitCount
    var block = try file.block(at: place, signature: "EAIB", what)
    try block.skip(1)
    _ = try block.address(what)
    elements = place + block.position
    dataBlocks = elements + ownElements * size
    superBlocks = dataBlocks + 2 * (leastPointers - 1) * file.offsetSize
    let direct = 2 * leastPointers.trailingZeroBitCount
    let end = superBlocks + max(0, superBlockCount - direct) * file.offsetSize + 4
    try file.check(at: place, count: end - place, what)
  }

  private func address(_ index: Int, at start: Int) throws(FormatError) -> Int? {
    var cursor = try form.file.cursor(
      at: start + index * form.file.offsetSize, count: form.file.offsetSize, "an array of chunks")
    return try cursor.address("a block of an array of chunks")
  }

  func element(_ index: Int) throws(FormatError) -> ArrayElement? {
    guard index < count else { return nil }
    guard index >= ownElements else { return try form.element(index, at: elements) }
    let what = "a block of an array of chunks"
    let rest = index - ownElements
    // Super block s has 2^(s / 2) data blocks of least · 2^((s + 1) / 2) elements each.
    let number = Int.bitWidth - 1 - (rest / leastElements + 1).leadingZeroBitCount
    let before = ((1 << number) - 1) * leastElements
    let blockElements = leastElements << ((number + 1) / 2)
    let inSuper = (rest - before) / blockElements
    let inBlock = (rest - before) % blockElements
    let file = form.file
    let prefix = 6 + file.offsetSize + offsetBytes
    let pageCount = blockElements > pageSize ? blockElements / pageSize : 0
    let direct = 2 * leastPointers.trailingZeroBitCount
    let place: Int?
    var isThere = true
    if number < direct {
      // The data blocks of the super blocks before it.
      let first = (0..<number).reduce(0) { $0 + 1 << ($1 / 2) }
      place = try address(first + inSuper, at: dataBlocks)
    } else {
      guard number < superBlockCount, let start = try address(number - direct, at: superBlocks) else { return nil }
      var block = try file.block(at: start, signature: "EASB", what)
      try block.seek(to: prefix)
      let blocks = 1 << (number / 2)
      let map = try block.take(pageCount > 0 ? blocks * ((pageCount + 7) / 8) : 0, "the pages of an array of chunks")
      if pageCount > 0 { isThere = ArrayForm.bit(map, inSuper * pageCount + inBlock / pageSize) }
      if inSuper == 0, inBlock == 0 {
        try file.check(at: start, count: block.position + blocks * file.offsetSize + 4, what)
      }
      place = try address(inSuper, at: start + block.position)
    }
    guard let place, isThere else { return nil }
    _ = try file.block(at: place, signature: "EADB", what)
    guard pageCount > 0 else {
      if inBlock == 0 { try file.check(at: place, count: prefix + blockElements * form.elementSize + 4, what) }
      return try form.element(inBlock, at: place + prefix)
    }
    let page = place + prefix + 4 + inBlock / pageSize * (pageSize * form.elementSize + 4)
    if inBlock % pageSize == 0 { try file.check(at: page, count: pageSize * form.elementSize + 4, what) }
    return try form.element(inBlock % pageSize, at: page)
  }
}
