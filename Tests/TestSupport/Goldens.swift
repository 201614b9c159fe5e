import TensorIO

#if canImport(Glibc)
  import Glibc
#endif

/// One line for an error in a golden listing: its kind and its whole text, in which `folder` is `FOLDER`.
public func line(_ label: String, _ error: FormatError?, folder: String? = nil) -> String {
  guard let error else { return "\(label): no error" }
  let text = folder.map { error.description.replacing($0, with: "FOLDER") } ?? error.description
  return "\(label): \(error.kind.rawValue): \(text.replacing("\n", with: " "))"
}

/// Compares lines with a listing in Tests/Goldens that was reviewed before; the first difference, or `nil`.
/// `BERTCONV_RECORD=1 swift test --filter NAME` writes the listing anew, and the difference is then reviewed like any other change.
public func goldenDifference(_ name: String, _ lines: [String]) throws -> String? {
  let path = fixture("../Goldens/\(name).txt")
  if unsafe getenv("BERTCONV_RECORD") != nil {
    try AtomicFile.write(Array((lines.joined(separator: "\n") + "\n").utf8), to: path, overwrites: true)
    return nil
  }
  let expected = try FileSystem.text(path).split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(
    String.init)
  for (index, (line, wanted)) in zip(lines, expected).enumerated() where line != wanted {
    return "line \(index + 1) of \(name).txt: found \(line), expected \(wanted)"
  }
  return lines.count == expected.count ? nil : "\(name).txt has \(expected.count) lines, found \(lines.count)"
}

/// Reads every tensor of a source, as a conversion would.
public func readAll(_ source: any TensorSource) throws {
  for (index, tensor) in source.tensors.enumerated() {
    if tensor.elementType == .string {
      _ = try source.strings(ofTensorAt: index)
    } else {
      try source.streamBytes(ofTensorAt: index) { _ in }
    }
  }
}
