import TensorIO
import TestSupport
import Testing

/// The tests that docs/SECURITY.md names are there.
@Suite("The page on security")
struct SecurityPageTests {
  private let page: String
  /// The text of each Swift test, by its path below Tests.
  private let tests: [String: String]

  init() throws {
    page = try FileSystem.text(fixture("../../docs/SECURITY.md"))
    var tests: [String: String] = [:]
    let root = fixture("..")
    for target in try FileSystem.names(inFolder: root) where target.hasSuffix("Tests") {
      for name in try FileSystem.names(inFolder: "\(root)/\(target)") where name.hasSuffix(".swift") {
        tests["\(target)/\(name)"] = try FileSystem.text("\(root)/\(target)/\(name)")
      }
    }
    self.tests = tests
  }

  /// The text between backquotes.
  private var names: [Substring] {
    page.split(separator: "`", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }.map(
      \.element)
  }

  /// A suite, or a function of one.
  @Test func everySuiteAndFunctionIsThere() {
    let named = names.filter { !$0.contains("/") && $0.prefix { $0.isLetter || $0.isNumber }.hasSuffix("Tests") }
    #expect(named.count > 30)
    for name in named {
      let parts = name.split(separator: ".")
      let homes = tests.values.filter { $0.contains("struct \(parts[0]) {") }
      #expect(!homes.isEmpty, "\(name)")
      guard parts.count > 1 else { continue }
      #expect(homes.contains { $0.contains("func \(parts[1])(") }, "\(name)")
    }
  }

  @Test func everyPathIsThere() {
    let paths = names.filter { ["Tests/", "Scripts/", "Fuzz/"].contains(where: $0.hasPrefix) }
    #expect(paths.count > 5)
    for path in paths { #expect(FileSystem.kind(of: fixture("../../\(path)")) != nil, "\(path)") }
  }

  /// Each row of the promises names a test.
  @Test func everyPromiseIsTested() throws {
    let start = try #require(page.firstRange(of: "| promise |")).upperBound
    let rows = page[start...].split(separator: "\n", omittingEmptySubsequences: false).dropFirst(2).prefix {
      $0.hasPrefix("|")
    }
    #expect(rows.count == 12)
    for row in rows {
      #expect(try #require(row.split(separator: "|").last { $0 != " " }).contains("Tests"), "\(row.prefix(60))")
    }
  }
}
