import TensorIO

/// A value that a pickle makes. Everything that has parts is a node of the machine's arena, so that no value, however
/// deeply a file nests it, needs recursion to be freed, and a list may contain itself.
enum PickleValue: Sendable, Equatable {
  case none
  case bool(Bool)
  case int(Int)
  case float(Double)
  case node(Int)
}

/// What a value with parts is. Checkpoints have ten for each tensor, so they are small: most are tuples, whose elements
/// lie together in the machine's `elements`.
enum PickleNode: Sendable {
  case string(String)
  case bytes([UInt8])
  /// An index into the machine's `slices`: long bytes, which stay in the file.
  case slice(Int)
  /// An integer that does not fit, in decimal.
  case integer(String)
  case tuple(PickleTuple)
  /// Indices into the machine's `containers`, where they grow in place.
  case list(Int)
  case set(Int)
  /// Of keys and values, alternating, in the order in which they were set.
  case dict(Int)
  /// An index into the machine's `imports`: a name that is never looked up.
  case global(Int)
  /// An index into the machine's `storages`.
  case storage(Int)
  /// An index into the machine's `tensors`.
  case tensor(Int)
  /// An index into the machine's `objects`.
  case object(Int)
}

/// Where the elements of a tuple are.
struct PickleTuple: Sendable, Equatable {
  var start: Int32
  var length: Int32

  var count: Int { Int(length) }
}

/// What calling `type` would have made: recorded, not called.
struct PickleObject: Sendable {
  /// The class or function, its arguments, and the state that it would have been given.
  var type: PickleValue
  var arguments: PickleValue
  var state = PickleValue.none
  /// Elements that were appended to it.
  var items: [PickleValue] = []
  /// Keys and values that were set in it, alternating.
  var pairs: [PickleValue] = []
}

/// A range of memory that tensors view.
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
  /// Why the values cannot be read although they are stored.
  var obstacle: String?
  /// What a user should know about the values.
  var note: String?
}

extension PickleMachine {
  func node(_ value: PickleValue) -> PickleNode? { if case .node(let index) = value { nodes[index] } else { nil } }

  /// The text of a string, also of one that Python 2 wrote as bytes; `nil` where it is longer than any name that counts. A
  /// long one may be requested at every step of a pickle.
  func text(_ value: PickleValue, atMost limit: Int = PickleMachine.maxNameLength) -> String? {
    switch node(value) {
    case .string(let text): text.utf8.count <= limit ? text : nil
    case .bytes(let bytes): bytes.count <= limit ? String(fileText: bytes) : nil
    case .slice(let index): slices[index].count <= limit ? slices[index].text() : nil
    default: nil
    }
  }

  /// The bytes of a string, without a copy of long ones.
  func bytes(_ value: PickleValue) -> Bytes? {
    switch node(value) {
    case .bytes(let bytes): Bytes(bytes, file: file)
    case .slice(let index): slices[index]
    default: nil
    }
  }

  func globalName(_ value: PickleValue) -> String? {
    if case .global(let index) = node(value) { imports[index].name } else { nil }
  }

  func tensor(_ value: PickleValue) -> Int? { if case .tensor(let index) = node(value) { index } else { nil } }

  func storage(_ value: PickleValue) -> Int? { if case .storage(let index) = node(value) { index } else { nil } }

  func object(_ value: PickleValue) -> PickleObject? {
    if case .object(let index) = node(value) { objects[index] } else { nil }
  }

  /// Keys and values of a dict, alternating.
  func dict(_ value: PickleValue) -> [PickleValue]? {
    if case .dict(let index) = node(value) { containers[index] } else { nil }
  }

  func integer(_ value: PickleValue) -> Int? {
    switch value {
    case .int(let number): number
    case .bool(let flag): flag ? 1 : 0
    default: nil
    }
  }

  func tuple(_ value: PickleValue) -> PickleTuple? { if case .tuple(let tuple) = node(value) { tuple } else { nil } }

  /// An element of a tuple of this machine's.
  subscript(tuple: PickleTuple, index: Int) -> PickleValue {
    precondition(index >= 0 && index < tuple.count)
    return elements[Int(tuple.start) + index]
  }

  func elements(of tuple: PickleTuple) -> ArraySlice<PickleValue> {
    elements[Int(tuple.start)..<(Int(tuple.start) + tuple.count)]
  }

  /// The elements of a tuple or list, not copied: nobody who holds them may make tuples.
  func sequence(_ value: PickleValue) -> ArraySlice<PickleValue>? {
    switch node(value) {
    case .tuple(let tuple): elements(of: tuple)
    case .list(let index): containers[index][...]
    default: nil
    }
  }

  func integers(_ value: PickleValue) -> [Int]? {
    guard let items = sequence(value), items.count <= 64 else { return nil }
    var result: [Int] = []
    result.reserveCapacity(items.count)
    for item in items {
      guard case .int(let number) = item else { return nil }
      result.append(number)
    }
    return result
  }

  /// The value under a key of a dict.
  func value(_ key: String, in dict: PickleValue) -> PickleValue? {
    guard let pairs = self.dict(dict) else { return nil }
    var result: PickleValue?
    for index in stride(from: 0, to: pairs.count - 1, by: 2) where text(pairs[index], atMost: key.utf8.count) == key {
      result = pairs[index + 1]
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
      switch nodes[index] {
      case .string(let text): return shortened(depth == 0 ? text : "'\(text)'")
      case .bytes(let bytes): return "\(bytes.count) bytes"
      case .slice(let number): return "\(slices[number].count) bytes"
      case .integer(let text): return shortened(text)
      case .global(let number): return shortened(imports[number].name)
      case .storage(let number): return "storage \(shortened(storages[number].key))"
      case .tensor(let number): return "tensor \(shapeText(tensors[number].shape))"
      case .tuple(let tuple): return list("(", elements(of: tuple), ")", depth)
      case .list(let number): return list("[", containers[number][...], "]", depth)
      case .set(let number): return list("{", containers[number][...], "}", depth)
      case .dict(let number):
        let count = containers[number].count / 2
        return count == 0 ? "{}" : "{… \(count) entries}"
      case .object(let number):
        let object = objects[number]
        let name = shortened(globalName(object.type) ?? "an object")
        guard depth < 2 else { return name }
        return name + list("(", tuple(object.arguments).map { elements(of: $0) } ?? [], ")", depth)
      }
    }
  }

  private func list(_ open: String, _ items: ArraySlice<PickleValue>, _ close: String, _ depth: Int) -> String {
    if depth >= 3, !items.isEmpty { return "\(open)… \(items.count) items\(close)" }
    let shown = items.prefix(depth == 0 ? 16 : 4).map { describe($0, depth: depth + 1) }.joined(separator: ", ")
    let rest = items.count > (depth == 0 ? 16 : 4) ? ", … \(items.count) items" : ""
    return open + shortened(shown) + rest + close
  }

  private func shortened(_ text: String) -> String { text.utf8.count <= 240 ? text : String(text.prefix(120)) + "…" }
}
