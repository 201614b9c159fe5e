import TensorIO
import TestSupport

#if canImport(Glibc)
  import Glibc
#endif

/// The built program, as a user runs it.
enum Program {
  struct Result {
    var status: Int32
    var output: String
    var errors: String
    var both: String { output + errors }
  }

  /// What was built with the test bundle is in the same folder.
  static let path: String = {
    var name = [CChar](repeating: 0, count: 4096)
    let count = unsafe name.withUnsafeMutableBufferPointer { buffer in
      unsafe buffer.baseAddress.map { unsafe readlink("/proc/self/exe", $0, 4095) } ?? 0
    }
    let own = String(decoding: name[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    for argument in [own] + CommandLine.arguments {
      var folder = FileSystem.folder(of: argument)
      for _ in 0..<4 {
        let candidate = FileSystem.join(folder, "bertconv")
        if FileSystem.isFile(candidate) { return candidate }
        folder = FileSystem.folder(of: folder)
      }
    }
    // swift test runs with the package as its working folder.
    return ".build/debug/bertconv"
  }()

  /// Runs a command of the shell, and gives its status as the system does.
  static func shell(_ command: String) -> Int32 { unsafe system(command) }

  /// Runs the program; its output goes to files, so that no pipe can fill.
  static func run(_ arguments: String...) throws -> Result { try run(arguments) }

  /// `working` is the folder to run it in; the loader looks for libraries in `libraries` first. `shell` is a command of the shell
  /// before the program, as `ulimit -v 100000`, and `prefix` precedes its name, as `NAME=value` or `timeout 9`.
  static func run(
    _ arguments: [String], in working: String? = nil, libraries: String? = nil, shell: String? = nil,
    prefix: String = ""
  ) throws -> Result {
    let folder = TemporaryFolder()
    func quoted(_ text: String) -> String {
      "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
    let command =
      (working.map { "cd \(quoted($0)) && " } ?? "") + (shell.map { $0 + " && " } ?? "")
      + (libraries.map { "LD_LIBRARY_PATH=\(quoted($0))${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} " } ?? "")
      + prefix + " " + ([path] + arguments).map(quoted).joined(separator: " ")
      + " > '\(folder.file("out"))' 2> '\(folder.file("err"))' < /dev/null"
    let status = unsafe system(command)
    func text(_ name: String) throws -> String { String(decoding: try contents(folder.file(name)), as: UTF8.self) }
    return Result(
      status: status & 0x7F == 0 ? status >> 8 & 0xFF : -(status & 0x7F), output: try text("out"),
      errors: try text("err"))
  }
}
