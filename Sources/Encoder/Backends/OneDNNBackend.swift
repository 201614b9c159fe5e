import CKernels
import COneDNN
import ModelFamilies

/// The layers by oneDNN on packed weights, in each precision; whatever is not packed, such as the heads, by OpenBLAS.
///
/// Thread safety: an encoder lends it to one run at a time, and within that to one thread, which starts the others.
final class OneDNNBackend: FusedAttentionBackend {
  // Memory safety: as Backend.swift and FusedAttentionBackend.swift say. Memory of floats may have bfloat16 in it, two in each.

  private let products: PackedProducts
  /// Query, key and value as bfloat16.
  private var words = Buffer(count: 0)
  /// One for each thread.
  private var workspaces: [Buffer] = []

  /// `nil` where oneDNN is not there.
  init?(_ precision: Precision) {
    guard let products = PackedProducts(precision) else { return nil }
    self.products = products
  }

  override var packing: Packing? { Packing(products.precision, .oneDNN) }

  override var groupsAtOnce: Int { OneDNNThreads.count }

  override func forEachGroup(_ count: Int, _ body: (Int) -> Void) { OneDNNThreads.forEach(count, body) }

  override func forRows(_ count: Int, _ body: (Range<Int>) -> Void) { OneDNNThreads.forParts(count, body) }

  // MARK: Packed weights

  override func multiply(_ x: Matrix, by w: Weight, into y: Matrix) {
    guard let packed = w.packed else { return super.multiply(x, by: w, into: y) }
    products.multiply(x, by: packed, bias: nil, activation: nil, into: y)
  }

  override func dense(_ x: Matrix, _ dense: DenseWeights, _ activation: Activation? = nil, into y: Matrix) {
    guard let packed = dense.weight.packed else { return super.dense(x, dense, activation, into: y) }
    products.multiply(x, by: packed, bias: dense.bias, activation: activation, into: y)
  }

  override func feedForward(_ x: Matrix, _ a: DenseWeights, _ activation: Activation, by b: Weight, into y: Matrix) {
    guard let first = a.weight.packed, let second = b.packed else {
      return super.feedForward(x, a, activation, by: b, into: y)
    }
    let between = scratch(min(x.rows, PackedProducts.rowsBetween), first.rows)
    products.feedForward(x, first, bias: a.bias, activation: activation, second, between: between, into: y)
  }

  override func attention(
    _ x: Matrix, _ projection: DenseWeights, _ group: PackedGroup, _ form: AttentionForm, output: Weight,
    projected: Matrix, context: Matrix, into y: Matrix
  ) {
    guard products.precision != .f32, Self.hasBF16, let w = projection.weight.packed,
      let output = output.packed
    else {
      return super.attention(
        x, projection, group, form, output: output, projected: projected, context: context, into: y)
    }
    precondition(projected.columns == w.rows && w.rows == 3 * context.columns)
    precondition(x.rows == projected.rows && x.rows == context.rows && x.rows == y.rows)
    precondition(output.columns == context.columns && output.rows == y.columns)
    words = .grown(words, to: x.rows * w.rows / 2 + 1)
    products.multiplyToWords(
      x, by: w, bias: projection.bias, through: projected, into: words.matrix(1, x.rows * w.rows / 2 + 1))
    let isNarrow = products.precision == .bf16
    precondition(context.isContiguous)
    attendWords(words, group, form, width: context.columns, into: context, narrow: isNarrow ? context.columns : nil)
    if isNarrow {
      products.multiply(words: context, by: output, into: y)
    } else {
      products.multiply(context, by: output, bias: nil, activation: nil, into: y)
    }
  }

  // MARK: Attention

  override func forEachHead(
    _ group: PackedGroup, _ form: AttentionForm, workspace: Int,
    _ body: (PackedSequence, Int, UnsafeMutablePointer<Float>) -> Void
  ) {
    // The longest first, each to the thread that has least to do.
    var bins = Array(repeating: (cost: 0, tasks: [(sequence: Int, head: Int)]()), count: OneDNNThreads.count)
    let sequences = group.sequences
    for index in sequences.indices.sorted(by: { sequences[$0].queries.count > sequences[$1].queries.count }) {
      for head in 0..<form.heads {
        let bin = bins.indices.min { bins[$0].cost < bins[$1].cost } ?? 0
        bins[bin].cost += sequences[index].queries.count * (sequences[index].keys.count + 16)
        bins[bin].tasks.append((index, head))
      }
    }
    while workspaces.count < bins.count { workspaces.append(Buffer(count: 0)) }
    for index in workspaces.indices { workspaces[index] = .grown(workspaces[index], to: workspace) }
    let spaces = workspaces
    OneDNNThreads.forParts(bins.count, grain: 1) { range in
      for index in range {
        unsafe spaces[index].withStart { space in
          for (sequence, head) in bins[index].tasks { unsafe body(sequences[sequence], head, space) }
        }
      }
    }
  }
}
