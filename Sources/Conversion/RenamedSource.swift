import CheckpointReaders
import TensorIO

/// A checkpoint whose tensors have other names, as the user requested.
struct RenamedSource: GraphCarrier {
  let tensors: [TensorInfo]
  /// A sentence for each renaming.
  let notes: [String]
  private let base: any TensorSource

  /// - Throws: `FormatError` of kind `input` for a part that no name has, and for two tensors that would have one name
  init(_ base: any TensorSource, _ renamings: [Renaming], file: String) throws(FormatError) {
    var tensors = base.tensors
    var notes: [String] = []
    for renaming in renamings {
      var count = 0
      for index in tensors.indices {
        let name = renaming.applied(to: tensors[index].name)
        let fullName = tensors[index].fullName.flatMap(renaming.applied)
        if name != nil || fullName != nil { count += 1 }
        if let name { tensors[index].name = name }
        if let fullName { tensors[index].fullName = fullName }
      }
      guard count > 0 else {
        let part = renaming.old.joined(separator: ".")
        let components = Set(tensors.flatMap { $0.name.split { $0 == "." || $0 == "/" }.map(String.init) }).sorted()
        throw FormatError(
          .input, "no tensor's name has the part that is to be renamed", file: file, found: part,
          expected: "whole components of a name, as they are between dots or slashes",
          advice: nearestName(to: part, among: components).map { .didYouMean($0) })
      }
      notes.append(
        "renamed on request: \(renaming.text), in the names of \(grouped(count)) tensor\(count == 1 ? "" : "s")")
    }
    var seen: Set<String> = []
    for tensor in tensors where !seen.insert(tensor.name).inserted {
      throw FormatError(
        .input, "the renaming gives two tensors one name", file: file, tensor: tensor.name,
        advice: "Rename a longer part, or another one.")
    }
    guard tensors.allSatisfy({ !$0.name.isEmpty }) else {
      throw FormatError(.input, "the renaming leaves nothing of a tensor's name", file: file)
    }
    self.base = base
    self.tensors = tensors
    self.notes = notes
  }

  var format: FormatName { base.format }
  var files: [SourceFile] { base.files }
  var warnings: [String] { base.warnings }
  var imports: [ImportedGlobal] { base.imports }
  var code: [ContainedCode] { base.code }
  var graph: TensorFlowGraph? { (base as? any GraphCarrier)?.graph }
  var metadata: [(key: String, value: String)] { base.metadata }
  var config: JSON? { base.config }

  func withBytes<R>(ofTensorAt index: Int, _ body: (RawSpan) throws -> R) throws -> R {
    try base.withBytes(ofTensorAt: index, body)
  }

  func streamBytes(ofTensorAt index: Int, _ body: (RawSpan) throws -> Void) throws {
    try base.streamBytes(ofTensorAt: index, body)
  }

  func strings(ofTensorAt index: Int) throws -> [[UInt8]] { try base.strings(ofTensorAt: index) }
}
