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

extension Dialect {
  /// What each of the names is under `scope`, as `find(_:in:)` says of it alone.
  func find(allOf catalog: NameCatalog, in scope: Scope) -> [RuleMatch?] {
    // Where a name's other numbers decide, or where they are a part of what is spelled otherwise, each is looked up by itself.
    guard !repeatsLayer, !spellings.contains(where: { $0.other.utf8.contains(where: LayerNumber.isDigit) }) else {
      return catalog.names.map { find($0, in: scope) }
    }
    var lookup = CatalogLookup(dialect: self, scope: scope, catalog: catalog)
    return catalog.names.indices.map { lookup.match(ofNameAt: $0) }
  }
}

/// The lookup of a catalog's names in one dialect under one scope.
private struct CatalogLookup {
  /// What a name or a pattern leads to, and at which attempt: a name as it is comes before one that is spelled otherwise.
  private struct Found {
    let attempt: Int
    let source: RuleSource
  }

  private let dialect: Dialect
  private let scope: Scope
  private let catalog: NameCatalog
  /// By pattern, for names inside the scope and outside of it; `nil` is not known yet.
  private var foundInside: [Found??]
  private var foundOutside: [Found??]
  /// By shape, whether a name of that shape can be one that a rule has as it is.
  private var mayBeLiteralInside: [Bool?]
  private var mayBeLiteralOutside: [Bool?]
  /// Whether names of a shape are looked up one by one: spelled as the rules have them they have other numbers.
  private var isSingleInside: [Bool?]
  private var isSingleOutside: [Bool?]
  private let addsNumbers: Bool
  private let literalShapes: Set<String>
  private let prefixShape: String

  init(dialect: Dialect, scope: Scope, catalog: NameCatalog) {
    self.dialect = dialect
    self.scope = scope
    self.catalog = catalog
    foundInside = Array(repeating: nil, count: catalog.patterns.count)
    foundOutside = foundInside
    mayBeLiteralInside = Array(repeating: nil, count: catalog.shapes.count)
    mayBeLiteralOutside = mayBeLiteralInside
    isSingleInside = mayBeLiteralInside
    isSingleOutside = mayBeLiteralInside
    addsNumbers = dialect.spellings.contains { $0.ours.utf8.contains(where: LayerNumber.isDigit) }
    literalShapes = Set(dialect.literals.keys.map(NamePattern.withoutNumbers))
    prefixShape = NamePattern.withoutNumbers(scope.prefix)
  }

  mutating func match(ofNameAt index: Int) -> RuleMatch? {
    let name = catalog.names[index]
    let isInside = scope.prefix.isEmpty || name.hasPrefix(scope.prefix)
    if addsNumbers, isSingle(shape: catalog.shapeOfName[index], isInside: isInside) {
      return dialect.find(name, in: scope)
    }
    var best: (attempt: Int, match: RuleMatch)?
    if mayBeLiteral(shape: catalog.shapeOfName[index], isInside: isInside),
      let found = first(in: dialect.literals, local(name, isInside: isInside), isInside: isInside)
    {
      best = (found.attempt, RuleMatch(source: found.source, layer: nil))
    }
    for candidate in catalog.candidates[catalog.starts[index]..<catalog.starts[index + 1]]
    where candidate.layer >= dialect.firstLayer {
      guard let found = found(pattern: candidate.pattern, isInside: isInside),
        best.map({ found.attempt < $0.attempt }) != false
      else { continue }
      best = (found.attempt, RuleMatch(source: found.source, layer: candidate.layer - dialect.firstLayer))
    }
    return best?.match
  }

  /// What a name is without the scope's prefix.
  private func local(_ name: String, isInside: Bool) -> String {
    isInside ? String(name.dropFirst(scope.prefix.count)) : name
  }

  private mutating func found(pattern: Int, isInside: Bool) -> Found? {
    if let known = isInside ? foundInside[pattern] : foundOutside[pattern] { return known }
    let text = catalog.patterns[pattern]
    // A number of the prefix is no layer's.
    let isWhole = !isInside || scope.prefix.isEmpty || text.hasPrefix(scope.prefix)
    let found = isWhole ? first(in: dialect.patterns, local(text, isInside: isInside), isInside: isInside) : nil
    if isInside { foundInside[pattern] = .some(found) } else { foundOutside[pattern] = .some(found) }
    return found
  }

  /// A name of that shape without the scope's prefix.
  private func local(shape: Int, isInside: Bool) -> String {
    isInside ? String(catalog.shapes[shape].dropFirst(prefixShape.count)) : catalog.shapes[shape]
  }

  private mutating func isSingle(shape: Int, isInside: Bool) -> Bool {
    if let known = isInside ? isSingleInside[shape] : isSingleOutside[shape] { return known }
    let own = local(shape: shape, isInside: isInside)
    let result =
      dialect.spelled(own) != own || scope.isBare && dialect.spelled(dialect.root + own) != dialect.root + own
    if isInside { isSingleInside[shape] = result } else { isSingleOutside[shape] = result }
    return result
  }

  private mutating func mayBeLiteral(shape: Int, isInside: Bool) -> Bool {
    if let known = isInside ? mayBeLiteralInside[shape] : mayBeLiteralOutside[shape] { return known }
    let result = attempts(local(shape: shape, isInside: isInside), isInside: isInside).contains {
      literalShapes.contains(NamePattern.withoutNumbers($0))
    }
    if isInside { mayBeLiteralInside[shape] = result } else { mayBeLiteralOutside[shape] = result }
    return result
  }

  /// The forms in which a name is looked up: as it is, spelled as the rules have it, and the same below the root.
  private func attempts(_ local: String, isInside: Bool) -> [String] {
    let forms = scope.isBare && isInside ? [local, dialect.root + local] : [local]
    return forms.flatMap { [$0, dialect.spelled($0)] }
  }

  private func first(in rules: [String: RuleSource], _ local: String, isInside: Bool) -> Found? {
    for (attempt, form) in attempts(local, isInside: isInside).enumerated() {
      if let source = rules[form] { return Found(attempt: attempt, source: source) }
    }
    return nil
  }
}
