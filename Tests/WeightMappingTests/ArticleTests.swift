import CheckpointReaders
import Conversion
import ModelSupport
import NativeFormat
import TensorIO
import TestSupport
import Testing
import WeightMapping

/// The code that the libraries' pages show.
@Suite("The code of the pages")
struct ArticleTests {
  /// This is the code of WeightMapping's page.
  @Test func aConversionByTheLibraries() throws {
    let checkpoint = try CheckpointOpener().open(fixture("tensorflow/bert-tiny"))
    let config = try JSON.parse(try contents(try #require(checkpoint.configPath)))
    let folder = TemporaryFolder()
    let output = folder.file("model.safetensors")

    let mapper = Mapper(tables: try MappingTable.builtIn())
    let plan = try mapper.plan(
      for: checkpoint.source.tensors, metadata: checkpoint.source.metadata, file: checkpoint.path, config: config,
      configFile: checkpoint.configPath, allowUnexpected: []
    ).resolvingTies(in: checkpoint.source)
    let writer = try NativeWriter(
      path: output, overwrites: false, config: plan.config, vocabulary: nil, source: .object([]))
    try Converter.write(plan, from: checkpoint.source, to: writer, progress: nil)
    try writer.finish()

    let model = try NativeModel.open(output)
    try model.verifyChecksums()
    #expect(model.isNative && model.tensorNames.count == 46)
  }

  @Test(arguments: [
    ("Sources/WeightMapping/WeightMapping.docc/WeightMapping.md", "Tests/WeightMappingTests/ArticleTests.swift"),
    (
      "Sources/Encoder/Encoder.docc/GettingStarted.md",
      "Examples/HiddenStates/Sources/HiddenStates/HiddenStates.swift"
    ),
  ])
  func thePageShowsCodeThatRuns(_ page: String, _ code: String) throws {
    func lines(_ text: some StringProtocol) -> [String] {
      text.split(separator: "\n").map { String($0.drop { $0 == " " }) }
    }
    let known = lines(try FileSystem.text(fixture("../../\(code)")))
    var blocks = try FileSystem.text(fixture("../../\(page)")).split(separator: "```swift\n")
    blocks.removeFirst()
    #expect(!blocks.isEmpty)
    for block in blocks {
      for line in lines(block.prefix { $0 != "`" }) { #expect(known.contains(line), "\(line)") }
    }
  }
}
