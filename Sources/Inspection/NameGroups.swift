import ModelFamilies

/// Tensors whose names differ in a number alone, and that are alike in all else: one line instead of one for each layer.
package struct NameGroup {
  /// The name, with ``NameGroups/hole`` for each number that differs.
  package fileprivate(set) var pattern: String
  /// The numbers in each of the holes.
  package fileprivate(set) var numbers: [[Int]] = []
  /// What others of the group have behind the same name: `/adam_m`.
  package fileprivate(set) var endings: [String] = []
  /// Indices into the names, in their order.
  package fileprivate(set) var members: [Int]

  /// A name by itself.
  package init(_ name: String, at index: Int) {
    pattern = name
    members = [index]
  }

  /// The same with members that are counted as `indices` are.
  package func renumbered(_ indices: [Int]) -> NameGroup {
    var result = self
    result.members = members.map { indices[$0] }
    return result
  }

  /// The name as it is shown: `encoder/layer_{0..11}/output{,/adam_m,/adam_v}`.
  package var name: String { stem + ending }
  /// What others of the group have behind it: `{,/adam_m,/adam_v}`.
  package var ending: String { endings.isEmpty ? "" : "{,\(endings.joined(separator: ","))}" }
  /// The same without the endings' text.
  package var shortName: String { stem + (endings.isEmpty ? "" : "{,…}") }
  private var stem: String { NameGroups.filled(pattern, numbers) }
}

package enum NameGroups {
  /// Unlikely in a name (it is a private character of Unicode); names that have it stay by themselves.
  static let hole = "\u{F8FF}"

  private struct Template: Hashable {
    let name: LayerNumber.Template
    /// What the group has in common besides its name, as a number.
    let kind: Int
  }

  /// Groups names whose `kind` is the same, each at the position of its first member. Of several numbers in a name the first
  /// that makes a group is taken, then, in what that left, the next.
  package static func group<Kind: Hashable>(_ names: [String], kind: (Int) -> Kind) -> [NameGroup] {
    let kinds = numbered(names.indices.map(kind))
    var groups = names.indices.map { NameGroup(names[$0], at: $0) }
    for _ in 0..<3 {
      let next = pass(groups, kinds)
      if next.count == groups.count { break }
      groups = next
    }
    return groups
  }

  /// Puts what is named like another with one part more, and is alike in all else, with that other: moments with their
  /// weight.
  package static func joinEndings<Kind: Hashable>(_ groups: [NameGroup], kind: (Int) -> Kind) -> [NameGroup] {
    let kinds = numbered(groups.map { Sameness(numbers: $0.numbers, kind: kind($0.members[0])) })
    func template(_ index: Int, _ pattern: Substring) -> Template {
      Template(name: .init(prefix: pattern, suffix: ""), kind: kinds[index])
    }
    var bases: [Template: Int] = [:]
    bases.reserveCapacity(groups.count)
    for (index, group) in groups.enumerated() { bases[template(index, group.pattern[...])] = index }
    var base = [Int?](repeating: nil, count: groups.count)
    var joined = groups
    for (index, group) in groups.enumerated() {
      guard let end = group.pattern.utf8.lastIndex(where: { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: ".") }),
        let owner = bases[template(index, group.pattern[..<end])], base[owner] == nil, joined[index].endings.isEmpty
      else { continue }
      base[index] = owner
      joined[owner].endings.append(String(group.pattern[end...]))
      joined[owner].members += group.members
    }
    return joined.indices.filter { base[$0] == nil }.map { joined[$0] }
  }

  private struct PairKind<Kind: Hashable>: Hashable {
    let kind: Kind
    /// The other name without its layer, and by how much its layer is another one; `nil` for names without layers.
    let other: LayerNumber.Template?
    let offset: Int
    /// The other name, where it has no layer.
    let name: String?
  }

  /// Groups names of which each has another one, as what was renamed has: those go together whose other names are the same
  /// part of a layer too, and at the same distance. `names` and `others` have one length.
  package static func groupPairs<Kind: Hashable>(
    _ names: [String], _ others: [String], kind: (Int) -> Kind
  ) -> [(group: NameGroup, other: String)] {
    let (layers, otherLayers) = (LayerNumber.distinguishing(names), LayerNumber.distinguishing(others))
    let groups = group(names) { index -> PairKind<Kind> in
      guard let layer = layers[index], let other = otherLayers[index], other.isPlain else {
        return PairKind(kind: kind(index), other: nil, offset: 0, name: others[index])
      }
      return PairKind(kind: kind(index), other: other.template, offset: other.number - layer.number, name: nil)
    }
    return groups.flatMap { pair -> [(group: NameGroup, other: String)] in
      let other = group(pair.members.map { others[$0] }) { _ in 0 }
      if other.count == 1 { return [(pair, other[0].name)] }
      return pair.members.map { (NameGroup(names[$0], at: $0), others[$0]) }
    }
  }

  private struct Sameness<Kind: Hashable>: Hashable {
    let numbers: [[Int]]
    let kind: Kind
  }

  /// A number for each value, the same for those that are equal.
  private static func numbered<T: Hashable>(_ values: [T]) -> [Int] {
    var numbers: [T: Int] = [:]
    return values.map { value in
      if let number = numbers[value] { return number }
      numbers[value] = numbers.count
      return numbers.count - 1
    }
  }

  private static func pass(_ groups: [NameGroup], _ kinds: [Int]) -> [NameGroup] {
    let kinds =
      groups.contains { !$0.numbers.isEmpty }
      ? numbered(groups.map { Sameness(numbers: $0.numbers, kind: kinds[$0.members[0]]) })
      : groups.map { kinds[$0.members[0]] }
    // Texts are hashed once: their templates are numbered by hash, and by themselves where two have one hash.
    var known: [Int: (template: Template, number: Int)] = [:]
    known.reserveCapacity(groups.count)
    var others: [Template: Int] = [:]
    var counts: [Int] = []
    // Those of all groups one after the other, and where those of each begin.
    var candidates: [(template: Int, hole: Template, number: Int)] = []
    var starts = [0]
    candidates.reserveCapacity(2 * groups.count)
    starts.reserveCapacity(groups.count + 1)
    for (index, group) in groups.enumerated() {
      for layer in numbers(in: group.pattern, holes: group.numbers.count) {
        let template = Template(name: layer.template, kind: kinds[index])
        let hash = template.hashValue
        let number: Int?
        if let first = known[hash] {
          number = first.template == template ? first.number : others[template]
          if number == nil { others[template] = counts.count }
        } else {
          number = nil
          known[hash] = (template, counts.count)
        }
        if number == nil { counts.append(0) }
        let found = number ?? counts.count - 1
        counts[found] += 1
        candidates.append((found, template, layer.number))
      }
      starts.append(candidates.count)
    }
    var result: [NameGroup] = []
    result.reserveCapacity(groups.count)
    var resultOfTemplate = [Int?](repeating: nil, count: counts.count)
    var originals: [Int: Int] = [:]
    for (index, group) in groups.enumerated() {
      let own = candidates[starts[index]..<starts[index + 1]]
      guard let (template, hole, number) = own.first(where: { counts[$0.template] > 1 }) else {
        result.append(group)
        continue
      }
      // The hole comes between those before it and those behind.
      let position = holes(in: hole.name.prefix)
      if let first = resultOfTemplate[template] {
        result[first].numbers[position].append(number)
        result[first].members += group.members
      } else {
        resultOfTemplate[template] = result.count
        originals[result.count] = index
        var new = group
        new.pattern = hole.name.prefix + Self.hole + hole.name.suffix
        new.numbers.insert([number], at: position)
        result.append(new)
      }
    }
    // One that was left alone, since its fellows went elsewhere, keeps its number.
    for (index, original) in originals where result[index].members.count == groups[original].members.count {
      result[index] = groups[original]
    }
    return result
  }

  /// How often the character of the holes is in a text.
  static func holes(in text: some StringProtocol) -> Int {
    // Its first byte.
    if text.utf8.allSatisfy({ $0 != 0xEF }) { return 0 }
    return text.unicodeScalars.count { $0 == hole.unicodeScalars.first }
  }

  /// The numbers of `name` that a layer could have. Numbers with leading zeros are left out: `{0..9}` could not
  /// show them.
  private static func numbers(in name: String, holes: Int) -> [LayerNumber] {
    let found = LayerNumber.all(in: name).filter(\.isPlain)
    // A name that has the character of the holes itself could not be distinguished from one with a hole.
    return found.isEmpty || Self.holes(in: name) == holes ? found : []
  }

  /// `pattern`, or a part of one, with the numbers in its holes.
  static func filled(_ pattern: String, _ numbers: some Collection<[Int]>) -> String {
    if numbers.isEmpty { return pattern }
    let numbers = Array(numbers)
    // By scalars: a character before the hole may join it.
    let parts = pattern.unicodeScalars.split(omittingEmptySubsequences: false) { $0 == hole.unicodeScalars.first }
    var result = String(parts[0])
    for (index, part) in parts.dropFirst().enumerated() {
      result += (index < numbers.count ? "{\(ranges(numbers[index]))}" : hole) + String(part)
    }
    return result
  }

  /// `0..11`, `0,1` or `0..3,7`; of very many ranges the first.
  package static func ranges(_ numbers: [Int]) -> String {
    let texts = rangeTexts(Set(numbers).sorted(), joint: "..")
    return texts.prefix(8).joined(separator: ",") + (texts.count > 8 ? ",…" : "")
  }

  /// The texts of numbers in order: two in a row are separate, more are a range with `joint` in it.
  package static func rangeTexts(_ numbers: [Int], joint: String) -> [String] {
    var runs: [ClosedRange<Int>] = []
    for number in numbers {
      if let last = runs.last, last.upperBound + 1 == number {
        runs[runs.count - 1] = last.lowerBound...number
      } else {
        runs.append(number...number)
      }
    }
    return runs.flatMap { run in
      run.count < 3 ? run.map(String.init) : ["\(run.lowerBound)\(joint)\(run.upperBound)"]
    }
  }
}
