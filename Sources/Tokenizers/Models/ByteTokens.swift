/// The tokens `<0x00>` to `<0xFF>`, which stand for the bytes of text that has no token.
enum ByteTokens {
  static func token(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 16, uppercase: true)
    return "<0x" + (digits.utf8.count < 2 ? "0" : "") + digits + ">"
  }

  static func byte(of token: String) -> UInt8? {
    let text = Array(token.utf8)
    guard text.count == 6, token.hasPrefix("<0x"), text[5] == UInt8(ascii: ">"),
      let byte = UInt8(token.dropFirst(3).dropLast(), radix: 16),
      self.token(byte) == token
    else { return nil }
    return byte
  }

  /// The ids of the 256 tokens in a vocabulary; -1 for one that is not there.
  static func ids(in trie: TokenTrie) -> [Int32] { (0..<256).map { trie.id(of: token(UInt8($0))) ?? -1 } }
}
