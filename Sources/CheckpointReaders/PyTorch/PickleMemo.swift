/// What a pickle keeps under numbers. Pickles count them up from 0, but may use any.
struct PickleMemo {
  /// Those that were counted up.
  private var counted: [PickleValue] = []
  private var others: [Int: PickleValue] = [:]

  var count: Int { counted.count + others.count }

  subscript(index: Int) -> PickleValue? {
    get { counted.indices.contains(index) ? counted[index] : others[index] }
    set {
      guard let newValue, index >= 0 else { return }
      if counted.indices.contains(index) {
        counted[index] = newValue
      } else if index == counted.count {
        counted.append(newValue)
        // One kept before its turn is overwritten, and those behind it wait for theirs.
        if !others.isEmpty { others[index] = nil }
      } else {
        others[index] = newValue
      }
    }
  }
}
