import TensorIO

/// The file that a page goes to, made sure of before the work and put in place as a whole.
///
/// A report is made again and again: it replaces a page that was made here, and nothing else. What a checkpoint was opened
/// through may be more files than it tells of.
struct PageFile {
  private let file: AtomicFile

  /// `inputs` are the files that must stay.
  init(_ path: String, inputs: [String?]) throws {
    try Self.refuse(path, toReplace: inputs.compactMap(\.self))
    if let kind = FileSystem.kind(of: path), kind != .file {
      throw FormatError(
        "the page's place is \(kind == .folder ? "a folder" : "not a regular file")", file: path, advice: Self.advice)
    }
    if let kind = FileSystem.kind(of: path), kind == .file, try !Self.isPage(path) {
      throw FormatError(
        "the page would replace a file that is no page of bertconv", file: path,
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
      throw FormatError("the page would replace a file that it tells of", file: path, advice: advice)
    }
  }

  private static let advice: FormatError.Advice = "Give another name with --html."

  func write(_ page: [UInt8]) throws {
    try file.write(page, at: 0)
    try file.commit()
  }
}
