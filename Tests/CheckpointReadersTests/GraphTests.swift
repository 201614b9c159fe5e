import TensorIO
import TestSupport
import Testing

@testable import CheckpointReaders

/// Messages of protocol buffers, field by field.
private struct ProtoBuilder {
  var bytes: [UInt8] = []

  static func varint(_ value: UInt64) -> [UInt8] {
    var value = value
    var bytes: [UInt8] = []
    while value >= 0x80 {
      bytes.append(UInt8(value & 0x7F) | 0x80)
      value >>= 7
    }
    return bytes + [UInt8(value)]
  }

  func number(_ field: UInt64, _ value: UInt64) -> ProtoBuilder {
    ProtoBuilder(bytes: bytes + Self.varint(field << 3) + Self.varint(value))
  }

  func field(_ field: UInt64, _ content: [UInt8]) -> ProtoBuilder {
    ProtoBuilder(bytes: bytes + Self.varint(field << 3 | 2) + Self.varint(UInt64(content.count)) + content)
  }

  func text(_ number: UInt64, _ text: String) -> ProtoBuilder { field(number, Array(text.utf8)) }
}

/// Frozen graphs made by hand: one constant, sound or with one fault.
@Suite struct GraphTests {
  private static func tensor(type: UInt64 = 1, shape: [UInt64] = [2, 3], content: [UInt8]) -> ProtoBuilder {
    var dimensions = ProtoBuilder()
    for size in shape { dimensions = dimensions.field(2, ProtoBuilder().number(1, size).bytes) }
    return ProtoBuilder().number(1, type).field(2, dimensions.bytes).field(4, content)
  }

  private static func graph(_ tensor: ProtoBuilder, name: String = "weight") -> [UInt8] {
    let value = ProtoBuilder().field(8, tensor.bytes).bytes
    let attribute = ProtoBuilder().text(1, "value").field(2, value).bytes
    let node = ProtoBuilder().text(1, name).text(2, "Const").field(5, attribute).bytes
    return ProtoBuilder().field(1, node).bytes
  }

  /// Made-up operators cannot push a dangerous one out of the list.
  @Test func everyDangerousOperatorIsListed() throws {
    var bytes = Self.graph(Self.tensor(shape: [1], content: [0, 0, 0, 0]))
    for number in 0..<2100 {
      bytes += ProtoBuilder().field(1, ProtoBuilder().text(1, "n\(number)").text(2, "Made\(number)").bytes).bytes
    }
    bytes += ProtoBuilder().field(1, ProtoBuilder().text(1, "last").text(2, "WriteFile").bytes).bytes
    let code = try open(bytes).code
    #expect(code.count == 2001 && code.last?.name == "WriteFile" && code.last?.verdict == .dangerous)
    #expect(code[1999].verdict == .unknown && code[1999].detail?.contains("last") == true)
  }

  private func open(_ bytes: [UInt8]) throws -> any TensorSource {
    let file = Bytes(bytes, file: "frozen.pb")
    #expect(FrozenGraphFormat().recognizes(file, path: "frozen.pb"))
    return try FrozenGraphFormat().open(file, path: "frozen.pb")
  }

  @Test func aConstantLiesInPlace() throws {
    let content = (0..<24).map { UInt8($0) }
    let source = try open(Self.graph(Self.tensor(content: content)))
    #expect(source.tensors.map(\.name) == ["weight"] && source.tensors[0].shape == [2, 3])
    #expect(try source.withBytes(ofTensorAt: 0) { $0.array() } == content)
  }

  /// Scalars and whole numbers are parts of the program.
  @Test(arguments: [(3, [6]), (1, [])] as [(UInt64, [UInt64])])
  func whatIsNoWeightIsCounted(type: UInt64, shape: [UInt64]) throws {
    let source = try open(Self.graph(Self.tensor(type: type, shape: shape, content: [])))
    #expect(source.tensors.isEmpty)
    #expect(source.metadata.contains { $0.value == "1" })
  }

  @Test func equalValuesThatWereLeftOutAreThere() throws {
    let source = try CheckpointOpener().open(fixture("tensorflow/graph-v1/frozen.pb")).source
    let index = try #require(source.index(ofTensor: "ones"))
    #expect(try source.withBytes(ofTensorAt: index) { $0.floats() } == [0.5, 1, 1, 1, 1, 1])
    #expect(source.format == .tensorFlowGraph)
  }

  enum Fault: CaseIterable {
    case tooFewBytes, tooManyBytes, hugeShape, negativeDimension, noValue, longName, cutShort

    var bytes: [UInt8] {
      let content = [UInt8](repeating: 1, count: 24)
      switch self {
      case .tooFewBytes: return graph(tensor(content: [UInt8](content.dropLast())))
      case .tooManyBytes: return graph(tensor(content: content + [0]))
      case .hugeShape: return graph(tensor(shape: [1 << 40, 1 << 40], content: content))
      case .negativeDimension: return graph(tensor(shape: [UInt64.max, 6], content: content))
      case .noValue:
        return ProtoBuilder().field(1, ProtoBuilder().text(1, "weight").text(2, "Const").bytes).bytes
      case .longName:
        return graph(tensor(content: content))
          + ProtoBuilder().field(1, ProtoBuilder().text(1, String(repeating: "x", count: 5000)).text(2, "Const").bytes)
          .bytes
      // Inside the node, not of the file.
      case .cutShort:
        let node = ProtoBuilder().text(1, "weight").text(2, "Const").bytes + [0x2A, 0x50, 0x0A]
        return ProtoBuilder().field(1, node).bytes
      }
    }
  }

  @Test(arguments: Fault.allCases) func aFaultIsAnError(fault: Fault) throws {
    let error = formatError { _ = try open(fault.bytes) }
    #expect(error?.kind == .damaged || error?.kind == .limit)
  }

  /// The weights do not depend on the graph next to them.
  @Test func aDamagedGraphNextToACheckpointIsAWarning() throws {
    let folder = TemporaryFolder()
    for name in ["model.ckpt.index", "model.ckpt.data-00000-of-00001"] {
      _ = try folder.copy(fixture("tensorflow/graph-v1/\(name)"))
    }
    _ = try folder.write([0x12, 0x7F, 0x0A], "model.ckpt.meta")
    let opened = try CheckpointOpener().open("\(folder.path)/model.ckpt")
    #expect(opened.graph == nil)
    #expect(opened.warnings.contains { $0.contains("model.ckpt.meta cannot be read") })
  }

  /// The graph of a training has those of its optimizer, which change variables and nothing else.
  @Test(arguments: ["Adam", "GradientDescent", "Momentum", "Adagrad", "RMSProp", "Adadelta", "Ftrl"])
  func theOperatorsOfOptimizersAreHarmless(name: String) {
    var operators = ["Apply\(name)", "ResourceApply\(name)"]
    if !["Adam", "GradientDescent"].contains(name) {
      operators += ["SparseApply\(name)", "ResourceSparseApply\(name)"]
    }
    for name in operators { #expect(GraphOperators.harmless.contains(name), "\(name)") }
  }

  @Test func otherFilesAreNoGraphs() {
    for bytes in [[], [0x0A], [0x0A, 0x02, 0x0A, 0x00], Array("\n\u{3}abc".utf8), [0x08, 0x01, 0x12, 0x00]] as [[UInt8]]
    {
      #expect(!FrozenGraphFormat().recognizes(Bytes(bytes), path: "x.pb"))
    }
  }
}
