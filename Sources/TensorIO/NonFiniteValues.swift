import CTensorIO

/// How many values of a tensor are not finite.
public struct NonFiniteValues: Sendable, Equatable {
  public private(set) var nan = 0
  public private(set) var infinite = 0

  public init() {}

  public var isEmpty: Bool { nan == 0 && infinite == 0 }

  /// Counts those among whole elements of a floating-point type; types of other numbers have none.
  public mutating func add(_ bytes: RawSpan, _ type: ElementType) {
    guard let kind = type.floatKind, let size = type.size else { return }
    var (nan, infinite): (UInt64, UInt64) = (0, 0)
    // Memory safety: the call reads whole elements inside the span, which is lent until it returns.
    unsafe bytes.withUnsafeBytes { buffer in
      guard let start = buffer.baseAddress else { return }
      unsafe bertconv_count_special(start, buffer.count / size, kind, &nan, &infinite)
    }
    self.nan += Int(nan)
    self.infinite += Int(infinite)
  }

  /// A sentence on the tensors that have such values, given in order; `nil` where none has.
  public static func text(_ tensors: [(name: String, values: NonFiniteValues)]) -> String? {
    let found = tensors.filter { !$0.values.isEmpty }
    guard let first = found.first else { return nil }
    let nan = found.reduce(0) { $0 + $1.values.nan }
    let infinite = found.reduce(0) { $0 + $1.values.infinite }
    let parts = [nan > 0 ? "\(grouped(nan)) NaN" : nil, infinite > 0 ? "\(grouped(infinite)) infinite" : nil]
    return
      "\(counted(found.count, "tensor")) with values that are not finite (\(parts.compactMap(\.self).joined(separator: ", "))), "
      + "\(found.count == 1 ? "" : "the first ")\(first.name): what is computed with them is not finite either"
  }
}

extension ElementType {
  /// How the C side calls the float types whose values it looks at; `nil` for all others.
  var floatKind: Int32? {
    switch self {
    case .f16: Int32(BERTCONV_F16_VALUES)
    case .bf16: Int32(BERTCONV_BF16_VALUES)
    case .f32: Int32(BERTCONV_F32_VALUES)
    case .f64: Int32(BERTCONV_F64_VALUES)
    default: nil
    }
  }
}
