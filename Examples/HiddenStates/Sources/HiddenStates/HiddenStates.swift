// The last hidden state of token ids, by the libraries of bertconv.
//
//   HiddenStates MODEL ID… [, ID…]…        a comma, alone, begins another sequence
//
// MODEL is a native file (`bertconv convert … -o MODEL`).

import Encoder
import NativeFormat
import TensorIO

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

@main
struct HiddenStates {
  static func main() {
    let arguments = CommandLine.arguments.dropFirst()
    let sequences = arguments.dropFirst().split(separator: ",").map { $0.compactMap { Int($0) } }
    guard let path = arguments.first, !sequences.isEmpty else {
      print("usage: HiddenStates MODEL ID… [, ID…]…")
      exit(64)
    }
    do {
      try show(sequences, path)
    } catch {
      print("error: \(error)")
      exit(2)
    }
  }

  static func show(_ sequences: [[Int]], _ path: String) throws {
    // The file is mapped, not read: this is fast however large it is.
    let model = try NativeModel.open(path)
    try model.verifyChecksums()
    let encoder = try Encoder(model)
    let tokens = model.vocabulary?.split(separator: "\n", omittingEmptySubsequences: false) ?? []

    // [batch, sequence, H]: sequences are padded to the longest, and masked.
    let states = try encoder.run(EncoderInput(sequences), output: "last_hidden_state")
    print("\(states.name) \(states.shape)")
    for (row, ids) in sequences.enumerated() {
      for (column, id) in ids.enumerated() {
        let token = tokens.indices.contains(id) ? printable(String(tokens[id])) : "?"
        let vector = states[row, column].prefix(4).map { fixed(Double($0), digits: 3) }
        print("\(row) \(column) \(token): \(vector.joined(separator: " ")) …")
      }
    }
  }
}
