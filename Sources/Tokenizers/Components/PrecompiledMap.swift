import TensorIO

/// SentencePiece's map of characters, as `spm_precompiled` 0.1.4 reads and applies it.
///
///     bytes    0..<4        the length of the trie in bytes, little-endian
///              4..<4 + n    the trie: a double array of 32-bit units (Darts-clone)
///              the rest     what is put in, each ended by a zero byte
///
/// A grapheme cluster of fewer than six bytes is looked up whole, and any other code point by code point; of the entries
/// that the trie has for the beginning of what is looked up, the shortest counts.
struct PrecompiledMap: Sendable {
  private var units: [UInt32] = []
  private var replacements: [UInt8] = []
  /// What each code point below 65536 becomes alone: an offset in `single`, or 0.
  private var table: [UInt16] = []
  /// Lists of code points: their number, then they.
  private var single: [UInt32] = [0]
  private var isASCIIUnchanged = false

  /// The parts of the bytes of a `precompiled_charsmap`.
  init(_ bytes: [UInt8]) throws(FormatError) {
    func damaged(_ problem: String) -> FormatError {
      FormatError(.damaged, "the normalizer 'Precompiled' cannot be used: \(problem)")
    }
    guard bytes.count >= 4 else { throw damaged("its map is empty") }
    func word(_ offset: Int) -> UInt32 {
      UInt32(bytes[offset]) | UInt32(bytes[offset + 1]) << 8 | UInt32(bytes[offset + 2]) << 16
        | UInt32(bytes[offset + 3]) << 24
    }
    let count = Int(word(0)) / 4
    guard count > 0, count <= (bytes.count - 4) / 4 else { throw damaged("its trie is longer than the map") }
    units = (0..<count).map { word(4 + 4 * $0) }
    replacements = Array(bytes[(4 + 4 * count)...])
    guard String(validating: replacements, as: UTF8.self) != nil else { throw damaged("it is not UTF-8") }
    table = Array(repeating: 0, count: 0x10000)
    var known: [Int: UInt16] = [:]
    var text: [UInt8] = []
    for code in 0..<UInt32(0x10000) {
      guard let scalar = Unicode.Scalar(code) else { continue }
      text.removeAll(keepingCapacity: true)
      text.append(contentsOf: UTF8.encode(scalar).map { Array($0) } ?? [])
      guard let offset = lookUp(text[...]) else { continue }
      if let entry = known[offset] {
        table[Int(code)] = entry
        continue
      }
      let codes = codePoints(at: offset)
      guard let entry = UInt16(exactly: single.count) else { throw damaged("it has too many replacements") }
      known[offset] = entry
      table[Int(code)] = entry
      single.append(UInt32(codes.count))
      single += codes
    }
    isASCIIUnchanged = table[..<128].allSatisfy { $0 == 0 }
  }

  /// The offset of the replacement for the shortest beginning of `key` that the trie has.
  private func lookUp(_ key: ArraySlice<UInt8>) -> Int? {
    func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << Int((unit & (1 << 9)) >> 6) }
    var position = offset(units[0])
    for byte in key {
      guard byte != 0 else { return nil }
      position ^= Int(byte)
      guard position < units.count else { return nil }
      let unit = units[position]
      guard unit & (1 << 31 | 0xFF) == UInt32(byte) else { return nil }
      position ^= offset(unit)
      if unit >> 8 & 1 == 1 {
        guard position < units.count else { return nil }
        let value = Int(units[position] & (1 << 31 - 1))
        return value <= replacements.count ? value : nil
      }
    }
    return nil
  }

  private func codePoints(at offset: Int) -> [UInt32] {
    let end = replacements[offset...].firstIndex(of: 0) ?? replacements.count
    return String(decoding: replacements[offset..<end], as: UTF8.self).unicodeScalars.map(\.value)
  }

  func apply(to rewriter: inout Rewriter) {
    if rewriter.source.isASCII, isASCIIUnchanged { return }
    rewriter.rewrite { (rewriter, piece) in
      var writer = Writer()
      var isChanged = false
      var position = piece.start
      while position < piece.end {
        let end = GraphemeClusters.end(in: rewriter.source, from: position, to: piece.end)
        let (code, length) = rewriter.source.codePoint(at: position)
        if position + length == end {
          isChanged = writeOne(code, &writer, &rewriter) || isChanged
        } else {
          isChanged = writeCluster(position..<end, &writer, &rewriter) || isChanged
        }
        position = end
      }
      writer.flush(&rewriter)
      return true
    }
  }

  /// - Returns: whether the map has the code point
  @inline(__always)
  private func writeOne(_ code: UInt32, _ writer: inout Writer, _ rewriter: inout Rewriter) -> Bool {
    if code < 0x10000 {
      let entry = Int(table[Int(code)])
      guard entry > 0 else {
        writer.write(code, 0, &rewriter)
        return false
      }
      let count = Int(single[entry])
      writer.replace(1, count: count, &rewriter) { single[entry + 1 + $0] }
      return true
    }
    return writeRare(code, &writer, &rewriter)
  }

  private func writeRare(_ code: UInt32, _ writer: inout Writer, _ rewriter: inout Rewriter) -> Bool {
    guard let scalar = Unicode.Scalar(code), let text = UTF8.encode(scalar).map({ Array($0) }),
      let offset = lookUp(text[...])
    else {
      writer.write(code, 0, &rewriter)
      return false
    }
    let codes = codePoints(at: offset)
    writer.replace(1, count: codes.count, &rewriter) { codes[$0] }
    return true
  }

  private func writeCluster(_ range: Range<Int>, _ writer: inout Writer, _ rewriter: inout Rewriter) -> Bool {
    if range.count < 6, let offset = lookUp(rewriter.source.bytes[range]) {
      let codes = codePoints(at: offset)
      writer.replace(rewriter.source.codePointCount(range), count: codes.count, &rewriter) { codes[$0] }
      return true
    }
    var isChanged = false
    var position = range.lowerBound
    while position < range.upperBound {
      let (code, length) = rewriter.source.codePoint(at: position)
      isChanged = writeOne(code, &writer, &rewriter) || isChanged
      position += length
    }
    return isChanged
  }

  /// Keeps one code point back, since what is removed is counted with the one before it.
  private struct Writer {
    private var code: UInt32 = 0
    private var change: Int?

    @inline(__always)
    mutating func write(_ code: UInt32, _ change: Int, _ rewriter: inout Rewriter) {
      if let last = self.change { rewriter.emit(self.code, change: last) }
      self.code = code
      self.change = change
    }

    /// `count` code points in place of `old` ones: where there are more, the last ones are new; where there are fewer, the
    /// last one stands for the rest. With none, the one before does; at the beginning of the text nothing does.
    @inline(__always)
    mutating func replace(_ old: Int, count: Int, _ rewriter: inout Rewriter, _ codes: (Int) -> UInt32) {
      for index in 0..<count { write(codes(index), index < old ? 0 : 1, &rewriter) }
      if count < old, let last = change { change = last + count - old }
    }

    mutating func flush(_ rewriter: inout Rewriter) {
      if let change { rewriter.emit(code, change: change) }
      change = nil
    }
  }
}
