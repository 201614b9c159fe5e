import TensorIO

/// A value that a pickle makes. Everything that has parts is a node of the machine's arena, so that no value, however
/// deeply a file nests it, needs a recursion to be freed, and a list that holds itself is no problem.
enum PickleValue: Sendable, Equatable {
  case none
  case bool(Bool)
  case int(Int)
  case float(Double)
  case node(Int)
}

struct PickleNode: Sendable {
  enum Kind: Sendable, Equatable {
    case string(String)
    case bytes([UInt8])
    /// An integer that does not fit, in decimal.
    case integer(String)
    case tuple, list, set, dict
    /// A name that the pickle imports. It is never looked up.
    case global(String)
    /// An index into the machine's storages.
    case storage(Int)
    /// An index into the machine's tensors.
    case tensor(Int)
    /// What calling `type` would have made: recorded, not called.
    case object
  }

  var kind: Kind
  /// Elements; of an object, those that were appended to it.
  var items: [PickleValue] = []
  /// Keys and values, alternating, in the order in which they were set.
  var pairs: [PickleValue] = []
  /// Of an object: the class or function, what it was given, and the state that it would have been told to take.
  var type = PickleValue.none
  var arguments = PickleValue.none
  var state = PickleValue.none
}

/// A stretch of memory that tensors view.
struct TorchStorage: Sendable {
  var key: String
  /// `nil` for bytes without a type, which the tensors give them.
  var elementType: ElementType?
  var byteCount: Int
  /// A view of another storage: which, and where in it.
  var base: Int?
  var baseOffset = 0
  /// The bytes themselves, where the pickle holds them (NumPy arrays).
  var inline: Bytes?
  var isBigEndian = false
}

struct TorchTensor: Sendable, Equatable {
  var storage: Int
  /// In elements, as the strides.
  var offset: Int
  var shape: [Int]
  var strides: [Int]
  var elementType: ElementType
  /// Why the values cannot be had although they are there.
  var obstacle: String?
  /// What a user should know of the values.
  var note: String?
}

extension PickleMachine {
  func node(_ value: PickleValue) -> PickleNode? { if case .node(let index) = value { nodes[index] } else { nil } }

  /// Of the node itself: a copy of all of it would count every reference in it.
  func kind(_ value: PickleValue) -> PickleNode.Kind? {
    if case .node(let index) = value { nodes[index].kind } else { nil }
  }

  /// The text of a string, also of one that Python 2 wrote as bytes.
  func text(_ value: PickleValue) -> String? {
    switch kind(value) {
    case .string(let text): text
    case .bytes(let bytes): String(validating: bytes, as: UTF8.self)
    default: nil
    }
  }

  func globalName(_ value: PickleValue) -> String? { if case .global(let name) = kind(value) { name } else { nil } }

  func integer(_ value: PickleValue) -> Int? {
    switch value {
    case .int(let number): number
    case .bool(let flag): flag ? 1 : 0
    default: nil
    }
  }

  func tuple(_ value: PickleValue) -> [PickleValue]? {
    guard case .node(let index) = value, case .tuple = nodes[index].kind else { return nil }
    return nodes[index].items
  }

  /// The elements of a tuple or list.
  func elements(_ value: PickleValue) -> [PickleValue]? {
    guard case .node(let index) = value else { return nil }
    switch nodes[index].kind {
    case .tuple, .list: return nodes[index].items
    default: return nil
    }
  }

  func integers(_ value: PickleValue) -> [Int]? {
    guard let items = elements(value), items.count <= 64 else { return nil }
    var result: [Int] = []
    for item in items {
      guard case .int(let number) = item else { return nil }
      result.append(number)
    }
    return result
  }

  /// The value under a key of a dict.
  func value(_ key: String, in dict: PickleValue) -> PickleValue? {
    guard let node = node(dict), node.kind == .dict else { return nil }
    var result: PickleValue?
    for index in stride(from: 0, to: node.pairs.count - 1, by: 2) where text(node.pairs[index]) == key {
      result = node.pairs[index + 1]
    }
    return result
  }

  /// A short text for a value, for people.
  func describe(_ value: PickleValue, depth: Int = 0) -> String {
    switch value {
    case .none: return "None"
    case .bool(let flag): return flag ? "True" : "False"
    case .int(let number): return String(number)
    case .float(let number): return "\(number)"
    case .node(let index):
      let node = nodes[index]
      switch node.kind {
      case .string(let text): return shortened(depth == 0 ? text : "'\(text)'")
      case .bytes(let bytes): return "\(bytes.count) bytes"
      case .integer(let text): return shortened(text)
      case .global(let name): return shortened(name)
      case .storage(let number): return "storage \(shortened(storages[number].key))"
      case .tensor(let number): return "tensor \(shapeText(tensors[number].shape))"
      case .tuple: return list("(", node.items, ")", depth)
      case .list: return list("[", node.items, "]", depth)
      case .set: return list("{", node.items, "}", depth)
      case .dict: return node.pairs.isEmpty ? "{}" : "{… \(node.pairs.count / 2) entries}"
      case .object:
        let name = shortened(globalName(node.type) ?? "an object")
        return depth < 2 ? name + list("(", tuple(node.arguments) ?? [], ")", depth) : name
      }
    }
  }

  private func list(_ open: String, _ items: [PickleValue], _ close: String, _ depth: Int) -> String {
    if depth >= 3, !items.isEmpty { return "\(open)… \(items.count) items\(close)" }
    let shown = items.prefix(depth == 0 ? 16 : 4).map { describe($0, depth: depth + 1) }.joined(separator: ", ")
    let rest = items.count > (depth == 0 ? 16 : 4) ? ", … \(items.count) items" : ""
    return open + shortened(shown) + rest + close
  }

  private func shortened(_ text: String) -> String { text.utf8.count <= 240 ? text : String(text.prefix(120)) + "…" }
}
