import CheckpointFormats
import NativeFormat
import TensorIO
import TestSupport
import Testing

@testable import Encoder

#if canImport(Glibc)
  import Glibc
#endif

/// The recurrent stack against an LSTM as its definition reads, in double precision.
@Suite("The recurrent stack") struct RecurrentTests {
  private let vocabulary = 13, size = 5, hidden = 7

  private struct Model {
    let values: [String: (shape: [Int], numbers: [Float])]
    let config: JSON
    let layers: Int
  }

  private func model(layers: Int, hasBias: Bool = true, architecture: String = "SequentialRNN") -> Model {
    var random = SeededRandom(UInt64(layers + 40))
    var values: [String: (shape: [Int], numbers: [Float])] = [:]
    func add(_ name: String, _ shape: [Int]) {
      values[name] = (shape, (0..<shape.reduce(1, *)).map { _ in random.uniform() * 0.7 })
    }
    add("0.encoder.weight", [vocabulary, size])
    for layer in 0..<layers {
      let (input, output) = (layer == 0 ? size : hidden, layer == layers - 1 ? size : hidden)
      let name = "0.rnns.\(layer).module."
      add(name + "weight_ih_l0", [4 * output, input])
      add(name + "weight_hh_l0", [4 * output, output])
      add(name + "bias_ih_l0", [4 * output])
      add(name + "bias_hh_l0", [4 * output])
    }
    if hasBias { add("1.decoder.bias", [vocabulary]) }
    var config = JSON.object([
      "model_type": .string("awd-lstm"), "architectures": .strings([architecture]), "vocab_sz": .int(vocabulary),
      "emb_sz": .int(size), "n_layers": .int(layers),
    ])
    if layers > 1 { config.set("n_hid", .int(hidden)) }
    return Model(values: values, config: config, layers: layers)
  }

  private func encoder(_ model: Model, _ folder: TemporaryFolder, precision: Precision = .f32) throws -> Encoder {
    var entries: [SafetensorsHeader.Entry] = []
    var data: [UInt8] = []
    for (name, (shape, numbers)) in model.values.sorted(by: { $0.key < $1.key }) {
      let bytes = TinyModel.stored(numbers, shape, .f32).bytes
      entries.append(.init(name: name, elementType: .f32, shape: shape, range: data.count..<(data.count + bytes.count)))
      data += bytes
    }
    let header = SafetensorsHeader.encoded(entries, metadata: [], alignment: 64)
    let native = try NativeModel.open(try folder.write(header + data, "model.safetensors"))
    return try Encoder(native, config: model.config, threads: 1, precision: precision)
  }

  /// What each layer makes of one sequence.
  private func plain(_ model: Model, _ ids: [Int]) -> [[[Double]]] {
    func matrix(_ name: String) -> [Double] { model.values[name]?.numbers.map(Double.init) ?? [] }
    let table = matrix("0.encoder.weight")
    var states = [ids.map { id in Array(table[(id * size)..<((id + 1) * size)]) }]
    func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
    for layer in 0..<model.layers {
      let name = "0.rnns.\(layer).module."
      let (wi, wh) = (matrix(name + "weight_ih_l0"), matrix(name + "weight_hh_l0"))
      let (bi, bh) = (matrix(name + "bias_ih_l0"), matrix(name + "bias_hh_l0"))
      let count = bi.count / 4
      var (h, c) = (Array(repeating: 0.0, count: count), Array(repeating: 0.0, count: count))
      states.append(
        states[layer].map { x in
          let gates = bi.indices.map { row -> Double in
            let fromInput = x.indices.reduce(bi[row] + bh[row]) { $0 + wi[row * x.count + $1] * x[$1] }
            return (0..<count).reduce(fromInput) { $0 + wh[row * count + $1] * h[$1] }
          }
          for index in 0..<count {
            let (i, f) = (sigmoid(gates[index]), sigmoid(gates[count + index]))
            let (g, o) = (tanh(gates[2 * count + index]), sigmoid(gates[3 * count + index]))
            c[index] = f * c[index] + i * g
            h[index] = o * tanh(c[index])
          }
          return h
        })
    }
    return states
  }

  @Test(arguments: 1...4)
  func everyLayerIsThatOfTheDefinition(layers: Int) throws {
    let model = model(layers: layers)
    let folder = TemporaryFolder()
    let encoder = try encoder(model, folder)
    // Of three lengths, the longest in the middle, with a hole in the mask.
    let mask = [1, 1, 1, 0, 0, 0, 0] + [1, 1, 1, 1, 1, 1, 1] + [0, 1, 1, 0, 1, 1, 0]
    var random = SeededRandom(9)
    let ids = mask.map { _ in random.below(vocabulary) }
    let input = EncoderInput(batch: 3, sequence: 7, inputIDs: ids, attentionMask: mask)
    let outputs = try encoder.run(input, outputs: Set(encoder.availableOutputs))
    #expect(
      outputs.map(\.name) == (0...layers).map { "hidden_states.\($0)" } + [
        "last_hidden_state", "prediction_logits", "logits",
      ])
    let table = model.values["0.encoder.weight"]?.numbers ?? []
    let bias = model.values["1.decoder.bias"]?.numbers ?? []
    for row in 0..<3 {
      let columns = (0..<7).filter { mask[row * 7 + $0] == 1 }
      let states = plain(model, columns.map { ids[row * 7 + $0] })
      for (output, number) in zip(outputs, Array(0...layers) + [layers]) {
        let width = output.shape[2]
        #expect(width == states[number][0].count)
        for (step, column) in columns.enumerated() {
          let start = (row * 7 + column) * width
          #expect(distance(Array(output.values[start..<(start + width)]), states[number][step]) < 1e-5)
        }
        for column in 0..<7 where mask[row * 7 + column] == 0 {
          let start = (row * 7 + column) * width
          #expect(output.values[start..<(start + width)].allSatisfy { $0 == 0 })
        }
      }
      let logits = try #require(outputs.last)
      for (step, column) in columns.enumerated() {
        let last = states[layers][step]
        let expected = (0..<vocabulary).map { word in
          (0..<size).reduce(Double(bias[word])) { $0 + Double(table[word * size + $1]) * last[$1] }
        }
        let start = (row * 7 + column) * vocabulary
        #expect(distance(Array(logits.values[start..<(start + vocabulary)]), expected) < 2e-6)
      }
    }
  }

  @Test func layersAloneGoOnFromGivenStates() throws {
    let model = model(layers: 3)
    let folder = TemporaryFolder()
    let encoder = try encoder(model, folder)
    let input = EncoderInput(batch: 1, sequence: 4, inputIDs: [1, 2, 3, 4])
    let states = plain(model, [1, 2, 3, 4])
    let made = try encoder.run(layers: 1..<3, on: input, hidden: states[1].joined().map { Float($0) })
    #expect(distance(made, Array(states[3].joined())) < 1e-5)
    #expect(encoder.outputNorm(ofLayer: 1) == nil)
  }

  @Test func anEncoderAloneHasNoLogits() throws {
    let folder = TemporaryFolder()
    let encoder = try encoder(model(layers: 2, hasBias: false, architecture: "AWD_LSTM"), folder)
    #expect(encoder.availableOutputs.last == "last_hidden_state")
  }

  @Test func otherPrecisionsAreRefused() {
    let folder = TemporaryFolder()
    let error = expectError(.input) { _ = try encoder(model(layers: 2), folder, precision: .bf16) }
    #expect(error?.advice == .choosePrecision(["f32"]))
  }
}
