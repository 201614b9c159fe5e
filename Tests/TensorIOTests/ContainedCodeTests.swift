import TensorIO
import TestSupport
import Testing

@Suite("Code in a checkpoint")
struct ContainedCodeTests {
  private func code(_ kind: ContainedCode.Kind, _ verdict: CodeVerdict, count: Int = 1) -> [ContainedCode] {
    (0..<count).map { ContainedCode(kind, name: "\(verdict.rawValue)\($0)", verdict: verdict) }
  }

  @Test("Harmless code is listed without a warning")
  func harmless() {
    #expect(ContainedCode.warnings(of: code(.torchScript, .known, count: 40)).isEmpty)
  }

  @Test("One sentence for each kind and verdict, with the first names and the number of the others")
  func oneSentenceEach() {
    let all =
      code(.torchScript, .dangerous, count: 7) + code(.torchScript, .unknown) + code(.kerasConfig, .dangerous)
      + code(.tensorFlowGraph, .known)
    let warnings = ContainedCode.warnings(of: all)
    #expect(warnings.count == 3)
    #expect(warnings[0].contains("TorchScript") && warnings[0].contains("dangerous4 and 2 more"))
    #expect(warnings[1].contains("unknown0") && !warnings[1].contains("can run code"))
    #expect(warnings[2].contains("Keras") && warnings[2].contains("nothing of it is run here"))
  }

  @Test("A long name from a file is shortened, and what is known of it follows in brackets")
  func details() {
    let item = ContainedCode(
      .torchScript, name: String(repeating: "x", count: 100_000), verdict: .dangerous, detail: "reads a file")
    let warning = ContainedCode.warnings(of: [item])[0]
    #expect(warning.utf8.count < 2_000 && warning.contains("(reads a file)"))
  }
}
