import TensorIO

/// The file that a page goes to, made sure of before the work and put in place as a whole.
///
/// A report is made again and again: it replaces what has its name, but no file that it tells of, no folder and no device.
struct PageFile {
  private let file: AtomicFile

  /// `inputs` are the files that must stay.
  init(_ path: String, inputs: [String?]) throws {
    try Self.refuse(path, toReplace: inputs.compactMap(\.self))
    if let kind = FileSystem.kind(of: path), kind != .file {
      throw FormatError(
        "the page's place is \(kind == .folder ? "a folder" : "not a regular file")", file: path, advice: Self.advice)
    }
    file = try AtomicFile(path, overwrites: true)
  }

  static func refuse(_ path: String, toReplace inputs: [String]) throws {
    for input in inputs where FileSystem.isSameFile(input, path) {
      throw FormatError("the page would replace a file that it tells of", file: path, advice: advice)
    }
  }

  private static let advice = "Give another name with --html."

  func write(_ page: [UInt8]) throws {
    try file.write(page, at: 0)
    try file.commit()
  }
}
