import TensorIO
import Testing

/// The ``FormatError`` that `body` throws, nil where it throws none. Another error is recorded as an issue.
public func formatError(sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void) -> FormatError? {
  do {
    try body()
    return nil
  } catch let error as FormatError {
    return error
  } catch {
    Issue.record("an error of another type: \(error)", sourceLocation: sourceLocation)
    return nil
  }
}

/// Expects a ``FormatError`` of one kind, and gives it for more expectations.
///
/// - Parameters:
///   - tensor: the tensor that it must name; any or none where it is nil
///   - words: what its description must contain. For the wording alone: what a program may switch on is the kind.
@discardableResult
public func expectError(
  _ kind: FormatError.Kind, tensor: String? = nil, words: [String] = [],
  sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) -> FormatError? {
  guard let error = formatError(sourceLocation: sourceLocation, body) else {
    Issue.record("no FormatError was thrown, expected one of kind \(kind)", sourceLocation: sourceLocation)
    return nil
  }
  #expect(error.kind == kind, "\(error)", sourceLocation: sourceLocation)
  if let tensor { #expect(error.tensor == tensor, "\(error)", sourceLocation: sourceLocation) }
  for word in words { #expect(error.description.contains(word), "\(error)", sourceLocation: sourceLocation) }
  return error
}

/// The description of the error that `body` throws, or "no error": for tests of the wording.
public func errorText(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "no error"
  } catch {
    return "\(error)"
  }
}
