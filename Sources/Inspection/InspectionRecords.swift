import CheckpointFormats
import TensorIO
import WeightMapping

/// What is known of one tensor of a checkpoint.
public struct TensorRecord: Sendable {
  public let info: TensorInfo
  /// `nil` where no table matches the checkpoint.
  public let part: ModelOutline.Part?
  /// The file that contains its data, and the offset there; `nil` where the data is not contiguous.
  public let file: String?
  public let offset: UInt64?
  /// `nil` where the values were not read, and for types without numbers.
  public let reading: TensorReading?

  /// Named values, as `inspect --json` prints them and a page carries them.
  public var json: JSON {
    var json = JSON.object([
      "name": .string(info.name), "dtype": .string(info.elementType.rawValue), "shape": .ints(info.shape),
      "bytes": .int(info.byteCount),
    ])
    if let full = info.fullName { json.set("full_name", .string(full)) }
    if let part { json.set("part", .string(part.rawValue)) }
    if let file { json.set("file", .string(FileSystem.baseName(file))) }
    if let offset { json.set("offset", .int(offset)) }
    return json
  }
}

extension CheckpointInspection {
  /// The record of a tensor by its index, with what one reading of it showed.
  public func record(ofTensorAt index: Int, reading: TensorReading? = nil) -> TensorRecord {
    let source = checkpoint.source
    let info = source.tensors[index]
    return TensorRecord(
      info: info, part: outline.parts?[index], file: info.location.map { source.files[$0.file].path },
      offset: info.location?.offset, reading: reading)
  }

  /// Named values of the whole checkpoint, as `inspect --json` prints them.
  public var json: JSON {
    let source = checkpoint.source
    let recognition = outline.recognition
    func text(_ value: String?) -> JSON { value.map { .string($0) } ?? .null }
    let ties = outline.ties.map { tie in
      JSON.object(["name": .string(tie.name), "to": .string(tie.base), "kind": .string(tie.kind.rawValue)])
    }
    var json = JSON.object([
      "format": .string(source.format.rawValue), "family": text(recognition.family),
      "dialect": text(recognition.dialect), "description": text(recognition.description),
      "parameters": .int(total.values), "bytes": .int(total.bytes),
    ])
    json.set("dtypes", .object(types.map { .init($0.type.rawValue, $0.total.json) }))
    json.set("parts", outline.parts == nil ? .null : .object(parts.map { .init($0.part.rawValue, $0.total.json) }))
    json.set("files", .array(source.files.map { .object(["path": .string($0.path), "size": .int($0.size)]) }))
    json.set("config", text(checkpoint.configPath))
    json.set("model_config", outline.config ?? .null)
    json.set("conflicts", .strings(outline.report.conflicts.map(\.text)))
    json.set("notes", .strings(outline.notes.map(\.text)))
    json.set("vocabulary", text(checkpoint.vocabularyPath))
    json.set("vocabulary_tokens", (vocabulary?.tokenCount).map { .int($0) } ?? .null)
    json.set("casing", text(vocabulary?.contents?.casing?.rawValue))
    json.set("tokenizer", tokenizer?.json ?? .null)
    json.set("tied", .array(ties))
    // The tokenizer is megabytes of JSON in JSON, and described above.
    let metadata = source.metadata.filter { $0.key != NativeKey.tokenizer }
    json.set("metadata", .object(metadata.map { .init($0.key, .string($0.value)) }))
    json.set("warnings", .strings(warnings.map(\.text)))
    json.set("imports", .array(source.imports.map(\.json)))
    json.set("code", .array(source.code.map(\.json)))
    return json
  }
}

extension ImportedGlobal {
  package var json: JSON { .object(["name": .string(name), "verdict": .string(verdict.rawValue)]) }
}

extension ContainedCode {
  package var json: JSON {
    .object([
      "kind": .string(kind.rawValue), "name": .string(name), "verdict": .string(verdict.rawValue),
      "detail": detail.map { .string($0) } ?? .null,
    ])
  }
}
