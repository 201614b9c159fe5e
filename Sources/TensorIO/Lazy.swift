/// A value that is made when it is first asked for, once for all threads.
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

/// A value that is there, or is made when it is first asked for. Reading one that is there takes no lock.
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
