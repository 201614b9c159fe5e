import TensorIO

/// A YAML document as the tables use it.
package struct YAMLValue: Sendable {
  package enum Content: Sendable {
    case scalar(String, isPlain: Bool)
    case list([YAMLValue])
    case map([(key: String, value: YAMLValue)])
  }

  package let content: Content
  package let line: Int
  package let file: String?

  package static func parse(_ text: String, file: String?) throws(FormatError) -> YAMLValue {
    try parse(Array(text.utf8), file: file)
  }

  /// The document in `bytes`, which are UTF-8.
  package static func parse(_ bytes: [UInt8], file: String?) throws(FormatError) -> YAMLValue {
    // libyaml stops the program at a text without an address, as an empty array may be.
    guard !bytes.isEmpty else { throw FormatError(.table, "the table is empty", file: file) }
    // Memory safety: the reader is gone before the array is.
    return try unsafe bytes.withUnsafeBufferPointer { buffer throws(FormatError) in
      let reader = try unsafe YAMLReader(buffer, file: file)
      defer { extendLifetime(reader) }
      return try reader.document()
    }
  }

  /// An error at this line of the table.
  package func fail(_ problem: String, found: String? = nil, expected: String? = nil, advice: FormatError.Advice? = nil)
    -> FormatError
  {
    FormatError(.table, "line \(line): " + problem, file: file, found: found, expected: expected, advice: advice)
  }

  // MARK: Access

  /// The members of a mapping; any key is allowed.
  package func map(_ what: String) throws(FormatError) -> [(key: String, value: YAMLValue)] {
    guard case .map(let members) = content else { throw fail("\(what) must be a mapping") }
    return members
  }

  /// The members of a mapping by key, of which only `keys` are allowed: a misspelled key is never skipped.
  package func fields(_ what: String, _ keys: [String]) throws(FormatError) -> [String: YAMLValue] {
    var result: [String: YAMLValue] = [:]
    for (key, value) in try map(what) {
      guard keys.contains(key) else {
        let nearest = nearestName(to: key, among: keys).map { FormatError.Advice.didYouMean($0) }
        throw value.fail("unknown key '\(key)' in \(what)", expected: keys.joined(separator: ", "), advice: nearest)
      }
      result[key] = value
    }
    return result
  }

  package func list(_ what: String) throws(FormatError) -> [YAMLValue] {
    guard case .list(let items) = content else { throw fail("\(what) must be a list") }
    return items
  }

  package func string(_ what: String) throws(FormatError) -> String {
    guard case .scalar(let text, _) = content, !text.isEmpty else { throw fail("\(what) must be a word") }
    return text
  }

  package func strings(_ what: String) throws(FormatError) -> [String] {
    var result: [String] = []
    for item in try list(what) { result.append(try item.string("an element of \(what)")) }
    return result
  }

  package func int(_ what: String) throws(FormatError) -> Int {
    guard case .scalar(let text, true) = content, let value = Int(text), value >= 0 else {
      throw fail("\(what) must be a whole number")
    }
    return value
  }

  package func number(_ what: String) throws(FormatError) -> Double {
    guard case .scalar(let text, true) = content, let value = Double(text), value.isFinite else {
      throw fail("\(what) must be a number")
    }
    return value
  }

  package func bool(_ what: String) throws(FormatError) -> Bool {
    guard case .scalar(let text, true) = content, text == "true" || text == "false" else {
      throw fail("\(what) must be true or false")
    }
    return text == "true"
  }

  package var isNull: Bool {
    if case .scalar(let text, true) = content { text == "null" || text == "~" || text.isEmpty } else { false }
  }

  /// Keys of the config, each with a value.
  package func settings(_ what: String, keys: [String]) throws(FormatError) -> [(key: String, value: JSON)] {
    var result: [(key: String, value: JSON)] = []
    for (name, entry) in try map(what) {
      guard keys.contains(name) else {
        let advice = nearestName(to: name, among: keys).map { FormatError.Advice.didYouMean($0) }
        throw entry.fail("'\(what)' names '\(name)', which is no key of the config", advice: advice)
      }
      result.append((name, try entry.json("the value of '\(name)'")))
    }
    return result
  }

  /// A scalar as JSON; a number keeps its digits.
  package func json(_ what: String) throws(FormatError) -> JSON {
    guard case .scalar(let text, let isPlain) = content else { throw fail("\(what) must be a word or a number") }
    guard isPlain else { return .string(text) }
    if isNull { return .null }
    if let value = try? JSON.parse(text) { return value }
    return .string(text)
  }
}
