/// How far apart the neighbors along each dimension of an array lie, in elements.
package enum Strides {
  /// Those of an array whose last dimension is contiguous (C order). A dimension of no elements counts as one, as in
  /// torch and NumPy; what does not fit is cut off.
  package static func rowMajor(_ shape: [Int]) -> [Int] { Array(running(shape.reversed()).reversed()) }

  /// Those of an array whose first dimension is contiguous (Fortran order).
  package static func columnMajor(_ shape: [Int]) -> [Int] { running(shape) }

  private static func running(_ shape: [Int]) -> [Int] {
    var step = 1
    return shape.map { size in
      defer { step = step.multipliedReportingOverflow(by: max(1, size)).partialValue }
      return step
    }
  }

  /// Whether a view is in row-major order without gaps; dimensions of one element do not count.
  package static func areRowMajor(_ strides: [Int], of shape: [Int]) -> Bool {
    var expected = 1
    for (size, stride) in zip(shape, strides).reversed() where size != 1 {
      if stride != expected { return false }
      expected = expected.multipliedReportingOverflow(by: max(1, size)).partialValue
    }
    return true
  }

  /// The index of the last element that a view reaches, counted from the first of its memory; `nil` where the view cannot
  /// be followed: a negative stride or offset, or numbers that do not fit. An empty view reaches nothing: −1.
  package static func lastElement(offset: Int, shape: [Int], strides: [Int]) -> Int? {
    guard shape.count == strides.count, offset >= 0 else { return nil }
    if shape.contains(0) { return -1 }
    var last = offset
    for (size, stride) in zip(shape, strides) {
      guard stride >= 0 || size <= 1 else { return nil }
      if size <= 1 { continue }
      let (reach, overflow) = (size - 1).multipliedReportingOverflow(by: stride)
      let (sum, overflowToo) = last.addingReportingOverflow(reach)
      if overflow || overflowToo { return nil }
      last = sum
    }
    return last
  }
}
