import COneDNN
import CProducts
import TensorIO

/// The numbers that matrix products are made of. Everything between them is f32.
///
/// Each is computed on every processor, with the same meaning; the processor decides the speed alone.
public enum Precision: String, Sendable, CaseIterable {
  case f32
  /// bfloat16 by bfloat16, summed in f32. Attention is bf16 where the processor has it, else f32.
  case bf16
  /// Unsigned 8 bits with a scale and a zero per row, computed for each row of activations, by signed 8 bits with a scale
  /// per output; summed in 32 bits. Attention is bf16 where the processor has it, else f32.
  case int8

  var code: Int32 {
    switch self {
    case .f32: Int32(BERTCONV_F32.rawValue)
    case .bf16: Int32(BERTCONV_BF16.rawValue)
    case .int8: Int32(BERTCONV_INT8.rawValue)
    }
  }

  var panelType: Int32 {
    switch self {
    case .f32: Int32(BERTCONV_PANELS_F32.rawValue)
    case .bf16: Int32(BERTCONV_PANELS_BF16.rawValue)
    case .int8: Int32(BERTCONV_PANELS_INT8.rawValue)
    }
  }

  /// Bytes of a weight in a product.
  var weightSize: Int {
    switch self {
    case .f32: 4
    case .bf16: 2
    case .int8: 1
    }
  }

  /// The storage type that products of this precision take as it is, besides floats.
  var storedType: ElementType? {
    switch self {
    case .f32: nil
    case .bf16: .bf16
    case .int8: .i8
    }
  }
}
