import CProtobufC
import CZlib

/// The libraries that readers call, as found at run time.
package enum ReaderLibraries {
  /// Each with its version; snappy's C interface does not provide one.
  package static var versions: [String] {
    // Memory safety: both texts are constants of their libraries.
    [
      "zlib \(unsafe String(cString: zlibVersion()))",
      "protobuf-c \(unsafe String(cString: protobuf_c_version()))",
      "snappy",
    ]
  }
}
