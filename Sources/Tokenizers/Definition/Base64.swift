/// Base64 of RFC 4648 with padding.
enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let padding = UInt8(ascii: "=")

  static func encode(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    text.reserveCapacity((bytes.count + 2) / 3 * 4)
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let count = min(3, bytes.count - start)
      var group = 0
      for index in 0..<3 { group = group << 8 | (index < count ? Int(bytes[start + index]) : 0) }
      for index in 0..<4 {
        text.append(index <= count ? alphabet[group >> (18 - 6 * index) & 63] : padding)
      }
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// `nil` where the text is no base64.
  static func decode(_ text: String) -> [UInt8]? {
    let letters = Array(text.utf8)
    guard letters.count % 4 == 0 else { return nil }
    var values = Array(repeating: UInt8(0xFF), count: 256)
    for (index, letter) in alphabet.enumerated() { values[Int(letter)] = UInt8(index) }
    let padded = letters.reversed().prefix(while: { $0 == padding }).count
    guard padded <= 2 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(letters.count / 4 * 3)
    for start in stride(from: 0, to: letters.count, by: 4) {
      var group = 0
      for index in start..<(start + 4) {
        let value = index >= letters.count - padded ? 0 : values[Int(letters[index])]
        guard value != 0xFF else { return nil }
        group = group << 6 | Int(value)
      }
      bytes.append(UInt8(group >> 16 & 0xFF))
      bytes.append(UInt8(group >> 8 & 0xFF))
      bytes.append(UInt8(group & 0xFF))
    }
    bytes.removeLast(padded)
    return bytes
  }
}
