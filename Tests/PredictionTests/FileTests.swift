import TensorIO
import TestSupport
import Testing

@testable import Prediction

@Suite struct InputFileTests {
  private let folder = TemporaryFolder()

  private func items(_ text: String, _ name: String, column: String? = nil) throws -> [PredictionItem] {
    try items(Array(text.utf8), name, column: column)
  }

  private func items(_ bytes: [UInt8], _ name: String, column: String? = nil) throws -> [PredictionItem] {
    let file = try InputFile(try folder.write(bytes, name), column: column)
    var items: [PredictionItem] = []
    while let item = try file.next() { items.append(item) }
    return items
  }

  @Test(arguments: ["one\n\ntwo\n", "one\r\n\r\ntwo\r\n", "\u{FEFF}one\n\ntwo"])
  func lines(_ text: String) throws {
    #expect(try items(text, "a.txt").map(\.text) == ["one", "", "two"])
  }

  @Test func otherSeparatorsEndNoLine() throws {
    #expect(try items("a\u{85}b\u{2028}c\rd\n", "a.txt").map(\.text) == ["a\u{85}b\u{2028}c\rd"])
    #expect(try items("", "a.txt").isEmpty)
  }

  @Test func objects() throws {
    let text = """
      {"text": "a\\ud83d\\ude00", "other": [1], "text_pair": "b"}

      {"context": "c", "question": "q"}
      {"text": "t", "choices": ["x", "y"]}
      """
    let found = try items(text, "a.jsonl")
    #expect(found.map(\.text) == ["a😀", "c", "t"] && found.map(\.line) == [1, 3, 4])
    #expect(found[0].pair == "b" && found[1].question == "q" && found[2].choices == ["x", "y"])
    #expect(try items("{\"t\": \"x\", \"text\": \"y\"}", "a.jsonl", column: "t").map(\.text) == ["x"])
    // Texts may have any number of combining marks.
    let marks = String(repeating: "\u{301}", count: 200)
    #expect(try items("{\"text\": \"e\(marks)\"}", "a.jsonl").first?.text.unicodeScalars.count == 201)
  }

  @Test func tables() throws {
    let text = "id,review,text\r\n1,\"a, \"\"b\"\"\nc\r\nd\",x\r\n\r\n2,e,y\r\n"
    let found = try items(text, "a.csv", column: "review")
    #expect(found.map(\.text) == ["a, \"b\"\nc\r\nd", "e"] && found.map(\.line) == [2, 6])
    #expect(try items(text, "a.csv").map(\.text) == ["x", "y"])
    #expect(try items("text\tb\nx,y\t1\n\"\t\"\t2", "a.tsv").map(\.text) == ["x,y", "\t"])
  }

  @Test(arguments: [
    ("{\"text\": \"a\"}\n{\"text\": 5}\n", "a.jsonl", "line 2"),
    ("{\"text\": \"a\"}\n{\"b\": \"\"}", "a.jsonl", "line 2"),
    ("{\"text\": \"a\"\n", "a.jsonl", "line 1"), ("{\"text\": \"\\ud800\"}", "a.jsonl", "line 1"),
    ("[]", "a.jsonl", "line 1"),
    ("text,b\nx,1\n\"open,2\nmore\n", "a.csv", "line 3"), ("text,b\nx\n", "a.csv", "line 2"),
    ("text,b\n\"x\"y,1\n", "a.csv", "line 2"), ("a,b\n1,2\n", "a.csv", "'text'"), ("", "a.csv", "header"),
    ("x", "a.json", ".jsonl"),
  ])
  func whatIsWrongIsNamed(_ text: String, _ name: String, _ word: String) throws {
    #expect { try items(text, name) } throws: { error in
      "\(error)".contains(word) && "\(error)".contains(name)
    }
  }

  @Test(
    arguments: [
      ([0x61, 0x0A, 0x62, 0xFF, 0x63], 3), ([0x67, 0xED, 0xA0, 0x80], 1), ([0xC0, 0x80], 0), ([0x61, 0xE4, 0xB8], 1),
      ([0xF4, 0x90, 0x80, 0x80], 0), ([0xF0, 0x80, 0x80, 0x80], 0), ([0xFF, 0xFE, 0x61, 0x00], 0), ([0x80], 0),
    ] as [([UInt8], UInt64)])
  func badUTF8IsNamedByItsByte(_ bytes: [UInt8], _ offset: UInt64) throws {
    #expect { try items(bytes, "a.txt") } throws: { ($0 as? FormatError)?.offset == offset }
  }

  @Test func theCheckOfUTF8IsThatOfSwift() {
    var random = SeededRandom(5)
    let pool: [UInt8] = [0x61, 0xC2, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0x80, 0x9F, 0xA0, 0xBF, 0xFF]
    for _ in 0..<20_000 {
      let count = Int.random(in: 0..<6, using: &random)
      let bytes: [UInt8] = (0..<count).map { _ in pool.randomElement(using: &random) ?? 0 }
      #expect((UTF8Check.firstError(bytes) == bytes.count) == (String(validating: bytes, as: UTF8.self) != nil))
    }
  }
}

@Suite struct ResultWriterTests {
  private let folder = TemporaryFolder()

  private func label(_ name: String) -> PredictionResult {
    .labels([PredictionResult.Label(label: name, score: 0.5)], windows: 1)
  }

  private func write(
    _ name: String, _ results: [PredictionResult], task: PredictionTask = .textClassification, appends: Bool = false
  ) throws -> Int {
    let writer = try ResultWriter(folder.file(name), task: task, appends: appends, overwrites: false)
    for (index, result) in results.enumerated() {
      try writer.write(PredictionItem("t\(index),\"x\"\n"), result)
      if index % 2 == 1 { try writer.finishPart() }
    }
    try writer.finish()
    return writer.existingCount
  }

  private func text(_ name: String) throws -> String { try FileSystem.text(folder.file(name)) }

  @Test func lines() throws {
    _ = try write("a.jsonl", [label("x"), label("y")])
    #expect(
      try text("a.jsonl") == """
        {"labels":[{"label":"x","score":0.5}],"windows":1}
        {"labels":[{"label":"y","score":0.5}],"windows":1}\n
        """)
    #expect(throws: FormatError.self) { try write("a.jsonl", []) }
  }

  @Test func tables() throws {
    _ = try write("a.csv", [label("x,y")])
    #expect(try text("a.csv") == "text,label,score\n\"t0,\"\"x\"\"\n\",\"x,y\",0.5\n")
  }

  @Test(arguments: ["jsonl", "csv"])
  func whatIsUnfinishedIsLeftOutAndTheRestAppended(_ form: String) throws {
    let name = "a.\(form)"
    #expect(try write(name, [label("a"), label("b")], appends: true) == 0)
    let two = try text(name)
    // As a program that was stopped in the middle of a row leaves it.
    _ = try folder.write(Array((two + (form == "csv" ? "\"t0,\nx" : "{\"labels\":[")).utf8), name)
    #expect(try write(name, [label("c")], appends: true) == 2)
    let three = try text(name)
    #expect(three.hasPrefix(two) && three.dropFirst(two.count).contains("c"))
    #expect(try write(name, [], appends: true) == 3)
  }

  @Test func matricesGoOn() throws {
    let rows: [PredictionResult] = [.embedding([1, 2]), .embedding([3, 4]), .embedding([5, 6])]
    _ = try write("whole.npy", rows, task: .sentenceEmbedding)
    #expect(try write("a.npy", Array(rows[..<2]), task: .sentenceEmbedding, appends: true) == 0)
    let part = try MappedFile.open(folder.file("a.npy")).array()
    _ = try folder.write(part + [1, 2, 3], "a.npy")
    #expect(try write("a.npy", [rows[2]], task: .sentenceEmbedding, appends: true) == 2)
    #expect(try MappedFile.open(folder.file("a.npy")).array() == MappedFile.open(folder.file("whole.npy")).array())
    #expect(throws: FormatError.self) {
      try write("a.npy", [.embedding([1])], task: .sentenceEmbedding, appends: true)
    }
  }

  @Test(arguments: [
    ("a.npy", PredictionTask.textClassification, false), ("a.csv", .sentenceEmbedding, false),
    ("a.npz", .sentenceEmbedding, true), ("a.txt", .fillMask, false),
  ])
  func aFormThatDoesNotFitIsRefused(_ name: String, _ task: PredictionTask, _ appends: Bool) {
    #expect(throws: FormatError.self) {
      try ResultWriter(folder.file(name), task: task, appends: appends, overwrites: false)
    }
    #expect(!FileSystem.isFile(folder.file(name)))
  }

  @Test func theNearestTexts() {
    var nearest = NearestTexts([[1, 0], [0, 2]], count: 2)
    for (text, vector) in [("a", [3, 0]), ("b", [1, 1]), ("c", [-1, 0]), ("d", [0, 0.5])] as [(String, [Float])] {
      nearest.add(PredictionItem(text), vector)
    }
    #expect(nearest.matches.map { $0.map(\.text) } == [["a", "b"], ["d", "b"]])
    #expect(isNear(nearest.matches[0][1].score, 0.5.squareRoot()))
  }
}
