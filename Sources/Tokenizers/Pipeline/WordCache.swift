/// The tokens of words that were seen before: a table of a fixed size, one for each thread. A word takes the slot of
/// another one with the same hash, and all go when their bytes or tokens become too many.
// Memory safety: eight bytes are loaded only where as many are left.
struct WordCache {
  private struct Slot {
    var hash: UInt64 = 0
    var key: UInt32 = 0
    var tokens: UInt32 = 0
    var keyCount: UInt16 = 0
    var tokenCount: UInt16 = 0
  }

  private static let bits = 15
  private static let maximumWord = 64
  private static let maximumBytes = 1 << 20
  private static let maximumTokens = 1 << 18

  private var slots: [Slot] = Array(repeating: Slot(), count: 1 << bits)
  private var keys: [UInt8] = []
  private(set) var tokens: [ModelToken] = []

  /// Where the tokens of a word are in ``tokens``; `nil` where they are not known. Words are not empty.
  @inline(__always)
  func find(_ word: Span<UInt8>, hash: UInt64) -> Range<Int>? {
    let slot = slots[Int(truncatingIfNeeded: hash >> UInt64(64 - Self.bits))]
    guard slot.hash == hash, Int(slot.keyCount) == word.count else { return nil }
    let key = Int(slot.key)
    guard Self.areEqual(word, keys.span.extracting(key..<(key + word.count))) else { return nil }
    return Int(slot.tokens)..<(Int(slot.tokens) + Int(slot.tokenCount))
  }

  mutating func insert(_ word: Span<UInt8>, hash: UInt64, _ new: ArraySlice<ModelToken>) {
    guard word.count <= Self.maximumWord else { return }
    if keys.count + word.count > Self.maximumBytes || tokens.count + new.count > Self.maximumTokens {
      keys.removeAll(keepingCapacity: true)
      tokens.removeAll(keepingCapacity: true)
      for index in slots.indices { slots[index] = Slot() }
    }
    slots[Int(truncatingIfNeeded: hash >> UInt64(64 - Self.bits))] = Slot(
      hash: hash, key: UInt32(keys.count), tokens: UInt32(tokens.count), keyCount: UInt16(word.count),
      tokenCount: UInt16(new.count))
    for index in word.indices { keys.append(word[index]) }
    tokens.append(contentsOf: new)
  }

  @inline(__always)
  private static func areEqual(_ one: Span<UInt8>, _ other: Span<UInt8>) -> Bool {
    let (a, b) = (unsafe one.bytes, unsafe other.bytes)
    let count = a.byteCount
    var offset = 0
    while offset + 8 <= count {
      let x = unsafe a.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
      let y = unsafe b.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
      if x != y { return false }
      offset += 8
    }
    while offset < count {
      if one[offset] != other[offset] { return false }
      offset += 1
    }
    return true
  }

  /// A hash of all bytes; never zero, which is that of empty slots.
  @inline(__always)
  static func hash(_ word: Span<UInt8>) -> UInt64 {
    let bytes = unsafe word.bytes
    let count = bytes.byteCount
    var hash = UInt64(truncatingIfNeeded: count) &* 0x9E37_79B9_7F4A_7C15
    var offset = 0
    while offset + 8 <= count {
      let part = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
      hash = mix(hash ^ part)
      offset += 8
    }
    var rest: UInt64 = 0
    while offset < count {
      rest = rest << 8 | UInt64(word[offset])
      offset += 1
    }
    return mix(hash ^ rest) | 1
  }

  @inline(__always)
  private static func mix(_ value: UInt64) -> UInt64 {
    let product = value.multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
    return product.high ^ product.low
  }
}
