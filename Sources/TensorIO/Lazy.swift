/// A value that is made at its first use, once for all threads.
package final class Lazy<Value: Sendable>: Sendable {
  private enum State {
    case pending(@Sendable () -> Value)
    case made(Value)
  }

  private let state: Lock<State>

  package init(_ make: @escaping @Sendable () -> Value) { state = Lock(.pending(make)) }

  package var value: Value {
    state.withLock { state in
      switch state {
      case .made(let value): return value
      case .pending(let make):
        let value = make()
        state = .made(value)
        return value
      }
    }
  }
}

/// A ``Glob`` that is read when a name is first compared with it that ends as the pattern does.
package struct LazyGlob: Sendable, Equatable {
  package let pattern: String
  private let glob: Lazy<Glob>

  package init(_ pattern: String) {
    self.pattern = pattern
    glob = Lazy { Glob(pattern) }
  }

  package func matches(_ name: String) -> Bool {
    let (wanted, found) = (pattern.utf8Span.span, name.utf8Span.span)
    var rest = (wanted: wanted.count, found: found.count)
    while rest.wanted > 0, !Self.isSpecial(wanted[rest.wanted - 1]) {
      guard rest.found > 0, wanted[rest.wanted - 1] == found[rest.found - 1] else { return false }
      rest = (rest.wanted - 1, rest.found - 1)
    }
    return rest.wanted == 0 ? rest.found == 0 : glob.value.matches(name)
  }

  /// Whether a byte of a pattern may stand for something else than itself.
  private static func isSpecial(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "*"), UInt8(ascii: "?"), UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "{"),
      UInt8(ascii: "}"), UInt8(ascii: ","):
      true
    default: false
    }
  }

  package static func == (a: LazyGlob, b: LazyGlob) -> Bool { a.pattern == b.pattern }
}

/// A value that is there, or is made at its first use. Reading one that is there takes no lock.
@frozen package enum Deferred<Value: Sendable>: Sendable {
  case made(Value)
  case lazy(Lazy<Value>)

  @inlinable package var value: Value {
    switch self {
    case .made(let value): value
    case .lazy(let lazy): lazy.value
    }
  }
}
