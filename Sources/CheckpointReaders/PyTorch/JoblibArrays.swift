import CheckpointFormats
import TensorIO

// joblib (joblib/numpy_pickle.py) writes an array as an object without data, and the bytes of the array into the stream
// right after it:
//
//     NumpyArrayWrapper(subclass, shape, order, dtype, allow_mmap, numpy_array_alignment_bytes)
//     | number of bytes of padding: 1 byte | 0xFF … | the elements |        since joblib 1.2; before, the elements alone
//
// An array of objects is a pickle of its own there. Older versions put arrays into files of their own.
extension PickleMachine {
  /// The maximum depth of arrays of objects in arrays of objects.
  private static let maxNesting = 8

  /// Reads the bytes that follow an array's description, if that is what was built last.
  mutating func readJoblibArray(_ cursor: inout ByteCursor) throws(FormatError) {
    guard let value = stack.last, case .node(let node) = value, let wrapper = object(value),
      let name = globalName(wrapper.type), HarmlessNames.joblibWrappers.contains(name)
    else { return }
    isJoblib = true
    guard name.hasSuffix(".NumpyArrayWrapper") else { return }
    guard let shape = self.value("shape", in: wrapper.state).flatMap({ integers($0) }),
      let type = self.value("dtype", in: wrapper.state), let code = typeCode(type)
    else { throw fail(.damaged, "the description of a joblib array is invalid", found: describe(wrapper.state)) }
    if NumPyType.split(code).code.hasPrefix("O") {
      replace(node, with: try nestedObjects(&cursor))
      return
    }
    if case .int(let alignment) = self.value("numpy_array_alignment_bytes", in: wrapper.state), alignment > 0 {
      try cursor.skip(Int(try cursor.byte("the padding of an array")))
    }
    let element = dataType(type)
    guard let size = element?.element.size ?? Self.itemSize(NumPyType.split(code).code),
      let count = checkedElementCount(shape),
      case (let bytes, let overflow) = count.multipliedReportingOverflow(by: size),
      !overflow, count >= 0
    else { throw fail(.unsupported, "the type of a joblib array is unknown", found: code) }
    let data = try cursor.take(bytes, "an array")
    guard let element else { return }
    let isFortran = self.value("order", in: wrapper.state).flatMap { text($0) } == "F"
    replace(node, with: .tensor(try array(data, element, shape, isFortran: isFortran)))
  }

  /// The code of a `numpy.dtype`, such as `f4`.
  private func typeCode(_ value: PickleValue) -> String? {
    guard let object = object(value), globalName(object.type) == "numpy.dtype", let arguments = tuple(object.arguments),
      arguments.count > 0
    else { return nil }
    return text(self[arguments, 0])
  }

  /// The bytes of an element of a type that is not one of numbers: texts, records, dates.
  private static func itemSize(_ code: some StringProtocol) -> Int? {
    guard let kind = code.first, let number = Int(code.dropFirst()), number >= 0, number < 1 << 24 else {
      return code == "M8" || code == "m8" ? 8 : nil
    }
    return kind == "U" ? 4 * number : number
  }

  /// The pickle of an array of objects, which has a stack and a memo of its own.
  private mutating func nestedObjects(_ cursor: inout ByteCursor) throws(FormatError) -> PickleNode {
    guard nesting < Self.maxNesting else { throw fail(.limit, "arrays of objects are nested too deeply") }
    let saved = (stack, marks, memo)
    nesting += 1
    let value = try load(&cursor)
    nesting -= 1
    (stack, marks, memo) = saved
    if case .node(let index) = value { return nodes[index] }
    return .tuple(PickleTuple(start: 0, length: 0))
  }
}
