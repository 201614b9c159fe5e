import TensorIO

/// A tensor as the `expected.json` next to a fixture describes it.
public struct ExpectedTensor: Sendable {
  public let name: String
  public let elementType: String
  public let shape: [Int]
  /// Contiguous little-endian bytes.
  public let bytes: [UInt8]?
  public let strings: [[UInt8]]?
}

/// The tensors that an `expected.json` lists, by name: `{"name": {"dtype", "shape", "hex" or "strings"}}`.
public func expectedTensors(_ path: String) throws -> [ExpectedTensor] {
  (try JSON.parse(try FileSystem.text(path)).members ?? []).map { member in
    ExpectedTensor(
      name: member.key, elementType: member.value["dtype"]?.stringValue ?? "",
      shape: (member.value["shape"]?.elements ?? []).compactMap(\.intValue),
      bytes: member.value["hex"]?.stringValue.map(bytes(hexadecimal:)),
      strings: member.value["strings"]?.elements?.map { bytes(base64: $0.stringValue ?? "") })
  }
}

/// The bytes of a text of hexadecimal digits.
public func bytes(hexadecimal text: String) -> [UInt8] {
  let digits = Array(text.utf8)
  return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
    UInt8(String(decoding: digits[$0...($0 + 1)], as: UTF8.self), radix: 16)
  }
}

/// The bytes of a text in base64.
public func bytes(base64 text: String) -> [UInt8] {
  let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  var result: [UInt8] = []
  var bits: UInt32 = 0
  var count = 0
  for digit in text.utf8 {
    guard let value = alphabet.firstIndex(of: digit) else { break }
    bits = bits << 6 | UInt32(value)
    count += 6
    if count >= 8 {
      count -= 8
      result.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
    }
  }
  return result
}

/// All that differs between what a source holds and what it should hold, one line each.
public func differences(_ source: any TensorSource, _ expected: [ExpectedTensor]) throws -> [String] {
  var problems: [String] = []
  let names = Set(source.tensors.map(\.name))
  for extra in names.subtracting(expected.map(\.name)).sorted() { problems.append("extra \(extra)") }
  for wanted in expected {
    guard let index = source.index(ofTensor: wanted.name) else {
      problems.append("missing \(wanted.name)")
      continue
    }
    let tensor = source.tensors[index]
    if tensor.elementType.rawValue != wanted.elementType || tensor.shape != wanted.shape {
      problems.append("\(wanted.name): \(tensor.elementType.rawValue) \(tensor.shape)")
      continue
    }
    if let bytes = wanted.bytes {
      let actual = try source.withBytes(ofTensorAt: index) { $0.array() }
      var streamed: [UInt8] = []
      try source.streamBytes(ofTensorAt: index) { streamed += $0.array() }
      if actual != bytes || streamed != bytes { problems.append("\(wanted.name): other bytes") }
    }
    if let strings = wanted.strings, try source.strings(ofTensorAt: index) != strings {
      problems.append("\(wanted.name): other strings")
    }
  }
  return problems
}
