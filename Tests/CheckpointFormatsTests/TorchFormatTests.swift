import CheckpointFormats
import TensorIO
import Testing

@Suite struct TorchFormatTests {
  @Test(arguments: ElementType.allCases) func storageClasses(type: ElementType) throws {
    guard let name = TorchTypes.storageClass(type) else { return }
    for global in [name, "torch.\(name)", "torch.cuda.\(name)"] { #expect(TorchTypes.storage(global) == .some(type)) }
  }

  @Test func allPlainTypesHaveAStorageClass() {
    #expect(
      ElementType.allCases.filter { TorchTypes.storageClass($0) != nil } == [
        .f64, .f32, .f16, .bf16, .i64, .i32, .i16, .i8, .u8, .bool, .c64, .c128,
      ])
  }

  @Test func otherStorages() throws {
    #expect(TorchTypes.storage("torch.UntypedStorage") == .some(nil))
    #expect(TorchTypes.storage("torch.storage._UntypedStorage") == .some(nil))
    #expect(TorchTypes.storage("torch.QInt8Storage") == .some(.quantizedI8))
    for name in ["torch.FloatTensor", "FloatStorages", "torch.NoStorage", ""] {
      #expect(TorchTypes.storage(name) == nil)
    }
  }

  @Test func dataTypes() {
    #expect(TorchTypes.dataType("torch.float") == .f32 && TorchTypes.dataType("torch.float32") == .f32)
    #expect(TorchTypes.dataType("float32") == nil && TorchTypes.dataType("torch.nothing") == nil)
  }

  /// By Lib/pickletools.py: no two opcodes have one code, and those of protocol 0 are letters.
  @Test func opcodes() {
    #expect(Set(PickleOpcode.allCases.map(\.rawValue)).count == PickleOpcode.allCases.count)
    #expect(PickleOpcode.allCases.count == 68)
    #expect(PickleOpcode(rawValue: UInt8(ascii: ".")) == .stop && PickleOpcode(rawValue: 0x80) == .proto)
  }
}
