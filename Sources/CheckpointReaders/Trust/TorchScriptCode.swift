import TensorIO

/// Judges the code of a TorchScript archive by an allow-list of operators. Nothing is compiled or run.
///
/// `code/*.py` is text that torch/csrc/jit/serialization/python_print.cpp writes: a small language with Python's syntax, in
/// which every effect is an operator, written `torch.NAME(…)` for `aten::NAME` and `ops.SPACE.NAME(…)` for all others, or
/// one of a few words of the language. Methods and functions of the archive itself are in the same text. Classes of C++
/// are named by `__torch__.torch.classes.SPACE.NAME`.
struct TorchScriptCode {
  /// Each operator once, in the order of its first use.
  private(set) var items: [ContainedCode] = []
  private var known: Set<String> = []
  private var defined: Set<String> = []
  /// Words that are called and may be defined further on.
  private var called: [String] = []

  /// Names that one archive may list.
  private static let maxItems = 10_000

  /// What torch/csrc/jit/serialization/python_print.cpp prints without a prefix, and what precedes a bracket in Python.
  private static let words: Set<String> = [
    "annotate", "uninitialized", "unchecked_cast", "isinstance", "getattr", "hasattr", "setattr", "int", "float",
    "bool",
    "complex", "str", "print", "range", "enumerate", "zip", "fork", "wait", "awaitable", "tuple", "len", "ord", "chr",
    "hash",
    "if", "elif", "else", "for", "in", "not", "and", "or", "is", "return", "while", "assert", "raise", "with", "def",
    "class",
    "Exception", "AssertionError", "Tuple", "List", "Dict", "Optional", "Union", "Future", "Await", "RRef", "Final",
    "NamedTuple", "Module", "Enum", "Interface", "ModuleInterface", "NoneType", "Tensor", "device", "Device", "Stream",
    "Generator", "Any", "number", "Scalar", "lambda", "pass", "break", "continue", "del", "except", "try", "finally",
  ]

  /// What is not harmless, with what it does.
  private static let harmful: [String: String] = [
    "aten::from_file": "maps a file into memory", "aten::save": "writes a file", "aten::load": "reads a file",
    "prim::rpc_async": "calls a function on another machine", "prim::rpc_sync": "calls a function on another machine",
    "prim::rpc_remote": "calls a function on another machine", "prim::PythonOp": "calls Python",
    "prim::IgnoredPythonOp": "calls Python",
  ]

  /// Classes of C++ that hold packed weights.
  private static let harmlessClasses: Set<String> = ["quantized", "rnn", "sparse", "xnnpack", "mkldnn", "onednn"]

  /// Reads one file of the code.
  mutating func read(_ text: Bytes) {
    text.withSpan { span in
      var index = Self.afterBlank(span, 0)
      // A name after a dot is a member of a value: what it does is in the text of the value's class.
      var isMember = false
      while index < span.byteCount {
        let byte = span.byte(at: index)
        if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
          index = Self.endOfString(span, index)
        } else if Self.isLetter(byte) {
          index = readName(span, index, isMember: isMember)
        } else {
          index += 1
        }
        isMember = byte == UInt8(ascii: ".")
        index = Self.afterBlank(span, index)
      }
    }
  }

  /// The operators that were found, and the words that are called and defined nowhere.
  func finished() -> [ContainedCode] {
    var result = self
    for word in called where !defined.contains(word) {
      result.add(word, .unknown, "a word that TorchScript does not have")
    }
    return result.items
  }

  // MARK: Words

  private static func isLetter(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: "_") || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) && byte < 0x80
  }

  private static func isOfName(_ byte: UInt8) -> Bool {
    isLetter(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
  }

  /// The index after a string that begins at `start`.
  private static func endOfString(_ span: RawSpan, _ start: Int) -> Int {
    let quote = span.byte(at: start)
    var index = start + 1
    while index < span.byteCount, span.byte(at: index) != quote {
      // A string ends with its line at the latest.
      if span.byte(at: index) == 0x0A { return index }
      index += span.byte(at: index) == UInt8(ascii: "\\") ? 2 : 1
    }
    return index + 1
  }

  /// The index of what follows blanks, line ends and comments.
  private static func afterBlank(_ span: RawSpan, _ start: Int) -> Int {
    var index = start
    while index < span.byteCount {
      switch span.byte(at: index) {
      case 0x20, 0x09, 0x0A, 0x0D, UInt8(ascii: "\\"): index += 1
      case UInt8(ascii: "#"):
        while index < span.byteCount, span.byte(at: index) != 0x0A { index += 1 }
      default: return index
      }
    }
    return index
  }

  private static func endOfWord(_ span: RawSpan, _ start: Int) -> Int {
    var index = start
    while index < span.byteCount, isOfName(span.byte(at: index)) { index += 1 }
    return index
  }

  private static func text(_ span: RawSpan, _ range: Range<Int>) -> String {
    // No name of an operator is longer.
    var bytes: [UInt8] = []
    for index in range.prefix(PickleMachine.maxNameLength) { bytes.append(span.byte(at: index)) }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Reads a dotted name that begins at `start`; the index after it.
  private mutating func readName(_ span: RawSpan, _ start: Int, isMember: Bool) -> Int {
    var end = Self.endOfWord(span, start)
    var parts = [Self.text(span, start..<end)]
    var next = Self.afterBlank(span, end)
    while next < span.byteCount, span.byte(at: next) == UInt8(ascii: ".") {
      let first = Self.afterBlank(span, next + 1)
      guard first < span.byteCount, Self.isLetter(span.byte(at: first)) else { break }
      end = Self.endOfWord(span, first)
      if parts.count < 32 { parts.append(Self.text(span, first..<end)) }
      next = Self.afterBlank(span, end)
    }
    if isMember { return end }
    let following = next < span.byteCount ? span.byte(at: next) : 0
    judge(parts, isCalled: following == UInt8(ascii: "("))
    // A variable that is called: what it was made of is judged where it is made.
    let isEqual = next + 1 < span.byteCount && span.byte(at: next + 1) == UInt8(ascii: "=")
    if parts.count == 1, following == UInt8(ascii: "="), !isEqual { define(parts[0]) }
    guard parts == ["def"] || parts == ["class"] else { return end }
    end = Self.endOfWord(span, next)
    define(Self.text(span, next..<end))
    return end
  }

  private mutating func define(_ name: String) {
    if defined.count < 10 * Self.maxItems { defined.insert(name) }
  }

  private mutating func judge(_ parts: [String], isCalled: Bool) {
    guard let first = parts.first else { return }
    if first == "torch", parts.count > 1 { return addOperator("aten", parts[1...].joined(separator: ".")) }
    if first == "ops", parts.count > 2 { return addOperator(parts[1], parts[2...].joined(separator: ".")) }
    if first == "torch" || first == "ops" {
      return add(parts.joined(separator: "."), .dangerous, "used as a value, which hides the operators that it calls")
    }
    if first == "__torch__" {
      guard parts.count > 3, parts[1] == "torch", parts[2] == "classes" else { return }
      let isHarmless = Self.harmlessClasses.contains(parts[3])
      return add(
        parts[1...].joined(separator: "."), isHarmless ? .known : .unknown,
        isHarmless ? nil : "a class of C++ that another library has")
    }
    guard isCalled, parts.count == 1, !Self.words.contains(first), known.count < Self.maxItems else { return }
    if Self.harmful["prim::" + first] != nil { return addOperator("prim", first) }
    if known.insert("word " + first).inserted { called.append(first) }
  }

  private mutating func addOperator(_ space: String, _ name: String) {
    let whole = "\(space)::\(name)"
    if let what = Self.harmful[whole] {
      add(whole, .dangerous, what)
    } else if HarmlessNames.isOperator(space, name) {
      add(whole, .known, nil)
    } else {
      add(whole, .unknown, "an operator of another library, or of another version of torch")
    }
  }

  private mutating func add(_ name: String, _ verdict: CodeVerdict, _ detail: String?) {
    // Harmless names cannot push a dangerous one out of the list.
    let limit = verdict == .dangerous ? 2 * Self.maxItems : Self.maxItems
    guard known.count < limit, known.insert(name).inserted else { return }
    items.append(ContainedCode(.torchScript, name: name, verdict: verdict, detail: detail))
  }
}
