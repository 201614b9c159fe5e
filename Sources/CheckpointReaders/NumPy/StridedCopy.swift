import TensorIO

/// Puts the elements of a strided view (a transpose, a slice, NumPy's Fortran order) into row-major order.
enum StridedCopy {
  /// Fills `target` with the view's elements. The caller has checked with ``Strides/lastElement(offset:shape:strides:)`` that
  /// the view lies inside `source`, and made `target` as large as the shape.
  static func gather(
    _ source: RawSpan, offset: Int, shape: [Int], strides: [Int], elementSize: Int, into target: inout MutableRawSpan
  ) {
    if target.byteCount == 0 { return }
    // Dimensions of one element do not matter; adjacent ones that continue each other are merged.
    var sizes: [Int] = []
    var steps: [Int] = []
    for (size, stride) in zip(shape, strides) where size != 1 {
      if let last = sizes.indices.last, stride > 0,
        steps[last] == stride.multipliedReportingOverflow(by: size).partialValue
      {
        sizes[last] *= size
        steps[last] = stride
      } else {
        sizes.append(size)
        steps.append(stride)
      }
    }
    let block = Block(sizes: &sizes, steps: &steps, elementSize: elementSize)
    var counter = [Int](repeating: 0, count: sizes.count)
    var to = 0
    while true {
      var from = offset
      for index in sizes.indices { from += counter[index] * steps[index] }
      block.copy(source, from: from, into: &target, at: to, elementSize: elementSize)
      to += block.count * elementSize
      var index = sizes.count - 1
      while index >= 0 {
        counter[index] += 1
        if counter[index] < sizes[index] { break }
        counter[index] = 0
        index -= 1
      }
      if index < 0 { return }
    }
  }

  /// What is copied at once: the innermost dimensions, taken off the list.
  private enum Block {
    case run(Int)
    case transpose(rows: Int, columns: Int)
    case spaced(Int, step: Int)

    init(sizes: inout [Int], steps: inout [Int], elementSize: Int) {
      if let size = sizes.last, let step = steps.last {
        if step == 1 {
          self = .run(size)
        } else if sizes.count >= 2, steps[steps.count - 2] == 1, step == sizes[sizes.count - 2],
          [1, 2, 4, 8, 16].contains(elementSize)
        {
          self = .transpose(rows: size, columns: step)
          sizes.removeLast()
          steps.removeLast()
        } else {
          self = .spaced(size, step: step)
        }
        sizes.removeLast()
        steps.removeLast()
      } else {
        self = .run(1)
      }
    }

    var count: Int {
      switch self {
      case .run(let count), .spaced(let count, _): count
      case .transpose(let rows, let columns): rows * columns
      }
    }

    func copy(_ source: RawSpan, from: Int, into target: inout MutableRawSpan, at to: Int, elementSize: Int) {
      switch self {
      case .run(let count):
        target.copy(source.extracting((from * elementSize)..<((from + count) * elementSize)), to: to)
      case .transpose(let rows, let columns):
        let bytes = rows * columns * elementSize
        var part = target._mutatingExtracting(to..<(to + bytes))
        Layout.transpose(
          source.extracting((from * elementSize)..<(from * elementSize + bytes)), into: &part, rows: rows,
          columns: columns, elementSize: elementSize)
      case .spaced(let count, let step):
        switch elementSize {
        case 1: spaced(source, UInt8.self, from, count, step, into: &target, at: to)
        case 2: spaced(source, UInt16.self, from, count, step, into: &target, at: to)
        case 4: spaced(source, UInt32.self, from, count, step, into: &target, at: to)
        case 8: spaced(source, UInt64.self, from, count, step, into: &target, at: to)
        default:
          for index in 0..<count {
            let start = (from + index * step) * elementSize
            target.copy(source.extracting(start..<(start + elementSize)), to: to + index * elementSize)
          }
        }
      }
    }

    private func spaced<T: FixedWidthInteger & BitwiseCopyable>(
      _ source: RawSpan, _ type: T.Type, _ from: Int, _ count: Int, _ step: Int, into target: inout MutableRawSpan,
      at to: Int
    ) {
      let size = MemoryLayout<T>.size
      for index in 0..<count {
        let value = source.littleEndian(T.self, at: (from + index * step) * size)
        target.storeBytes(of: value.littleEndian, toByteOffset: to + index * size, as: T.self)
      }
    }
  }
}
