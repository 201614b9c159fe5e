import ModelFamilies
import TensorIO

/// How the tensors of a source read in one dialect of one table.
struct DialectMatch {
  let table: Int
  let dialect: Int
  let scope: Scope
  /// The names as they were looked up.
  let names: [String]
  /// What each tensor of the source is; `nil` for a name that the dialect does not know.
  let matches: [RuleMatch?]
  /// Tensors that match what another one matches already, with that one.
  let duplicates: [Int: Int]
  let count: Int
  /// How many of those are in the scope itself; names outside of it count too, so several scopes may know as many.
  let countInScope: Int
  /// How many names belong to the dialect once the ending of a copy (a moving average) is taken off.
  let copies: Int

  /// Whether the source is of this family at all: one name alone is not evidence.
  var isCredible: Bool { max(count, copies) >= 3 }
}

/// What precedes a dialect's names in a source.
struct Scope: Equatable, Hashable {
  /// `module/`, `state_dict.model.` or nothing.
  var prefix: String
  /// Whether the dialect's root is absent.
  var isBare: Bool

  /// The name in the source of the dialect's `name`.
  func qualified(_ name: String, root: String) -> String {
    prefix + (isBare && name.hasPrefix(root) ? String(name.dropFirst(root.count)) : name)
  }
}

extension DialectNames {
  /// The scopes that the anchors show, those of the first anchor that is present.
  ///
  /// A model inside a model (`discriminator/bert/…` next to `generator/bert/…`) shows several: a few are tried. What a
  /// drop rule matches (`adam/mu/bert/…`) is not a model and shows none, except where it is the only one.
  func scopes(in names: NamesByEnding) -> [Scope] {
    let scopes = scopes(in: names, dropsModels: true)
    guard scopes.isEmpty, drops.haveModels else { return scopes }
    return self.scopes(in: names, dropsModels: false)
  }

  private func scopes(in names: NamesByEnding, dropsModels: Bool) -> [Scope] {
    for anchor in anchors {
      let ending = root.isEmpty || !anchor.hasPrefix(root) ? anchor : String(anchor.dropFirst(root.count))
      var found: [Scope] = []
      for name in names.names(endingIn: ending) {
        var prefix = String(name.dropLast(ending.count))
        guard prefix.isEmpty || Self.isBoundary(prefix) else { continue }
        guard !drops.matches(name, includingModels: dropsModels) else { continue }
        var isBare = false
        if ending != anchor {
          isBare = !prefix.hasSuffix(root)
          if !isBare {
            prefix.removeLast(root.count)
            // `mybert.` is not `bert.`.
            if !prefix.isEmpty, !Self.isBoundary(prefix) {
              prefix += root
              isBare = true
            }
          }
        }
        let scope = Scope(prefix: prefix, isBare: isBare)
        if !found.contains(scope) { found.append(scope) }
        if found.count == 8 { break }
      }
      if !found.isEmpty { return found }
    }
    return []
  }

  private static func isBoundary(_ prefix: String) -> Bool {
    guard let last = prefix.utf8.last else { return true }
    return [UInt8(ascii: "/"), UInt8(ascii: "."), UInt8(ascii: ":")].contains(last)
  }

  /// What `name` is in this dialect under `scope`; names without the scope (`output_weights`) count as well where the
  /// dialect is not contained.
  func find(_ name: String, in scope: Scope) -> RuleMatch? {
    let local: String
    if scope.prefix.isEmpty {
      local = name
    } else if name.hasPrefix(scope.prefix) {
      local = String(name.dropFirst(scope.prefix.count))
    } else {
      return isContained ? nil : find(name)
    }
    return find(local) ?? (scope.isBare ? find(root + local) : nil)
  }
}

/// Names with their last eight bytes as numbers, since every dialect looks up the names that end as its anchors do, and
/// a large checkpoint has a hundred thousand names.
struct NamesByEnding {
  let names: [String]
  private let endings: [UInt64]

  init(_ names: [String]) {
    self.names = names
    endings = names.map { Self.ending(of: $0).bytes }
  }

  /// The last bytes of a text, the last one highest, and which of the bits are of the text.
  private static func ending(of text: String) -> (bytes: UInt64, mask: UInt64) {
    var (bytes, mask): (UInt64, UInt64) = (0, 0)
    for (index, byte) in text.utf8.reversed().prefix(8).enumerated() {
      bytes |= UInt64(byte) << (56 - 8 * index)
      mask |= 0xFF << (56 - 8 * index)
    }
    return (bytes, mask)
  }

  func names(endingIn ending: String) -> [String] { indices(endingIn: ending).map { names[$0] } }

  /// Their indices, rising.
  func indices(endingIn ending: String) -> [Int] {
    let wanted = Self.ending(of: ending)
    let all = endings.span
    var found: [Int] = []
    for index in all.indices where all[index] & wanted.mask == wanted.bytes && names[index].hasEnding(ending) {
      found.append(index)
    }
    return found
  }
}

struct DialectMatcher {
  let tables: [MappingTable]
  /// The names, and those of them that may show a scope: where a file holds two models, the user's patterns exclude one.
  private struct Names {
    let all: NameCatalog
    let scopeNames: NamesByEnding
  }

  private let names: Names
  /// The names as dialects have them that renumber the layers of Keras, by the renumbered words.
  private let renumbered: [[String]: Names]
  private let values: SourceValues

  init(tables: [MappingTable], names: [String], values: SourceValues, ignoring patterns: [String] = []) {
    self.tables = tables
    self.values = values
    let globs = patterns.map { Glob($0) }
    func made(_ names: [String]) -> Names {
      // Patterns that match everything exclude no model.
      let others = globs.isEmpty ? names : names.filter { name in !globs.contains { $0.matches(name) } }
      return Names(all: NameCatalog(names), scopeNames: NamesByEnding(others.isEmpty ? names : others))
    }
    self.names = made(names)
    var renumbered: [[String]: Names] = [:]
    for words in Set(tables.flatMap(\.dialects).map(\.names.renumbered)) where !words.isEmpty {
      let other = SourceNames.renumbered(names, words)
      renumbered[words] = other == names ? self.names : made(other)
    }
    self.renumbered = renumbered
  }

  private func names(for dialect: DialectNames) -> Names { renumbered[dialect.renumbered] ?? names }

  /// The dialect that most of the names belong to; the earlier one where several do alike, but one of `modelType`
  /// first: some families differ in nothing but the config.
  /// Of dialects that differ in the values that they require, the one of which most are present. Some may still be
  /// missing: ``MappingTable/conflicts(with:_:)`` reports it.
  /// A variant is looked at only where a config names it, and then takes precedence over the dialect that it replaces.
  /// With `family` no other is looked at.
  func best(modelType: String?, architectures: [String] = [], family: String? = nil) -> DialectMatch? {
    var best: DialectMatch?
    for (t, table) in tables.enumerated() where family == nil || table.family == family {
      let dialects = table.dialects.map(\.names)
      let asked = dialects.filter { $0.variant != nil && $0.isOpen(to: architectures) }
      let replaced = asked.filter { !$0.scopes(in: names(for: $0).scopeNames).isEmpty }.compactMap { $0.variant?.of }
      for (d, dialect) in dialects.enumerated()
      where dialect.isOpen(to: architectures) && !replaced.contains(dialect.name) {
        for scope in scopes(of: dialect) {
          let found = dialect.find(allOf: names(for: dialect).all, in: scope)
          guard let current = best else {
            best = match(found, table: t, dialect: d, scope: scope)
            continue
          }
          let isPreferred =
            table.identity.isOf(modelType: modelType) && !tables[current.table].identity.isOf(modelType: modelType)
          let unmet = dialect.unmetCount(values)
          let currentUnmet = tables[current.table].dialects[current.dialect].names.unmetCount(values)
          let isSame = current.table == t && current.dialect == d
          // Most dialects are left out here, before it costs to see which names are the same tensor.
          let bound = found.count { $0 != nil }
          let mayWin = unmet < currentUnmet || unmet == currentUnmet && (isPreferred || isSame)
          guard bound > current.count || bound == current.count && mayWin else { continue }
          let match = match(found, table: t, dialect: d, scope: scope)
          // A copy of some of the weights in a scope of its own must not pass for the model.
          let isFuller = isSame && match.countInScope > current.countInScope
          let wins = unmet < currentUnmet || unmet == currentUnmet && (isPreferred || isFuller)
          if match.count > current.count || (match.count == current.count && wins) { best = match }
        }
      }
    }
    return best
  }

  private func scopes(of dialect: DialectNames) -> [Scope] {
    let scopeNames = names(for: dialect).scopeNames
    let found = dialect.scopes(in: scopeNames)
    if !found.isEmpty { return found }
    // Where only copies of the weights are there (moving averages), the names they are copies of show the scope.
    let copies = dialect.drops.endingsOfCopies.flatMap { ending in
      scopeNames.indices(endingIn: ending).map { (index: $0, length: ending.count) }
    }
    let originals = copies.sorted { $0.index < $1.index }.map { copy in
      String(scopeNames.names[copy.index].dropLast(copy.length))
    }
    return originals.isEmpty ? [] : dialect.scopes(in: NamesByEnding(originals))
  }

  /// What the names are under `scope` by what each is alone: of those that are the same tensor one is it.
  private func match(_ found: [RuleMatch?], table: Int, dialect: Int, scope: Scope) -> DialectMatch {
    let known = tables[table].dialects[dialect].names
    let names = names(for: known).all.names
    var matches = found
    var owner: [RuleMatch: Int] = [:]
    owner.reserveCapacity(matches.count { $0 != nil })
    var duplicates: [Int: Int] = [:]
    for index in matches.indices {
      guard let match = matches[index] else { continue }
      guard let first = owner[match] else {
        owner[match] = index
        continue
      }
      // The one inside the scope is the model's own.
      if !names[first].hasPrefix(scope.prefix), names[index].hasPrefix(scope.prefix) {
        matches[first] = nil
        duplicates[first] = index
        owner[match] = index
      } else {
        matches[index] = nil
        duplicates[index] = first
      }
    }
    let count = owner.count
    let endings = count < 3 ? known.drops.endingsOfCopies : []
    let copies = names.count { name in
      endings.contains { name.hasSuffix($0) && known.find(String(name.dropLast($0.count)), in: scope) != nil }
    }
    let inScope =
      scope.prefix.isEmpty
      ? count : matches.indices.count { matches[$0] != nil && names[$0].hasPrefix(scope.prefix) }
    return DialectMatch(
      table: table, dialect: dialect, scope: scope, names: names, matches: matches, duplicates: duplicates,
      count: count, countInScope: inScope, copies: copies)
  }
}
