import TensorIO

/// A heap of names of an old group: | HEAP | 0 | 0 ×3 | size of data | free list | address of data |.
struct LocalHeap {
  private let data: HDF5Cursor

  init(_ file: HDF5File, at address: Int) throws(FormatError) {
    var cursor = try file.block(at: address, signature: "HEAP", "a heap of names")
    try cursor.skip(3)
    let size = try cursor.length("the size of a heap of names")
    _ = try cursor.length("a free list")
    guard let address = try cursor.address("the data of a heap of names") else {
      throw cursor.error(.damaged, "a heap of names has no data")
    }
    data = try file.cursor(at: address, count: size, "the data of a heap of names")
  }

  func name(at offset: Int) throws(FormatError) -> String {
    var cursor = data
    try cursor.seek(to: offset)
    return try cursor.terminatedName("a name")
  }
}

/// Objects of all sizes: | GCOL | 1 | 0 ×3 | size | objects, each | index 2 | references 2 | 0 ×4 | size | data, a multiple of 8 |.
struct GlobalHeap: Sendable {
  private var objects: [Int: Bytes] = [:]

  init(_ file: HDF5File, at address: Int) throws(FormatError) {
    var cursor = try file.block(at: address, signature: "GCOL", version: 1, "a global heap")
    try cursor.skip(3)
    let size = try cursor.length("the size of a global heap")
    cursor = try file.cursor(at: address, count: size, "a global heap")
    try cursor.skip(8 + file.lengthSize)
    while cursor.remaining >= 8 + file.lengthSize {
      let index = try cursor.size(2, "an object's index")
      try cursor.skip(6)
      let size = try cursor.length("an object's size")
      // What follows object 0 is free.
      guard index > 0 else { break }
      let start = cursor.position
      try file.budget.spend(32)
      objects[index] = try cursor.take(size, "an object of a global heap")
      try cursor.alignTo8(from: start)
    }
  }

  func object(_ index: Int) -> Bytes? { objects[index] }
}

/// Links or attributes of an object that has many of them.
///
///     header FRHP | direct blocks FHDB of objects | indirect blocks FHIB of rows of blocks
///
/// The blocks make one space of numbered bytes: `width` blocks a row, the size doubled from the second row on.
struct FractalHeap {
  private let file: HDF5File
  private let headerSize: Int
  private let offsetBytes: Int
  private let lengthBytes: Int
  private let idSize: Int
  private let width: Int
  private let firstSize: Int
  private let maxDirectSize: Int
  private let root: Int?
  private let rootRows: Int
  private let hugeTree: Int?

  private static let maxDepth = 16

  init(_ file: HDF5File, at address: Int) throws(FormatError) {
    self.file = file
    var cursor = try file.block(at: address, signature: "FRHP", "a fractal heap")
    idSize = try cursor.size(2, "the size of heap ids")
    let filterSize = try cursor.size(2, "a heap's filters")
    _ = try cursor.byte("a heap's flags")
    let maxManagedSize = try cursor.size(4, "the largest object of a heap")
    _ = try cursor.length("an id")
    hugeTree = try cursor.address("a tree of huge objects")
    _ = try cursor.length("free space")
    _ = try cursor.address("free space")
    for _ in 0..<8 { _ = try cursor.length("a count of a heap") }
    width = try cursor.size(2, "the width of a heap")
    firstSize = try cursor.length("the size of a heap's blocks")
    maxDirectSize = try cursor.length("the size of a heap's blocks")
    let bits = try cursor.size(2, "the size of a heap")
    _ = try cursor.size(2, "the rows of a heap")
    root = try cursor.address("the root block of a heap")
    rootRows = try cursor.size(2, "the rows of a heap")
    guard filterSize == 0 else {
      throw cursor.error(.unsupported, "the heap has filters", expected: "a heap as h5py writes it")
    }
    headerSize = cursor.position + 4
    try file.check(at: address, count: headerSize, "a fractal heap")
    guard width > 0, width <= 4096, firstSize > 0, firstSize & (firstSize - 1) == 0,
      maxDirectSize >= firstSize, maxDirectSize & (maxDirectSize - 1) == 0, maxDirectSize <= 1 << 32,
      (1...64).contains(bits),
      rootRows <= 64
    else { throw cursor.error(.damaged, "the heap has impossible sizes") }
    offsetBytes = (bits + 7) / 8
    lengthBytes = min(
      (maxDirectSize.trailingZeroBitCount + 7) / 8, Self.bytes(for: maxManagedSize))
  }

  /// Bytes that a number up to `limit` takes.
  static func bytes(for limit: Int) -> Int { limit <= 0 ? 1 : (Int.bitWidth - 1 - limit.leadingZeroBitCount) / 8 + 1 }

  /// The object of an id.
  func object(_ id: Bytes) throws(FormatError) -> Bytes {
    var cursor = HDF5Cursor(ByteCursor(id), file.offsetSize, file.lengthSize)
    let head = try cursor.byte("a heap id")
    guard head >> 6 == 0 else {
      throw cursor.error(.unsupported, "a heap id has an unknown version", found: "\(head >> 6)")
    }
    switch head >> 4 & 3 {
    case 0:
      let offset = try cursor.size(offsetBytes, "a heap id")
      let length = try cursor.size(lengthBytes, "a heap id")
      return try managed(offset, length)
    case 1: return try huge(&cursor)
    case 2:
      // Short ids have the length in the first byte, long ones in the second too.
      var length = Int(head & 0x0F)
      if idSize > 17 { length = length << 8 | Int(try cursor.byte("a heap id")) }
      return try cursor.take(length + 1, "an object in a heap id")
    default: throw cursor.error(.unsupported, "a heap id has an unknown type")
    }
  }

  private func huge(_ cursor: inout HDF5Cursor) throws(FormatError) -> Bytes {
    guard let hugeTree else { throw cursor.error(.damaged, "a heap has no huge objects") }
    let wanted = try cursor.number(min(file.lengthSize, cursor.remaining), "a huge object's id")
    var found: (address: Int, length: Int)?
    try BTree2(file, at: hugeTree).forEachRecord { (record) throws(FormatError) in
      var record = record
      let address = try record.address("a huge object")
      let length = try record.length("a huge object's size")
      if try record.number(file.lengthSize, "a huge object's id") == wanted, let address { found = (address, length) }
    }
    guard let found else { throw cursor.error(.damaged, "a huge object is missing", found: "number \(wanted)") }
    return try file.cursor(at: found.address, count: found.length, "a huge object").bytes
  }

  private func size(ofRow row: Int) -> Int { row < 2 ? firstSize : row < 40 ? firstSize << (row - 1) : Int.max }

  private func managed(_ offset: Int, _ length: Int) throws(FormatError) -> Bytes {
    func wrong(_ problem: String) -> FormatError {
      FormatError(.damaged, problem, file: file.bytes.file, found: "\(length) bytes at \(offset) of a heap")
    }
    guard var address = root else { throw wrong("a heap has no blocks") }
    var (rows, start) = (rootRows, 0)
    for _ in 0..<Self.maxDepth {
      if rows == 0 {
        // A direct block; offsets count its own head too.
        let block = try file.block(at: address, signature: "FHDB", "a block of a heap")
        let (end, overflow) = (offset - start).addingReportingOverflow(length)
        guard offset >= start, !overflow, let object = block.bytes.slice(offset - start, length), end <= maxDirectSize
        else {
          throw wrong("an object lies outside its heap")
        }
        return object
      }
      let prefix = 5 + file.offsetSize + offsetBytes
      var cursor = try file.block(at: address, signature: "FHIB", "rows of a heap")
      try cursor.seek(to: prefix)
      // The rows up to the one that holds the offset.
      var row = 0
      var first = start
      while row < rows {
        let (rowSize, overflow) = size(ofRow: row).multipliedReportingOverflow(by: width)
        let (end, beyond) = first.addingReportingOverflow(rowSize)
        if overflow || beyond || offset < end { break }
        first = end
        row += 1
      }
      guard row < rows, offset >= first else { throw wrong("an object lies outside its heap") }
      let column = (offset - first) / size(ofRow: row)
      try cursor.skip((row * width + column) * file.offsetSize)
      guard let next = try cursor.address("a block of a heap") else { throw wrong("a block of a heap is missing") }
      try file.checkOnce(at: address, count: prefix + rows * width * file.offsetSize + 4, "rows of a heap")
      start = first + column * size(ofRow: row)
      rows = size(ofRow: row) <= maxDirectSize ? 0 : try rowsBelow(size(ofRow: row), wrong)
      address = next
    }
    throw wrong("the heap is nested too deeply")
  }

  /// The rows of an indirect block that stands for `size` bytes.
  private func rowsBelow(_ size: Int, _ wrong: (String) -> FormatError) throws(FormatError) -> Int {
    let ratio = size / firstSize / width
    guard ratio > 0, ratio & (ratio - 1) == 0 else { throw wrong("the heap has impossible sizes") }
    return ratio.trailingZeroBitCount + 1
  }
}

/// Records in the order of their keys: | BTHD | 0 | type | node size 4 | record size 2 | depth 2 | … | root | records 2 | all |
/// checksum |, internal nodes BTIN and leaves BTLF.
struct BTree2 {
  private let file: HDF5File
  let type: UInt8
  private let nodeSize: Int
  private let recordSize: Int
  private let depth: Int
  private let root: Int?
  private let rootCount: Int
  /// For each level: the maximum number of records of a node, and the bytes of the number of all records below one.
  private var levels: [(maxRecords: Int, totalBytes: Int)] = []
  private let countBytes: Int

  init(_ file: HDF5File, at address: Int) throws(FormatError) {
    self.file = file
    var cursor = try file.block(at: address, signature: "BTHD", "a B-tree")
    type = try cursor.byte("a B-tree's type")
    nodeSize = try cursor.size(4, "the size of a B-tree's nodes")
    recordSize = try cursor.size(2, "the size of a B-tree's records")
    depth = try cursor.size(2, "the depth of a B-tree")
    try cursor.skip(2)
    root = try cursor.address("the root of a B-tree")
    rootCount = try cursor.size(2, "the records of a B-tree")
    _ = try cursor.length("the records of a B-tree")
    try file.check(at: address, count: cursor.position + 4, "a B-tree")
    guard recordSize > 0, depth <= 32, nodeSize > 10 + recordSize else {
      throw cursor.error(
        .damaged, "the B-tree has impossible sizes", found: "nodes of \(nodeSize), records of \(recordSize)")
    }
    var maxRecords = (nodeSize - 10) / recordSize
    countBytes = FractalHeap.bytes(for: maxRecords)
    levels.append((maxRecords, 0))
    var total = maxRecords
    for level in stride(from: 1, through: depth, by: 1) {
      let pointer = file.offsetSize + countBytes + levels[level - 1].totalBytes
      maxRecords = (nodeSize - 10 - pointer) / (recordSize + pointer)
      guard maxRecords > 0 else { throw cursor.error(.damaged, "the B-tree has impossible sizes") }
      let (product, overflow) = (maxRecords + 1).multipliedReportingOverflow(by: total)
      let (sum, beyond) = product.addingReportingOverflow(maxRecords)
      guard !overflow, !beyond else { throw cursor.error(.damaged, "the B-tree has impossible sizes") }
      total = sum
      levels.append((maxRecords, FractalHeap.bytes(for: total)))
    }
  }

  /// Calls `body` with each record, in order.
  func forEachRecord(_ body: (HDF5Cursor) throws(FormatError) -> Void) throws(FormatError) {
    guard let root else { return }
    var seen: Set<Int> = []
    try visit(root, rootCount, depth, &seen, body)
  }

  private func visit(
    _ address: Int, _ count: Int, _ level: Int, _ seen: inout Set<Int>,
    _ body: (HDF5Cursor) throws(FormatError) -> Void
  ) throws(FormatError) {
    let what = "a node of a B-tree"
    var cursor = try file.block(at: address, signature: level == 0 ? "BTLF" : "BTIN", what)
    guard seen.insert(address).inserted else { throw cursor.error(.damaged, "the B-tree contains itself") }
    guard try cursor.byte(what) == type else { throw cursor.error(.damaged, "a node belongs to another B-tree") }
    guard count <= levels[level].maxRecords else {
      throw cursor.error(.damaged, "a node has more records than fit into it", found: "\(count)")
    }
    let records = cursor.over(try cursor.take(count * recordSize, what))
    var children: [(address: Int, count: Int)] = []
    if level > 0 {
      for _ in 0...count {
        let child = try cursor.address(what)
        let own = try cursor.size(countBytes, what)
        _ = try cursor.number(level > 1 ? levels[level - 1].totalBytes : 0, what)
        guard let child else { throw cursor.error(.damaged, "the B-tree lacks a child") }
        children.append((child, own))
      }
    }
    try file.check(at: address, count: cursor.position + 4, what)
    try file.budget.spend(count * (recordSize + 16))
    var all = records
    for index in 0...count {
      if level > 0 { try visit(children[index].address, children[index].count, level - 1, &seen, body) }
      guard index < count else { break }
      try body(records.over(try all.take(recordSize, what)))
    }
  }
}
