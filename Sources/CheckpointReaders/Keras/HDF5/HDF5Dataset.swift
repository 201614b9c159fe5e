import TensorIO

/// An array of a file: its type, its shape, and where its elements lie.
struct HDF5Dataset {
  enum Storage {
    /// In the object header itself.
    case compact(Bytes)
    /// `nil` if nothing was written.
    case contiguous(Int?)
    case chunked(ChunkIndex, HDF5Filters, filtersEdges: Bool)
  }

  let type: HDF5Type
  let shape: [Int]
  let storage: Storage
  /// An element that was never written; zeros where it is empty.
  let fill: Bytes

  /// `nil` if the object is not a dataset.
  init?(_ file: HDF5File, _ header: ObjectHeader) throws(FormatError) {
    guard var layout = try header.first(.layout, "a dataset's layout") else { return nil }
    guard var type = try header.first(.datatype, "a dataset's type") else {
      throw layout.error(.damaged, "a dataset has no type")
    }
    guard var space = try header.first(.dataspace, "a dataset's dataspace") else {
      throw layout.error(.damaged, "a dataset has no dataspace")
    }
    if header.has(.externalFiles) {
      throw layout.error(
        .unsupported, "the data is in other files, which are never opened", found: "a list of external files",
        advice: "Write it into this file: h5repack does.")
    }
    self.type = try HDF5Type(&type)
    // An empty dataset has no elements, and no dimensions either.
    let dimensions = try space.dataspace() ?? Dataspace(shape: [0], maxShape: [0])
    shape = dimensions.shape
    let filters = try header.first(.filters, "filters").map { (message) throws(FormatError) in
      try HDF5Filters(message)
    }
    fill = try Self.fill(header)
    if case .number = self.type, !fill.isEmpty, fill.count != self.type.size(file.offsetSize) {
      throw layout.error(
        .damaged, "a dataset's fill value and elements differ in size", found: "\(fill.count) bytes",
        expected: "\(self.type.size(file.offsetSize))")
    }
    let version = try layout.byte("a layout")
    guard version == 3 || version == 4 else {
      throw layout.error(
        .unsupported, "the version of a dataset's layout is unknown", found: "\(version)", expected: "3 or 4",
        advice: "Write the file again with h5py.")
    }
    switch try layout.byte("a layout's class") {
    case 0: storage = .compact(try layout.take(try layout.size(2, "a dataset's size"), "a dataset's data"))
    case 1: storage = .contiguous(try layout.address("a dataset's data"))
    case 2:
      let size = self.type.size(file.offsetSize)
      storage =
        version == 3
        ? try Self.chunks(&layout, size, dimensions, filters) : try Self.laterChunks(&layout, size, dimensions, filters)
    case 3:
      throw layout.error(
        .unsupported, "the dataset is virtual: a view of other datasets, which may be in other files",
        found: "a virtual layout",
        advice: "Copy its values into a dataset of its own.")
    case let other:
      throw layout.error(.unsupported, "the layout has an unknown class", found: "\(other)", expected: "0 to 2")
    }
  }

  /// A dataset of this size may be declared without ever being written.
  private static let smallSize = 16 << 20

  private static func fill(_ header: ObjectHeader) throws(FormatError) -> Bytes {
    if var message = try header.first(.fillValue, "a fill value") {
      let version = try message.byte("a fill value")
      let flags = try message.byte("a fill value")
      if version < 3 {
        try message.skip(1)
        guard try message.byte("a fill value") > 0 || version == 1 else { return Bytes([]) }
      } else if flags & 0x20 == 0 {
        return Bytes([])
      }
      guard message.remaining >= 4 else { return Bytes([]) }
      return try message.take(try message.size(4, "a fill value"), "a fill value")
    }
    if var message = try header.first(.oldFillValue, "a fill value") {
      return try message.take(try message.size(4, "a fill value"), "a fill value")
    }
    return Bytes([])
  }

  private static func size(_ shape: [Int], _ element: Int, _ cursor: HDF5Cursor) throws(FormatError) -> Int {
    guard shape.allSatisfy({ $0 > 0 }), element > 0, let count = checkedElementCount(shape + [element]),
      count <= 1 << 32
    else { throw cursor.error(.damaged, "a chunk has an impossible size", found: shapeText(shape)) }
    return count
  }

  /// | rank + 1 | tree | dimensions, 4 each, the last of them the element's |
  private static func chunks(
    _ cursor: inout HDF5Cursor, _ size: Int, _ space: Dataspace, _ filters: HDF5Filters?
  ) throws(FormatError) -> Storage {
    let rank = Int(try cursor.byte("a layout's rank")) - 1
    let tree = try cursor.address("a tree of chunks")
    guard rank == space.shape.count, rank > 0 else {
      throw cursor.error(.damaged, "the layout and the dataset differ in rank")
    }
    var shape: [Int] = []
    for _ in 0..<rank { shape.append(try cursor.size(4, "a chunk's dimension")) }
    let index = ChunkIndex(
      kind: .tree, address: tree, shape: shape, extent: space.shape, maxExtent: space.maxShape,
      chunkSize: try Self.size(shape, size, cursor), isFiltered: filters != nil)
    return .chunked(index, filters ?? HDF5Filters(), filtersEdges: true)
  }

  /// | flags | rank + 1 | bytes per dimension | dimensions | kind of index | what it needs | address |
  private static func laterChunks(
    _ cursor: inout HDF5Cursor, _ size: Int, _ space: Dataspace, _ filters: HDF5Filters?
  ) throws(FormatError) -> Storage {
    let flags = try cursor.byte("a layout's flags")
    let rank = Int(try cursor.byte("a layout's rank")) - 1
    let width = Int(try cursor.byte("a layout"))
    guard rank == space.shape.count, rank > 0, (1...8).contains(width) else {
      throw cursor.error(.damaged, "the layout and the dataset differ in rank")
    }
    var shape: [Int] = []
    for _ in 0..<rank { shape.append(try cursor.size(width, "a chunk's dimension")) }
    try cursor.skip(width)
    let kind: ChunkIndex.Kind
    switch try cursor.byte("the kind of an index of chunks") {
    case 1:
      if flags & 2 != 0 {
        let size = try cursor.length("a chunk's size")
        kind = .single(size: size, mask: UInt32(try cursor.number(4, "a chunk's filters")))
      } else {
        kind = .single(size: nil, mask: 0)
      }
    case 2: kind = .implicit
    case 3:
      try cursor.skip(1)
      kind = .fixedArray
    case 4:
      try cursor.skip(5)
      kind = .extensibleArray
    case 5:
      try cursor.skip(6)
      kind = .tree2
    case let other:
      throw cursor.error(.unsupported, "the chunk index has an unknown type", found: "\(other)", expected: "1 to 5")
    }
    let address = try cursor.address("an index of chunks")
    let index = ChunkIndex(
      kind: kind, address: address, shape: shape, extent: space.shape, maxExtent: space.maxShape,
      chunkSize: try Self.size(shape, size, cursor), isFiltered: filters != nil)
    return .chunked(index, filters ?? HDF5Filters(), filtersEdges: flags & 1 == 0)
  }
}

extension HDF5Dataset {
  private init(_ other: HDF5Dataset, _ type: HDF5Type) {
    self.type = type
    shape = other.shape
    storage = other.storage
    fill = other.fill
  }

  /// The same elements, known to be of another type of the same size.
  func retyped(_ type: HDF5Type) -> HDF5Dataset { HDF5Dataset(self, type) }

  /// All elements, row by row, as the file has them. `count` is their number of bytes.
  func bytes(in file: HDF5File, count: Int) throws -> Bytes {
    // gzip makes at most a thousand bytes of one, and nothing else makes any: a dataset that declares more was never written.
    var ratio = 1
    if case .chunked(_, let filters, _) = storage, !filters.filters.isEmpty { ratio = 1100 }
    guard count <= Self.smallSize || count / ratio <= file.bytes.count else {
      throw FormatError(
        .limit, "the dataset is larger than the file can contain", file: file.bytes.file,
        found: "\(grouped(count)) bytes",
        expected: "at most \(ratio == 1 ? "" : "\(ratio) times ")the file's \(grouped(file.bytes.count))")
    }
    switch storage {
    case .compact(let data):
      guard let whole = data.slice(0, count) else {
        throw FormatError(.damaged, "the dataset is cut short", file: file.bytes.file, offset: data.offsetInFile)
      }
      return whole
    case .contiguous(let address?): return try file.cursor(at: address, count: count, "the dataset").bytes
    case .contiguous(nil): return filled(count, file)
    case .chunked(let index, let filters, let filtersEdges):
      return try gathered(index, filters, filtersEdges, in: file, count: count)
    }
  }

  /// As many copies of the fill value.
  private func filled(_ count: Int, _ file: HDF5File, then body: (inout MutableRawSpan) -> Void = { _ in }) -> Bytes {
    Bytes(
      count: count, file: file.bytes.file,
      initializingWith: { target in
        let value = fill.array()
        if value.contains(where: { $0 != 0 }) {
          for start in stride(from: 0, through: count - value.count, by: value.count) {
            for (index, byte) in value.enumerated() {
              target.storeBytes(of: byte, toByteOffset: start + index, as: UInt8.self)
            }
          }
        }
        body(&target)
      })
  }

  private func gathered(
    _ index: ChunkIndex, _ filters: HDF5Filters, _ filtersEdges: Bool, in file: HDF5File, count: Int
  ) throws -> Bytes {
    let size = type.size(file.offsetSize)
    var failure: (any Error)?
    // A damaged index may name one chunk again and again.
    var remainingChunks = index.count ?? 0
    let made = filled(count, file) { target in
      do {
        try index.forEachChunk(file) { chunk in
          remainingChunks -= 1
          guard remainingChunks >= 0 else {
            throw FormatError(.limit, "a dataset has too many chunks", file: file.bytes.file)
          }
          guard zip(zip(chunk.offset, index.shape), index.extent).allSatisfy({ $0.0 % $0.1 == 0 && $0.0 < $1 }) else {
            throw FormatError(
              .damaged, "a chunk lies outside its dataset", file: file.bytes.file, offset: UInt64(chunk.address),
              found: shapeText(chunk.offset), expected: "below \(shapeText(index.extent))")
          }
          let stored = try file.cursor(at: chunk.address, count: chunk.size, "a chunk").bytes
          let isWhole = zip(zip(chunk.offset, index.shape), index.extent).allSatisfy { $0.0 + $0.1 <= $1 }
          let data =
            filtersEdges || isWhole
            ? try filters.decode(stored, mask: chunk.mask, size: index.chunkSize)
            : try HDF5Filters().decode(stored, mask: 0, size: index.chunkSize)
          try stored.checkIntact()
          data.withSpan { Self.copy($0, chunk.offset, index, size, into: &target) }
          stored.releasePages()
        }
      } catch { failure = error }
    }
    if let failure { throw failure }
    return made
  }

  /// Copies the rows of a chunk that lie in the dataset.
  private static func copy(
    _ chunk: RawSpan, _ offset: [Int], _ index: ChunkIndex, _ size: Int, into target: inout MutableRawSpan
  ) {
    let rank = index.shape.count
    let own = (0..<rank).map { min(index.shape[$0], index.extent[$0] - offset[$0]) }
    let rowBytes = own[rank - 1] * size
    var row = Array(repeating: 0, count: rank - 1)
    while true {
      var (from, to) = (0, 0)
      for axis in 0..<rank {
        let step = axis < rank - 1 ? row[axis] : 0
        from = from * index.shape[axis] + step
        to = to * index.extent[axis] + offset[axis] + step
      }
      target.copy(chunk.extracting((from * size)..<(from * size + rowBytes)), to: to * size)
      var axis = rank - 2
      while axis >= 0 {
        row[axis] += 1
        if row[axis] < own[axis] { break }
        row[axis] = 0
        axis -= 1
      }
      if axis < 0 { break }
    }
  }
}
