import ModelFamilies
import TensorIO

/// One layer of a recurrent stack: an LSTM (Hochreiter and Schmidhuber, 1997) as torch.nn.LSTM has it, of one direction.
///
/// I features go in and O come out; the rows are those of the input, forget, cell and output gate. Weight drop (Merity et
/// al., 2018) is for training only: what it drops from are these weights.
struct RecurrentLayer: Sendable {
  let input: DenseWeights  // [4 O, I]
  let hidden: DenseWeights  // [4 O, O]

  var size: Int { hidden.weight.columns }
}

extension RecurrentLayer {
  init(_ loader: inout WeightLoader, _ config: EncoderConfig, layer: Int) throws(FormatError) {
    let block = BlockIndex(layer: layer)
    let (entering, size) = (config.width(ofHidden: layer), config.width(ofHidden: layer + 1))
    input = DenseWeights(
      weight: try loader.load(.recurrent, [4 * size, entering], .inputWeight, in: block),
      bias: try loader.load(.recurrent, [4 * size], .inputBias, in: block))
    hidden = DenseWeights(
      weight: try loader.load(.recurrent, [4 * size, size], .hiddenWeight, in: block),
      bias: try loader.load(.recurrent, [4 * size], .hiddenBias, in: block))
  }

  /// What an LSTM makes of each sequence, from its first token on: the rows of `hidden_states` number `index` become those of
  /// the next. All sequences take a step together while they last.
  func run(_ pass: ForwardPass, index: Int) {
    let (group, backend) = (pass.group, pass.backend)
    let gates = pass.state.projected.matrix(group.tokens, 4 * size)
    backend.dense(pass.hidden(index), input, into: gates)  // [T, I] · [4 O, I]ᵀ
    backend.add(hidden.bias, to: gates)

    // The longest first, so that those that still have tokens are the first rows.
    let sequences = group.sequences.sorted { $0.keys.count > $1.keys.count }
    let step = Buffer(count: sequences.count * 4 * size)
    let cell = Buffer(count: sequences.count * size)
    let carried = Buffer(count: sequences.count * size)
    let result = pass.hidden(index + 1)
    for time in 0..<(sequences.first?.keys.count ?? 0) {
      let rows = sequences.prefix { $0.keys.count > time }.map { $0.start + time }
      let entering = step.matrix(rows.count, 4 * size)
      let leaving = carried.matrix(rows.count, size)
      entering.copyRows(rows, of: gates)
      if time > 0 { backend.multiply(leaving, by: hidden.weight, addingTo: entering) }  // [S, O] · [4 O, O]ᵀ
      backend.lstm(entering, cell: cell.matrix(rows.count, size), into: leaving)
      for (row, target) in rows.enumerated() {
        leaving.rows(row..<(row + 1)).copy(to: result.rows(target..<(target + 1)))
      }
    }
  }
}
