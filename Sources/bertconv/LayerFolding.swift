import TensorIO

/// Tensors as lines, of which one stands for all layers in a row whose tensors are alike.
enum LayerFolding {
  struct Line {
    /// One for each list of names, with `{0..11}` for the numbers of several layers.
    let names: [String]
    let count: Int
    /// The first tensor that it stands for.
    let first: Int
  }

  private struct Key: Hashable {
    /// What stands around the number in each list, and by how much the number is another one than in the first.
    let templates: [Substring]
    let offsets: [Int]
    let alike: [String]
  }

  /// `names` are lists of one length: tensors go together when what follows a layer's number, and before it, is the same in
  /// all of them. In the order of the first list.
  static func lines(_ names: [[String]], alike: [[String]]) -> [Line] {
    let places = names.map { LayerPlace.all(in: $0) }
    var groups: [Key: [(layer: Int, tensor: Int)]] = [:]
    var lines: [Line] = []
    for tensor in alike.indices {
      let found = places.indices.compactMap { list in
        // A number with leading zeros could not be told from one without.
        places[list][tensor].flatMap { place in
          "\(place.prefix)\(place.layer)\(place.suffix)" == names[list][tensor] ? place : nil
        }
      }
      guard found.count == names.count, let first = found.first else {
        lines.append(Line(names: names.map { $0[tensor] }, count: 1, first: tensor))
        continue
      }
      let key = Key(
        templates: found.flatMap { [$0.prefix, $0.suffix] }, offsets: found.map { $0.layer - first.layer },
        alike: alike[tensor])
      groups[key, default: []].append((first.layer, tensor))
    }
    for (key, members) in groups {
      var rest = members.sorted { ($0.layer, $0.tensor) < ($1.layer, $1.tensor) }[...]
      while let first = rest.first {
        var count = 1
        while count < rest.count, rest[rest.startIndex + count].layer == first.layer + count { count += 1 }
        let run = rest.prefix(count)
        rest = rest.dropFirst(count)
        let tensor = run.map(\.tensor).min() ?? first.tensor
        let texts = names.indices.map { list in
          guard count > 1 else { return names[list][first.tensor] }
          let low = first.layer + key.offsets[list]
          let numbers = NameGroups.ranges(Array(low..<(low + count)))
          return "\(key.templates[2 * list]){\(numbers)}\(key.templates[2 * list + 1])"
        }
        lines.append(Line(names: texts, count: count, first: tensor))
      }
    }
    return lines.sorted { $0.first < $1.first }
  }
}
