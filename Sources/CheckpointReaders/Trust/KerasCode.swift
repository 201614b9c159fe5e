import TensorIO

/// The code in a config of Keras, which Keras runs or imports when it rebuilds the model:
///
///     Lambda           {"class_name": "Lambda", "config": {"function": ["4wEAAA…", null, null], …}}: marshalled bytecode
///     __lambda__       {"class_name": "__lambda__", "config": {"value": "4wEAAA…"}}: the same of Keras 3
///     a function       {"class_name": "function", "module": "package.module", "config": "name"}: imported
///     a user's class   {"class_name": "Custom>MyLayer", …}, or {"module": "package.module", "class_name": …}: imported
///     an operator      {"class_name": "TensorFlowOpLayer", "config": {"node_def": …}}, "TFOpLambda": run by TensorFlow
///
/// Classes of Keras and of public programs are on a list (``KerasNames``); everything else is named.
enum KerasCode {
  /// `texts` are configs, each a JSON value; one that is not JSON is not a config that Keras could read.
  static func code(inConfigs texts: [String]) -> [ContainedCode] {
    var list = UniqueList<ContainedCode>()
    for text in texts {
      guard let json = try? JSON.parse(text) else { continue }
      visit(json, layer: nil) { item in
        // Harmless names cannot push a dangerous one out of the list.
        if list.items.count < (item.verdict == .dangerous ? 2 * maxItems : maxItems) { list.add([item]) }
      }
    }
    return list.items
  }

  /// A config could name any number.
  private static let maxItems = 1000

  private static func visit(_ json: JSON, layer: String?, _ report: (ContainedCode) -> Void) {
    // JSON is not nested deeper than its parser allows.
    if let elements = json.elements {
      for element in elements { visit(element, layer: layer, report) }
    } else if let members = json.members {
      let config = json["config"]
      let name = config?["name"]?.stringValue ?? json["name"]?.stringValue ?? layer
      if let type = json["class_name"]?.stringValue, let item = judge(type, json, config, layer: name) {
        report(item)
        // What is inside belongs to it.
        if item.name == "Lambda" { return }
      }
      for member in members { visit(member.value, layer: name, report) }
    }
  }

  private static func judge(_ type: String, _ json: JSON, _ config: JSON?, layer: String?) -> ContainedCode? {
    let detail = layer.map { "in '\($0)'" }
    let plain = type.split(separator: ">").last.map(String.init) ?? type
    switch plain {
    case "Lambda", "__lambda__":
      return ContainedCode(
        .kerasConfig, name: plain, verdict: .dangerous,
        detail: layer.map { "the layer '\($0)' carries Python code" } ?? "it carries Python code")
    case "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer":
      return ContainedCode(.kerasConfig, name: plain, verdict: .dangerous, detail: detail)
    case "function", "builtin_function_or_method", "class": return judgeFunction(json, config, detail)
    case "TFOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty", "SlicingOpLambda":
      return judgeOperator(plain, config, detail)
    case "TensorFlowOpLayer": return judgeNode(config, detail)
    default: return judgeClass(type, plain, json, detail)
    }
  }

  /// A class that is imported from a module, or one that the program has registered.
  private static func judgeClass(_ type: String, _ plain: String, _ json: JSON, _ detail: String?) -> ContainedCode? {
    // What names no config and no module is a setting of that name, not an object.
    guard json["config"] != nil || json["module"] != nil else { return nil }
    if let module = json["module"]?.stringValue, module != "builtins", !module.isEmpty {
      if isHarmless(module: module) { return nil }
      return imported("\(module).\(plain)", detail)
    }
    if KerasNames.ofKeras.contains(plain) || KerasNames.values.contains(plain) || KerasNames.ofPrograms.contains(plain)
    {
      return nil
    }
    let registered = json["registered_name"]?.stringValue ?? type
    if let package = registered.split(separator: ">").first, registered.contains(">"),
      packages.contains(String(package))
    {
      return nil
    }
    return ContainedCode(.kerasConfig, name: plain, verdict: .unknown, detail: "a class of the user's")
  }

  private static func judgeFunction(_ json: JSON, _ config: JSON?, _ detail: String?) -> ContainedCode? {
    let module = json["module"]?.stringValue ?? ""
    let name = config?.stringValue ?? config?["name"]?.stringValue ?? "a function"
    if !module.isEmpty, module != "builtins" {
      return isHarmless(module: module) ? nil : imported("\(module).\(name)", detail)
    }
    if let package = json["registered_name"]?.stringValue?.split(separator: ">").first,
      packages.contains(String(package))
    {
      return nil
    }
    let verdict = PickleImports.verdict("builtins.\(name)")
    // Keras writes 'builtins' for a function that the user has registered.
    guard verdict == .dangerous, pythonFunctions.contains(name) else {
      return ContainedCode(.kerasConfig, name: name, verdict: .unknown, detail: "a function of the user's")
    }
    return ContainedCode(.kerasConfig, name: "builtins.\(name)", verdict: .dangerous, detail: detail)
  }

  private static let pythonFunctions: Set<String> = [
    "eval", "exec", "compile", "open", "__import__", "input", "getattr", "setattr", "delattr", "breakpoint", "globals",
    "locals", "vars", "execfile", "exit", "quit", "help", "memoryview", "print",
  ]

  private static func imported(_ name: String, _ detail: String?) -> ContainedCode {
    ContainedCode(
      .kerasConfig, name: name, verdict: PickleImports.verdict(name) == .dangerous ? .dangerous : .unknown,
      detail: detail)
  }

  /// Packages that a config may name: their classes and functions compute.
  private static let packages: Set<String> = ["keras", "tf_keras", "keras_hub", "keras_nlp", "keras_cv", "Keras"]

  private static func isHarmless(module: String) -> Bool {
    let parts = module.split(separator: ".").map(String.init)
    guard let package = parts.first else { return false }
    if package == "tensorflow" || package == "tensorflow_core" {
      return parts.contains("keras") && !parts.contains("utils") && !parts.contains("saving")
    }
    // Functions of these load files and run code.
    let harmful: Set<String> = ["utils", "saving", "saving_lib", "export", "callbacks"]
    return packages.contains(package) && (harmful.isDisjoint(with: parts) || package.hasPrefix("keras_"))
  }

  // MARK: Operators of TensorFlow

  /// What `tf.` is followed by in functions that only compute.
  private static let computing = HarmlessNames.words(
    """
    math nn linalg strings random sparse ragged bitwise signal image keras __operators__ convert_to_tensor cast reshape
    transpose expand_dims squeeze concat stack unstack tile gather gather_nd ones_like zeros_like shape shape_n range
    where broadcast_to clip_by_value fill one_hot ones zeros identity einsum matmul split slice strided_slice reverse pad
    boolean_mask sequence_mask reduce_sum reduce_mean reduce_max reduce_min abs add subtract multiply divide pow sqrt
    square exp equal not_equal less less_equal greater greater_equal logical_and logical_or logical_not maximum minimum
    argmax argmin cumsum tensordot norm rank size stop_gradient scatter_nd tensor_scatter_nd_update unique cond roll
    repeat eye meshgrid searchsorted tanh sigmoid sign round floor ceil
    """)

  private static func judgeOperator(_ type: String, _ config: JSON?, _ detail: String?) -> ContainedCode? {
    guard type == "TFOpLambda" || type == "ClassMethod" else { return nil }
    guard let function = (config?["function"] ?? config?["cls_symbol"])?.stringValue else { return nil }
    var parts = function.split(separator: ".").map(String.init)
    while let first = parts.first, ["compat", "v1", "v2", "tf"].contains(first) { parts.removeFirst() }
    if let first = parts.first, computing.contains(first) { return nil }
    let reaching: Set<String> = [
      "io", "raw_ops", "py_function", "numpy_function", "py_func", "saved_model", "load_library",
    ]
    return ContainedCode(
      .kerasConfig, name: "tf.\(function)",
      verdict: parts.contains(where: reaching.contains) ? .dangerous : .unknown, detail: detail)
  }

  private static func judgeNode(_ config: JSON?, _ detail: String?) -> ContainedCode? {
    let node = config?["node_def"].flatMap { value in value.stringValue.flatMap { try? JSON.parse($0) } ?? value }
    guard let operation = node?["op"]?.stringValue else {
      return ContainedCode(.kerasConfig, name: "TensorFlowOpLayer", verdict: .unknown, detail: detail)
    }
    guard !GraphOperators.harmless.contains(operation) else { return nil }
    return ContainedCode(
      .kerasConfig, name: operation, verdict: TensorFlowGraph.effect(of: operation) == nil ? .unknown : .dangerous,
      detail: TensorFlowGraph.effect(of: operation) ?? detail)
  }
}
