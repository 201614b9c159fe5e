import CheckpointFormats
import TensorIO
import Testing

@Suite struct SentenceModuleTests {
  private static let all: [SentenceModule] =
    SentenceModule.PoolingMode.allCases.map { .pooling([$0]) } + [.pooling(SentenceModule.PoolingMode.allCases)]
    + SentenceModule.Activation.allCases.flatMap { activation in
      [true, false].map { .dense(name: "2", activation: activation, hasBias: $0) }
    } + [.layerNorm(name: "3"), .normalize, .unsupported("a router")]

  @Test(arguments: all) func modules(module: SentenceModule) throws {
    #expect(SentenceModule(json: module.json) == module)
    #expect(SentenceModule(json: try JSON.parse(module.json.text())) == module)
  }

  @Test func allOfAConfig() {
    let config = JSON.object([
      SentenceModule.configKey: .object(["modules": .array(Self.all.map(\.json))])
    ])
    #expect(SentenceModule.all(inConfig: config) == Self.all)
    #expect(SentenceModule.all(inConfig: .object([])) == nil)
  }

  @Test(arguments: [
    #"{"type": "pooling", "modes": []}"#, #"{"type": "pooling", "modes": ["mean", "other"]}"#, #"{"type": "dense"}"#,
    #"{"type": "dense", "name": "2", "activation": "sinus"}"#, #"{"type": "layer_norm"}"#, #"{"type": "other"}"#, "[]",
  ])
  func notUnderstood(text: String) throws {
    guard case .unsupported = SentenceModule(json: try JSON.parse(text)) else {
      Issue.record("\(text) was understood")
      return
    }
  }
}
