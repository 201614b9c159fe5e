import TensorIO

/// A vocabulary of whole words that a Python program pickled. Nothing of the pickle is run.
///
///     itos.pkl      ["xxunk", "xxpad", …]                                          fastai
///     vocab.small   bert_pytorch.dataset.vocab.WordVocab, its words in `itos`      codertimo/BERT-pytorch
public struct PickledVocabulary: Sendable, Equatable {
  /// The program that wrote it.
  public enum Program: String, Sendable {
    case fastai
    case bertPyTorch = "BERT-pytorch"
  }

  public let program: Program
  /// In the order of their ids.
  public let words: [String]

  /// Bytes that such a file may have.
  private static let maxBytes = 64 << 20

  /// The vocabulary in a file; `nil` where the file is no pickle, or one of something else.
  ///
  /// - Throws: a `FormatError` where the pickle is damaged, imports something dangerous, or has words that are no text
  public init?(path: String) throws(FormatError) {
    let file = try MappedFile.open(path)
    guard file.count <= Self.maxBytes, TorchLegacy.recognizes(file) else { return nil }
    var machine = PickleMachine(file: path)
    var cursor = ByteCursor(file)
    do throws(FormatError) {
      let root = try machine.load(&cursor)
      if let dangerous = machine.judgedImports.first(where: { $0.verdict == .dangerous }) {
        throw FormatError(
          .dangerous, "the vocabulary is a pickle that contains code; refused", found: dangerous.name,
          advice: "Nothing was run. Do not load this file with Python.")
      }
      if let words = try Self.words(root, machine) {
        (program, self.words) = (.fastai, words)
        return
      }
      guard let object = machine.object(root),
        let type = machine.globalName(object.type), type.hasPrefix("bert_pytorch."), type.hasSuffix("Vocab"),
        let list = machine.value("itos", in: object.state), let words = try Self.words(list, machine)
      else { return nil }
      (program, self.words) = (.bertPyTorch, words)
    } catch {
      throw error.inFile(path)
    }
  }

  /// The texts of a list; `nil` for other values, and for a list of none.
  private static func words(_ value: PickleValue, _ machine: PickleMachine) throws(FormatError) -> [String]? {
    guard let items = machine.sequence(value), let first = items.first, machine.text(first) != nil else { return nil }
    var words: [String] = []
    words.reserveCapacity(items.count)
    for item in items {
      guard let word = machine.text(item) else {
        throw FormatError(
          .damaged, "the vocabulary has an entry that is no word", found: machine.describe(item),
          expected: "texts of at most \(PickleMachine.maxNameLength) bytes")
      }
      words.append(word)
    }
    return words
  }
}
