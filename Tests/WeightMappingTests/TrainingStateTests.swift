import TensorIO
import TestSupport
import Testing

@testable import WeightMapping

/// What optimizers, loss scaling and trainers write, next to the weights of every family and dialect: all of it is dropped,
/// each tensor for a cause, and none of the weights is.
@Suite("Training state")
struct TrainingStateTests {
  /// The lists of fixtures that a dialect's own lists of rules must cover.
  private static let frameworks = [
    "tensorflow-training": ["tf1", "tf2"], "keras-training": ["keras"], "torch-training": ["torch"],
    "flax-training": ["flax"],
  ]

  /// A dialect next to the state that programs of its framework write.
  struct Case: Sendable, CustomTestStringConvertible {
    let table: MappingTable
    let dialect: Dialect
    let framework: String

    var testDescription: String { "\(table.family), \(dialect.name): \(framework)" }
  }

  private static let tables = (try? MappingTable.builtIn()) ?? []

  private static let cases = tables.flatMap { table in
    table.dialects.flatMap { dialect in
      dialect.content.dropLists.flatMap { frameworks[$0] ?? [] }.map {
        Case(table: table, dialect: dialect, framework: $0)
      }
    }
  }

  @Test func everyDialectNamesTheListsOfItsFramework() {
    for table in Self.tables {
      // A folder of .npy files holds nothing but the weights.
      for dialect in table.dialects where dialect.name != "openai" {
        #expect(
          dialect.content.dropLists.contains { Self.frameworks.keys.contains($0) }, "\(table.family), \(dialect.name)")
      }
    }
    #expect(Set(Self.cases.map(\.framework)) == Set(TrainingState.frameworks))
  }

  @Test(.exhaustive, arguments: cases)
  func allOfItIsDroppedAndNoWeightIs(_ test: Case) throws {
    let mapper = Mapper(tables: [test.table])
    let weights = Self.weights(of: test.dialect)
    #expect(weights.count >= 3)
    for state in try TrainingState.lists(of: test.framework) where !state.isSeparate {
      let source = Self.source(weights, of: test, with: state)
      let outline = mapper.outline(
        of: source.weights + source.state, metadata: Self.metadata(for: test.dialect),
        config: Self.config(for: test.dialect))
      #expect(outline.recognition.dialect == test.dialect.name, "\(state)")
      #expect(outline.report.unexpected.map(\.name) == [], "\(state)")
      let dropped = outline.report.dropped
      #expect(Set(dropped.map(\.name)) == Set(source.state.map(\.name)), "\(state)")
      for entry in dropped { #expect(entry.cause != .unstated && !entry.cause.isAllowed, "\(state): \(entry.name)") }
    }
  }

  /// The model whose weights were averaged is what is left of some files.
  @Test(arguments: ["ema.", "ema_model.", "state_dict_ema.", "current_model_state."])
  func anAverageIsAModelWhereThereIsNoOther(scope: String) throws {
    let table = try #require(Self.tables.first)
    let dialect = try #require(table.dialects.first { $0.name == "transformers" })
    let mapper = Mapper(tables: [table])
    let names = Self.weights(of: dialect)
    func tensors(_ prefix: String) -> [TensorInfo] { names.map { Self.tensor(prefix + $0) } }
    #expect(mapper.outline(of: tensors(scope), config: nil).report.scope == scope)
    for both in [tensors(scope) + tensors("model."), tensors("model.") + tensors(scope)] {
      let report = mapper.outline(of: both, config: nil).report
      #expect(report.scope == "model." && report.unexpected.isEmpty)
      #expect(report.dropped.count == names.count && report.dropped.allSatisfy { $0.cause == .movingAverage })
    }
  }

  // MARK: Checkpoints

  /// A name for every weight that the dialect has, in two layers where it counts layers.
  private static func weights(of dialect: Dialect) -> [String] {
    dialect.rules.filter { $0.operation != .alias }.flatMap { rule in
      rule.sources.flatMap { source in
        rule.isPerLayer ? [0, 1].map { source.name(layer: $0) } : [source.name(layer: nil)]
      }
    }
  }

  private static func tensor(_ name: String, fullName: String? = nil) -> TensorInfo {
    TensorInfo(name: name, fullName: fullName, elementType: .f32, shape: [2, 2], byteCount: 16)
  }

  private static func source(
    _ names: [String], of test: Case, with state: TrainingState
  ) -> (weights: [TensorInfo], state: [TensorInfo]) {
    var weights: [TensorInfo] = []
    var tensors: [TensorInfo] = []
    for (index, name) in names.enumerated() {
      // A graph of objects has keys of its own, and the names that the dialect knows next to them.
      let isGraph = test.framework == "tf2"
      let key = isGraph ? "model/layer-\(index)/kernel" : name
      weights.append(tensor(state.name(ofWeight: key), fullName: isGraph ? name : nil))
      // Of the first weights and of the last: they are of every kind.
      if index < 8 || index >= names.count - 4 { tensors += state.tensors(forWeight: key, shape: [2, 2]) }
    }
    var known: Set<String> = []
    return (weights, tensors.filter { known.insert($0.name).inserted })
  }

  private static func metadata(for dialect: Dialect) -> [(key: String, value: String)] {
    dialect.names.conditions.compactMap { condition in condition.values.first.map { (condition.key, $0) } }
  }

  private static func config(for dialect: Dialect) -> JSON? {
    dialect.names.variant.map { JSON.object(["architectures": .strings($0.architectures)]) }
  }
}
