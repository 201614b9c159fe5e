import TensorIO

extension FormatName {
  public static let pyTorchZip = FormatName(rawValue: "pytorch-zip")
  public static let pyTorchLegacy = FormatName(rawValue: "pytorch-legacy")
  public static let pyTorchTar = FormatName(rawValue: "pytorch-tar")
  public static let pickle = FormatName(rawValue: "pickle")
  public static let joblib = FormatName(rawValue: "joblib")
}

/// The tensors of a checkpoint of torch.save, whatever its container: views into storages, which lie in the file.
final class TorchSource: TensorSource {
  let format: FormatName
  let files: [SourceFile]
  let tensors: [TensorInfo]
  let warnings: [String]
  let imports: [ImportedGlobal]
  let code: [ContainedCode]
  let metadata: [(key: String, value: String)]
  let config: JSON?

  /// Where the bytes of a storage are.
  enum Content: Sendable {
    /// An entry of the archive.
    case entry(Int)
    case bytes(Bytes)
  }

  private let views: [TorchTensor]
  private let storages: [TorchStorage]
  private let contents: [Content?]
  private let archive: ZipArchive?
  private let isBigEndian: Bool

  /// `contents` has an element for each of the machine's storages; `nil` for those that are views or have their own.
  /// `constants` are those of TorchScript's code.
  init(
    format: FormatName, file: Bytes, fileSize: Int? = nil, path: String, root: PickleValue, machine: PickleMachine,
    contents: [Content?],
    archive: ZipArchive? = nil, isBigEndian: Bool = false, imports: [ImportedGlobal]? = nil, code: [ContainedCode] = [],
    warnings: [String] = [], metadata: [(key: String, value: String)] = [],
    constants: PickleValue? = nil
  ) throws(FormatError) {
    let found = try StateFlattener(root, of: machine, constants: constants)
    self.format = format
    files = [SourceFile(path: path, size: UInt64(fileSize ?? file.count))]
    self.imports = imports ?? machine.judgedImports
    self.code = code
    storages = machine.storages
    self.contents = contents
    self.archive = archive
    self.isBigEndian = isBigEndian
    views = found.tensors.map { machine.tensors[$0.tensor] }
    self.metadata = metadata + found.texts
    config = PickledConfig.find(in: root, machine)

    // Storages that several tensors view
    var users = [Int](repeating: 0, count: machine.storages.count)
    for view in views where !view.shape.contains(0) { users[Self.root(view.storage, machine.storages)] += 1 }
    try Self.refuseUnpacking(views, machine.storages, contents, archive, path)
    var infos: [TensorInfo] = []
    infos.reserveCapacity(views.count)
    for (entry, view) in zip(found.tensors, views) {
      guard let bytes = checkedByteCount(view.shape, view.elementType) else {
        throw FormatError(
          .limit, "the shape is too large", file: path, tensor: entry.name, found: shapeText(view.shape))
      }
      var info = TensorInfo(name: entry.name, elementType: view.elementType, shape: view.shape, byteCount: bytes)
      let root = Self.root(view.storage, machine.storages)
      if users[root] > 1 { info.sharedStorage = root }
      // Bytes that were unpacked lie nowhere in the file.
      if fileSize == nil, let offset = Self.location(of: view, machine.storages, contents, archive, isBigEndian) {
        info.location = .init(file: 0, offset: offset)
      }
      infos.append(info)
    }
    tensors = infos
    // An expanded tensor can be a thousand times its storage: reported, because a conversion writes all of it.
    let (views, storages) = (self.views, machine.storages)
    let expanded = infos.indices.filter { index in
      infos[index].byteCount > 1 << 20
        && infos[index].byteCount > 2 * storages[views[index].storage].byteCount
    }
    self.warnings =
      warnings + found.warnings
      + expanded.prefix(3).map { "the tensor '\(infos[$0].name)' repeats the values of a smaller storage" }
      + PickleImports.warnings(self.imports) + ContainedCode.warnings(of: code)
  }

  /// A compressed storage is unpacked for each tensor in it. torch compresses none; thousands of tensors would take hours.
  private static func refuseUnpacking(
    _ views: [TorchTensor], _ storages: [TorchStorage], _ contents: [Content?], _ archive: ZipArchive?, _ path: String
  ) throws(FormatError) {
    guard let archive else { return }
    var total = 0
    for view in views {
      let storage = root(view.storage, storages)
      guard case .entry(let index) = contents[storage], archive.entries[index].isDeflated else { continue }
      total = total.addingReportingOverflow(archive.entries[index].size).partialValue
      guard total >= 0, !CheckpointLimits.isBomb(total, in: archive.file.count, free: 4 << 30) else {
        throw FormatError(
          .limit, "too many tensors are in compressed storages", file: path,
          found: "\(humanBytes(UInt64(max(0, total)))) to unpack, again for each of them",
          advice: "If you trust it, save it again with torch.save, which compresses nothing.")
      }
    }
  }

  private static func root(_ storage: Int, _ storages: [TorchStorage]) -> Int { storages[storage].base ?? storage }

  /// The offset in the file of the values of a tensor; `nil` if they are not stored there as they are.
  private static func location(
    of view: TorchTensor, _ storages: [TorchStorage], _ contents: [Content?], _ archive: ZipArchive?,
    _ isBigEndian: Bool
  ) -> UInt64? {
    guard let size = view.elementType.size, Strides.areRowMajor(view.strides, of: view.shape),
      !isBigEndian || view.elementType.swapUnit == 1, view.obstacle == nil
    else { return nil }
    let inner = storages[view.storage].baseOffset + view.offset * size
    switch contents[root(view.storage, storages)] {
    case .entry(let index): return archive?.dataOffset(ofEntryAt: index).map { UInt64($0 + inner) }
    case .bytes(let bytes): return bytes.offsetInFile + UInt64(inner)
    case nil: return nil
    }
  }

  // MARK: Data

  private func stored(_ index: Int) throws(FormatError) -> Bytes {
    let view = views[index]
    let root = Self.root(view.storage, storages)
    let whole: Bytes
    if let inline = storages[root].inline {
      whole = inline
    } else {
      switch contents[root] {
      case .entry(let entry):
        guard let archive else { throw missing(index) }
        do throws(FormatError) { whole = try archive.bytes(ofEntryAt: entry) } catch {
          throw error.inTensor(tensors[index].name)
        }
      case .bytes(let bytes): whole = bytes
      case nil: throw missing(index)
      }
    }
    guard let bytes = whole.slice(storages[view.storage].baseOffset, storages[view.storage].byteCount) else {
      throw missing(index)
    }
    return bytes
  }

  private func missing(_ index: Int) -> FormatError {
    FormatError(.damaged, "the tensor's storage is not in the file", file: files[0].path, tensor: tensors[index].name)
  }

  func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    let bytes = try bytes(ofTensorAt: index)
    let result = try bytes.withSpan { try body($0) }
    try bytes.checkIntact()
    bytes.releasePages()
    return result
  }

  /// The contiguous little-endian bytes of a tensor: those of the file, where they are stored so.
  func bytes(ofTensorAt index: Int) throws(FormatError) -> Bytes {
    let view = views[index]
    if let obstacle = view.obstacle {
      throw FormatError(
        .unsupported, obstacle, file: files[0].path, tensor: tensors[index].name,
        advice: "Load it with torch, call resolve_conj() and resolve_neg(), and save it again.")
    }
    let storage = try stored(index)
    let size = view.elementType.size ?? 1
    let unit = view.elementType.swapUnit ?? 1
    let swaps = unit > 1 && (storages[view.storage].inline == nil ? isBigEndian : storages[view.storage].isBigEndian)
    // No more of the storage than the view reaches.
    guard let last = Strides.lastElement(offset: view.offset, shape: view.shape, strides: view.strides),
      let used = last < 0 ? storage.slice(0, 0) : storage.slice(view.offset * size, (last + 1 - view.offset) * size)
    else { throw missing(index) }
    let native =
      swaps
      ? Bytes(
        count: used.count, file: used.file,
        initializingWith: { target in
          used.withSpan { Layout.swapBytes($0, into: &target, unit: unit) }
        }) : used
    if swaps { try used.checkIntact() }
    if Strides.areRowMajor(view.strides, of: view.shape) { return native }
    let ready = Bytes(
      count: tensors[index].byteCount, file: used.file,
      initializingWith: { target in
        native.withSpan {
          StridedCopy.gather(
            $0, offset: 0, shape: view.shape, strides: view.strides, elementSize: size, into: &target)
        }
      })
    try used.checkIntact()
    used.releasePages()
    return ready
  }

  func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    let view = views[index]
    let storage = storages[view.storage]
    let isPlain =
      view.obstacle == nil && storage.inline == nil && storage.base == nil && view.offset == 0 && !isBigEndian
      && Strides.areRowMajor(view.strides, of: view.shape) && tensors[index].byteCount == storage.byteCount
    guard isPlain, let content = contents[view.storage] else { return try withBytes(ofTensorAt: index, body) }
    switch content {
    case .entry(let entry):
      guard let archive else { throw missing(index) }
      do {
        try archive.stream(ofEntryAt: entry, from: 0, body)
      } catch let error as FormatError {
        throw error.inTensor(tensors[index].name)
      }
    case .bytes(let bytes):
      try bytes.forEachChunk { chunk in try chunk.withSpan { try body($0) } }
    }
  }
}

extension PickleMachine {
  /// Runs whatever pickles follow in `cursor`, for the names that they import alone.
  mutating func collectImports(_ cursor: ByteCursor) {
    var rest = cursor
    outsideValues = .storages
    for _ in 0..<64 where !rest.isAtEnd {
      do throws(FormatError) { _ = try load(&rest) } catch { return }
    }
  }

  /// An error of this pickle, with the dangerous names that it imported before.
  func explained(_ error: FormatError) -> FormatError {
    let dangerous = judgedImports.filter { $0.verdict == .dangerous }.map(\.name)
    guard !dangerous.isEmpty else { return error }
    var result = error
    result.advice = .sentence(
      "The pickle imports \(dangerous.prefix(5).joined(separator: ", ")), which can run code when it is loaded: "
        + "do not load this file.")
    return result
  }
}
