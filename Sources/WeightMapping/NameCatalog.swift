import ModelFamilies

/// Names taken apart once, so that looking them up in one dialect after the other costs little: a large checkpoint has a hundred
/// thousand names, but a few dozen that differ in more than numbers.
struct NameCatalog {
  let names: [String]
  /// What names are where a number in them is a layer's, `{layer}` in its place.
  fileprivate let patterns: [String]
  /// For each name the patterns that it has, and the layer in each; those of name `i` are at `starts[i]..<starts[i + 1]`.
  fileprivate let candidates: [(pattern: Int, layer: Int)]
  fileprivate let starts: [Int]
  /// The names with every number in them written as 0.
  fileprivate let shapes: [String]
  fileprivate let shapeOfName: [Int]

  init(_ names: [String]) {
    self.names = names
    var patterns = Numbering()
    var shapes = Numbering()
    var candidates: [(pattern: Int, layer: Int)] = []
    var starts = [0]
    var shapeOfName: [Int] = []
    candidates.reserveCapacity(names.count)
    starts.reserveCapacity(names.count + 1)
    shapeOfName.reserveCapacity(names.count)
    for name in names {
      for (pattern, layer) in NamePattern.layered(name) { candidates.append((patterns.number(of: pattern), layer)) }
      starts.append(candidates.count)
      shapeOfName.append(shapes.number(of: NamePattern.withoutNumbers(name)))
    }
    self.patterns = patterns.texts
    self.candidates = candidates
    self.starts = starts
    self.shapes = shapes.texts
    self.shapeOfName = shapeOfName
  }

  /// Texts, each with a number of its own.
  private struct Numbering {
    private(set) var texts: [String] = []
    private var numbers: [String: Int] = [:]

    mutating func number(of text: String) -> Int {
      if let number = numbers[text] { return number }
      numbers[text] = texts.count
      texts.append(text)
      return texts.count - 1
    }
  }
}

extension DialectNames {
  /// What each of the names is under `scope`, as `find(_:in:)` finds it alone.
  func find(allOf catalog: NameCatalog, in scope: Scope) -> [RuleMatch?] {
    // Where a name's other numbers decide, or where they are a part of what is spelled otherwise, each is looked up by itself.
    guard !repeatsLayer, !spellings.contains(where: { Self.hasNumber($0.other) }) else {
      return catalog.names.map { find($0, in: scope) }
    }
    var inside = CatalogLookup(self, scope, catalog, isInside: true)
    lazy var outside = CatalogLookup(self, scope, catalog, isInside: false)
    return catalog.names.indices.map { index in
      scope.prefix.isEmpty || catalog.names[index].hasPrefix(scope.prefix)
        ? inside.match(ofNameAt: index) : isContained ? nil : outside.match(ofNameAt: index)
    }
  }
}

/// The lookup of a catalog's names in one dialect: of those that are inside a scope, or of those that are not.
private struct CatalogLookup {
  /// What a name or a pattern leads to, and at which attempt: a name as it is comes before one that is spelled otherwise.
  private struct Found {
    let attempt: Int
    let source: RuleSource
  }

  private let dialect: DialectNames
  private let scope: Scope
  private let catalog: NameCatalog
  /// What is taken off the names, and its shape; empty for names outside of the scope.
  private let prefix: String
  private let prefixShape: String
  /// What names may lack: nothing, or the dialect's root.
  private let roots: [String]
  private let addsNumbers: Bool
  /// By pattern; `nil` is not known yet.
  private var found: [Found??]
  /// By shape, whether a name of that shape can be one that a rule has as it is.
  private var mayBeLiteral: [Bool?]
  /// By shape, whether its names are looked up one by one: spelled as the rules have them they have other numbers.
  private var isSingle: [Bool?]

  init(_ dialect: DialectNames, _ scope: Scope, _ catalog: NameCatalog, isInside: Bool) {
    self.dialect = dialect
    self.scope = scope
    self.catalog = catalog
    prefix = isInside ? scope.prefix : ""
    prefixShape = NamePattern.withoutNumbers(prefix)
    roots = isInside && scope.isBare ? ["", dialect.root] : [""]
    addsNumbers = dialect.spellings.contains { DialectNames.hasNumber($0.ours) }
    found = Array(repeating: nil, count: catalog.patterns.count)
    mayBeLiteral = Array(repeating: nil, count: catalog.shapes.count)
    isSingle = mayBeLiteral
  }

  mutating func match(ofNameAt index: Int) -> RuleMatch? {
    let shape = catalog.shapeOfName[index]
    if addsNumbers, isSingle(shape: shape) { return dialect.find(catalog.names[index], in: scope) }
    var best: (attempt: Int, match: RuleMatch)?
    if mayBeLiteral(shape: shape),
      let found = first(catalog.names[index].dropFirst(prefix.count), dialect.rules.source(ofName:))
    {
      best = (found.attempt, RuleMatch(source: found.source, layer: nil))
    }
    for position in catalog.starts[index]..<catalog.starts[index + 1] {
      let candidate = catalog.candidates[position]
      guard candidate.layer >= dialect.firstLayer else { continue }
      guard let found = found(pattern: candidate.pattern), best.map({ found.attempt < $0.attempt }) != false else {
        continue
      }
      best = (found.attempt, RuleMatch(source: found.source, layer: candidate.layer - dialect.firstLayer))
    }
    return best?.match
  }

  private mutating func found(pattern: Int) -> Found? {
    if let known = found[pattern] { return known }
    let text = catalog.patterns[pattern]
    // A number of the prefix is not a layer's.
    let result = text.hasPrefix(prefix) ? first(text.dropFirst(prefix.count), dialect.rules.source(ofPattern:)) : nil
    found[pattern] = .some(result)
    return result
  }

  private mutating func isSingle(shape: Int) -> Bool {
    if let known = isSingle[shape] { return known }
    let own = catalog.shapes[shape].dropFirst(prefixShape.count)
    let result = roots.contains { dialect.spelled($0 + own) != $0 + own }
    isSingle[shape] = result
    return result
  }

  private mutating func mayBeLiteral(shape: Int) -> Bool {
    if let known = mayBeLiteral[shape] { return known }
    let own = catalog.shapes[shape].dropFirst(prefixShape.count)
    let result = attempts(own).contains { dialect.rules.hasName(withoutNumbers: NamePattern.withoutNumbers($0)) }
    mayBeLiteral[shape] = result
    return result
  }

  /// The forms in which a name is looked up: as it is, spelled as the rules have it, and the same below the root.
  private func attempts(_ local: Substring) -> [String] { roots.flatMap { [$0 + local, dialect.spelled($0 + local)] } }

  private func first(_ local: Substring, _ source: (String) -> RuleSource?) -> Found? {
    for (attempt, form) in attempts(local).enumerated() {
      if let source = source(form) { return Found(attempt: attempt, source: source) }
    }
    return nil
  }
}
