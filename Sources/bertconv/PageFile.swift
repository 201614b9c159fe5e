import TensorIO

/// The file of an HTML report, checked before the work and written as a whole or not at all.
///
/// A report is made again and again: it replaces an earlier report, and nothing else. A checkpoint may be opened through
/// more files than it lists.
struct PageFile {
  private let file: AtomicFile

  /// `inputs` are the files that must stay.
  init(_ path: String, inputs: [String?]) throws {
    try Self.refuse(path, toReplace: inputs.compactMap(\.self))
    if let kind = FileSystem.kind(of: path), kind != .file {
      throw FormatError(
        .output, "the report's path is \(kind == .folder ? "a folder" : "not a regular file")", file: path,
        advice: Self.advice)
    }
    if let kind = FileSystem.kind(of: path), kind == .file, try !Self.isPage(path) {
      throw FormatError(
        .output, "the report would replace a file that is not a report of bertconv", file: path,
        advice: "Remove the file, or give another name with --html.")
    }
    file = try AtomicFile(path, overwrites: true)
  }

  /// Whether the file begins as pages do; an empty one is nothing to lose.
  private static func isPage(_ path: String) throws -> Bool {
    if FileSystem.size(of: path) == 0 { return true }
    let start = try MappedFile.open(path).slice(0, 2048) ?? MappedFile.open(path)
    let text = String(decoding: start.array(), as: UTF8.self)
    return text.hasPrefix("<!doctype html>") && text.firstRange(of: "name=\"generator\" content=\"bertconv ") != nil
  }

  static func refuse(_ path: String, toReplace inputs: [String]) throws {
    for input in inputs where FileSystem.isSameFile(input, path) {
      throw FormatError(.output, "the report would replace a file that it describes", file: path, advice: advice)
    }
  }

  private static let advice: FormatError.Advice = "Give another name with --html."

  func write(_ page: [UInt8]) throws {
    try file.write(page, at: 0)
    try file.commit()
  }
}
