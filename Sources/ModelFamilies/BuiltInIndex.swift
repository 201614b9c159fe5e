import CIndex

/// The indexes that are built into the program, as `make index` wrote them.
package enum BuiltInIndex {
  static var families: [UInt8] { unsafe bytes(bertconv_families_index) }
  package static var tables: [UInt8] { unsafe bytes(bertconv_tables_index) }

  // Memory safety: the C functions give constant arrays and their sizes.
  private static func bytes(_ index: (UnsafeMutablePointer<Int>) -> UnsafePointer<UInt8>) -> [UInt8] {
    var count = 0
    let start = unsafe index(&count)
    return unsafe Array(UnsafeBufferPointer(start: start, count: count))
  }
}
