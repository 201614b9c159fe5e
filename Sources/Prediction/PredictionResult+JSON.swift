import TensorIO

extension PredictionResult {
  /// The answer as a JSON object; scores and values with the digits that give the same number back.
  public var json: JSON {
    switch self {
    case .masks(let masks):
      .object([
        "masks": .array(
          masks.map {
            .object(["position": .int($0.position), "candidates": .array($0.candidates.map(\.json))])
          })
      ])
    case .labels(let labels, let windows):
      .object([
        "labels": .array(labels.map { .object(["label": .string($0.label), "score": .double($0.score)]) }),
        "windows": .int(windows),
      ])
    case .tokens(let tokens, let entities):
      .object(["tokens": .array(tokens.map(\.json)), "entities": .array(entities.map(\.json))])
    case .answers(let answers): .object(["answers": .array(answers.map(\.json))])
    case .isNext(let score): .object(["is_next": .double(score)])
    case .choices(let choices):
      .object([
        "choices": .array(choices.map { .object(["choice": .int($0.choice), "score": .double($0.score)]) })
      ])
    case .embedding(let values): .object(["embedding": Self.json(values[...])])
    case .features(let values, let width):
      .object([
        "embedding": .array(
          width == 0
            ? []
            : stride(from: 0, to: values.count, by: width).map { Self.json(values[$0..<($0 + width)]) })
      ])
    case .nextTokens(let candidates, let continuation):
      .object(
        [JSON.Member("candidates", .array(candidates.map(\.json)))]
          + (continuation.map { [JSON.Member("continuation", .string($0))] } ?? []))
    }
  }

  private static func json(_ values: ArraySlice<Float>) -> JSON {
    .array(values.map { $0.isFinite ? .number("\($0)") : .null })
  }
}

extension PredictionResult.Candidate {
  fileprivate var json: JSON {
    .object(["token": .string(token), "text": .string(text), "id": .int(id), "score": .double(score)])
  }
}

extension PredictionResult.Token {
  fileprivate var json: JSON {
    .object([
      "token": .string(token), "label": .string(label), "score": .double(score), "start": .int(start), "end": .int(end),
    ])
  }
}

extension PredictionResult.Entity {
  fileprivate var json: JSON {
    .object([
      "label": .string(label), "score": .double(score), "start": .int(start), "end": .int(end), "text": .string(text),
    ])
  }
}

extension PredictionResult.Answer {
  fileprivate var json: JSON {
    .object(["text": .string(text), "score": .double(score), "start": .int(start), "end": .int(end)])
  }
}
