import CheckpointFormats
import TensorIO

/// The pickle of a state dict, in protocol 2 as torch writes it: an OrderedDict of
/// name → `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`.
struct StatePickle {
  private(set) var bytes: [UInt8] = []
  /// The numbers of the memo: the values that every tensor needs, then the storage classes in order of their first use.
  private enum Memo { static let orderedDict = 0, rebuild = 1, storage = 2, cpu = 3, firstClass = 4 }

  private var known: Set<Int> = []
  private var classes: [String: Int] = [:]

  /// The storage of tensor `n` has the key `n`. `file` is for errors.
  init(_ tensors: [TensorInfo], file: String) throws(FormatError) {
    add(.proto)
    bytes.append(2)
    addOrderedDict()
    // SETITEMS takes the values above the mark.
    if !tensors.isEmpty { add(.mark) }
    for (index, tensor) in tensors.enumerated() {
      guard let storage = TorchTypes.storageClass(tensor.elementType) else {
        throw FormatError(
          .unsupported, "torch has no such type", file: file, tensor: tensor.name, found: tensor.elementType.rawValue,
          advice: "Write a safetensors file instead.")
      }
      add(text: tensor.name)
      addTensor(tensor, storage: storage, key: index)
    }
    if !tensors.isEmpty { add(.setItems) }
    add(.stop)
  }

  private mutating func addOrderedDict() {
    addGlobal("collections", "OrderedDict", memo: Memo.orderedDict)
    add(.emptyTuple, .reduce)
  }

  private mutating func addTensor(_ tensor: TensorInfo, storage: String, key: Int) {
    addGlobal("torch._utils", "_rebuild_tensor_v2", memo: Memo.rebuild)
    add(.mark)
    // The persistent id: ('storage', type, key, location, number of elements).
    add(.mark)
    once(Memo.storage) { $0.add(text: "storage") }
    let number = classes[storage] ?? Memo.firstClass + classes.count
    classes[storage] = number
    addGlobal("torch", storage, memo: number)
    add(text: "\(key)")
    once(Memo.cpu) { $0.add(text: "cpu") }
    add(number: tensor.elementCount)
    add(.tuple, .binPersID)
    add(number: 0)
    add(tuple: tensor.shape)
    add(tuple: Strides.rowMajor(tensor.shape))
    // requires_grad, and no hooks.
    add(.newFalse)
    addOrderedDict()
    add(.tuple, .reduce)
  }

  private mutating func add(_ opcodes: PickleOpcode...) { bytes += opcodes.map(\.rawValue) }

  /// Adds a value and keeps it under a number of the memo; if it is already there, recalls it.
  private mutating func once(_ number: Int, _ add: (inout StatePickle) -> Void) {
    if known.insert(number).inserted {
      add(&self)
      bytes += [PickleOpcode.binPut.rawValue, UInt8(number)]
    } else {
      bytes += [PickleOpcode.binGet.rawValue, UInt8(number)]
    }
  }

  private mutating func addGlobal(_ module: String, _ name: String, memo: Int) {
    once(memo) {
      $0.add(.global)
      $0.bytes += Array("\(module)\n\(name)\n".utf8)
    }
  }

  private mutating func add(text: String) {
    add(.binUnicode)
    bytes += [UInt8](littleEndian: UInt32(text.utf8.count)) + Array(text.utf8)
  }

  private mutating func add(number value: Int) {
    if let byte = UInt8(exactly: value) {
      bytes += [PickleOpcode.binInt1.rawValue, byte]
    } else if let short = UInt16(exactly: value) {
      bytes += [PickleOpcode.binInt2.rawValue] + [UInt8](littleEndian: short)
    } else if let int = Int32(exactly: value) {
      bytes += [PickleOpcode.binInt.rawValue] + [UInt8](littleEndian: int)
    } else {
      bytes += [PickleOpcode.long1.rawValue, 8] + [UInt8](littleEndian: Int64(value))
    }
  }

  private mutating func add(tuple values: [Int]) {
    if values.count > 3 { add(.mark) }
    for value in values { add(number: value) }
    switch values.count {
    case 0: add(.emptyTuple)
    case 1: add(.tuple1)
    case 2: add(.tuple2)
    case 3: add(.tuple3)
    default: add(.tuple)
    }
  }
}
