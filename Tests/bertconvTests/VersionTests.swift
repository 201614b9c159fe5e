import Testing

@testable import Encoder

@Suite("The version")
struct VersionTests {
  @Test func itNamesThePartsOfTheProgram() throws {
    let result = try Program.run("--version")
    #expect(result.status == 0 && result.errors.isEmpty, "\(result.errors)")
    let lines = result.output.split(separator: "\n")
    let patterns = [
      #"bertconv \d+\.\d+\.\d+"#, #"compiler   Swift \d.*, Clang \d+\.\d+\.\d+.*"#,
      #"build      (debug|release), \w+-\w+-\w+(-\w+)?"#, #"writes     native files of profile 1"#,
      #"libraries  zlib \d[\w.]+, protobuf-c \d[\w.]+, snappy, libyaml \d[\w.]+"#,
      #"math       oneDNN (\d[\w.]+|is not there), OpenBLAS .+"#,
      #"computes   with (\w+ )?(own kernels|oneDNN \d[\w.]+|OpenBLAS \d[\w.]+), \w+(; .+)?"#,
    ]
    #expect(lines.count == patterns.count, "\(result.output)")
    for (line, pattern) in zip(lines, patterns) {
      #expect(try line.wholeMatch(of: Regex(pattern)) != nil, "\(line)")
    }
    #expect(try Program.run("--version").output == result.output)
  }

  @Test func itNamesTheLibrary() throws {
    func line(_ level: String) throws -> String? {
      try Program.run(["--version"], prefix: "BERTCONV_MAX_ISA=\(level)").output.split(separator: "\n").last.map(
        String.init)
    }
    let plain = try #require(try line("plain"))
    #expect(plain.hasPrefix("computes   with f32 OpenBLAS ") && plain.contains("; bf16 own kernels, plain; int8 own"))
    guard ProcessorLevel.ofProcessor >= .avx2 else { try Test.cancel("the processor has no AVX2") }
    #expect(try line("avx2") == "computes   with own kernels, avx2")
  }
}
