/// Why a file cannot be used: its kind, where it is, what was found, what was expected, and what to do about it.
///
/// A program switches on ``kind`` and ``advice``; the sentences are for people and may change. ``description`` escapes
/// everything that comes from the file and shortens what is very long, so an error is safe to print on a terminal.
public struct FormatError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What sort of failure it is.
  public enum Kind: String, Sendable, CaseIterable {
    /// The path does not lead to something that can be opened and read.
    case unreadable
    /// The bytes are in no format, or the tensors of no family, that is known.
    case unrecognized
    /// The bytes contradict their format or their checksum.
    case damaged
    /// The file is well-formed and uses something that is not read, or that has no form in the output.
    case unsupported
    /// The file contains code, or hides what it contains.
    case dangerous
    /// A size, a depth or a number exceeds the limit for it.
    case limit
    /// Tensors and config do not make one model.
    case mismatch
    /// The config itself cannot be used.
    case config
    /// A mapping table or family definition cannot be used.
    case table
    /// An input or a setting does not fit the model.
    case input
    /// The output cannot be written.
    case output
    /// Memory, threads or a system library are missing.
    case system
  }

  /// What the user can do. A command words the cases that its own options serve.
  public indirect enum Advice: Equatable, Sendable, ExpressibleByStringInterpolation {
    /// A sentence that holds for every caller.
    case sentence(String)
    /// Allow the output to be replaced.
    case allowReplacing
    /// Choose another output.
    case chooseOtherOutput
    /// Give the config that belongs to these weights.
    case giveConfig
    /// The file is a config: give the checkpoint, and this file as its config.
    case giveCheckpointWithConfig
    /// Give a mapping table.
    case giveTable
    /// Name the family of the model, one of these.
    case chooseFamily([String])
    /// Give the adapter that was merged.
    case giveAdapter
    /// The file is an adapter: give its base model, and the adapter with it.
    case giveBaseModel
    /// Convert the checkpoint to a native file first.
    case convertFirst
    /// The checkpoint is of another format than the requested one: `kind` is its group of formats, `title` what people call it.
    case openAs(kind: String, title: String)
    /// Allow unexpected tensors whose names match this glob to be left out.
    case allowUnexpected(String)
    /// Look at the tensors that no rule maps.
    case listUnmapped
    /// Look at what the checkpoint imports.
    case listImports
    /// Choose another storage type.
    case chooseStorageType([String])
    /// Choose another precision.
    case choosePrecision([String])
    /// The name was probably meant to be this one.
    case didYouMean(String)
    /// Each of these, in order.
    case all([Advice])

    public init(stringLiteral sentence: String) { self = .sentence(sentence) }

    /// The advice in a sentence that names no option of any command.
    public var text: String {
      switch self {
      case .sentence(let text): text
      case .allowReplacing: "Allow the output to be replaced, or choose another one."
      case .chooseOtherOutput: "Choose another output."
      case .giveConfig: "Give the config that belongs to these weights."
      case .giveCheckpointWithConfig: "If this is a config, give the checkpoint, and this file as its config."
      case .giveTable: "Give a mapping table that describes these tensors."
      case .chooseFamily(let families): "Choose the family: \(families.joined(separator: " or "))."
      case .giveAdapter: "Give the folder of that adapter too."
      case .giveBaseModel: "Give its base model, and this folder as the adapter."
      case .convertFirst: "Convert the checkpoint to a native file first."
      case .openAs(_, let title): "It is a \(title) checkpoint, whatever its name suggests: open it as one."
      case .allowUnexpected(let glob): "Unexpected tensors can be left out on request: allow '\(glob)'."
      case .listUnmapped: "Inspect the checkpoint to list the tensors that no rule maps."
      case .listImports: "Inspect the checkpoint to list what it imports."
      case .chooseStorageType(let types): "Choose the storage type \(types.joined(separator: " or "))."
      case .choosePrecision(let precisions): "Choose the precision \(precisions.joined(separator: " or "))."
      case .didYouMean(let name): "Did you mean '\(name)'?"
      case .all(let advice): advice.map(\.text).joined(separator: " ")
      }
    }
  }

  public var kind: Kind
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
  public var advice: Advice?

  public init(
    _ kind: Kind, _ problem: String, file: String? = nil, offset: UInt64? = nil, tensor: String? = nil,
    found: String? = nil, expected: String? = nil, advice: Advice? = nil
  ) {
    self.kind = kind
    self.problem = problem
    self.file = file
    self.offset = offset
    self.tensor = tensor
    self.found = found
    self.expected = expected
    self.advice = advice
  }

  public var description: String { text { $0.text } }

  /// The error for people, its advice in the words of `wording`.
  public func text(wording: (Advice) -> String) -> String {
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
    if let advice { text += "\n  \(printable(wording(advice), keepingNewlines: true))" }
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
