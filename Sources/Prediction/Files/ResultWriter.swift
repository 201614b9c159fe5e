import CheckpointFormats
import CheckpointWriters
import TensorIO

/// Writes answers to a file, in the form that its name asks for: `.jsonl` (an object a line), `.csv` (a row an item), `.npy`
/// or `.npz` (the embeddings as one f32 matrix, `sentence_embedding` in an archive).
///
/// The file appears whole or not at all, or, where it is appended to, grows part by part and can be resumed.
public final class ResultWriter {
  /// The form of a file, by the end of its name.
  public enum Form: String, Sendable, CaseIterable {
    case jsonl, csv, npy, npz
  }

  public let form: Form
  /// Items whose answers are in the file that is appended to.
  public private(set) var existingCount = 0
  private let path: String
  private let task: PredictionTask
  private let output: any OutputBytes
  /// Of a matrix: its features, and its rows.
  private var width: Int?
  private var rows = 0
  private var hasHeader = false

  /// The form of a path; `nil` where its name has none.
  public static func form(of path: String) -> Form? {
    Form.allCases.first { path.lowercased().hasSuffix("." + $0.rawValue) }
  }

  /// - Parameters:
  ///   - path: the file, whose name says the form
  ///   - appends: whether a file that is there is gone on with; otherwise the file appears whole or not at all
  ///   - overwrites: whether a file that is there is replaced
  /// - Throws: `FormatError` of kind `output` where the form does not fit the task, or the file cannot be written
  public init(_ path: String, task: PredictionTask, appends: Bool, overwrites: Bool) throws(FormatError) {
    guard let form = Self.form(of: path) else {
      throw FormatError(
        .output, "the name of the output does not say its form", file: path,
        expected: Form.allCases.map { "." + $0.rawValue }.joined(separator: ", "))
    }
    let isMatrix = form == .npy || form == .npz
    guard !isMatrix || task == .sentenceEmbedding else {
      throw FormatError(
        .output, "answers of \(task.rawValue) are not a matrix", file: path,
        expected: "a name that ends in .jsonl or .csv")
    }
    guard form != .csv || (task != .sentenceEmbedding && task != .featureExtraction) else {
      throw FormatError(
        .output, "vectors do not go into a .csv file", file: path, expected: ".npy, .npz or .jsonl")
    }
    guard !appends || form != .npz else {
      throw FormatError(
        .output, "an archive cannot be appended to", file: path, expected: ".npy, .jsonl or .csv")
    }
    self.form = form
    self.path = path
    self.task = task
    if appends {
      let appended = try AppendedOutput(path)
      output = appended
      try resume(appended)
    } else if form == .npz {
      output = try SpooledMatrix(path, overwrites: overwrites)
    } else {
      output = try WholeOutput(path, overwrites: overwrites)
    }
  }

  /// Adds an answer, in the order of the items.
  public func write(_ item: PredictionItem, _ result: PredictionResult) throws(FormatError) {
    switch form {
    case .jsonl: try output.append(Array(result.json.text().utf8) + [0x0A])
    case .csv:
      if !hasHeader {
        try output.append(ResultTable.header(task))
        hasHeader = true
      }
      try output.append(ResultTable.row(item, result))
    case .npy, .npz:
      guard case .embedding(let values) = result else { return }
      try add(values)
    }
  }

  /// What is written so far is in the file, where it is appended to.
  public func finishPart() throws(FormatError) {
    try output.finishPart()
    guard form == .npy, output is AppendedOutput, width != nil else { return }
    // Rows first: a header that counts too few of them is put right when the file is gone on with.
    try output.rewrite(try header(), at: 0)
  }

  /// Completes the file.
  public func finish() throws(FormatError) {
    if form == .csv, !hasHeader { try output.append(ResultTable.header(task)) }
    if form == .npy {
      if width == nil { try output.append(try header()) }
      try output.finishPart()
      try output.rewrite(try header(), at: 0)
    }
    if let spooled = output as? SpooledMatrix { spooled.setShape(rows: rows, width: width ?? 0) }
    try output.finish()
  }

  /// Leaves nothing behind of a file that is not complete; what was appended stays.
  public func cancel() { output.cancel() }

  // MARK: Matrices

  private func header() throws(FormatError) -> [UInt8] {
    guard let info = TensorInfo(name: "sentence_embedding", elementType: .f32, shape: [rows, width ?? 0]) else {
      throw FormatError(.limit, "the matrix is too large", file: path)
    }
    let header = try NpyHeader.encoded(info, file: path)
    guard header.count == Self.headerSize else {
      throw FormatError(.limit, "the matrix is too large", file: path)
    }
    return header
  }

  /// Of a matrix of any number of rows.
  private static let headerSize = 128

  private func add(_ values: [Float]) throws(FormatError) {
    if width == nil {
      width = values.count
      if form == .npy { try output.append(try header()) }
    }
    guard width == values.count else {
      throw FormatError(
        .output, "the file has embeddings of another size", file: path, found: "\(width ?? 0)",
        expected: "\(values.count)", advice: .chooseOtherOutput)
    }
    rows += 1
    var bytes: [UInt8] = []
    bytes.reserveCapacity(values.count * 4)
    for value in values {
      let bits = value.bitPattern
      bytes.append(UInt8(truncatingIfNeeded: bits))
      bytes.append(UInt8(truncatingIfNeeded: bits >> 8))
      bytes.append(UInt8(truncatingIfNeeded: bits >> 16))
      bytes.append(UInt8(truncatingIfNeeded: bits >> 24))
    }
    try output.append(bytes)
  }

  // MARK: Appending

  /// Finds how many answers the file has, and leaves out what is of an unfinished one.
  private func resume(_ file: AppendedOutput) throws(FormatError) {
    guard file.count > 0 else { return }
    if form == .npy { return try resumeMatrix(file) }
    var complete = 0
    var records = 0
    var isQuoted = false
    var offset = 0
    while offset < file.count {
      let part = try file.read(1 << 20, at: offset)
      if part.isEmpty { break }
      for (index, byte) in part.enumerated() {
        if byte == UInt8(ascii: "\""), form == .csv { isQuoted.toggle() }
        guard byte == 0x0A, !isQuoted else { continue }
        records += 1
        complete = offset + index + 1
      }
      offset += part.count
    }
    if form == .csv {
      let header = ResultTable.header(task)
      if records > 0, try file.read(header.count, at: 0) != header {
        throw FormatError(
          .output, "the file has other columns than those of \(task.rawValue)", file: path, advice: .chooseOtherOutput)
      }
      hasHeader = records > 0
      existingCount = max(0, records - 1)
    } else {
      existingCount = records
    }
    try file.truncate(to: complete)
  }

  private func resumeMatrix(_ file: AppendedOutput) throws(FormatError) {
    guard file.count >= Self.headerSize else { return try file.truncate(to: 0) }
    let bytes = try file.read(Self.headerSize, at: 0)
    let found = try NpyHeader(Bytes(bytes, file: path), name: "sentence_embedding")
    guard try NpyHeader.length(Bytes(bytes, file: path)) == Self.headerSize, found.elementType == .f32,
      found.shape.count == 2, !found.isBigEndian, !found.isFortranOrder
    else {
      throw FormatError(
        .output, "the file has no matrix that can be gone on with", file: path,
        found: "\(found.elementType.rawValue) \(shapeText(found.shape))", expected: "F32 [rows, features]",
        advice: .chooseOtherOutput)
    }
    let size = found.shape[1]
    guard size > 0 else { return try file.truncate(to: 0) }
    width = size
    rows = (file.count - Self.headerSize) / (size * 4)
    existingCount = rows
    try file.truncate(to: Self.headerSize + rows * size * 4)
  }
}

/// A matrix whose rows are not counted yet, on its way into an archive: in an unlinked file until it is whole.
private final class SpooledMatrix: OutputBytes {
  private let spool: TemporaryFile
  private let writer: NpzWriter
  private var buffer: [UInt8] = []
  private var written = 0
  private var shape = [0, 0]
  private let path: String

  init(_ path: String, overwrites: Bool) throws(FormatError) {
    self.path = path
    writer = try NpzWriter(path: path, overwrites: overwrites)
    spool = try TemporaryFile(inFolder: FileSystem.folder(of: path))
  }

  var count: Int { written + buffer.count }

  func append(_ bytes: [UInt8]) throws(FormatError) {
    buffer += bytes
    if buffer.count >= 1 << 20 { try flush() }
  }

  private func flush() throws(FormatError) {
    try spool.write(buffer, at: written)
    written += buffer.count
    buffer.removeAll(keepingCapacity: true)
  }

  func setShape(rows: Int, width: Int) { shape = [rows, width] }

  func rewrite(_ bytes: [UInt8], at offset: Int) {}
  func finishPart() {}

  func finish() throws(FormatError) {
    try flush()
    guard let info = TensorInfo(name: "sentence_embedding", elementType: .f32, shape: shape) else {
      throw FormatError(.limit, "the matrix is too large", file: path)
    }
    do {
      try writer.begin([info])
      var offset = 0
      while offset < written {
        let part = try spool.read(min(1 << 20, written - offset), at: offset)
        // Memory safety: bytes have no padding.
        try writer.append(unsafe part.span.bytes, toTensorAt: 0)
        offset += part.count
      }
      try writer.finish()
    } catch {
      writer.cancel()
      throw error as? FormatError ?? FormatError(.output, "\(error)", file: path)
    }
  }

  func cancel() { writer.cancel() }
}
