import CIndex
import TensorIO

/// The indexes that are built into the program, as `make index` wrote them.
package enum BuiltInIndex {
  static var families: Bytes { unsafe bytes(bertconv_families_index) }
  package static var tables: Bytes { unsafe bytes(bertconv_tables_index) }

  // Memory safety: the C functions give constant arrays and their sizes.
  private static func bytes(_ index: (UnsafeMutablePointer<Int>) -> UnsafePointer<UInt8>) -> Bytes {
    var count = 0
    let start = unsafe index(&count)
    return unsafe Bytes(constant: UnsafeRawBufferPointer(start: start, count: count))
  }
}
