import ModelFamilies
import TensorIO

/// What explains all or most of the problems of a source: the model was stored, or changed, in a way that is not converted.
enum MismatchCause: Equatable {
  /// Empty tensors represent weights that are stored elsewhere, as DeepSpeed's ZeRO stage 3 leaves them.
  case placeholders(count: Int, of: Int)
  /// The weights are rounded to fewer bits by this method.
  case quantized(method: String)
  /// Layers lack some of their heads; `origin` shows it.
  case prunedHeads(origin: String)
  /// Feed-forward networks lack some of their inner values; `origin` shows it.
  case prunedFeedForward(origin: String)
  /// torch computes weights from other tensors; how, and the functions that make weights of them again.
  case computedWeights(how: String, undoneBy: String)
  /// Positions are relative, in a way that the family does not compute; the key of the config, and its file.
  case relativePositions(key: String, config: String)
  /// One of this many shards of a model whose matrices are split.
  case tensorParallelShard(of: Int)
}

extension MismatchCause {
  func error(_ file: String) -> FormatError {
    switch self {
    case .placeholders(let count, let total):
      FormatError(
        .unsupported,
        "\(grouped(count)) of \(grouped(total)) tensors are empty placeholders, as DeepSpeed's ZeRO stage 3 leaves them: the "
          + "weights are in the files of the processes", file: file,
        advice:
          "Join them first: zero_to_fp32.py, which DeepSpeed puts into the checkpoint's folder, writes the whole model."
      )
    case .quantized(let method):
      FormatError(
        .unsupported,
        "the weights are quantized by \(printable(method)): rounded to fewer bits, in a form that is not read",
        file: file,
        advice: "Give the model that was quantized, or save this one dequantized with the library that made it.")
    case .prunedHeads(let origin):
      FormatError(
        .unsupported, "attention heads were pruned (\(printable(origin))): such a model is not converted", file: file,
        advice: "Give the model as it was before pruning.")
    case .prunedFeedForward(let origin):
      FormatError(
        .unsupported, "the feed-forward networks were pruned (\(origin)): such a model is not converted", file: file,
        advice: "Give the model as it was before pruning.")
    case .computedWeights(let how, let function):
      FormatError(
        .unsupported, "torch computes weights of this model from other tensors (\(how))", file: file,
        advice: .sentence("Call \(function) for each of these modules in the program that made it, and save it again."))
    case .relativePositions(let key, let config):
      FormatError(
        .unsupported,
        "\(printable(config)) sets relative positions (\(printable(key))), as NEZHA and some others have them, which are not converted",
        file: file)
    case .tensorParallelShard(let count):
      FormatError(
        .unsupported, "this is one of \(count) shards of a model that was split for tensor parallelism", file: file,
        advice: "Join the shards first, with the program that wrote them.")
    }
  }
}

/// The cause of a source's problems, where one is plain.
func mismatchCause(of draft: PlanDraft, _ report: MappingReport, _ config: SourceConfig) -> MismatchCause? {
  let tensors = draft.assignments.tensors
  let empty = tensors.count { $0.shape.contains(0) }
  if empty * 2 > tensors.count { return .placeholders(count: empty, of: tensors.count) }
  if let method = quantization(tensors, report, config) { return .quantized(method: method) }
  if let cause = computedWeights(report) { return cause }
  if let key = relativePositions(config), !(report.missing.isEmpty && report.unexpected.isEmpty) {
    return .relativePositions(key: key, config: config.name)
  }
  guard !report.misshapen.isEmpty || !report.conflicts.isEmpty else { return nil }
  return headProblem(draft, config) ?? feedForwardProblem(draft)
}

/// How torch computes weights that are missing, by the endings that the tensors have which it computes them from.
private func computedWeights(_ report: MappingReport) -> MismatchCause? {
  let forms: [(endings: [String], how: String, function: String)] = [
    (
      [".weight_orig", ".weight_mask"], "weight_orig and weight_mask of pruning",
      "torch.nn.utils.prune.remove(module, 'weight')"
    ),
    ([".weight_g", ".weight_v"], "weight_g and weight_v of weight norm", "torch.nn.utils.remove_weight_norm(module)"),
    (
      [".weight_orig", ".weight_u"], "weight_orig and weight_u of spectral norm",
      "torch.nn.utils.remove_spectral_norm(module)"
    ),
    (
      [".parametrizations.weight.original"], "parametrizations.weight.original of a parametrization",
      "torch.nn.utils.parametrize.remove_parametrizations(module, 'weight')"
    ),
    (
      [".parametrizations.weight.original0", ".parametrizations.weight.original1"],
      "parametrizations.weight.original0 and original1, as weight norm has them",
      "torch.nn.utils.parametrize.remove_parametrizations(module, 'weight')"
    ),
  ]
  guard !report.missing.isEmpty else { return nil }
  let names = report.unexpected.map(\.name)
  let found = forms.first { form in form.endings.allSatisfy { ending in names.contains { $0.hasSuffix(ending) } } }
  return found.map { .computedWeights(how: $0.how, undoneBy: $0.function) }
}

/// Inner sizes that differ from layer to layer, each alike in both matrices of its layer.
private func feedForwardProblem(_ draft: PlanDraft) -> MismatchCause? {
  let inputs = draft.matrices(.feedForwardInput)
  let outputs = draft.matrices(.feedForwardOutput)
  let sizes = Set(inputs.map { $0.shape[0] })
  guard sizes.count > 1, inputs.count == outputs.count,
    zip(inputs, outputs).allSatisfy({ $0.layer == $1.layer && $0.shape == $1.shape.reversed() })
  else { return nil }
  let shown = sizes.sorted().prefix(4).map(String.init).joined(separator: ", ")
  return .prunedFeedForward(origin: "inner sizes of \(shown)\(sizes.count > 4 ? " and others" : "")")
}

/// The method by which weights were quantized. Its name in the config is taken where tensors are there that only a
/// quantized model has, or where weights are integers.
private func quantization(_ tensors: [TensorInfo], _ report: MappingReport, _ config: SourceConfig) -> String? {
  let endings: KeyValuePairs<String, String> = [
    ".SCB": "bitsandbytes", ".quant_map": "bitsandbytes", ".nested_absmax": "bitsandbytes", ".absmax": "bitsandbytes",
    ".qzeros": "GPTQ or AWQ", ".qweight": "GPTQ or AWQ", ".weight_packed": "compressed-tensors",
    ".weight_scale": "compressed-tensors", "._data": "quanto", ".weight_scale_inv": "an FP8 scheme",
    "._packed_params._packed_params": "torch", ".zero_point": "torch",
    // In a pickled module the weight and the bias are the items of a tuple.
    "._packed_params._packed_params.0": "torch", "._packed_params._packed_params.1": "torch",
  ]
  let names = report.unexpected.map(\.name)
  let known = endings.first { ending, _ in names.contains { $0.hasSuffix(ending) } }?.value
  let integers: Set<ElementType> = [.i8, .u8]
  let isInteger = tensors.contains { integers.contains($0.elementType) && $0.shape.count == 2 }
  guard known != nil || isInteger else { return nil }
  let method = config.json?[.quantization]?["quant_method"]?.stringValue
  if let method { return method }
  if config.json?[.quantization]?.members != nil {
    return known ?? "the method of its \(CommonConfigKey.quantization.rawValue)"
  }
  return known
}

/// The key by which a config sets relative positions.
private func relativePositions(_ config: SourceConfig) -> String? {
  if let kind = config.json?[.positionKind]?.stringValue, kind != "absolute" {
    return "\(CommonConfigKey.positionKind.rawValue) \(kind)"
  }
  if config.json?["use_relative_position"]?.boolValue == true { return "use_relative_position" }
  if let maximum = config.json?["max_relative_position"], maximum != .null { return "max_relative_position" }
  return nil
}

/// Query matrices with fewer rows than the model is wide, and output matrices of as many columns: heads were pruned, or the
/// matrices are split between processes.
private func headProblem(_ draft: PlanDraft, _ config: SourceConfig) -> MismatchCause? {
  let queries = draft.matrices(.query)
  let outputs = draft.matrices(.attentionOutput)
  guard let width = queries.first?.shape[1], queries.count == outputs.count,
    zip(queries, outputs).allSatisfy({ $0.layer == $1.layer && $0.shape == $1.shape.reversed() && $0.shape[1] == width }
    )
  else { return nil }
  let rows = Set(queries.map { $0.shape[0] })
  guard let own = rows.min(), own > 0, own < width else { return nil }
  if let pruned = config.json?[.prunedHeads]?.members, !pruned.isEmpty {
    return .prunedHeads(origin: "\(CommonConfigKey.prunedHeads.rawValue) of \(config.name)")
  }
  let found =
    "query matrices of \(rows.sorted().map(String.init).joined(separator: ", ")) rows in a model of width \(width)"
  guard rows.count == 1, width % own == 0 else { return .prunedHeads(origin: found) }
  // All layers alike: shards have the feed-forward network split as well, pruned models have it whole.
  let inner = config.json?.value(of: .intermediateSize)?.intValue ?? 4 * width
  let isSplit = draft.matrices(.feedForwardInput).allSatisfy { $0.shape[0] == inner / (width / own) }
  return isSplit ? .tensorParallelShard(of: width / own) : .prunedHeads(origin: found)
}

extension PlanDraft {
  /// The shapes of the matrices of a part in the orientation of the family, by layer.
  fileprivate func matrices(_ part: ModelPart) -> [(layer: Int, shape: [Int])] {
    let tensors = assignments.table.tensors
    return assignments.byTarget.compactMap { key, assignment -> (layer: Int, shape: [Int])? in
      guard tensors[key.tensor].role == TensorRole(part), let layer = key.layer else { return nil }
      let shape = assignments.tensors[assignment.sources[0]].shape
      guard shape.count == 2 else { return nil }
      switch assignment.operation {
      case .rename, .alias: return (layer, shape)
      case .transpose: return (layer, shape.reversed())
      default: return nil
      }
    }.sorted { $0.layer < $1.layer }
  }
}
