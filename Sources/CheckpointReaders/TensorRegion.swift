/// A part of a tensor.
protocol TensorRegion {
  /// First index in each dimension.
  var start: [Int] { get }
  var shape: [Int] { get }
}

extension BundlePart: TensorRegion {}
