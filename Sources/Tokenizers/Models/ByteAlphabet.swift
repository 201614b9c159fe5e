/// The alphabet of `ByteLevel`: a printable character for each byte (`bytes_to_unicode` of GPT-2). Bytes that are printable in
/// Latin-1 stand for themselves, the others for U+0100 and on, in their order.
enum ByteAlphabet {
  /// The character of each byte.
  static let scalars: [Unicode.Scalar] = {
    var next: UInt32 = 0x100
    return (0..<256).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return Unicode.Scalar(UInt8(byte))
      default:
        defer { next += 1 }
        return Unicode.Scalar(next) ?? "\u{FFFD}"
      }
    }
  }()

  /// The one or two UTF-8 bytes of each byte's character; the second is zero for one.
  static let letters: [(UInt8, UInt8)] = scalars.map { scalar in
    let bytes = Array(String(scalar).utf8)
    return (bytes[0], bytes.count > 1 ? bytes[1] : 0)
  }

  /// The ids of the 256 characters in a vocabulary; -1 for one that is not there.
  static func ids(in trie: TokenTrie) -> [Int32] { (0..<256).map { trie.id(of: utf8(UInt8($0)).span) ?? -1 } }

  /// The character of a byte in UTF-8.
  static func utf8(_ byte: UInt8) -> [UInt8] {
    let (lead, trail) = letters[Int(byte)]
    return trail == 0 ? [lead] : [lead, trail]
  }
}
