import TensorIO

extension FormatName {
  public static let kerasH5 = FormatName(rawValue: "keras-h5")
  /// A file of another program, such as ELMo's weights.
  public static let hdf5 = FormatName(rawValue: "hdf5")
  public static let kerasZip = FormatName(rawValue: "keras-zip")
}

/// The datasets of an HDF5 file, as Keras keeps the weights of a model in them (keras/src/legacy/saving/legacy_h5_format.py,
/// keras/src/saving/saving_lib.py) or h5py anything else.
///
/// A tensor's name is its path in the file without the first slash. Where Keras lists layers and weights (`layer_names`,
/// `weight_names`) they come in that order, and a weight's full name is the one in the list, without the number of its
/// output: `bert/pooler/dense/kernel` of `bert/bert/pooler/dense/kernel:0`, as an object graph of TensorFlow has it.
public final class KerasH5Source: TensorSource {
  public let format: FormatName
  public let files: [SourceFile]
  public let tensors: [TensorInfo]
  public let warnings: [String]
  public let metadata: [(key: String, value: String)]
  public let code: [ContainedCode]
  private let datasets: [HDF5Dataset]
  private let file: HDF5File

  /// Attributes of the root that describe the file; Keras splits long ones into several.
  private static let wanted = ["keras_version", "backend", "model_config", "training_config"]

  /// Attributes of the root that Keras writes; its newest form has none, and keeps the variables of each object in `vars`.
  private static let marks = ["layer_names", "keras_version", "backend"]

  public convenience init(_ file: Bytes, path: String) throws(FormatError) {
    try self.init(
      file, in: SourceFile(path: path, size: UInt64(file.count)), isInPlace: true, format: .kerasH5, leading: [])
  }

  /// - Parameters:
  ///   - source: the file that the user has
  ///   - isInPlace: whether `bytes` are a part of it as they are
  ///   - leading: values that precede those of the file itself
  init(
    _ bytes: Bytes, in source: SourceFile, isInPlace: Bool, format: FormatName, leading: [(key: String, value: String)]
  ) throws(FormatError) {
    var walk: Walk
    do throws(FormatError) {
      file = try HDF5File(bytes)
      walk = Walk(file, isInPlace: isInPlace)
      try walk.enter(file.rootAddress, path: "", depth: 0)
    } catch { throw error.inFile(source.path) }
    walk.order()
    walk.setFullNames()
    let isKeras =
      Self.marks.contains { walk.rootAttributes[$0] != nil }
      || walk.found.contains { $0.info.name.split(separator: "/").contains("vars") }
    self.format = format == .kerasH5 && !isKeras ? .hdf5 : format
    files = [source]
    datasets = walk.found.map(\.dataset)
    tensors = walk.found.map(\.info)
    let metadata =
      leading
      + Self.wanted.compactMap { key in
        guard let value = walk.rootAttributes[key], value.count == 1 else { return nil }
        return (key, value[0])
      }
    self.metadata = metadata
    code = KerasCode.code(inConfigs: metadata.filter { $0.key.hasSuffix("_config") }.map(\.value))
    warnings = walk.allWarnings + ContainedCode.warnings(of: code)
  }

  public func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    do {
      let stored = try datasets[index].bytes(in: file, count: storedSize(index))
      let ready = Self.arranged(stored, datasets[index].type)
      let result = try ready.withSpan { try body($0) }
      try stored.checkIntact()
      stored.releasePages()
      return result
    } catch let error as FormatError { throw located(error, index) }
  }

  public func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    guard case .contiguous(.some) = datasets[index].storage, case .number(_, false) = datasets[index].type else {
      return try withBytes(ofTensorAt: index, body)
    }
    do {
      try datasets[index].bytes(in: file, count: storedSize(index)).forEachChunk { try $0.withSpan { try body($0) } }
    } catch let error as FormatError { throw located(error, index) }
  }

  public func strings(ofTensorAt index: Int) throws -> [[UInt8]] {
    let type = datasets[index].type
    switch type {
    case .fixedString, .variableString: break
    default:
      throw FormatError(
        .unsupported, "the tensor does not contain strings", file: files[0].path, tensor: tensors[index].name,
        found: tensors[index].elementType.rawValue)
    }
    do {
      let stored = try datasets[index].bytes(in: file, count: storedSize(index))
      var cursor = HDF5Cursor(ByteCursor(stored), file.offsetSize, file.lengthSize)
      return try file.strings(&cursor, type, tensors[index].elementCount)
    } catch let error as FormatError { throw located(error, index) }
  }

  private func storedSize(_ index: Int) -> Int {
    checkedElementCount(datasets[index].shape + [datasets[index].type.size(file.offsetSize)]) ?? 0
  }

  private func located(_ error: FormatError, _ index: Int) -> FormatError {
    error.inTensor(tensors[index].name).inFile(files[0].path)
  }

  private static func arranged(_ data: Bytes, _ type: HDF5Type) -> Bytes {
    guard case .number(let element, true) = type, let unit = element.swapUnit, unit > 1 else { return data }
    return Bytes(
      count: data.count, file: data.file,
      initializingWith: { target in data.withSpan { Layout.swapBytes($0, into: &target, unit: unit) } })
  }
}

/// A walk over all groups of a file.
private struct Walk {
  private let file: HDF5File
  private(set) var found: [(info: TensorInfo, dataset: HDF5Dataset)] = []
  private var warnings: [String] = []
  private var moreWarnings = 0
  private(set) var rootAttributes: [String: [String]] = [:]
  /// The positions of paths in Keras' lists.
  private var ranks: [String: Int] = [:]
  /// The names that variables had in the program, by path.
  private var fullNames: [String: String] = [:]
  private var groups: Set<Int> = []
  private var remainingNameBytes: Int
  private let isInPlace: Bool

  private static let maxDepth = 64
  private static let maxWarnings = 100
  private static let maxObjects = 4 * CheckpointLimits.tensors

  init(_ file: HDF5File, isInPlace: Bool) {
    self.file = file
    self.isInPlace = isInPlace
    remainingNameBytes = (16 << 20) + 4 * file.bytes.count
  }

  /// Paths and lists of names may be far longer in total than the file.
  private mutating func charge(_ name: String) throws(FormatError) {
    remainingNameBytes -= name.utf8.count + 16
    guard remainingNameBytes > 0 else {
      throw FormatError(.limit, "the names in the file are too long in total", tensor: String(name.prefix(200)))
    }
  }

  private mutating func warn(_ text: String) {
    if warnings.count < Self.maxWarnings { warnings.append(withoutMiddle(text)) } else { moreWarnings += 1 }
  }

  /// The warnings, of very many the first.
  var allWarnings: [String] {
    warnings + (moreWarnings > 0 ? ["\(grouped(moreWarnings)) more links are not followed"] : [])
  }

  mutating func enter(_ address: Int, path: String, depth: Int) throws(FormatError) {
    guard depth <= Self.maxDepth else {
      throw FormatError(
        .limit, "groups are nested too deeply", tensor: path, expected: "at most \(Self.maxDepth) levels")
    }
    try charge(path)
    guard found.count + groups.count < Self.maxObjects else {
      throw FormatError(.limit, "the file has too many objects", tensor: path)
    }
    if groups.contains(address) {
      return warn("the group '\(path)' is an alias of a group that was read, and left out")
    }
    let header: ObjectHeader
    let dataset: HDF5Dataset?
    do throws(FormatError) {
      header = try ObjectHeader(file, at: address)
      dataset = try HDF5Dataset(file, header)
    } catch { throw path.isEmpty ? error : error.inTensor(path) }
    if let dataset {
      guard !path.isEmpty else { throw FormatError(.unsupported, "the root of the file is a dataset") }
      return try add(dataset, header, path)
    }
    guard let links = try file.links(of: header, path.isEmpty ? "" : path + "/") else {
      if path.isEmpty { return }
      // In the later form a group without links has no message about links; a named type is not a tensor either.
      return
    }
    groups.insert(address)
    let attributes: [String: [String]]
    do throws(FormatError) { attributes = try file.attributes(of: header) } catch {
      throw path.isEmpty ? error : error.inTensor(path)
    }
    if path.isEmpty { rootAttributes = attributes }
    try note(attributes, path)
    var last: String?
    // As h5py lists them; a new group keeps them by the hashes of their names.
    for index in byteOrder(links.map(\.name)) {
      let link = links[index]
      guard !link.name.isEmpty, !link.name.utf8.contains(UInt8(ascii: "/")) else {
        throw FormatError(
          .damaged, "a group contains a name that cannot be part of a path", tensor: path, found: "'\(link.name)'")
      }
      guard link.name != last else {
        throw FormatError(.damaged, "a group contains a name twice", tensor: path, found: link.name)
      }
      last = link.name
      let name = path.isEmpty ? link.name : path + "/" + link.name
      switch link.target {
      case .object(let address): try enter(address, path: name, depth: depth + 1)
      case .soft(let target): warn("'\(name)' is a soft link to '\(target)' and is not followed")
      }
    }
  }

  private mutating func add(_ dataset: HDF5Dataset, _ header: ObjectHeader, _ path: String) throws(FormatError) {
    func wrong(
      _ kind: FormatError.Kind, _ problem: String, found: String, advice: FormatError.Advice? = nil
    ) -> FormatError {
      FormatError(kind, problem, tensor: path, found: found, expected: "numbers or strings", advice: advice)
    }
    try CheckpointLimits.check(found.count + 1)
    var dataset = dataset
    let type: ElementType
    switch dataset.type {
    case .number(let element, _): type = element
    case .fixedString, .variableString: type = .string
    case .opaque(let size):
      // Keras stores types that h5py does not have as plain bytes, with their type in an attribute.
      let name = try file.attributes(of: header)["dtype"]?.first
      guard size == 2, name == "bfloat16" else {
        throw wrong(.unsupported, "the dataset contains raw bytes without a type", found: "\(size) bytes per element")
      }
      type = .bf16
      dataset = dataset.retyped(.number(.bf16, isBigEndian: false))
    case .other(let name, _):
      throw wrong(
        .unsupported, "the dataset does not contain a tensor", found: name,
        advice: "Remove it, or save the numbers in it on their own."
      )
    }
    guard let bytes = checkedElementCount(dataset.shape + [dataset.type.size(file.offsetSize)]) else {
      throw wrong(.limit, "the shape is too large", found: shapeText(dataset.shape))
    }
    var info = TensorInfo(name: path, elementType: type, shape: dataset.shape, byteCount: bytes)
    if case .number(_, false) = dataset.type, bytes > 0 {
      switch dataset.storage {
      case .contiguous(let address?):
        // Missing data is found before it is needed.
        let data = try file.cursor(at: address, count: bytes, "the dataset '\(path)'").bytes
        if isInPlace { info.location = .init(file: 0, offset: data.offsetInFile) }
      case .compact(let data) where isInPlace: info.location = .init(file: 0, offset: data.offsetInFile)
      case .contiguous(nil), .chunked, .compact: break
      }
    }
    found.append((info, dataset))
  }

  /// Keras' lists: `layer_names` of a group of layers, `weight_names` of a layer; long ones are cut into name0, name1 …
  private mutating func note(_ attributes: [String: [String]], _ path: String) throws(FormatError) {
    for key in ["layer_names", "weight_names"] {
      var names = attributes[key] ?? []
      var number = 0
      while let more = attributes["\(key)\(number)"] {
        names += more
        number += 1
      }
      for (index, name) in names.enumerated() {
        let full = path.isEmpty ? name : path + "/" + name
        try charge(full)
        if ranks[full] == nil { ranks[full] = index }
        if key == "weight_names" { fullNames[full] = Self.withoutOutput(name) }
      }
    }
  }

  /// A variable's name without the number of its output, `:0`.
  private static func withoutOutput(_ name: String) -> String {
    let number = name.utf8.reversed().prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }.count
    guard number > 0, name.utf8.dropLast(number).last == UInt8(ascii: ":") else { return name }
    return String(name.dropLast(number + 1))
  }

  mutating func setFullNames() {
    for index in found.indices {
      let name = found[index].info.name
      found[index].info.fullName = fullNames[name] ?? Self.repeatedName(in: name)
    }
  }

  /// The variable's name in a path that no list has: Keras' groups are called as the layer, and so are the variables in them, as in
  /// `layer_0/c_fc/layer_0/c_fc/kernel:0`. `nil` where nothing is repeated.
  private static func repeatedName(in path: String) -> String? {
    let parts = path.split(separator: "/")
    guard parts.last?.utf8.contains(UInt8(ascii: ":")) == true, parts.count <= 64 else { return nil }
    for count in 1..<max(2, (parts.count + 1) / 2)
    where 2 * count < parts.count && parts[..<count] == parts[count..<2 * count] {
      return withoutOutput(parts[count...].joined(separator: "/"))
    }
    return nil
  }

  /// Sorts by the position of each part of the path in Keras' lists; paths that are in no list come last, in their order.
  mutating func order() {
    guard !ranks.isEmpty else { return }
    func key(_ path: String) -> [Int] {
      // A weight's name may hold slashes of its own, so every prefix is looked up.
      let parts = path.split(separator: "/")
      return parts.indices.compactMap { ranks[parts[...$0].joined(separator: "/")] }
    }
    let keys = found.map { key($0.info.name) }
    let sorted = found.indices.sorted { a, b in
      let (x, y) = (keys[a], keys[b])
      if x.isEmpty != y.isEmpty { return y.isEmpty }
      return x == y ? a < b : x.lexicographicallyPrecedes(y)
    }
    found = sorted.map { found[$0] }
  }
}

/// HDF5 files, whatever their name.
public struct HDF5Format: CheckpointFormat {
  public init() {}

  public func recognizes(_ file: Bytes, path: String) -> Bool { HDF5File.start(in: file) != nil }

  public func open(_ file: Bytes, path: String) throws(FormatError) -> any TensorSource {
    try KerasH5Source(file, path: path)
  }
}
