/// The FNV-1a hash, 64 bits: the same in every run and on every machine. It keeps nothing secret.
package struct FNV1a {
  package private(set) var value: UInt64 = 14_695_981_039_346_656_037

  package init() {}

  package init(_ text: String) {
    self.init()
    add(text.utf8.span)
  }

  package mutating func add(_ bytes: [UInt8]) { add(bytes.span) }

  private mutating func add(_ bytes: borrowing Span<UInt8>) {
    for index in bytes.indices { value = (value ^ UInt64(bytes[index])) &* 1_099_511_628_211 }
  }
}
