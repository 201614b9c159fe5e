import CheckpointFormats
import TensorIO

/// The modules of sentence-transformers that stand behind a model, whatever its family: they keep their names, and are
/// checked against what the config says of them.
struct SentenceModules {
  /// Indices of the modules' tensors among the source's, and of all others.
  let own: [Int]
  let others: [Int]
  private let modules: [SentenceModule]?
  private let tensors: [TensorInfo]

  init(_ tensors: [TensorInfo], config: JSON?) {
    self.tensors = tensors
    modules = SentenceModule.all(inConfig: config)
    own = tensors.indices.filter { tensors[$0].name.hasPrefix(SentenceModule.tensorPrefix) }
    others = tensors.indices.filter { !tensors[$0].name.hasPrefix(SentenceModule.tensorPrefix) }
  }

  /// Nothing to do for nearly every source.
  var areAbsent: Bool { own.isEmpty && modules == nil }

  /// The tensors of the model alone.
  var modelTensors: [TensorInfo] { areAbsent ? tensors : others.map { tensors[$0] } }

  /// The targets that the modules become, in their order, behind a model of that config. The report is told of every
  /// tensor and of what stands against it.
  func place(
    after config: JSON, allowUnexpected: [String], into report: inout MappingReport
  ) -> [MappingPlan.Target] {
    var targets: [MappingPlan.Target] = []
    var rest = Dictionary(own.map { (tensors[$0].name, $0) }, uniquingKeysWith: { first, _ in first })
    /// The size of what a module is given.
    var width = config["hidden_size"]?.intValue ?? config["dim"]?.intValue
    func take(_ name: String, _ shape: [Int?]) -> [Int]? {
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
    for (place, module) in (modules ?? []).enumerated() {
      switch module {
      case .pooling(let modes):
        if place > 0 {
          report.conflicts.append(
            MappingConflict(
              .sentenceModules, "the modules pool at place \(place + 1), not right after the transformer"))
        }
        width = width.map { $0.multipliedReportingOverflow(by: modes.count).partialValue }
      case .dense(let name, _, let hasBias):
        let output = take(SentenceModule.tensorName(name, "linear.weight"), [nil, width])?[0]
        if hasBias { _ = take(SentenceModule.tensorName(name, "linear.bias"), [output]) }
        width = output
      case .layerNorm(let name):
        for tensor in ["norm.weight", "norm.bias"] { _ = take(SentenceModule.tensorName(name, tensor), [width]) }
      case .normalize: break
      case .unsupported(let what):
        report.conflicts.append(
          MappingConflict(
            .sentenceModules,
            "modules.json has a module that is not converted: \(what); give the transformer's own file to convert it alone"
          ))
      }
      if place == 0, case .pooling = module {
      } else if place == 0 {
        report.conflicts.append(
          MappingConflict(
            .sentenceModules,
            "the first module after the transformer does not pool its tokens: \(module.description)"))
      }
    }
    let allowed = allowUnexpected.map { Glob($0) }
    for (name, _) in rest.sorted(by: { $0.value < $1.value }) where !report.drop(name, allowedBy: allowed) {
      report.unexpected.append(.init(name: name, nearest: nil, hint: "the config names no module that has it"))
    }
    return targets
  }
}
