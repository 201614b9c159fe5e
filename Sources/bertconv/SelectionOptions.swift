import ArgumentParser
import Inspection
import TensorIO

/// Which tensors of a checkpoint are shown, and in what order.
struct SelectionOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Show the tensors whose name (or full name) matches, e.g. '*layer_1*kernel'; repeat to match any.",
      valueName: "glob"))
  var filter: [String] = []
  @Option(help: ArgumentHelp("Show the tensors of this dtype, e.g. F32; repeat to match any.", valueName: "dtype"))
  var dtype: [ElementType] = []
  @Option(
    help: ArgumentHelp(
      "Show the tensors of this shape, e.g. 768,3072, '*,768' or '*' for all vectors; [] for scalars.",
      valueName: "shape"
    ))
  var shape: [ShapePattern] = []
  @Option(
    help: "Order: name, size (largest first, repeated layers together) or offset (default: the checkpoint's own order)."
  )
  var sort: TensorSelection.Order?

  var selection: TensorSelection {
    var selection = TensorSelection()
    selection.globs = filter
    selection.types = dtype
    selection.shapes = shape
    selection.order = sort
    return selection
  }
}

extension TensorSelection.Order: ExpressibleByArgument {
  // The library would look for these words at run time, at every start.
  public static var allValueStrings: [String] { allCases.map(\.rawValue) }
  public var defaultValueDescription: String { rawValue }
}

extension ShapePattern: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

extension ElementType: ExpressibleByArgument {
  public init?(argument: String) { self.init(rawValue: argument.uppercased()) }
}
