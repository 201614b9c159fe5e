import CheckpointReaders
import TensorIO
import WeightMapping

/// `bertconv.source` of a native file: where its tensors come from, without a clock, a host or a folder.
enum Provenance {
  /// With the checksums of the source's files, which are read for it.
  static func make(_ checkpoint: OpenedCheckpoint, plan: MappingPlan) throws -> JSON {
    try make(checkpoint, plan: plan) { try CRC32C.checksum(ofFile: $0) }
  }

  /// The same, as long, with zeros for the checksums.
  static func placeholder(_ checkpoint: OpenedCheckpoint, plan: MappingPlan) -> JSON {
    make(checkpoint, plan: plan) { _ in 0 }
  }

  private static func make(
    _ checkpoint: OpenedCheckpoint, plan: MappingPlan, checksum: (String) throws -> UInt32
  ) rethrows -> JSON {
    let files = try checkpoint.source.files.map { file in
      JSON.object([
        "name": .string(FileSystem.baseName(file.path)), "size": .int(file.size),
        "crc32c": .string(hexadecimal(try checksum(file.path), digits: 8)),
      ])
    }
    return .object([
      "tool": .string(ConversionTool.name), "format": .string(checkpoint.source.format.rawValue),
      "family": .string(plan.family), "dialect": .string(plan.dialect), "files": .array(files),
      "dropped": plan.report.json()["dropped"] ?? .array([]), "notes": .strings(plan.notes.map(\.text)),
    ])
  }
}
