import TensorIO

/// A named member of a group.
struct HDF5Link {
  enum Target {
    case object(Int)
    /// A path in this file.
    case soft(String)
  }

  let name: String
  let target: Target
}

extension HDF5File {
  private static let maxLinks = 1 << 20

  /// The links of a group, in its own order; `nil` if the object is not a group.
  ///
  /// An old group has a B-tree of names (TREE, SNOD) and a heap; a new one has messages, or a heap and a tree of them.
  func links(of header: ObjectHeader, _ path: String) throws(FormatError) -> [HDF5Link]? {
    if var table = try header.first(.symbolTable, "a group") {
      guard let tree = try table.address("a group's names"), let heap = try table.address("a group's names") else {
        throw table.error(.damaged, "a group has no names")
      }
      var links: [HDF5Link] = []
      var seen: Set<Int> = []
      try visitNames(tree, try LocalHeap(self, at: heap), &links, &seen)
      return links
    }
    guard var info = try header.first(.linkInfo, "a group") else {
      let links = header.all(.link)
      guard !links.isEmpty else { return nil }
      return try compactLinks(links, path)
    }
    guard try info.byte("a group") == 0 else { throw info.error(.unsupported, "the version of a group is unknown") }
    let flags = try info.byte("a group's flags")
    if flags & 1 != 0 { try info.skip(8) }
    let heap = try info.address("a group's links")
    let tree = try info.address("a group's links")
    var links = try compactLinks(header.all(.link), path)
    guard let heap, let tree else { return links }
    let objects = try FractalHeap(self, at: heap)
    let records = try BTree2(self, at: tree)
    guard records.type == 5 else {
      throw info.error(.unsupported, "the B-tree of the links has an unknown type", found: "\(records.type)")
    }
    try records.forEachRecord { (record) throws(FormatError) in
      var record = record
      try record.skip(4)
      let object = try objects.object(try record.take(record.remaining, "a link's id"))
      links.append(try link(info.over(object), path))
      guard links.count <= Self.maxLinks else { throw record.error(.limit, "a group has too many links") }
    }
    return links
  }

  private func compactLinks(_ messages: [ObjectHeader.Message], _ path: String) throws(FormatError) -> [HDF5Link] {
    var links: [HDF5Link] = []
    for message in messages { links.append(try link(message.data, path)) }
    return links
  }

  private func link(_ message: HDF5Cursor, _ path: String) throws(FormatError) -> HDF5Link {
    var cursor = message
    guard try cursor.byte("a link") == 1 else { throw cursor.error(.unsupported, "the version of a link is unknown") }
    let flags = try cursor.byte("a link's flags")
    let kind = flags & 8 != 0 ? try cursor.byte("a link's kind") : 0
    if flags & 4 != 0 { try cursor.skip(8) }
    if flags & 16 != 0 { try cursor.skip(1) }
    let name = try cursor.name(try cursor.size(1 << Int(flags & 3), "a link's name"), "a link's name")
    try budget.spend(64 + message.bytes.count)
    switch kind {
    case 0:
      guard let address = try cursor.address("a link") else {
        throw cursor.error(.damaged, "a link has no target", found: name)
      }
      return HDF5Link(name: name, target: .object(address))
    case 1:
      return HDF5Link(
        name: name, target: .soft(try cursor.name(try cursor.size(2, "a soft link"), "a soft link")))
    case 64:
      throw FormatError(
        .unsupported, "a link points to another file, which is never opened", file: bytes.file,
        offset: message.bytes.offsetInFile,
        tensor: path + name, found: "an external link",
        advice: "Copy what it names into this file: h5py's copy(…, expand_external=True).")
    default:
      throw FormatError(
        .unsupported, "a link has an unknown type", file: bytes.file, offset: message.bytes.offsetInFile,
        tensor: path + name, found: "kind \(kind)", expected: "a hard or a soft link")
    }
  }

  /// | TREE | 0 | level | entries 2 | left | right | key | child | key … |, and below it
  /// | SNOD | 1 | 0 | symbols 2 | each: name 8 | object 8 | kind 4 | 0 ×4 | 16 bytes |.
  private func visitNames(
    _ address: Int, _ heap: LocalHeap, _ links: inout [HDF5Link], _ seen: inout Set<Int>, above: UInt8? = nil
  ) throws(FormatError) {
    var cursor = try cursor(at: address, "a node of a group")
    guard seen.insert(address).inserted else { throw cursor.error(.damaged, "a group's B-tree contains itself") }
    let start = cursor
    let signature = try cursor.take(4, "a node of a group").array()
    if signature == Array("TREE".utf8) {
      let (level, count) = try cursor.treeNode(0, above: above, "a node of a group")
      for _ in 0..<count {
        _ = try cursor.length("a key")
        guard let child = try cursor.address("a node of a group") else {
          throw cursor.error(.damaged, "a group's B-tree lacks a child")
        }
        guard seen.count < 1 << 20 else { throw cursor.error(.limit, "a group's B-tree is too large") }
        try visitNames(child, heap, &links, &seen, above: level)
      }
      return
    }
    guard above ?? 0 == 0 else { throw start.error(.damaged, "a node of a group is on the wrong level") }
    guard signature == Array("SNOD".utf8) else {
      throw start.error(
        .damaged, "a node of a group has the wrong signature", found: hexadecimal(signature),
        expected: "'TREE' or 'SNOD'")
    }
    try cursor.skip(2)
    for _ in 0..<(try cursor.size(2, "a node of a group")) {
      let name = try heap.name(at: try cursor.length("a name's offset"))
      let object = try cursor.address("an object")
      let kind = try cursor.size(4, "a symbol's kind")
      try cursor.skip(4)
      let scratch = try cursor.take(16, "a symbol")
      try budget.spend(64 + name.utf8.count)
      if kind == 2 {
        let offset = scratch.withSpan { Int($0.littleEndian(UInt32.self, at: 0)) }
        links.append(HDF5Link(name: name, target: .soft(try heap.name(at: offset))))
      } else if let object {
        links.append(HDF5Link(name: name, target: .object(object)))
      } else {
        throw cursor.error(.damaged, "a link has no target", found: name)
      }
      guard links.count <= Self.maxLinks else { throw cursor.error(.limit, "a group has too many links") }
    }
  }
}
