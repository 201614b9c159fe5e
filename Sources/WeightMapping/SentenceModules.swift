import CheckpointFormats
import ModelFamilies
import TensorIO

/// The modules of sentence-transformers that follow a model, whatever its family: they keep their names, and are checked
/// against the config.
struct SentenceModules {
  /// Indices of the modules' tensors among the source's, and of all others.
  let own: [Int]
  let others: [Int]
  fileprivate let modules: [SentenceModule]?
  fileprivate let tensors: [TensorInfo]

  init(_ tensors: [TensorInfo], config: JSON?) {
    self.tensors = tensors
    modules = SentenceModule.all(inConfig: config)
    own = tensors.indices.filter { tensors[$0].name.hasPrefix(SentenceModule.tensorPrefix) }
    others = tensors.indices.filter { !tensors[$0].name.hasPrefix(SentenceModule.tensorPrefix) }
  }

  /// Nearly every source has none.
  var areAbsent: Bool { own.isEmpty && modules == nil }

  /// The tensors of the model alone, and their indices among the source's.
  var modelTensors: [TensorInfo] { areAbsent ? tensors : others.map { tensors[$0] } }
  var modelIndices: [Int] { areAbsent ? Array(tensors.indices) : others }

  /// The targets that the modules become, in their order, after a model of that config. The report gets every tensor of
  /// the modules and every reason against them.
  func targets(after config: JSON, allowed: [Glob], report: inout MappingReport) -> [MappingPlan.Target] {
    var builder = SentenceModuleBuilder(
      tensors: tensors, rest: Dictionary(own.map { (tensors[$0].name, $0) }) { first, _ in first },
      width: config.value(of: .hiddenSize)?.intValue, report: report)
    for (index, module) in (modules ?? []).enumerated() { builder.add(module, at: index) }
    builder.reportRest(allowed)
    report = builder.report
    return builder.targets
  }
}

/// Builds the targets of a model's modules.
private struct SentenceModuleBuilder {
  let tensors: [TensorInfo]
  /// The tensors that no module has taken, by name.
  var rest: [String: Int]
  /// The size of the vector that the next module is given, where it is known.
  var width: Int?
  var report: MappingReport
  var targets: [MappingPlan.Target] = []

  mutating func add(_ module: SentenceModule, at index: Int) {
    switch module {
    case .pooling(let modes):
      if index > 0 { conflict("the modules pool at position \(index + 1), not right after the transformer") }
      width = width.map { $0.multipliedReportingOverflow(by: modes.count).partialValue }
      return
    case .dense(let name, _, let hasBias):
      let output = take(SentenceModule.tensorName(name, "linear.weight"), [nil, width])?[0]
      if hasBias { _ = take(SentenceModule.tensorName(name, "linear.bias"), [output]) }
      width = output
    case .layerNorm(let name):
      for tensor in ["norm.weight", "norm.bias"] { _ = take(SentenceModule.tensorName(name, tensor), [width]) }
    case .normalize: break
    case .unsupported(let what):
      conflict(
        "modules.json has a module that is not converted: \(what); give the transformer's own file to convert it alone")
    }
    if index == 0 {
      conflict("the first module after the transformer does not pool its tokens: \(module.description)")
    }
  }

  private mutating func conflict(_ text: String) { report.conflicts.append(MappingConflict(.sentenceModules, text)) }

  /// Makes a target of the tensor of that name, under the same name; `nil` in a shape is any size.
  private mutating func take(_ name: String, _ shape: [Int?]) -> [Int]? {
    guard let index = rest.removeValue(forKey: name) else {
      report.missing.append(.init(name: name, target: name))
      return nil
    }
    let info = tensors[index]
    let fits = info.shape.count == shape.count && zip(info.shape, shape).allSatisfy { $1 == nil || $0 == $1 }
    guard fits, info.elementType.isFloatingPoint,
      let target = TensorInfo(name: name, elementType: info.elementType, shape: info.shape)
    else {
      let wanted = shape.map { $0.map(String.init) ?? "any" }.joined(separator: ", ")
      report.misshapen.append(
        .init(
          name: name, found: "\(info.elementType.rawValue) \(shapeText(info.shape))", expected: "floats [\(wanted)]"))
      return nil
    }
    targets.append(.init(info: target, operation: .rename, sources: [index]))
    report.mapped.append(.init(name: name, targets: [name], operation: RuleOperation.rename.name))
    return info.shape
  }

  mutating func reportRest(_ allowed: [Glob]) {
    for (name, _) in rest.sorted(by: { $0.value < $1.value }) where !report.drop(name, allowedBy: allowed) {
      report.unexpected.append(.init(name: name, nearest: nil, hint: "the config names no module that has it"))
    }
  }
}
