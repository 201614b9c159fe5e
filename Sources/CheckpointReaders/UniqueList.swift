/// Values of several lists, each once, in the order of their first appearance.
struct UniqueList<Element: Hashable> {
  private(set) var items: [Element] = []
  private var known: Set<Element> = []

  mutating func add(_ more: [Element]) { items += more.filter { known.insert($0).inserted } }
}
