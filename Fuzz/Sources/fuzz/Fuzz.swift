import CFuzzer
import TensorIO

/// fuzz PARSER [libFuzzer's options] CORPUS…
@main struct Fuzz {
  /// Set once, before the driver starts: it calls back with nothing of ours.
  nonisolated(unsafe) private static var parser = Parser.table

  static func main() {
    guard CommandLine.arguments.count > 1, let chosen = Parser(rawValue: CommandLine.arguments[1]) else {
      print("usage: fuzz PARSER [options] [corpus]; parsers: \(Parser.allCases.map(\.rawValue).joined(separator: " "))")
      return
    }
    parser = chosen
    var arguments: [UnsafeMutablePointer<CChar>?] =
      ([CommandLine.arguments[0]] + CommandLine.arguments.dropFirst(2)).map { $0.withCString { copy($0) } } + [nil]
    var count = Int32(arguments.count - 1)
    arguments.withUnsafeMutableBufferPointer { buffer in
      var start = buffer.baseAddress
      _ = LLVMFuzzerRunDriver(&count, &start) { data, size in
        let bytes = data.map { Array(UnsafeBufferPointer(start: $0, count: size)) } ?? []
        Fuzz.parser.run(bytes)
        return 0
      }
    }
  }

  private static func copy(_ text: UnsafePointer<CChar>) -> UnsafeMutablePointer<CChar> {
    var count = 0
    while text[count] != 0 { count += 1 }
    let result = UnsafeMutablePointer<CChar>.allocate(capacity: count + 1)
    result.update(from: text, count: count + 1)
    return result
  }
}
