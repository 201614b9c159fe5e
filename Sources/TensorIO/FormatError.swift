/// Why a file cannot be used: where, what was found, what was expected, and what to do about it.
///
/// Everything that comes from the file is escaped by ``description``, and what is very long is cut, so an error is safe to
/// print on a terminal.
public struct FormatError: Error, Equatable, Sendable, CustomStringConvertible {
  /// Path of the file, as the user gave it or as it was derived from that.
  public var file: String?
  /// Byte offset in the file, where one is known.
  public var offset: UInt64?
  /// Name of the tensor concerned.
  public var tensor: String?
  /// What is wrong, in one clause.
  public var problem: String
  public var found: String?
  public var expected: String?
  /// What the user can do.
  public var advice: String?

  public init(
    _ problem: String, file: String? = nil, offset: UInt64? = nil, tensor: String? = nil,
    found: String? = nil, expected: String? = nil, advice: String? = nil
  ) {
    self.problem = problem
    self.file = file
    self.offset = offset
    self.tensor = tensor
    self.found = found
    self.expected = expected
    self.advice = advice
  }

  public var description: String {
    var text = ""
    func printable(_ text: String, keepingNewlines: Bool = false) -> String {
      TensorIO.printable(withoutMiddle(text), keepingNewlines: keepingNewlines)
    }
    if let file { text += "\(printable(file)): " }
    if let offset { text += "at byte \(offset): " }
    if let tensor { text += "tensor '\(printable(tensor))': " }
    text += printable(problem, keepingNewlines: true)
    if let found { text += "; found \(printable(found))" }
    if let expected { text += found == nil ? "; expected \(printable(expected))" : ", expected \(printable(expected))" }
    if let advice { text += "\n  \(printable(advice, keepingNewlines: true))" }
    return text
  }

  /// The same error with the file named, where it was not yet.
  public func inFile(_ path: String) -> FormatError {
    var copy = self
    if copy.file == nil { copy.file = path }
    return copy
  }

  /// The same error with the tensor named, where it was not yet.
  public func inTensor(_ name: String) -> FormatError {
    var copy = self
    if copy.tensor == nil { copy.tensor = name }
    return copy
  }
}
