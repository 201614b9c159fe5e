/// A function between two matrices, as the encoder computes it.
public enum Activation: String, Sendable, CaseIterable {
  /// `x Φ(x)`, with the error function (Hendrycks and Gimpel, 2016).
  case gelu
  /// The same with `tanh` in place of the error function.
  case geluTanh = "gelu_tanh"
  case relu
  case tanh
}
