import TensorIO
import Yams

/// A YAML document as the tables use it: the one place that knows the YAML library.
struct YAMLValue {
  enum Content {
    case scalar(String, isPlain: Bool)
    case list([YAMLValue])
    case map([(key: String, value: YAMLValue)])
  }

  let content: Content
  let line: Int?
  let file: String?

  static func parse(_ text: String, file: String?) throws(FormatError) -> YAMLValue {
    let root: Node?
    do {
      // Only the text of a scalar is read: without rules nothing is spent on finding out its type.
      root = try Yams.compose(yaml: text, .basic, .default, .utf8)
    } catch {
      throw FormatError("not valid YAML: \(error)", file: file)
    }
    guard let root else { throw FormatError("the table is empty", file: file) }
    var budget = largestCount
    return try YAMLValue(root, file: file, &budget)
  }

  /// Values of a table, aliases counted each time: nested aliases multiply.
  private static let largestCount = 200_000

  private init(_ node: Node, file: String?, _ budget: inout Int) throws(FormatError) {
    budget -= 1
    guard budget > 0 else {
      throw FormatError("the table has more than \(grouped(Self.largestCount)) values", file: file)
    }
    line = node.mark?.line
    self.file = file
    switch node {
    case .scalar(let scalar):
      content = .scalar(scalar.string, isPlain: scalar.style == .plain || scalar.style == .any)
    case .sequence(let sequence):
      var items: [YAMLValue] = []
      for item in sequence { items.append(try YAMLValue(item, file: file, &budget)) }
      content = .list(items)
    case .mapping(let mapping):
      var members: [(key: String, value: YAMLValue)] = []
      for (key, value) in mapping {
        guard case .scalar(let name) = key else {
          throw FormatError(Self.at(key.mark?.line) + "a key that is not a word", file: file)
        }
        members.append((name.string, try YAMLValue(value, file: file, &budget)))
      }
      content = .map(members)
    case .alias:
      throw FormatError(Self.at(node.mark?.line) + "an alias without its anchor", file: file)
    }
  }

  private static func at(_ line: Int?) -> String { line.map { "line \($0): " } ?? "" }

  /// An error at this place of the table.
  func fail(_ problem: String, found: String? = nil, expected: String? = nil, advice: String? = nil) -> FormatError {
    FormatError(Self.at(line) + problem, file: file, found: found, expected: expected, advice: advice)
  }

  // MARK: Access

  /// The members of a mapping; any key is allowed.
  func map(_ what: String) throws(FormatError) -> [(key: String, value: YAMLValue)] {
    guard case .map(let members) = content else { throw fail("\(what) must be a mapping") }
    return members
  }

  /// The members of a mapping by key, of which only `keys` are allowed: a misspelt key is never skipped.
  func fields(_ what: String, _ keys: [String]) throws(FormatError) -> [String: YAMLValue] {
    var result: [String: YAMLValue] = [:]
    for (key, value) in try map(what) {
      guard keys.contains(key) else {
        let nearest = nearestName(to: key, among: keys).map { "Did you mean '\($0)'?" }
        throw value.fail("unknown key '\(key)' in \(what)", expected: keys.joined(separator: ", "), advice: nearest)
      }
      result[key] = value
    }
    return result
  }

  func list(_ what: String) throws(FormatError) -> [YAMLValue] {
    guard case .list(let items) = content else { throw fail("\(what) must be a list") }
    return items
  }

  func string(_ what: String) throws(FormatError) -> String {
    guard case .scalar(let text, _) = content, !text.isEmpty else { throw fail("\(what) must be a word") }
    return text
  }

  func strings(_ what: String) throws(FormatError) -> [String] {
    var result: [String] = []
    for item in try list(what) { result.append(try item.string("an element of \(what)")) }
    return result
  }

  func int(_ what: String) throws(FormatError) -> Int {
    guard case .scalar(let text, true) = content, let value = Int(text), value >= 0 else {
      throw fail("\(what) must be a whole number")
    }
    return value
  }

  func number(_ what: String) throws(FormatError) -> Double {
    guard case .scalar(let text, true) = content, let value = Double(text), value.isFinite else {
      throw fail("\(what) must be a number")
    }
    return value
  }

  func bool(_ what: String) throws(FormatError) -> Bool {
    guard case .scalar(let text, true) = content, text == "true" || text == "false" else {
      throw fail("\(what) must be true or false")
    }
    return text == "true"
  }

  var isNull: Bool {
    if case .scalar(let text, true) = content { text == "null" || text == "~" || text.isEmpty } else { false }
  }

  /// A scalar as JSON; a number keeps its digits.
  /// Keys of the config, each with a value.
  func settings(_ what: String, keys: [String]) throws(FormatError) -> [(key: String, value: JSON)] {
    var result: [(key: String, value: JSON)] = []
    for (name, entry) in try map(what) {
      guard keys.contains(name) else {
        let advice = nearestName(to: name, among: keys).map { "Did you mean '\($0)'?" }
        throw entry.fail("'\(what)' names '\(name)', which is no key of the config", advice: advice)
      }
      result.append((name, try entry.json("the value of '\(name)'")))
    }
    return result
  }

  func json(_ what: String) throws(FormatError) -> JSON {
    guard case .scalar(let text, let isPlain) = content else { throw fail("\(what) must be a word or a number") }
    guard isPlain else { return .string(text) }
    if isNull { return .null }
    if let value = try? JSON.parse(text) { return value }
    return .string(text)
  }
}
