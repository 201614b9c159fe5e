import CheckpointWriters
import NativeFormat
import TensorIO
import TestSupport
import Testing

@testable import Conversion

/// The config that a model runs with is found where that of a checkpoint to convert is.
struct ConfigFileTests {
  private let folder = TemporaryFolder()

  private func plainModel() throws -> NativeModel {
    let path = folder.file("model.safetensors")
    let writer = try SafetensorsWriter(path: path, overwrites: false)
    try writer.begin([])
    try writer.finish()
    return try NativeModel.open(path)
  }

  private func write(_ name: String) throws -> String {
    try folder.write(Array(#"{"name": "\#(name)"}"#.utf8), name)
  }

  @Test(arguments: ["config.json", "bert_config.json", "model_config.json", "roberta_config.json"])
  func oneNearTheFile(name: String) throws {
    let path = try write(name)
    let found = try ConfigFile(for: plainModel(), given: nil)
    #expect(found.path == path && found.json?["name"] == .string(name))
  }

  @Test func theOneGivenGoesFirst() throws {
    _ = try write("config.json")
    let given = try write("given")
    #expect(try ConfigFile(for: plainModel(), given: given).path == given)
  }

  @Test func aModelsOwnGoesBeforeOneNearIt() throws {
    _ = try write("config.json")
    let own = JSON.object([.init("name", .string("own"))])
    let path = folder.file("own.safetensors")
    let writer = try NativeWriter(path: path, overwrites: false, config: own, vocabulary: nil, source: .object([]))
    try writer.begin([])
    try writer.finish()
    let found = try ConfigFile(for: NativeModel.open(path), given: nil)
    #expect(found.path == nil && found.json == own)
  }

  @Test func withoutOneThereIsAdvice() throws {
    let model = try plainModel()
    let error = #expect(throws: FormatError.self) { try ConfigFile(for: model, given: nil) }
    #expect(error?.kind == .config && error?.advice == .all([.giveConfig, .convertFirst]))
  }
}
