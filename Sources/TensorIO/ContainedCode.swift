/// How far something that a checkpoint would make another program run can be trusted.
public enum CodeVerdict: String, Sendable, CaseIterable {
  /// On a list of what is harmless.
  case known
  /// Of a package, or an operator, that is on no list.
  case unknown
  /// Can touch files, processes or the network, or run any code.
  case dangerous
}

/// A global name that a pickle imports, with a verdict.
public struct ImportedGlobal: Sendable, Equatable, Hashable {
  public typealias Verdict = CodeVerdict
  public var name: String
  public var verdict: Verdict
  public init(name: String, verdict: Verdict) {
    self.name = name
    self.verdict = verdict
  }
}

/// Code in a checkpoint other than the imports of pickles: what a framework would run when it loads or uses the file. It
/// is listed and judged, by a list of what is harmless, and never run.
public struct ContainedCode: Sendable, Equatable, Hashable {
  /// Where the code is. The raw values are those of `inspect --json`.
  public enum Kind: String, Sendable, CaseIterable {
    /// An operator or a function in the `code/` of a TorchScript archive.
    case torchScript = "torchscript"
    /// An operator in a graph of TensorFlow: a SavedModel, a MetaGraphDef or a frozen GraphDef.
    case tensorFlowGraph = "tensorflow-graph"
    /// A layer or an object of a Keras config that carries Python code or names a class of the user's.
    case kerasConfig = "keras-config"

    /// In the middle of a sentence.
    public var title: String {
      switch self {
      case .torchScript: "the TorchScript code"
      case .tensorFlowGraph: "the TensorFlow graph"
      case .kerasConfig: "the Keras config"
      }
    }
  }

  public var kind: Kind
  /// The operator, function, layer or class, as the file spells it.
  public var name: String
  public var verdict: CodeVerdict
  /// What it does or where it is, in a clause; `nil` where the name is enough.
  public var detail: String?

  public init(_ kind: Kind, name: String, verdict: CodeVerdict, detail: String? = nil) {
    self.kind = kind
    self.name = name
    self.verdict = verdict
    self.detail = detail
  }

  /// A sentence for each kind of code that is dangerous, and one for each that is unknown.
  public static func warnings(of code: [ContainedCode]) -> [String] {
    Kind.allCases.flatMap { kind in
      [CodeVerdict.dangerous, .unknown].compactMap { verdict in
        warning(code.filter { $0.kind == kind && $0.verdict == verdict }, kind, verdict)
      }
    }
  }

  private static func warning(_ items: [ContainedCode], _ kind: Kind, _ verdict: CodeVerdict) -> String? {
    guard !items.isEmpty else { return nil }
    let shown = items.prefix(5).map { item in
      withoutMiddle(item.name) + (item.detail.map { " (\(withoutMiddle($0)))" } ?? "")
    }
    let rest = items.count > shown.count ? " and \(grouped(items.count - shown.count)) more" : ""
    let names = shown.joined(separator: ", ") + rest
    return verdict == .dangerous
      ? "\(kind.title) uses \(names), which can run code or touch files, processes or the network when another "
        + "program runs it; nothing of it is run here"
      : "\(kind.title) uses \(names), not on the list of harmless names; nothing of it is run here"
  }
}
