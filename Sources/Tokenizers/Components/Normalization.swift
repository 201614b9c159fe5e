/// Unicode's normal forms, with where each code point comes from: `unicode-normalization-alignments`
/// (`src/decompose.rs`, `src/recompose.rs`), in Unicode 9.
struct Normalization: Sendable {
  var isCompatible: Bool
  var isComposed: Bool

  private var changes: CodePointKind.Flag {
    switch (isCompatible, isComposed) {
    case (false, false): CodePointKind.Flag(mask: CodePointKind.Flag.hasNFD.mask | CodePointKind.Flag.isReordered.mask)
    case (true, false): CodePointKind.Flag(mask: CodePointKind.Flag.hasNFKD.mask | CodePointKind.Flag.isReordered.mask)
    case (false, true): .changesInNFC
    case (true, true): .changesInNFKC
    }
  }

  /// One code point on its way, and what it is to the old text: see ``Rewriter``.
  private struct Item {
    var code: UInt32
    var change: Int
    var combiningClass: UInt8
  }

  func apply(to rewriter: inout Rewriter) {
    guard isNeeded(rewriter.source) else { return }
    rewriter.rewrite { (rewriter, piece) in
      var pending: [Item] = []
      var composer = Composer()
      func flush(_ rewriter: inout Rewriter) {
        sort(&pending)
        for item in pending {
          if isComposed {
            composer.add(item) { rewriter.emit($0.code, change: $0.change) }
          } else {
            rewriter.emit(item.code, change: item.change)
          }
        }
        pending.removeAll(keepingCapacity: true)
      }
      var position = piece.start
      while position < piece.end {
        let (code, length) = rewriter.source.codePoint(at: position)
        position += length
        var isNew = false
        decompose(code) { part in
          let combiningClass = combiningClass(of: part)
          if combiningClass == 0 { flush(&rewriter) }
          pending.append(Item(code: part, change: isNew ? 1 : 0, combiningClass: combiningClass))
          isNew = true
        }
      }
      flush(&rewriter)
      if isComposed { composer.finish { rewriter.emit($0.code, change: $0.change) } }
      return true
    }
  }

  private func isNeeded(_ source: borrowing TextBuffer) -> Bool {
    if source.isASCII { return false }
    let changes = changes
    for piece in source.pieces where piece.isText {
      var position = piece.start
      while position < piece.end {
        let (code, length) = source.codePoint(at: position)
        if code >= 0x80, CodePointKind(of: code).has(changes) || !isComposed && Hangul.syllables.contains(code) {
          return true
        }
        position += length
      }
    }
    return false
  }

  private func decompose(_ code: UInt32, _ body: (UInt32) -> Void) {
    if code < 0x80 {
      body(code)
    } else if Hangul.syllables.contains(code) {
      Hangul.decompose(code, body)
    } else if let mapping = CodePointMapping(isCompatible ? .nfkd : .nfd, of: code) {
      for index in 0..<mapping.count { body(mapping[index]) }
    } else {
      body(code)
    }
  }

  /// By combining class; equals keep their order.
  private func sort(_ items: inout [Item]) {
    guard items.count > 1 else { return }
    if items.count < 24 {
      for index in 1..<items.count {
        let item = items[index]
        var hole = index
        while hole > 0, items[hole - 1].combiningClass > item.combiningClass {
          items[hole] = items[hole - 1]
          hole -= 1
        }
        items[hole] = item
      }
      return
    }
    var byClass: [[Item]] = Array(repeating: [], count: 256)
    for item in items { byClass[Int(item.combiningClass)].append(item) }
    items = byClass.flatMap { $0 }
  }

  /// Composes what was decomposed and put in order.
  private struct Composer {
    private var composee: Item?
    private var lastClass: UInt8?
    private var buffer: [Item] = []

    mutating func add(_ item: Item, _ output: (Item) -> Void) {
      guard let current = composee else {
        if item.combiningClass != 0 { output(item) } else { composee = item }
        return
      }
      if let lastClass, lastClass >= item.combiningClass {
        // It is blocked from the composee.
        if item.combiningClass == 0 {
          output(current)
          for item in buffer { output(item) }
          buffer.removeAll(keepingCapacity: true)
          composee = item
          self.lastClass = nil
        } else {
          buffer.append(item)
          self.lastClass = item.combiningClass
        }
        return
      }
      if let code = composed(current.code, item.code) {
        composee = Item(code: code, change: current.change + item.change - 1, combiningClass: 0)
      } else if lastClass == nil, item.combiningClass == 0 {
        output(current)
        composee = item
      } else {
        buffer.append(item)
        lastClass = item.combiningClass
      }
    }

    mutating func finish(_ output: (Item) -> Void) {
      if let composee { output(composee) }
      for item in buffer { output(item) }
      composee = nil
      buffer.removeAll()
    }
  }
}
