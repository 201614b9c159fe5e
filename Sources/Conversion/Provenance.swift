import CheckpointReaders
import TensorIO
import WeightMapping

/// `bertconv.source` of a native file: where its tensors come from, without a clock, a host or a folder.
enum Provenance {
  /// With the checksums of the source's files, which are read for it.
  static func make(_ model: SourceModel, plan: MappingPlan) throws -> JSON {
    try make(model, plan: plan) { try CRC32C.checksum(ofFile: $0) }
  }

  /// The same, as long, with zeros for the checksums.
  static func placeholder(_ model: SourceModel, plan: MappingPlan) -> JSON {
    make(model, plan: plan) { _ in 0 }
  }

  private static func make(
    _ model: SourceModel, plan: MappingPlan, checksum: (String) throws -> UInt32
  ) rethrows -> JSON {
    let checkpoint = model.checkpoint
    let files = try checkpoint.source.files.map { file in
      JSON.object([
        "name": .string(FileSystem.baseName(file.path)), "size": .int(file.size),
        "crc32c": .string(hexadecimal(try checksum(file.path), digits: 8)),
      ])
    }
    var json = JSON.object([
      "tool": .string(ConversionTool.name), "format": .string(checkpoint.source.format.rawValue),
      "family": .string(plan.family), "dialect": .string(plan.dialect), "files": .array(files),
      "dropped": plan.report.json()["dropped"] ?? .array([]), "notes": .strings(plan.notes.map(\.text)),
    ])
    if !plan.assumed.isEmpty { json.set("assumed", .object(plan.assumed.map { JSON.Member($0.key, $0.value) })) }
    if let options = model.options.json { json.set("options", options) }
    return json
  }
}
