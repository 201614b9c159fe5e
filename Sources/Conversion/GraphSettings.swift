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
  /// Layers of attention; 0 where there is none.
  private var layers = 0
  private var epsilons: Set<Double> = []
  /// The activations that each body with attention shows; `nil` for one that is not certain.
  private var activations: Set<GraphFlow.Function?> = []

  init(_ graph: TensorFlowGraph) {
    let flows = graph.bodies.map { (function: $0.function, flow: GraphFlow($0)) }
    for (_, flow) in flows {
      for (heads, size) in flow.headShapes {
        let (width, overflow) = heads.multipliedReportingOverflow(by: size)
        guard !overflow else { continue }
        if let known = self.heads[width], known != heads {
          self.heads[width] = .some(nil)
        } else {
          self.heads[width] = heads
        }
      }
      let layers = flow.attentionDepth()
      guard layers > 0 else { continue }
      epsilons.formUnion(flow.epsilons)
      activations.insert(flow.activation(layers: layers))
    }
    if !activations.isEmpty { layers = Self.layers(of: flows) }
  }

  /// The layers of the deepest body, with the functions that it calls: the others are single layers.
  private static func layers(of flows: [(function: String?, flow: GraphFlow)]) -> Int {
    let byName = Dictionary(
      flows.compactMap { entry in entry.function.map { ($0, entry.flow) } }, uniquingKeysWith: { first, _ in first })
    var known: [String: Int] = [:]
    var open: Set<String> = []
    func depth(_ name: String) -> Int {
      if let depth = known[name] { return depth }
      // A chain of calls could be as long as a file.
      guard open.count < maxCalls, let flow = byName[name], open.insert(name).inserted else { return 0 }
      let depth = flow.attentionDepth(depth: depth)
      open.remove(name)
      known[name] = depth
      return depth
    }
    return flows.map { entry in entry.function.map(depth) ?? entry.flow.attentionDepth(depth: depth) }.max() ?? 0
  }

  private static let maxCalls = 32

  func observed(origin: String) -> [ObservedSetting] {
    var result: [ObservedSetting] = []
    for (width, heads) in heads.sorted(by: { $0.key < $1.key }) {
      guard let heads else { continue }
      result.append(ObservedSetting(.headCount, .int(heads), size: width, origin: origin))
    }
    if layers > 0 {
      result.append(ObservedSetting(.layerCount, .int(layers), origin: origin))
    }
    if epsilons.count == 1, let epsilon = epsilons.first {
      result.append(ObservedSetting(.layerNormEpsilon, .double(epsilon), origin: origin))
    }
    if activations.count == 1, let first = activations.first, let function = first,
      let word = SharedDefinitions.activation(named: function.rawValue, in: .graph)
    {
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
