import Testing

@Suite("The version")
struct VersionTests {
  @Test func itSaysWhatTheProgramIsMadeOf() throws {
    let result = try Program.run("--version")
    #expect(result.status == 0 && result.errors.isEmpty, "\(result.errors)")
    let lines = result.output.split(separator: "\n")
    let patterns = [
      #"bertconv \d+\.\d+\.\d+"#, #"compiler   Swift \d.*, Clang \d+\.\d+\.\d+.*"#,
      #"build      (debug|release), \w+-\w+-\w+(-\w+)?"#, #"writes     native files of profile 1"#,
      #"libraries  zlib \d[\w.]+, protobuf-c \d[\w.]+, snappy, libyaml \d[\w.]+"#,
      #"math       oneDNN (\d[\w.]+|is not there), OpenBLAS .+"#,
    ]
    #expect(lines.count == patterns.count, "\(result.output)")
    for (line, pattern) in zip(lines, patterns) {
      #expect(try line.wholeMatch(of: Regex(pattern)) != nil, "\(line)")
    }
    #expect(try Program.run("--version").output == result.output)
  }
}
