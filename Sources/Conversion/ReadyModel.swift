import NativeFormat
import TensorIO

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A model that can be run, of whatever a conversion takes.
public struct ReadyModel: Sendable {
  public let model: NativeModel
  /// What the conversion made; `nil` where the path is that of a native file.
  public let conversion: ConversionResult?

  /// Opens a native file, or converts a checkpoint into a file that has lost its name when this returns, and goes with the
  /// process.
  ///
  /// - Parameters:
  ///   - path: a native file, or a checkpoint of any format
  ///   - options: for a conversion
  ///   - progress: of a conversion
  public init(
    _ path: String, options: ConversionOptions = ConversionOptions(), progress: ConversionProgress? = nil
  ) throws {
    // A native file that is damaged goes on, and is refused with what is wrong in it.
    if FileSystem.isFile(path), let native = try? NativeModel.open(path), native.isNative {
      model = native
      conversion = nil
      return
    }
    let folder = try Self.makeFolder()
    let file = FileSystem.join(folder, "model.safetensors")
    defer {
      unsafe _ = unlink(file)
      unsafe _ = rmdir(folder)
    }
    conversion = try CheckpointConverter.convert(path, to: file, options: options, progress: progress)
    model = try NativeModel.open(file)
  }

  /// A new folder for temporary files.
  private static func makeFolder() throws(FormatError) -> String {
    let variable = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? ""
    let parent = variable.isEmpty ? "/tmp" : variable
    var template = Array(FileSystem.join(parent, "bertconv-XXXXXX").utf8CString)
    // Memory safety: the template ends with a NUL, and the call changes six characters before it.
    let made = unsafe template.withUnsafeMutableBufferPointer { name in
      unsafe name.baseAddress.map { unsafe mkdtemp($0) != nil } ?? false
    }
    guard made else {
      throw FormatError(
        .system, "no temporary folder can be made: \(systemError(errno))", file: parent,
        advice: "Set TMPDIR to a folder with enough free space.")
    }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
