import TensorIO
import TestSupport
import Testing

/// The README's example of a table of one's own, run as it is printed there.
@Suite("The README's example")
struct ExampleTests {
  private static let heading = "## A checkpoint that only you have"

  /// The section of the README, and the file that it links to.
  private func section() throws -> Substring {
    let text = try FileSystem.text(fixture("../../README.md"))
    let start = try #require(text.firstRange(of: Self.heading))
    let rest = text[start.upperBound...]
    return rest[..<(rest.firstRange(of: "\n## ")?.lowerBound ?? rest.endIndex)]
  }

  /// Commands and what they print, from the lines that are set in by four.
  private func commands() throws -> [(arguments: [String], output: String)] {
    var result: [(arguments: [String], output: String)] = []
    var isTable = false
    for line in try section().split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("```") { isTable.toggle() }
      if isTable { continue }
      if line.hasPrefix("    $ bertconv ") {
        result.append((line.dropFirst(15).split(separator: " ").map(String.init), ""))
      } else if !result.isEmpty, line.hasPrefix("    ") || line.isEmpty {
        result[result.count - 1].output += line.dropFirst(4) + "\n"
      }
    }
    return result
  }

  /// Words, each error of the arithmetic made equal: its last digits are the processor's.
  private func words(_ text: String) -> [String] {
    text.split { $0 == " " || $0 == "\n" }.map { $0.wholeMatch(of: /\d\.\d\de-\d\d/) == nil ? String($0) : "ERROR" }
  }

  @Test func whatTheREADMEShowsIsWhatHappens() throws {
    let folder = TemporaryFolder()
    _ = try folder.copy(fixture("../../docs/examples/in-house.yaml"))
    let source = TemporaryFolder()
    for name in try FileSystem.names(inFolder: fixture("examples/in-house")) {
      _ = try source.copy(fixture("examples/in-house/\(name)"))
    }
    let commands = try commands()
    #expect(commands.count == 6)
    for (index, command) in commands.enumerated() {
      let arguments = command.arguments.map {
        $0.hasPrefix("in-house/") ? source.file(String($0.dropFirst("in-house/".count))) : $0
      }
      let result = try Program.run(arguments, in: folder.path)
      #expect(result.status == (index == 0 ? 2 : 0), "\(result.both)")
      let printed = (result.errors + result.output).split(separator: source.path, omittingEmptySubsequences: false)
      #expect(words(printed.joined(separator: "in-house")) == words(command.output), "\(command.arguments)")
    }
  }

  /// The lines of the table that the README shows are lines of the file.
  @Test func theExcerptIsOfTheFile() throws {
    let section = try section()
    let start = try #require(section.firstRange(of: "```yaml\n"))
    let excerpt = section[start.upperBound...].prefix { $0 != "`" }
    let file = Set(try FileSystem.text(fixture("../../docs/examples/in-house.yaml")).split(separator: "\n"))
    let lines = excerpt.split(separator: "\n").filter { !$0.hasSuffix("# …") }
    #expect(lines.count > 15)
    for line in lines { #expect(file.contains(line), "\(line)") }
  }
}
