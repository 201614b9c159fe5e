import CheckpointReaders
import ModelFamilies
import TensorIO
import WeightMapping

/// The settings of the model that a graph of TensorFlow computes: its layers, its number of heads, the epsilon of its layer
/// normalization and the function between its two matrices, which are constants in it and nowhere else.
///
/// They are found by how values flow and never by names, so that any program that computes attention is read alike:
///
///     layers       the Softmax of attention, along the longest way
///     heads        x → Reshape [batch, sequence, heads, size] → Transpose [0, 2, 1, 3], or → Einsum
///                  kernel → Reshape [width, heads, size] → Einsum
///     epsilon      Mean → Add epsilon → Rsqrt or Sqrt, or the attribute of a fused normalization
///     activation   Erf of x/√2; Tanh of a polynomial with 0.044715; Sigmoid times its argument; Relu
///
/// Where two patterns disagree, nothing is taken. A body without attention (an optimizer's function, an initializer's) shows
/// nothing of the model.
struct GraphSettings {
  /// By the width that the heads make together; `nil` where several numbers make it.
  private var heads: [Int: Int?] = [:]
  /// Layers of attention, of each body that has some.
  private var depths: Set<Int> = []
  private var epsilons: Set<Double> = []
  /// The activations that each body with attention shows; `nil` for one that is not certain.
  private var activations: Set<String?> = []

  init(_ graph: TensorFlowGraph) {
    for body in graph.bodies {
      let flow = GraphFlow(body)
      for (heads, size) in flow.headShapes {
        let (width, overflow) = heads.multipliedReportingOverflow(by: size)
        guard !overflow else { continue }
        if let known = self.heads[width], known != heads {
          self.heads[width] = .some(nil)
        } else {
          self.heads[width] = heads
        }
      }
      let layers = flow.attentionDepth
      guard layers > 0 else { continue }
      depths.insert(layers)
      epsilons.formUnion(flow.epsilons)
      activations.insert(flow.activation(layers: layers))
    }
  }

  func observed(origin: String) -> [ObservedSetting] {
    var result: [ObservedSetting] = []
    for (width, heads) in heads.sorted(by: { $0.key < $1.key }) {
      guard let heads else { continue }
      result.append(ObservedSetting(.headCount, .int(heads), size: width, origin: origin))
    }
    if depths.count == 1, let layers = depths.first {
      result.append(ObservedSetting(.layerCount, .int(layers), origin: origin))
    }
    if epsilons.count == 1, let epsilon = epsilons.first {
      result.append(ObservedSetting(.layerNormEpsilon, .double(epsilon), origin: origin))
    }
    if activations.count == 1, let word = activations.first, let word {
      result.append(ObservedSetting(.activation, .string(word), origin: origin))
    }
    return result
  }
}

extension OpenedCheckpoint {
  /// What the checkpoint shows of the model's settings besides its config and its tensors.
  public var observedSettings: [ObservedSetting] {
    guard let graph else { return [] }
    return GraphSettings(graph).observed(origin: "the graph in \(FileSystem.baseName(graph.path))")
  }
}
