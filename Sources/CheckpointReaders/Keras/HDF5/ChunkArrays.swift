import TensorIO

/// An entry of an array of chunks.
struct ChunkArrayElement {
  let address: Int
  let size: Int
  let mask: UInt32

  func chunk(at offset: [Int]) -> ChunkIndex.Chunk {
    .init(offset: offset, address: address, size: size, mask: mask)
  }

  /// | address | size, mask if filtered |; `nil` if there is no chunk.
  init?(_ cursor: inout HDF5Cursor, _ sizeBytes: Int?, _ chunkSize: Int) throws(FormatError) {
    let address = try cursor.address("a chunk")
    size = if let sizeBytes { try cursor.size(sizeBytes, "a chunk's size") } else { chunkSize }
    mask = sizeBytes == nil ? 0 : UInt32(try cursor.number(4, "a chunk's filters"))
    guard let address else { return nil }
    self.address = address
  }
}

/// What the two arrays of chunks share: pages of elements, each with a checksum.
struct ChunkArrayForm {
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
  func element(_ index: Int, at address: Int) throws(FormatError) -> ChunkArrayElement? {
    let (distance, overflow) = index.multipliedReportingOverflow(by: elementSize)
    let (start, beyond) = address.addingReportingOverflow(distance)
    guard !overflow, !beyond else { throw FormatError(.limit, "the chunk array is too large", file: file.bytes.file) }
    var cursor = try file.cursor(at: start, count: elementSize, "an array of chunks")
    return try ChunkArrayElement(&cursor, sizeBytes, chunkSize)
  }

  static func bit(_ map: Bytes, _ index: Int) -> Bool { (map.byte(at: index / 8) ?? 0) & 0x80 >> UInt8(index % 8) != 0 }
}

/// | FAHD | 0 | client | element size | page bits | elements | data block | checksum |, and the block FADB, which is in pages
/// where it has more elements than one.
struct FixedChunkArray {
  private let form: ChunkArrayForm
  private let count: Int
  private let pageSize: Int
  private let elements: Int
  private let pages: Bytes?

  init(_ file: HDF5File, at address: Int, sizeBytes: Int?, chunkSize: Int) throws(FormatError) {
    form = ChunkArrayForm(file, sizeBytes, chunkSize)
    let what = "an array of chunks"
    var cursor = try file.block(at: address, signature: "FAHD", what)
    _ = try cursor.byte(what)
    let size = Int(try cursor.byte(what))
    let bits = Int(try cursor.byte(what))
    count = try cursor.length("the number of chunks")
    let blockAddress = try cursor.address(what)
    try file.check(at: address, count: cursor.position + 4, what)
    guard size == form.elementSize, bits < 32, let blockAddress else {
      throw cursor.error(.damaged, "the chunk array has impossible sizes", found: "elements of \(size) bytes")
    }
    pageSize = 1 << bits
    guard count <= file.bytes.count else {
      throw cursor.error(.damaged, "the chunk array has more chunks than the file has bytes")
    }
    var block = try file.block(at: blockAddress, signature: "FADB", what)
    try block.skip(1)
    _ = try block.address(what)
    if count > pageSize {
      pages = try block.take(((count + pageSize - 1) / pageSize + 7) / 8, "the pages of an array of chunks")
      try file.check(at: blockAddress, count: block.position + 4, what)
      elements = blockAddress + block.position + 4
    } else {
      pages = nil
      elements = blockAddress + block.position
      try file.check(at: blockAddress, count: block.position + count * size + 4, what)
    }
  }

  func element(_ index: Int) throws(FormatError) -> ChunkArrayElement? {
    guard index < count else { return nil }
    guard let pages else { return try form.element(index, at: elements) }
    let page = index / pageSize
    guard ChunkArrayForm.bit(pages, page) else { return nil }
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
struct ExtensibleChunkArray {
  private let form: ChunkArrayForm
  private let count: Int
  private let ownElements: Int
  private let minElements: Int
  private let minPointers: Int
  private let offsetBytes: Int
  private let pageSize: Int
  private let superBlockCount: Int
  /// Of the index block.
  private let elements: Int
  private let dataBlocks: Int
  private let superBlocks: Int

  init(_ file: HDF5File, at address: Int, sizeBytes: Int?, chunkSize: Int) throws(FormatError) {
    form = ChunkArrayForm(file, sizeBytes, chunkSize)
    let what = "an array of chunks"
    var cursor = try file.block(at: address, signature: "EAHD", what)
    _ = try cursor.byte(what)
    let size = Int(try cursor.byte(what))
    let bits = Int(try cursor.byte(what))
    ownElements = Int(try cursor.byte(what))
    minElements = Int(try cursor.byte(what))
    minPointers = Int(try cursor.byte(what))
    let pageBits = Int(try cursor.byte(what))
    for _ in 0..<4 { _ = try cursor.length(what) }
    count = try cursor.length("the number of chunks")
    _ = try cursor.length(what)
    let blockAddress = try cursor.address(what)
    try file.check(at: address, count: cursor.position + 4, what)
    guard size == form.elementSize, (1...64).contains(bits), pageBits < 32, minElements > 0,
      minElements & (minElements - 1) == 0, minPointers > 1, minPointers & (minPointers - 1) == 0,
      bits >= minElements.trailingZeroBitCount, let blockAddress
    else { throw cursor.error(.damaged, "the chunk array has impossible sizes", found: "elements of \(size) bytes") }
    offsetBytes = (bits + 7) / 8
    pageSize = 1 << pageBits
    superBlockCount = 1 + bits - minElements.trailingZeroBitCount
    var block = try file.block(at: blockAddress, signature: "EAIB", what)
    try block.skip(1)
    _ = try block.address(what)
    elements = blockAddress + block.position
    dataBlocks = elements + ownElements * size
    superBlocks = dataBlocks + 2 * (minPointers - 1) * file.offsetSize
    let direct = 2 * minPointers.trailingZeroBitCount
    let end = superBlocks + max(0, superBlockCount - direct) * file.offsetSize + 4
    try file.check(at: blockAddress, count: end - blockAddress, what)
  }

  private func address(_ index: Int, at start: Int) throws(FormatError) -> Int? {
    var cursor = try form.file.cursor(
      at: start + index * form.file.offsetSize, count: form.file.offsetSize, "an array of chunks")
    return try cursor.address("a block of an array of chunks")
  }

  func element(_ index: Int) throws(FormatError) -> ChunkArrayElement? {
    guard index < count else { return nil }
    guard index >= ownElements else { return try form.element(index, at: elements) }
    let what = "a block of an array of chunks"
    let rest = index - ownElements
    // Super block s has 2^(s / 2) data blocks of least · 2^((s + 1) / 2) elements each.
    let number = Int.bitWidth - 1 - (rest / minElements + 1).leadingZeroBitCount
    let before = ((1 << number) - 1) * minElements
    let blockElements = minElements << ((number + 1) / 2)
    let inSuper = (rest - before) / blockElements
    let inBlock = (rest - before) % blockElements
    let file = form.file
    let prefix = 6 + file.offsetSize + offsetBytes
    let pageCount = blockElements > pageSize ? blockElements / pageSize : 0
    let direct = 2 * minPointers.trailingZeroBitCount
    let blockAddress: Int?
    var isThere = true
    if number < direct {
      // The data blocks of the super blocks before it.
      let first = (0..<number).reduce(0) { $0 + 1 << ($1 / 2) }
      blockAddress = try address(first + inSuper, at: dataBlocks)
    } else {
      guard number < superBlockCount, let start = try address(number - direct, at: superBlocks) else { return nil }
      var block = try file.block(at: start, signature: "EASB", what)
      try block.seek(to: prefix)
      let blocks = 1 << (number / 2)
      let map = try block.take(pageCount > 0 ? blocks * ((pageCount + 7) / 8) : 0, "the pages of an array of chunks")
      if pageCount > 0 { isThere = ChunkArrayForm.bit(map, inSuper * pageCount + inBlock / pageSize) }
      if inSuper == 0, inBlock == 0 {
        try file.check(at: start, count: block.position + blocks * file.offsetSize + 4, what)
      }
      blockAddress = try address(inSuper, at: start + block.position)
    }
    guard let blockAddress, isThere else { return nil }
    _ = try file.block(at: blockAddress, signature: "EADB", what)
    guard pageCount > 0 else {
      if inBlock == 0 { try file.check(at: blockAddress, count: prefix + blockElements * form.elementSize + 4, what) }
      return try form.element(inBlock, at: blockAddress + prefix)
    }
    let page = blockAddress + prefix + 4 + inBlock / pageSize * (pageSize * form.elementSize + 4)
    if inBlock % pageSize == 0 { try file.check(at: page, count: pageSize * form.elementSize + 4, what) }
    return try form.element(inBlock % pageSize, at: page)
  }
}
