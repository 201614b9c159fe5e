import ModelFamilies
import TensorIO

/// A base model with a LoRA adapter merged into it: changed weights are computed in 64 bits and rounded once to their own type.
struct AdaptedSource: TensorSource {
  private enum Content {
    case base(Int)
    case adapter(Int)
    case merged(base: Int, module: String, LoRAAdapter.Update)
  }

  let tensors: [TensorInfo]
  let files: [SourceFile]
  let note: String
  /// The names of the base's tensors that the adapter replaces, and of those that it changes.
  let replacedNames: Set<String>
  let mergedNames: Set<String>
  private let base: any TensorSource
  private let adapter: LoRAAdapter
  private let contents: [Content]

  init(base: any TensorSource, adapter: LoRAAdapter, file: String) throws(FormatError) {
    let names = BaseNames(base.tensors)
    var merged: [Int: (module: String, update: LoRAAdapter.Update)] = [:]
    for (name, update) in adapter.updates.sorted(by: { $0.key < $1.key }) {
      guard let index = names.index(of: name) else {
        if let base = try Self.tied(name) {
          throw FormatError(
            .unsupported, "the adapter changes output weights that the base model has only in its word embeddings",
            file: file, tensor: name, found: "the weights tied to \(base)", advice: LoRAAdapter.mergeWithPEFT)
        }
        throw FormatError(
          .mismatch, "the base model has no weight that the adapter changes", file: file, tensor: name,
          found: base.tensors.first.map { "tensors as \($0.name)" },
          advice: .sentence(
            "Give the model that the adapter was trained on" + (adapter.baseName.map { " (\($0))" } ?? "")
              + ", in the names of transformers."))
      }
      merged[index] = (String(name.dropLast(".weight".count)), update)
    }
    var replaced: [Int: Int] = [:]
    var added: [(name: String, index: Int)] = []
    for (name, index) in adapter.replacements.sorted(by: { $0.value < $1.value }) {
      if let known = names.index(of: name) { replaced[known] = index } else { added.append((name, index)) }
    }
    func own(_ index: Int, name: String) -> TensorInfo {
      var info = adapter.source.tensors[index]
      info.name = name
      info.sharedStorage = nil
      info.location?.file += base.files.count
      return info
    }
    var tensors: [TensorInfo] = []
    var contents: [Content] = []
    for (index, info) in base.tensors.enumerated() {
      if let (module, update) = merged[index] {
        var info = info
        // It no longer shares what it shared.
        info.sharedStorage = nil
        tensors.append(info)
        contents.append(.merged(base: index, module: module, update))
      } else if let replacement = replaced[index] {
        tensors.append(own(replacement, name: info.name))
        contents.append(.adapter(replacement))
      } else {
        tensors.append(info)
        contents.append(.base(index))
      }
    }
    for (name, index) in added {
      tensors.append(own(index, name: name))
      contents.append(.adapter(index))
    }
    replacedNames = Set(replaced.keys.map { base.tensors[$0].name })
    mergedNames = Set(merged.keys.map { base.tensors[$0].name })
    self.base = base
    self.adapter = adapter
    self.tensors = tensors
    self.contents = contents
    files = base.files + adapter.source.files
    note =
      "merged the adapter \(adapter.file): \(grouped(merged.count)) weights changed, \(grouped(replaced.count)) tensors replaced, "
      + "\(grouped(added.count)) added"
  }

  /// The tensor that a family of the program's ties `name` to; `nil` for other names.
  private static func tied(_ name: String) throws(FormatError) -> String? {
    for family in try FamilyCatalog.builtIn().entries.map(\.family) {
      guard let tensor = family.tensors.first(where: { $0.pattern.text == name }), let base = tensor.tiedTo else {
        continue
      }
      return family.tensors[base].pattern.text
    }
    return nil
  }

  var format: FormatName { base.format }
  var warnings: [String] { base.warnings + adapter.source.warnings }
  var imports: [ImportedGlobal] { base.imports + adapter.source.imports.filter { !base.imports.contains($0) } }
  var code: [ContainedCode] { base.code }
  var metadata: [(key: String, value: String)] { base.metadata }
  var config: JSON? { base.config }

  func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    switch contents[index] {
    case .base(let own): try base.withBytes(ofTensorAt: own, body)
    case .adapter(let own): try adapter.source.withBytes(ofTensorAt: own, body)
    case .merged(let own, let module, let update):
      try merge(own, try LowRankUpdate(adapter, module, update, shape: tensors[index].shape)).withSpan(body)
    }
  }

  func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    switch contents[index] {
    case .base(let own): try base.streamBytes(ofTensorAt: own, body)
    case .adapter(let own): try adapter.source.streamBytes(ofTensorAt: own, body)
    case .merged: try withBytes(ofTensorAt: index, body)
    }
  }

  func strings(ofTensorAt index: Int) throws -> [[UInt8]] {
    guard case .base(let own) = contents[index] else { return [] }
    return try base.strings(ofTensorAt: own)
  }

  /// The bytes of the weight `own` of the base after the update.
  private func merge(_ own: Int, _ update: LowRankUpdate) throws -> Bytes {
    let info = base.tensors[own]
    guard let decode = info.elementType.numberDecoder, let encode = info.elementType.numberEncoder,
      let size = info.elementType.size
    else {
      throw FormatError(
        .unsupported, "the base model's weight has a type that an adapter is not merged into",
        file: base.files.first?.path,
        tensor: info.name, found: info.elementType.rawValue, expected: "F32, F16, BF16 or F64")
    }
    return try base.withBytes(ofTensorAt: own) { weights in
      Bytes(count: weights.byteCount) { out in
        for row in 0..<update.rows {
          let start = row * update.columns
          let values = update.row(row) { decode(weights, (start + $0) * size) }
          for column in 0..<update.columns { encode(values[column], &out, (start + column) * size) }
        }
      }
    }
  }
}

/// Finds the tensors of a base model by the names that a model around it gives them.
private struct BaseNames {
  private var indices: [String: Int] = [:]
  /// Names without their first component, where that makes no two equal; `nil` where it does.
  private var shortened: [String: Int?] = [:]

  init(_ tensors: [TensorInfo]) {
    for (index, tensor) in tensors.enumerated() {
      indices[tensor.name] = index
      guard let dot = tensor.name.firstIndex(of: ".") else { continue }
      let name = String(tensor.name[tensor.name.index(after: dot)...])
      shortened[name] = shortened[name] == nil ? index : .some(nil)
    }
  }

  /// The tensor of that name, the same without a first component (`bert.`), or that with one more.
  func index(of name: String) -> Int? {
    if let index = indices[name] { return index }
    if let dot = name.firstIndex(of: "."), let index = indices[String(name[name.index(after: dot)...])] { return index }
    return shortened[name] ?? nil
  }
}

/// scale · L·R, a change of a matrix in factors of low rank.
struct LowRankUpdate {
  let rows: Int
  let columns: Int
  private let rank: Int
  private let scale: Double
  /// `[rows, rank]` and `[rank, columns]`.
  private let left: [Double]
  private let right: [Double]
  /// The lengths that the rows get; `nil` except for DoRA.
  private let lengths: [Double]?

  init(_ adapter: LoRAAdapter, _ module: String, _ update: LoRAAdapter.Update, shape: [Int]) throws {
    guard let a = update.a, let b = update.b else {
      throw FormatError(.damaged, "a factor is missing", file: adapter.file, tensor: module)
    }
    let (aInfo, bInfo) = (adapter.source.tensors[a], adapter.source.tensors[b])
    let wanted = update.isTransposed ? shape.reversed() : shape
    guard shape.count == 2, aInfo.shape.count == 2, bInfo.shape.count == 2, aInfo.shape[0] == bInfo.shape[1],
      aInfo.shape[0] > 0, wanted == [bInfo.shape[0], aInfo.shape[1]]
    else {
      throw FormatError(
        .mismatch, "the factors of the adapter do not fit the base model's weight", file: adapter.file,
        tensor: module + ".weight", found: "A \(shapeText(aInfo.shape)) and B \(shapeText(bInfo.shape))",
        expected: "A [r, \(wanted.last ?? 0)] and B [\(wanted.first ?? 0), r] for a weight of \(shapeText(shape))",
        advice: "Give the model that the adapter was trained on.")
    }
    rank = aInfo.shape[0]
    scale = try adapter.scale(of: module, rank: rank)
    let aValues = try adapter.source.numbers(ofTensorAt: a)
    let bValues = try adapter.source.numbers(ofTensorAt: b)
    (rows, columns) = (shape[0], shape[1])
    left = update.isTransposed ? Self.transposed(aValues, rank, rows) : bValues
    right = update.isTransposed ? Self.transposed(bValues, columns, rank) : aValues
    lengths = try update.magnitude.map { try adapter.source.numbers(ofTensorAt: $0) }
    guard lengths == nil || lengths?.count == rows && !update.isTransposed else {
      throw FormatError(
        .unsupported,
        update.isTransposed
          ? "DoRA of embeddings is not merged" : "DoRA's lengths do not fit the rows of the weight", file: adapter.file,
        tensor: module + ".weight", advice: LoRAAdapter.mergeWithPEFT)
    }
  }

  /// `[rows, columns]` as `[columns, rows]`.
  private static func transposed(_ values: [Double], _ rows: Int, _ columns: Int) -> [Double] {
    var result = [Double](repeating: 0, count: values.count)
    for row in 0..<rows {
      for column in 0..<columns { result[column * rows + row] = values[row * columns + column] }
    }
    return result
  }

  /// The row after the update; `weight` gives the values before it.
  func row(_ row: Int, weight: (Int) -> Double) -> [Double] {
    var values = [Double](repeating: 0, count: columns)
    for k in 0..<rank {
      let factor = scale * left[row * rank + k]
      let start = k * columns
      for column in 0..<columns { values[column] += factor * right[start + column] }
    }
    for column in 0..<columns { values[column] += weight(column) }
    guard let length = lengths?[row] else { return values }
    let norm = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return values.map { $0 * (length / norm) }
  }
}

extension TensorSource {
  /// The numbers of a tensor of plain numbers.
  fileprivate func numbers(ofTensorAt index: Int) throws -> [Double] {
    let info = tensors[index]
    guard let decode = info.elementType.numberDecoder, let size = info.elementType.size else { return [] }
    return try withBytes(ofTensorAt: index) { bytes in
      (0..<info.elementCount).map { decode(bytes, $0 * size) }
    }
  }
}

extension ElementType {
  /// Stores a number little-endian at a byte offset, rounded once; `nil` for types that are not floats.
  fileprivate var numberEncoder: ((Double, inout MutableRawSpan, Int) -> Void)? {
    switch self {
    case .f32: { $1.storeBytes(of: Float($0).bitPattern.littleEndian, toByteOffset: $2, as: UInt32.self) }
    case .f64: { $1.storeBytes(of: $0.bitPattern.littleEndian, toByteOffset: $2, as: UInt64.self) }
    case .f16:
      { $1.storeBytes(of: Float(roundingToOdd: $0).halfBits.littleEndian, toByteOffset: $2, as: UInt16.self) }
    case .bf16:
      { $1.storeBytes(of: Float(roundingToOdd: $0).bfloat16Bits.littleEndian, toByteOffset: $2, as: UInt16.self) }
    default: nil
    }
  }
}
