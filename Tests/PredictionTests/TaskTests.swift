import TensorIO
import TestSupport
import Testing

@testable import Prediction

/// Each task against the pipeline of transformers, and each rule for long texts against its definition (the fixtures'
/// generator computes both).
@Suite struct TaskTests {
  @Test func masks() throws {
    let answered = try Answered("fill-mask")
    let predictor = try answered.predictor { $0.top = 3 }
    #expect(predictor.task == .fillMask)
    for answer in answered.answers.elements ?? [] {
      let results = try predictor.predict([PredictionItem(answer["text"]?.stringValue ?? "")])
      guard case .masks(let masks)? = results.first else {
        Issue.record("not masks")
        continue
      }
      let expected = answer["masks"]?.elements ?? []
      #expect(masks.map(\.position) == expected.compactMap { $0["position"]?.intValue })
      for (mask, other) in zip(masks, expected) {
        let candidates = other["candidates"]?.elements ?? []
        #expect(mask.candidates.map(\.id) == candidates.compactMap { $0["id"]?.intValue })
        for (a, b) in zip(mask.candidates, candidates) { #expect(isNear(a.score, b["score"]?.doubleValue)) }
      }
    }
  }

  @Test func aTextWithoutMaskIsRefused() throws {
    let predictor = try Answered("fill-mask").predictor()
    #expect { try predictor.predict([PredictionItem("the cat", line: 7)]) } throws: { error in
      "\(error)".contains("[MASK]") && "\(error)".contains("line 7")
    }
  }

  @Test func filledTexts() throws {
    let predictor = try Answered("fill-mask").predictor()
    let text = "the [MASK] was é[MASK]."
    let result = try #require(try predictor.predict([PredictionItem(text)]).first)
    guard case .masks(let masks) = result else { return #expect(Bool(false)) }
    let words = masks.map { PredictionResult.word($0.candidates.first?.text ?? "") }
    #expect(result.filled(text) == "the \(words[0]) was é\(words[1]).")
  }

  @Test func labels() throws {
    let answered = try Answered("text-classification")
    let predictor = try answered.predictor()
    #expect(predictor.task == .textClassification)
    let items = answered.answers["short"]?.elements ?? []
    let results = try predictor.predict(items.map { PredictionItem($0["text"]?.stringValue ?? "") })
    #expect(results.count == items.count)
    for (result, item) in zip(results, items) {
      let expected = item["labels"]?.elements ?? []
      guard case .labels(let labels, let windows) = result else { continue }
      #expect(windows == 1)
      #expect(labels.map(\.label) == expected.compactMap { $0["label"]?.stringValue })
      for (a, b) in zip(labels, expected) { #expect(isNear(a.score, b["score"]?.doubleValue)) }
    }
  }

  @Test(arguments: ["mean", "max", "head", "head-tail"])
  func labelsOfALongText(_ way: String) throws {
    let answered = try Answered("text-classification")
    let long = try #require(answered.answers["long"])
    let predictor = try answered.predictor {
      $0.maxLength = 20
      $0.overlap = 6
      $0.combination = WindowCombination(rawValue: way) ?? .mean
      $0.longTexts = LongTexts(rawValue: way) ?? .windows
    }
    var results: [PredictionResult] = []
    var items = [PredictionItem(long["text"]?.stringValue ?? "")][...]
    let summary = try predictor.predict({ items.popFirst() }, each: { results.append($1) })
    guard case .labels(let labels, let windows)? = results.first else { return #expect(Bool(false)) }
    let expected = long[way]?.elements?.compactMap(\.doubleValue) ?? []
    let names = ["good", "schlecht", "très bien"]
    #expect(labels.count == 3 && expected.count == 3)
    for label in labels {
      let index = try #require(names.firstIndex(of: label.label))
      #expect(isNear(label.score, expected[index]))
    }
    let isCut = LongTexts(rawValue: way) != nil
    let count = long["windows"]?.intValue ?? 0
    #expect(windows == (isCut ? 1 : count))
    #expect(summary.windows == (isCut ? 0 : count) && summary.windowedTexts == (isCut ? 0 : 1))
    #expect(summary.cutTexts == (isCut ? 1 : 0) && summary.cutTokens == (isCut ? 60 - 18 : 0))
    #expect(summary.sentences.count == 1)
  }

  @Test func aLongTextIsRefusedOnRequest() throws {
    let answered = try Answered("text-classification")
    let predictor = try answered.predictor {
      $0.maxLength = 20
      $0.longTexts = .refuse
    }
    let text = answered.answers["long"]?["text"]?.stringValue ?? ""
    #expect { try predictor.predict([PredictionItem(text)]) } throws: { error in
      "\(error)".contains("62 tokens") && "\(error)".contains("20")
    }
    #expect(try predictor.predict([PredictionItem("the cat")]).count == 1)
  }

  @Test func entities() throws {
    let answered = try Answered("token-classification")
    let predictor = try answered.predictor()
    #expect(predictor.task == .tokenClassification)
    let items = answered.answers["short"]?.elements ?? []
    var count = 0
    for item in items {
      let text = item["text"]?.stringValue ?? ""
      guard case .tokens(_, let entities)? = try predictor.predict([PredictionItem(text)]).first else { continue }
      let expected = item["entities"]?.elements ?? []
      #expect(entities.map(\.label) == expected.compactMap { $0["label"]?.stringValue })
      #expect(entities.map(\.start) == expected.compactMap { $0["start"]?.intValue })
      #expect(entities.map(\.end) == expected.compactMap { $0["end"]?.intValue })
      for (a, b) in zip(entities, expected) {
        #expect(isNear(a.score, b["score"]?.doubleValue))
        var slicer = TextSlicer(text)
        #expect(a.text == slicer.text(a.start, a.end))
      }
      count += entities.count
    }
    #expect(count > 3)
  }

  @Test func tokensOfALongText() throws {
    let answered = try Answered("token-classification")
    let predictor = try answered.predictor {
      $0.maxLength = 20
      $0.overlap = 6
    }
    let long = try #require(answered.answers["long"])
    let results = try predictor.predict([PredictionItem(long["text"]?.stringValue ?? "")])
    guard case .tokens(let tokens, _)? = results.first else { return #expect(Bool(false)) }
    let expected = long["tokens"]?.elements ?? []
    #expect(tokens.map(\.label) == expected.compactMap { $0["label"]?.stringValue })
    for (a, b) in zip(tokens, expected) { #expect(isNear(a.score, b["score"]?.doubleValue)) }
  }

  @Test func answers() throws {
    let answered = try Answered("question-answering")
    let predictor = try answered.predictor()
    #expect(predictor.task == .questionAnswering)
    for item in answered.answers.elements ?? [] {
      let context = item["context"]?.stringValue ?? ""
      let results = try predictor.predict([PredictionItem(context, question: item["question"]?.stringValue)])
      guard case .answers(let answers)? = results.first, let best = answers.first else {
        Issue.record("no answer")
        continue
      }
      #expect(best.start == item["start"]?.intValue && best.end == item["end"]?.intValue)
      #expect(best.text == item["answer"]?.stringValue && isNear(best.score, item["score"]?.doubleValue))
    }
    #expect { try predictor.predict([PredictionItem("the cat")]) } throws: { "\($0)".contains("question") }
  }

  @Test(arguments: PoolingChoice.allCases)
  func embeddings(_ pooling: PoolingChoice) throws {
    let answered = try Answered("sentence-embedding")
    for item in answered.answers.elements ?? [] {
      let text = item["text"]?.stringValue ?? ""
      let predictor = try answered.predictor {
        $0.pooling = pooling
        if text.utf8.count > 60 { ($0.maxLength, $0.overlap) = (20, 6) }
      }
      #expect(predictor.task == .sentenceEmbedding && predictor.notes.isEmpty)
      guard case .embedding(let values)? = try predictor.predict([PredictionItem(text)]).first else { continue }
      let expected = item[pooling.rawValue]?.elements?.compactMap(\.doubleValue) ?? []
      #expect(values.count == 16 && expected.count == 16)
      for (a, b) in zip(values, expected) { #expect(isNear(Double(a), b, within: 2e-5)) }
    }
  }

  @Test func normalizedEmbeddingsHaveLengthOne() throws {
    let predictor = try Answered("sentence-embedding").predictor { $0.normalizes = true }
    // The mean is taken where nothing is said, and that is reported.
    #expect(predictor.notes.count == 1)
    guard case .embedding(let values)? = try predictor.predict([PredictionItem("the cat")]).first else { return }
    #expect(isNear(values.reduce(0) { $0 + Double($1 * $1) }, 1))
  }

  @Test func aTaskWithoutHeadIsRefused() throws {
    #expect { try Answered("text-classification").predictor { $0.task = .questionAnswering } } throws: {
      "\($0)".contains("text-classification")
    }
  }

  /// Sorting by length and parts of the input change nothing.
  @Test func theOrderOfTextsIsKept() throws {
    let predictor = try Answered("text-classification").predictor { $0.maxLength = 10 }
    let words = ["cat", "dog", "river", "house", "paris"]
    let items = (0..<5000).map { number in
      PredictionItem((0..<(number % 23)).map { words[($0 + number) % 5] }.joined(separator: " "))
    }
    var iterator = items.makeIterator()
    var results: [PredictionResult] = []
    var parts = 0
    let summary = try predictor.predict({ iterator.next() }, each: { results.append($1) }, finishPart: { parts += 1 })
    #expect(results.count == 5000 && parts == 2 && summary.texts == 5000)
    for index in [0, 1, 22, 777, 4095, 4096, 4999] {
      guard case .labels(let alone, let windows)? = try predictor.predict([items[index]]).first,
        case .labels(let labels, let others) = results[index]
      else { continue }
      #expect(windows == others && alone.map(\.label) == labels.map(\.label))
      for (a, b) in zip(alone, labels) { #expect(isNear(a.score, b.score)) }
    }
  }
}
