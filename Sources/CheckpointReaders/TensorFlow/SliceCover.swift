import CheckpointFormats
import TensorIO

/// How the slices of a partitioned tensor cover it.
enum SliceCover {
  /// Slices that are not cut along a single axis are compared pairwise.
  private static let maxSlices = 4096

  /// Start and shape of a slice, checked to lie inside a tensor of this shape.
  static func resolve(
    _ slice: [SliceExtent], in shape: [Int]
  ) throws(FormatError) -> (start: [Int], shape: [Int]) {
    guard slice.count == shape.count else {
      throw FormatError(
        .damaged, "a slice and its tensor differ in rank", found: "\(slice.count)", expected: "\(shape.count)")
    }
    var result = (start: [Int](), shape: [Int]())
    for (extent, size) in zip(slice, shape) {
      let length = extent.length ?? size
      guard extent.length != nil || extent.start == 0, extent.start <= size, length <= size - extent.start else {
        throw FormatError(
          .damaged, "a slice lies outside the tensor", found: text(slice), expected: "within \(shapeText(shape))")
      }
      result.start.append(extent.start)
      result.shape.append(length)
    }
    return result
  }

  static func text(_ slice: [SliceExtent]) -> String {
    slice.map { extent in extent.length.map { "\(extent.start)+\($0)" } ?? "all" }.joined(separator: ", ")
  }

  /// The slices must contain every element exactly once: none overlaps another, and together they have as many elements.
  static func check(_ parts: [some TensorRegion], _ tensor: TensorInfo, file: String) throws(FormatError) {
    let filled = parts.filter { !$0.shape.contains(0) }
    if !isChain(filled, rank: tensor.shape.count) { try checkPairs(filled, tensor, file) }
    var sum = 0
    for part in filled { sum += checkedElementCount(part.shape) ?? 0 }
    guard sum == tensor.elementCount else {
      throw FormatError(
        .damaged, "the slices do not cover the tensor", file: file, tensor: tensor.name, found: "\(sum) elements",
        expected: "\(tensor.elementCount)")
    }
  }

  /// Whether the slices follow one another along one axis without overlap, which is the usual case. It is found in less
  /// than quadratic time.
  private static func isChain(_ parts: [some TensorRegion], rank: Int) -> Bool {
    guard parts.count > 1 else { return true }
    guard let axis = (0..<rank).first(where: { axis in Set(parts.map { $0.start[axis] }).count == parts.count }) else {
      return false
    }
    let ordered = parts.sorted { $0.start[axis] < $1.start[axis] }
    return zip(ordered, ordered.dropFirst()).allSatisfy { $0.start[axis] + $0.shape[axis] <= $1.start[axis] }
  }

  private static func checkPairs(_ parts: [some TensorRegion], _ tensor: TensorInfo, _ file: String) throws(FormatError)
  {
    guard parts.count <= maxSlices else {
      throw FormatError(
        .limit, "the tensor has too many slices", file: file, tensor: tensor.name, found: "\(parts.count)",
        expected: "at most \(maxSlices)")
    }
    for (index, a) in parts.enumerated() {
      for b in parts[(index + 1)...] {
        let overlaps = tensor.shape.indices.allSatisfy { axis in
          a.start[axis] < b.start[axis] + b.shape[axis] && b.start[axis] < a.start[axis] + a.shape[axis]
        }
        guard !overlaps else {
          throw FormatError(
            .damaged, "two slices overlap", file: file, tensor: tensor.name,
            found: "\(shapeText(a.start)) and \(shapeText(b.start))")
        }
      }
    }
  }
}
