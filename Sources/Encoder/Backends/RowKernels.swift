import CKernels
import ModelFamilies

/// The loops over rows between the products: bias and activation, normalizations, a step of an LSTM.
enum RowKernels {
  // Memory safety: as Backend.swift says.

  /// Loops that the compiler vectorizes, for the generation of the processor.
  case fast
  /// The definitions, in double precision.
  case plain

  /// `x = activation(x + bias)`, bias [columns].
  func add(_ bias: Weight, to x: Matrix, _ activation: Activation?) {
    precondition(bias.rows == 1 && bias.columns == x.columns)
    unsafe x.withStart { x0 in
      unsafe bias.withStart { b in
        switch (self, activation) {
        case (.fast, nil): unsafe bertconv_bias(x0, b, x.rows, x.columns, x.stride)
        case (.fast, .gelu): unsafe bertconv_bias_gelu(x0, b, x.rows, x.columns, x.stride)
        case (.fast, .geluTanh): unsafe bertconv_bias_gelu_tanh(x0, b, x.rows, x.columns, x.stride)
        case (.fast, .relu): unsafe bertconv_bias_relu(x0, b, x.rows, x.columns, x.stride)
        case (.fast, .tanh): unsafe bertconv_bias_tanh(x0, b, x.rows, x.columns, x.stride)
        case (.plain, nil): unsafe bertconv_bias_plain(x0, b, x.rows, x.columns, x.stride)
        case (.plain, .gelu): unsafe bertconv_bias_gelu_plain(x0, b, x.rows, x.columns, x.stride)
        case (.plain, .geluTanh): unsafe bertconv_bias_gelu_tanh_plain(x0, b, x.rows, x.columns, x.stride)
        case (.plain, .relu): unsafe bertconv_bias_relu_plain(x0, b, x.rows, x.columns, x.stride)
        case (.plain, .tanh): unsafe bertconv_bias_tanh_plain(x0, b, x.rows, x.columns, x.stride)
        }
      }
    }
  }

  /// Each row of `x` normalized as its kind says, then scaled by gamma and shifted by beta.
  func layerNorm(_ x: Matrix, _ norm: NormWeights) {
    precondition(x.isContiguous && norm.gamma.columns == x.columns && norm.beta.columns == x.columns)
    let (rows, columns) = (x.rows, x.columns)
    unsafe x.withStart { x0 in
      unsafe norm.gamma.withStart { gamma in
        unsafe norm.beta.withStart { beta in
          switch (self, norm.kind) {
          case (.fast, .variance(let epsilon)): unsafe bertconv_layer_norm(x0, gamma, beta, epsilon, rows, columns)
          case (.fast, .sampleDeviation(let epsilon)):
            unsafe bertconv_deviation_norm(x0, gamma, beta, epsilon, rows, columns)
          case (.fast, .affine): unsafe bertconv_affine(x0, gamma, beta, rows, columns)
          case (.plain, .variance(let epsilon)):
            unsafe bertconv_layer_norm_plain(x0, gamma, beta, epsilon, rows, columns)
          case (.plain, .sampleDeviation(let epsilon)):
            unsafe bertconv_deviation_norm_plain(x0, gamma, beta, epsilon, rows, columns)
          case (.plain, .affine): unsafe bertconv_affine_plain(x0, gamma, beta, rows, columns)
          }
        }
      }
    }
  }

  /// `x = layerNorm(x + bias + residual)`, in one pass over a row where there is a kernel for it.
  func residualLayerNorm(_ x: Matrix, bias: Weight, residual: Matrix, _ norm: NormWeights) {
    precondition(x.isContiguous && residual.isContiguous && x.rows == residual.rows && x.columns == residual.columns)
    precondition(norm.gamma.columns == x.columns && norm.beta.columns == x.columns && bias.columns == x.columns)
    let (rows, columns) = (x.rows, x.columns)
    unsafe x.withStart { x0 in
      unsafe residual.withStart { r in
        unsafe bias.withStart { b in
          unsafe norm.gamma.withStart { gamma in
            unsafe norm.beta.withStart { beta in
              switch (self, norm.kind) {
              case (.fast, .variance(let epsilon)):
                unsafe bertconv_residual_layer_norm(x0, b, r, gamma, beta, epsilon, rows, columns)
              case (.fast, .affine): unsafe bertconv_residual_affine(x0, b, r, gamma, beta, rows, columns)
              case (.plain, _), (.fast, .sampleDeviation):
                addResidual(x, bias: bias, residual: residual)
                layerNorm(x, norm)
              }
            }
          }
        }
      }
    }
  }

  /// `x += bias + residual`, bias [columns].
  func addResidual(_ x: Matrix, bias: Weight, residual: Matrix) {
    precondition(x.isContiguous && residual.isContiguous && x.rows == residual.rows && x.columns == residual.columns)
    add(bias, to: x, nil)
    unsafe x.withStart { x0 in
      unsafe residual.withStart { r in
        switch self {
        case .fast: unsafe bertconv_add(x0, r, x.rows * x.columns)
        case .plain: unsafe bertconv_add_plain(x0, r, x.rows * x.columns)
        }
      }
    }
  }

  /// A step of an LSTM: `gates` [m, 4 n], `cell` and `y` [m, n].
  func lstm(_ gates: Matrix, cell: Matrix, into y: Matrix) {
    precondition(gates.isContiguous && cell.isContiguous && y.isContiguous)
    precondition(gates.rows == y.rows && cell.rows == y.rows && gates.columns == 4 * y.columns)
    precondition(cell.columns == y.columns)
    unsafe gates.withStart { gates0 in
      unsafe cell.withStart { cell0 in
        unsafe y.withStart { y0 in
          switch self {
          case .fast: unsafe bertconv_lstm(gates0, cell0, y0, y.rows, y.columns)
          case .plain: unsafe bertconv_lstm_plain(gates0, cell0, y0, y.rows, y.columns)
          }
        }
      }
    }
  }
}
