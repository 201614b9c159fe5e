import CheckpointFormats
import TensorIO

extension FormatName {
  public static let npz = FormatName(rawValue: "npz")
}

/// NumPy arrays: one `.npy` file, or an `.npz` archive of them, whose names are those of the tensors with `.npy` added.
/// Listing reads the headers alone.
public final class NumPySource: TensorSource {
  public let format = FormatName.npz
  public let files: [SourceFile]
  public let tensors: [TensorInfo]
  public let warnings: [String]
  private let headers: [NpyHeader]
  private let content: Content

  private enum Content: Sendable {
    case single(Bytes)
    case archive(ZipArchive)
  }

  /// Opens an archive in which every entry is an array.
  public convenience init(npz file: Bytes, path: String) throws(FormatError) {
    try self.init(archive: try ZipArchive(file), path: path)
  }

  init(archive: ZipArchive, path: String) throws(FormatError) {
    var headers: [NpyHeader] = []
    var tensors: [TensorInfo] = []
    for (index, entry) in archive.entries.enumerated() {
      guard entry.name.hasSuffix(".npy") else {
        throw FormatError(.unsupported, "an entry of the archive is not a NumPy array", file: path, found: entry.name)
      }
      let name = String(entry.name.dropLast(4))
      do throws(FormatError) {
        let length = try NpyHeader.length(try archive.head(ofEntryAt: index, count: NpyHeader.prefixSize))
        let header = try Self.header(try archive.head(ofEntryAt: index, count: length), length, name, total: entry.size)
        headers.append(header)
        tensors.append(Self.info(header, name, dataOffset: archive.dataOffset(ofEntryAt: index)))
      } catch {
        throw error.inTensor(name).inFile(path)
      }
    }
    files = [SourceFile(path: path, size: UInt64(archive.file.count))]
    self.headers = headers
    self.tensors = tensors
    warnings =
      Self.warnings(headers, tensors)
      + (archive.hasChecksums ? [] : ["the archive has no checksums, so damage to its data cannot be detected"])
    content = .archive(archive)
  }

  /// Opens a single array, a tensor of the file's base name.
  public init(npy file: Bytes, path: String) throws(FormatError) {
    let base = FileSystem.baseName(path)
    let name = base.hasSuffix(".npy") ? String(base.dropLast(4)) : base
    let header: NpyHeader
    do throws(FormatError) { header = try Self.header(ofArray: file, name: name) } catch {
      throw error.inTensor(name).inFile(path)
    }
    files = [SourceFile(path: path, size: UInt64(file.count))]
    headers = [header]
    tensors = [Self.info(header, name, dataOffset: 0)]
    warnings = Self.warnings(headers, tensors)
    content = .single(file)
  }

  /// The header of a `.npy` file, whose data is all there.
  static func header(ofArray file: Bytes, name: String) throws(FormatError) -> NpyHeader {
    let length = try NpyHeader.length(file.slice(0, NpyHeader.prefixSize) ?? file)
    return try header(file.slice(0, length) ?? file, length, name, total: file.count)
  }

  private static func header(
    _ bytes: Bytes, _ length: Int, _ name: String, total: Int
  ) throws(FormatError) -> NpyHeader {
    guard bytes.count == length else {
      throw FormatError(.damaged, "the .npy header is cut short", found: "\(bytes.count) bytes", expected: "\(length)")
    }
    let header = try NpyHeader(bytes, name: name)
    guard total - length == header.byteCount else {
      throw FormatError(
        .damaged, "the array's data does not match its shape and type", found: "\(total - length) bytes",
        expected: "\(header.byteCount) for \(header.elementType.rawValue) \(shapeText(header.shape))",
        advice: total - length < header.byteCount ? "The file was not copied or downloaded whole: fetch it again." : nil
      )
    }
    return header
  }

  private static func info(_ header: NpyHeader, _ name: String, dataOffset: Int?) -> TensorInfo {
    TensorInfo(
      name: name, elementType: header.elementType, shape: header.shape, byteCount: header.byteCount,
      location: needsWork(header) ? nil : dataOffset.map { .init(file: 0, offset: UInt64($0 + header.dataOffset)) })
  }

  private static func warnings(_ headers: [NpyHeader], _ tensors: [TensorInfo]) -> [String] {
    zip(headers, tensors).filter { $0.0.elementType == .bf16 }.prefix(1).map {
      "'\($0.1.name)' is stored as two bytes without a type name, as NumPy stores bfloat16, and read as bfloat16"
    }
  }

  /// Whether the stored bytes are other than the tensor's.
  private static func needsWork(_ header: NpyHeader) -> Bool {
    header.isBigEndian
      || header.isFortranOrder && !Strides.areRowMajor(Strides.columnMajor(header.shape), of: header.shape)
  }

  public func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    let header = headers[index]
    let whole: Bytes
    switch content {
    case .single(let file): whole = file
    case .archive(let archive):
      do throws(FormatError) { whole = try archive.bytes(ofEntryAt: index) } catch {
        throw error.inTensor(tensors[index].name)
      }
    }
    guard let data = whole.slice(header.dataOffset, header.byteCount) else {
      throw FormatError(.damaged, "the array is cut short", file: files[0].path, tensor: tensors[index].name)
    }
    let ready = Self.needsWork(header) ? Self.arranged(data, header) : data
    let result = try ready.withSpan { try body($0) }
    try data.checkIntact()
    data.releasePages()
    return result
  }

  /// The elements of an array of strings, as UTF-8, in the order of the data; zeros at the end of one are not part of it.
  public func strings(ofTensorAt index: Int) throws -> [[UInt8]] {
    let (header, info) = (headers[index], tensors[index])
    guard let length = header.stringLength, !header.isFortranOrder || header.shape.count < 2 else {
      throw FormatError(
        .unsupported, "the array does not contain strings in row-major order", file: files[0].path, tensor: info.name,
        found: info.elementType.rawValue)
    }
    return try withBytes(ofTensorAt: index) { span in
      try (0..<info.elementCount).map { element in
        var text = String.UnicodeScalarView()
        for position in 0..<length {
          let offset = (element * length + position) * 4
          let stored = span.littleEndian(UInt32.self, at: offset)
          guard let scalar = Unicode.Scalar(header.isBigEndian ? stored.byteSwapped : stored) else {
            throw FormatError(
              .damaged, "a string of the array has a number that is no character", file: files[0].path,
              tensor: info.name,
              found: "0x\(hexadecimal(stored, digits: 4)) in element \(element)")
          }
          text.append(scalar)
        }
        while text.last?.value == 0 { text.removeLast() }
        return Array(String(text).utf8)
      }
    }
  }

  public func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    let header = headers[index]
    guard case .archive(let archive) = content, !Self.needsWork(header) else {
      return try withBytes(ofTensorAt: index, body)
    }
    do {
      try archive.stream(ofEntryAt: index, from: header.dataOffset, body)
    } catch let error as FormatError {
      throw error.inTensor(tensors[index].name)
    }
  }

  private static func arranged(_ data: Bytes, _ header: NpyHeader) -> Bytes {
    var data = data
    let unit = header.elementType.swapUnit ?? 1
    if header.isBigEndian, unit > 1 {
      let stored = data
      data = Bytes(
        count: stored.count, file: stored.file,
        initializingWith: { target in stored.withSpan { Layout.swapBytes($0, into: &target, unit: unit) } })
    }
    guard header.isFortranOrder, let size = header.elementType.size else { return data }
    let stored = data
    return Bytes(
      count: stored.count, file: stored.file,
      initializingWith: { target in
        stored.withSpan {
          StridedCopy.gather(
            $0, offset: 0, shape: header.shape, strides: Strides.columnMajor(header.shape),
            elementSize: size,
            into: &target)
        }
      })
  }
}

/// An archive in which every entry is a `.npy`, which distinguishes it from a torch checkpoint.
public struct NpzFormat: ZipBasedFormat {
  public init() {}

  public func recognizes(_ archive: ZipArchive) -> Bool {
    archive.entries.allSatisfy { $0.name.hasSuffix(".npy") }
  }

  public func open(_ archive: ZipArchive, path: String) throws(FormatError) -> any TensorSource {
    do throws(FormatError) { return try NumPySource(archive: archive, path: path) } catch { throw error.inFile(path) }
  }
}

/// A single NumPy array in a file, recognized by `\x93NUMPY`.
public struct NpyFormat: CheckpointFormat {
  public init() {}

  public func recognizes(_ file: Bytes, path: String) -> Bool { NpyHeader.recognizes(file) }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    try NumPySource(npy: file, path: path)
  }
}
