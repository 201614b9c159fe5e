import TensorIO
import TestSupport
import Testing

@testable import CheckpointReaders

private typealias P = TestPickle

private func format(of file: Bytes) -> any CheckpointFormat {
  if ZipArchive.looksLikeZip(file) { TorchZipFormat() } else { TorchLegacyFormat() }
}

private func open(_ bytes: [UInt8]) throws -> any TensorSource {
  let file = Bytes(bytes, file: "m.pt")
  let format = format(of: file)
  #expect(format.recognizes(file, path: "m.pt"))
  return try format.open(file, path: "m.pt")
}

private func open(fixture relative: String) throws -> any TensorSource {
  let path = fixture("torch/" + relative)
  let file = try MappedFile.open(path)
  let format = format(of: file)
  #expect(format.recognizes(file, path: path))
  return try format.open(file, path: path)
}

private func values(_ source: any TensorSource, _ name: String) throws -> [Float] {
  let index = try #require(source.index(ofTensor: name))
  return try source.withBytes(ofTensorAt: index) { $0.floats() }
}

private let ten = (0..<10).map { Float($0) }

@Suite("PyTorch checkpoints")
struct PyTorchTests {
  // MARK: What torch wrote

  @Test(arguments: ["zip", "legacy"])
  func everyTypeViewAndNesting(form: String) throws {
    let source = try open(fixture: "objects/checkpoint-\(form).pt")
    #expect(source.format == (form == "zip" ? .pyTorchZip : .pyTorchLegacy))
    #expect(try differences(source, try expectedTensors(fixture("torch/objects/expected.json"))).isEmpty)
    #expect(source.imports.allSatisfy { $0.verdict == .known })
    let texts = Dictionary(uniqueKeysWithValues: source.metadata.map { ($0.key, $0.value) })
    #expect(texts["epoch"] == "3" && texts["best"] == "0.875" && texts["args.name"] == "größe 🦉")
    #expect(
      texts["args.betas"] == "(0.9, 0.999)" && texts["args.none"] == "None"
        && texts["args.big"] == "1180591620717411303424")
    #expect(texts["size"] == "(2, 3)" && texts["dtype"] == "torch.bfloat16" && texts["device"]?.contains("cpu") == true)
    func storage(_ name: String) -> Int? {
      source.index(ofTensor: "model.state." + name).flatMap { source.tensors[$0].sharedStorage }
    }
    #expect(storage("tied") != nil && storage("tied") == storage("tied_too"))
    #expect(storage("view") != nil && storage("view") == storage("transposed") && storage("view") != storage("tied"))
    #expect(storage("f32") == nil)
  }

  @Test(arguments: ["zip", "legacy"])
  func aWholeModuleGivesItsStateDict(form: String) throws {
    let source = try open(fixture: "module/module-\(form).pt")
    #expect(try differences(source, try expectedTensors(fixture("torch/module/expected.json"))).isEmpty)
    #expect(source.imports.contains(ImportedGlobal(name: "network.Affine", verdict: .unknown)))
    #expect(!source.imports.contains { $0.verdict == .dangerous })
  }

  @Test func aTorchScriptArchiveIsListed() throws {
    let source = try open(fixture: "script/script.pt")
    #expect(try differences(source, try expectedTensors(fixture("torch/script/expected.json"))).isEmpty)
    #expect(source.metadata.contains { $0.key == "torchscript" })
  }

  @Test(arguments: ["zip", "legacy"])
  func aHostilePickleIsListedAndNothingIsRun(form: String) throws {
    let source = try open(fixture: "hostile/system-\(form).pt")
    #expect(source.tensors.map(\.name) == ["weight"])
    #expect(source.imports.filter { $0.verdict == .dangerous }.map(\.name) == ["posix.system"])
    #expect(source.warnings.contains { $0.contains("posix.system") })
    #expect(source.metadata.contains { $0.key == "trap" && $0.value.contains("touch pwned") })
  }

  // MARK: Views and storages

  @Test func viewsAreReadRight() throws {
    let storage = P.storage("0", count: 10, view: nil)
    let source = try open(
      P.zip(
        P.dict(
          P.text("whole"), P.tensor(storage, [2, 5], [5, 1]), P.text("transposed"), P.tensor(storage, [5, 2], [1, 5]),
          P.text("part"), P.tensor(storage, offset: 2, [2, 2], [5, 2]), P.text("expanded"),
          P.tensor(storage, offset: 7, [2, 2], [0, 0]),
          P.text("scalar"), P.tensor(storage, offset: 9, [], []), P.text("empty"),
          P.tensor(storage, offset: 10, [0, 3], [3, 1]),
          P.text("old"), P.tensor(storage, [3], [3], function: "_rebuild_tensor")), [("0", floats(ten))]))
    #expect(try values(source, "whole") == ten)
    #expect(try values(source, "transposed") == [0, 5, 1, 6, 2, 7, 3, 8, 4, 9])
    #expect(try values(source, "part") == [2, 4, 7, 9])
    #expect(
      try values(source, "expanded") == [7, 7, 7, 7] && values(source, "scalar") == [9] && values(source, "empty") == []
    )
    #expect(try values(source, "old") == [0, 3, 6])
  }

  @Test(
    arguments: [
      (0, [11], [1]), (1, [10], [1]), (0, [2, 5], [6, 1]), (-1, [2], [1]), (0, [2], [-1]), (0, [-2], [1]),
      (0, [2, 2], [1]),
      (0, [1 << 30, 1 << 30], [1 << 30, 1 << 30]), (10, [], []),
    ] as [(Int, [Int], [Int])])
  func viewsBeyondTheirStorageAreRefused(offset: Int, shape: [Int], strides: [Int]) {
    let value = P.tensor(P.storage("0", count: 10, view: nil), offset: offset, shape, strides)
    #expect(formatError { _ = try open(P.zip(value, [("0", floats(ten))])) }?.kind == .damaged)
  }

  @Test func oneElementMakesNoTerabyte() {
    let value = P.tensor(P.storage("0", count: 10, view: nil), [1 << 20, 1 << 20], [0, 0])
    #expect(formatError { _ = try open(P.zip(value, [("0", floats(ten))])) }?.kind == .limit)
    let empty = P.tensor(P.storage("0", count: 10, view: nil), offset: 1 << 30, [0], [1])
    #expect(formatError { _ = try open(P.zip(empty, [("0", floats(ten))])) }?.expected == "within 10 elements")
  }

  @Test func viewsOfStoragesInTheOldForm() throws {
    let view = P.tuple(P.text("9"), P.int(4), P.int(5))
    let source = try open(
      P.legacy(
        P.dict(P.text("a"), P.tensor(P.storage("1", count: 10, view: view), offset: 1, [2], [2])),
        [("1", 10, floats(ten))]))
    #expect(try values(source, "a") == [5, 7])
  }

  @Test(arguments: [
    (P.tuple(P.text("9"), P.int(4), P.int(7)), "(9, 4, 7)"), (P.tuple(P.text("9"), P.int(-1), P.int(2)), "(9, -1, 2)"),
    (P.tuple(P.text("9"), P.int(11), P.int(0)), "(9, 11, 0)"),
  ])
  func viewsOfStoragesThatDoNotFit(view: [UInt8], found: String) {
    let value = P.tensor(P.storage("1", count: 10, view: view), [1], [1])
    let error = formatError { _ = try open(P.legacy(value, [("1", 10, floats(ten))])) }
    #expect(error?.kind == .damaged && error?.found?.replacing("'", with: "") == found)
  }

  @Test func aBigEndianArchiveIsSwapped() throws {
    let bytes = floats([1, 2]).enumerated().map { floats([1, 2])[$0.offset / 4 * 4 + 3 - $0.offset % 4] }
    let value = P.dict(P.text("a"), P.tensor(P.storage("0", count: 2, view: nil), [2], [1]))
    let source = try open(P.zip(value, [("0", bytes)], more: [.init("model/byteorder", Array("big".utf8))]))
    #expect(try values(source, "a") == [1, 2])
    let odd = formatError {
      _ = try open(P.zip(value, [("0", bytes)], more: [.init("model/byteorder", Array("odd".utf8))]))
    }
    #expect(odd?.kind == .unsupported && odd?.found == "odd")
  }

  @Test func storagesThatAreMissingOrOfAnotherSize() {
    let value = P.tensor(P.storage("0", count: 2, view: nil), [2], [1])
    let missing = formatError { _ = try open(P.zip(value, [])) }
    #expect(missing?.kind == .damaged && missing?.found == "data/0")
    let short = formatError { _ = try open(P.zip(value, [("0", floats([1]))])) }
    #expect(short?.kind == .damaged && short?.expected == "8")
    let old = P.tensor(P.storage("0", count: 2), [2], [1])
    let missingOld = formatError { _ = try open(P.legacy(old, [])) }
    #expect(missingOld?.kind == .damaged && missingOld?.found == "'0'")
    let shortOld = formatError { _ = try open(P.legacy(old, [("0", 1, floats([1]))])) }
    #expect(shortOld?.kind == .damaged && shortOld?.expected == "2")
    let unused = formatError { _ = try open(P.legacy(old, [("7", 2, floats([1, 2]))])) }
    #expect(unused?.kind == .damaged && unused?.found == "7")
    let cut = formatError { _ = try open(P.legacy(old, [("0", 2, floats([1]))])) }
    #expect(cut?.kind == .damaged && cut?.found == "4 bytes left")
    let twice = P.list(old, P.tensor(P.storage("0", "LongStorage", count: 2), [2], [1]))
    let types = formatError { _ = try open(P.legacy(twice, [("0", 2, floats([1, 2]))])) }
    #expect(types?.kind == .damaged && types?.found == "storage '0', 16 bytes")
    let strange = P.tensor(P.storage("0", "StrangeStorage", count: 2, view: nil), [2], [1])
    let unknown = formatError { _ = try open(P.zip(strange, [])) }
    #expect(unknown?.kind == .unsupported && unknown?.found == "torch.StrangeStorage")
  }

  @Test func damagedDataIsFoundWhenItIsRead() throws {
    var entry = ZipTestBuilder.Entry("model/data/0", floats([1, 2]))
    entry.checksum = 77
    let source = try open(
      P.zip(P.dict(P.text("a"), P.tensor(P.storage("0", count: 2, view: nil), [2], [1])), [], more: [entry]))
    for error in [
      formatError { try source.withBytes(ofTensorAt: 0) { _ in } },
      formatError { try source.streamBytes(ofTensorAt: 0) { _ in } },
    ] {
      #expect(error?.kind == .damaged && error?.tensor == "a" && error?.expected == "0000004d")
    }
  }

  // MARK: The pickle

  @Test func namesOfNestedTensors() throws {
    let tensor = P.tensor(P.storage("0", count: 10, view: nil), [1], [1])
    let source = try open(
      P.zip(
        P.dict(
          P.text("a.b"), tensor, P.text("a"), P.dict(P.text("b"), tensor), P.text("list"),
          P.list(tensor, P.tuple(tensor, P.none)),
          P.int(7), tensor, P.text("again"), P.none, P.text("again"), tensor,
          P.text("module"), P.call(P.global("my", "Thing")) + P.dict(P.text("weight"), tensor) + [0x62]),
        [("0", floats(ten))]))
    #expect(source.tensors.map(\.name) == ["a.b", "a.b#2", "list.0", "list.1.0", "7", "again", "module.weight"])
    #expect(source.warnings.contains { $0.contains("'a.b#2'") })
    #expect(source.imports.contains(ImportedGlobal(name: "my.Thing", verdict: .unknown)))
  }

  @Test func aTensorAloneHasAName() throws {
    let source = try open(P.zip(P.tensor(P.storage("0", count: 10, view: nil), [10], [1]), [("0", floats(ten))]))
    #expect(try values(source, "tensor") == ten)
  }

  @Test func buffersThatDoNotPersistAreLeftOut() throws {
    let tensor = P.tensor(P.storage("0", count: 10, view: nil), [1], [1])
    let inner =
      P.call(P.global("my", "Inner"))
      + P.dict(
        P.text("_parameters"), P.dict(P.text("weight"), tensor, P.text("bias"), P.none), P.text("_modules"), P.dict())
      + [0x62]
    let state = P.dict(
      P.text("_parameters"), P.dict(), P.text("_buffers"), P.dict(P.text("kept"), tensor, P.text("dropped"), tensor),
      P.text("_non_persistent_buffers_set"), P.call(P.global("__builtin__", "set"), P.list(P.text("dropped"))),
      P.text("_modules"), P.dict(P.text("0"), inner), P.text("hidden"), P.int(64))
    let source = try open(P.zip(P.call(P.global("my", "Outer")) + state + [0x62], [("0", floats(ten))]))
    #expect(source.tensors.map(\.name) == ["kept", "0.weight"])
    #expect(source.metadata.contains { $0.key == "hidden" && $0.value == "64" })
  }

  /// The version decides how the rest is read: it is found however much precedes it.
  @Test func valuesAtTheRootAreKeptAmongManyOthers() throws {
    let tensor = P.tensor(P.storage("0", count: 10, view: nil), [1], [1])
    let many = (0..<2500).flatMap { P.text("k\($0)") + P.int($0) }
    let source = try open(
      P.zip(
        P.dict(P.text("w"), tensor, P.text("args"), P.dict(many), P.text("version"), P.int(3)), [("0", floats(ten))]))
    #expect(source.metadata.contains { $0.key == "args.k1999" } && !source.metadata.contains { $0.key == "args.k2000" })
    #expect(source.metadata.contains { $0.key == "version" && $0.value == "3" })
    #expect(source.metadata.last?.value == "more values, which are not shown" && source.metadata.count == 2002)
    // Those at the root have an end as well.
    let flat = (0..<4500).flatMap { P.text("k\($0)") + P.int($0) }
    #expect(try open(P.zip(P.dict(flat), [])).metadata.count == 4001)
  }

  /// What a class is made of counts where it has no attributes: a named tuple's values are its arguments.
  @Test func tensorsAmongTheArgumentsOfAClass() throws {
    let tensor = P.tensor(P.storage("0", count: 10, view: nil), [1], [1])
    let type = P.global("training", "State")
    // protocol 2's NEWOBJ with a tuple of two
    let named = type + P.dict(P.text("w"), tensor) + P.int(3) + [0x86, 0x81]
    let found = try open(P.zip(P.dict(P.text("state"), named), [("0", floats(ten))]))
    #expect(found.tensors.map(\.name) == ["state.0.w"] && found.metadata.contains { $0.key == "state.1" })
    // A state that is a list
    let listed = type + [0x29, 0x81] + P.list(tensor) + [0x62]
    #expect(try open(P.zip(listed, [("0", floats(ten))])).tensors.map(\.name) == ["0"])
    // Arguments without tensors are a text, as before.
    let plain = try open(
      P.zip(P.dict(P.text("w"), tensor, P.text("s"), type + P.int(3) + [0x85, 0x81]), [("0", floats(ten))]))
    #expect(plain.tensors.map(\.name) == ["w"] && plain.metadata.contains { $0.key == "s" })
  }

  /// Values that hold themselves, that nest without end, or that multiply: read, or refused, in little time.
  @Test func valuesThatWouldNeverEnd() throws {
    let tensor = P.tensor(P.storage("0", count: 10, view: nil), [1], [1])
    // A list that holds itself
    let ring = [0x5D, 0x71, 0x05, 0x68, 0x05, 0x61] + tensor + [0x61]
    #expect(try open(P.zip(ring, [("0", floats(ten))])).tensors.map(\.name) == ["1"])
    // A tuple within a tuple, a hundred thousand times
    let deep = P.none + [UInt8](repeating: 0x85, count: 100_000)
    #expect(formatError { _ = try open(P.zip(deep, [])) }?.kind == .limit)
    // A list of ten lists of ten lists …
    var bomb = P.list(tensor)
    for level in 0..<40 {
      bomb += [0x71, UInt8(level), 0x30, 0x5D, 0x28]
      for _ in 0..<10 { bomb += [0x68, UInt8(level)] }
      bomb += [0x65]
    }
    #expect(formatError { _ = try open(P.zip(bomb, [("0", floats(ten))])) }?.kind == .limit)
    // One dict copied over and over
    var copies = P.dict() + [0x71, 0, 0x28]
    for number in 0..<2000 { copies += P.int(number) + P.none }
    copies += [0x75, 0x30, 0x5D, 0x28]
    for _ in 0..<10_000 { copies += P.global("collections", "OrderedDict") + [0x68, 0, 0x85, 0x52] }
    copies += [0x65]
    #expect(formatError { _ = try open(P.zip(copies, [])) }?.kind == .limit)
  }

  private static let two = P.tuple(P.storage("0", count: 10), P.int(1), P.tuple(P.int(2)), P.tuple(P.int(3)))

  /// As torch before 0.4 pickled a tensor: an object whose state is storage, offset, sizes and strides.
  @Test func tensorsThatAStateMakes() throws {
    let old = P.global("torch", "FloatTensor") + [0x29, 0x81] + Self.two + [0x62]
    let source = try open(P.zip(P.dict(P.text("a"), old), [("0", floats(ten))]))
    #expect(source.tensors.map(\.shape) == [[2]])
    #expect(try source.withBytes(ofTensorAt: 0) { $0.floats() } == [ten[1], ten[4]])
  }

  /// torch would make another tensor of it.
  @Test func aFinishedTensorTakesNoOtherValues() throws {
    let tensor = P.tensor(P.storage("0", count: 10), [1], [1])
    let other = P.dict(P.text("a"), tensor + Self.two + [0x62])
    #expect(formatError { _ = try open(P.zip(other, [("0", floats(ten))])) }?.kind == .unsupported)
    let hooks = P.dict(P.text("a"), tensor + P.tuple(P.int(1), P.none, P.dict()) + [0x62])
    #expect(try open(P.zip(hooks, [("0", floats(ten))])).tensors.count == 1)
  }

  @Test(arguments: [
    ([UInt8]([0x88]), true), ([0x89], false), (P.int(1), true), (P.int(0), false), (P.text("x"), true), (P.none, false),
  ])
  func negatedInAnyWords(flag: [UInt8], isNegated: Bool) throws {
    let storage = P.storage("0", count: 10)
    let tensor = P.call(
      P.global("torch._utils", "_rebuild_tensor_v2"), storage, P.int(0), P.tuple(P.int(1)), P.tuple(P.int(1)), [0x89],
      P.dict(), P.dict(P.text("neg"), flag))
    let source = try open(P.zip(P.dict(P.text("a"), tensor), [("0", floats(ten))]))
    #expect(formatError { try source.withBytes(ofTensorAt: 0) { _ in } }?.kind == (isNegated ? .unsupported : nil))
  }

  /// Two keys to Python, though they are one text to Swift or are equal in UTF-8.
  @Test func keysThatLookAlikeAreTwo() throws {
    let tensor = P.tensor(P.storage("0", count: 10), [1], [1])
    func names(_ keys: [[UInt8]]) throws -> [String] {
      try open(P.zip([0x7D, 0x28] + keys.flatMap { $0 + tensor } + [0x75], [("0", floats(ten))])).tensors.map(\.name)
    }
    func raw(_ bytes: [UInt8]) -> [UInt8] { [0x58] + ZipTestBuilder.number(bytes.count, 4) + bytes }
    #expect(try names([P.text("\u{E9}"), P.text("e\u{301}")]) == ["é", "é#2"])
    #expect(try names([raw([0x61, 0xED, 0xA0, 0x80]), raw([0x61, 0xED, 0xA0, 0x81])]).count == 2)
    #expect(try names([P.text("a"), P.text("b"), P.text("a")]) == ["a", "b"])
    #expect(try names([P.tuple(P.int(1)), P.tuple(P.int(2)), P.int(1), P.int(1)]) == ["(1)", "(2)", "1"])
  }

  /// Combining marks take the square of their number to be put in order, which comparing two texts does.
  @Test func textsOfMarksTakeNoTime() throws {
    let heap = Array(("a" + String(repeating: "\u{301}\u{323}", count: 100_000)).utf8)
    let escaped = Array((String(repeating: "\\u0301\\u0323", count: 50_000)).utf8)
    let keys = P.text(String(decoding: heap, as: UTF8.self)) + [0x4B, 1] + [0x56] + escaped + [0x0A, 0x4B, 2]
    let bytes = [0x54] + ZipTestBuilder.number(heap.count, 4) + heap + [0x4B, 3]
    let imported = [0x63] + heap.prefix(601) + [0x0A, 0x61, 0x0A, 0x4B, 4]
    let source = try open(P.zip([0x7D, 0x28] + keys + bytes + imported + [0x75], []))
    #expect(source.metadata.map(\.value) == ["1", "2", "3", "4"])
    #expect(source.metadata[0].key.unicodeScalars.contains("\u{FFFD}") && source.imports.count == 1)
    let archive = ZipTestBuilder([.init(String(decoding: heap.prefix(30_001), as: UTF8.self), [])]).bytes()
    #expect(formatError { _ = try ZipArchive(Bytes(archive)) }?.problem.contains("combining marks") == true)
  }

  /// Each step of these is short, if the long tuple or list that it is about is not copied or gone through.
  @Test(.exhaustive) func longValuesThatAreUsedOverAndOver() throws {
    let long = [0x28] + [UInt8](repeating: 0x4E, count: 100_000) + [0x74, 0x71, 0, 0x30]
    func calls(_ module: String, _ name: String) -> [UInt8] {
      var program = long + P.global(module, name) + [0x71, 1, 0x30, 0x5D, 0x28]
      for _ in 0..<100_000 { program += [0x68, 1, 0x68, 0, 0x85, 0x52] }
      return program + [0x65]
    }
    #expect(formatError { _ = try open(P.zip(calls("builtins", "tuple"), [])) }?.kind == .limit)
    #expect(try open(P.zip(calls("collections", "OrderedDict"), [])).tensors.isEmpty)
    var states = long + P.global("my", "Thing") + [0x71, 1, 0x30, 0x5D, 0x28]
    for _ in 0..<20_000 { states += [0x68, 1, 0x29, 0x81, 0x68, 0, 0x62] }
    states += P.tensor(P.storage("0", count: 10), [1], [1]) + [0x65]
    #expect(formatError { _ = try open(P.zip(states, [("0", floats(ten))])) }?.kind == .limit)
    var grown = long + [0x5D]
    for _ in 0..<200_000 { grown += [0x4E, 0x61, 0x68, 0, 0x30] }
    #expect(try open(P.zip(grown, [])).tensors.isEmpty)
  }

  private static let senseless: [(label: String, program: [UInt8])] = [
    ("not one value", [0x2E]),
    ("not one value 2", P.none + P.none + [0x2E]),
    ("not one value 3", [0x28, 0x4E, 0x2E]),
    ("empty stack", [0x30, 0x2E]),
    ("empty stack 2", [0x85, 0x2E]),
    ("no mark", [0x74, 0x2E]),
    ("unset memo", [0x68, 9, 0x2E]),
    ("protocol is unknown", [0x80, 9, 0x2E]),
    ("unknown opcode", [0xFF, 0x2E]),
    ("extension registry", [0x82, 1, 0x2E]),
    ("buffers outside", [0x97, 0x2E]),
    ("append", P.none + P.none + [0x61, 0x2E]),
    ("append 2", P.tuple() + P.none + [0x61, 0x2E]),
    ("set", P.list() + P.none + P.none + [0x73, 0x2E]),
    ("without a value", P.dict() + [0x28] + P.none + [0x75, 0x2E]),
    ("state", P.text("a") + P.none + [0x62, 0x2E]),
    ("plain value", P.int(1) + P.none + [0x62, 0x2E]),
    ("arguments", P.none + P.none + [0x52, 0x2E]),
    ("cut short", [0x58, 255, 255, 255, 255, 0x2E]),
    ("impossible size", [0x8D] + [UInt8](repeating: 255, count: 8)),
    ("cut short 2", [0x8B, 255, 255, 255, 255, 0x2E]),
    ("not a string", P.none + P.none + [0x93, 0x2E]),
    ("other than a storage", P.text("x") + [0x51, 0x2E]),
    ("other than a storage 2", P.tuple(P.text("storage")) + [0x51, 0x2E]),
    ("not a number", [0x49, 0x78, 0x0A, 0x2E]),
    ("too few arguments", P.call(P.global("torch._utils", "_rebuild_tensor_v2"), P.none) + [0x2E]),
    ("wrong types", P.call(P.global("torch._utils", "_rebuild_tensor_v2"), P.none, P.none, P.none, P.none) + [0x2E]),
  ]

  @Test(arguments: senseless)
  func picklesThatMakeNoSense(label: String, program: [UInt8]) {
    let bytes = ZipTestBuilder([.init("model/data.pkl", [0x80, 2] + program)]).bytes()
    let unsupported = ["protocol is unknown", "extension registry", "buffers outside"]
    let isUnsupported = unsupported.contains(label) || label.hasPrefix("other than a storage")
    #expect(formatError { _ = try open(bytes) }?.kind == (isUnsupported ? .unsupported : .damaged))
  }

  @Test func messages() throws {
    let lines = Self.senseless.map { label, program in
      let bytes = ZipTestBuilder([.init("model/data.pkl", [0x80, 2] + program)]).bytes()
      return line(label, formatError { _ = try open(bytes) })
    }
    #expect(try goldenDifference("senseless-pickles", lines) == nil)
  }

  @Test func everyFormOfPlainValues() throws {
    var machine = PickleMachine(file: nil)
    func value(_ program: [UInt8]) throws -> String {
      var cursor = ByteCursor(Bytes(program + [0x2E]))
      let result = try machine.load(&cursor)
      return machine.describe(result)
    }
    #expect(
      try value(Array("I42\n".utf8)) == "42" && value(Array("I01\n".utf8)) == "True"
        && value(Array("L-7L\n".utf8)) == "-7")
    #expect(try value(Array("F1.5\n".utf8)) == "1.5" && value([0x47, 0x3F, 0xF8, 0, 0, 0, 0, 0, 0]) == "1.5")
    #expect(try value([0x8A, 0]) == "0" && value([0x8A, 1, 0xFF]) == "-1" && value([0x8A, 2, 0, 1]) == "256")
    #expect(try value([0x8A, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1]) == "18446744073709551616")
    #expect(try value([0x8A, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF]) == "-18446744073709551616")
    #expect(try value(Array("Vgr\\u00f6\\U0001F989\n".utf8)) == "grö🦉" && value([0x56, 0xFC, 0x0A]) == "ü")
    #expect(try value(Array("S'a\\n\\x41\\''\n".utf8)) == "4 bytes" && value([0x8C, 2, 0x68, 0x69]) == "hi")
    #expect(try value([0x95, 9, 0, 0, 0, 0, 0, 0, 0, 0x8F, 0x94, 0x28, 0x4B, 1, 0x4B, 2, 0x90]) == "{1, 2}")
    #expect(try value([0x28, 0x4B, 1, 0x31, 0x4E, 0x32, 0x30]) == "None" && value([0x28, 0x4B, 1, 0x6C]) == "[1]")
    #expect(try value([0x28] + P.text("a") + [0x4B, 1, 0x64]) == "{… 1 entries}")
    #expect(try value(P.text("os") + P.text("system") + [0x93]) == "os.system")
    #expect(try value([0x28] + Array("imy\nThing\n".utf8)) == "my.Thing()")
    #expect(try value([0x28] + P.global("my", "Thing") + [0x4B, 1, 0x6F]) == "my.Thing(1)")
    #expect(try value(P.global("my", "Thing") + P.tuple([0x4B, 1]) + P.dict() + [0x92]) == "my.Thing(1)")
    #expect(try value(P.call(P.global("_codecs", "encode"), P.text("ÿ"), P.text("latin1"))) == "1 bytes")
    #expect(try value(P.global("my", "Thing") + [0x70, 0x35, 0x0A, 0x67, 0x35, 0x0A, 0x86]) == "(my.Thing, my.Thing)")
  }

  /// numpy.core.multiarray._reconstruct and its state, in the protocol of torch.save.
  @Test(arguments: [("<", false), (">", false), ("<", true)])
  func numPyArraysAndScalarsOfTrainingCheckpoints(order: String, isFortran: Bool) throws {
    let type =
      P.call(P.global("numpy", "dtype"), P.text("u2"), P.no, [0x88])
      + P.tuple(P.int(3), P.text(order), P.none, P.none, P.none, P.int(-1), P.int(-1), P.int(0)) + [0x62]
    func bytes(_ text: String) -> [UInt8] { P.call(P.global("_codecs", "encode"), P.text(text), P.text("latin1")) }
    let array =
      P.call(
        P.global("numpy.core.multiarray", "_reconstruct"), P.global("numpy", "ndarray"), P.tuple(P.int(0)), bytes("b"))
      + P.tuple(
        P.int(1), P.tuple(P.int(2), P.int(2)), type, isFortran ? [0x88] : P.no,
        bytes("\u{1}\u{0}\u{2}\u{0}\u{3}\u{0}ÿ\u{0}")) + [0x62]
    let scalar = P.call(P.global("numpy.core.multiarray", "scalar"), type, bytes("\u{0}\u{1}"))
    let source = try open(P.zip(P.dict(P.text("a"), array, P.text("s"), scalar), []))
    #expect(source.tensors.map(\.shape) == [[2, 2]] && source.tensors[0].elementType == .u16)
    let expected: [UInt8] =
      order == ">" ? [0, 1, 0, 2, 0, 3, 0, 255] : isFortran ? [1, 0, 3, 0, 2, 0, 255, 0] : [1, 0, 2, 0, 3, 0, 255, 0]
    #expect(try source.withBytes(ofTensorAt: 0) { $0.array() } == expected)
    #expect(source.metadata.contains { $0.key == "s" && $0.value == (order == ">" ? "1" : "256") })
  }

  @Test func tensorsOfOtherKindsAreNamed() throws {
    let storage = P.storage("0", count: 10, view: nil)
    let tensor = P.tensor(storage, [1], [1])
    let sparse = P.call(P.global("torch._utils", "_rebuild_sparse_tensor"), P.none, P.tuple(tensor, tensor))
    let quantized = P.call(
      P.global("torch._utils", "_rebuild_qtensor"), P.storage("1", "QInt8Storage", count: 4, view: nil), P.int(0),
      P.tuple(P.int(4)), P.tuple(P.int(1)), P.tuple(P.global("torch", "per_tensor_affine"), P.int(1), P.int(0)), P.no)
    let conjugate = P.call(
      P.global("torch._utils", "_rebuild_tensor_v2"), storage, P.int(0), P.tuple(P.int(1)), P.tuple(P.int(1)), P.no,
      P.none,
      P.dict(P.text("neg"), [0x88]))
    let subclass = P.call(
      P.global("torch._tensor", "_rebuild_from_type_v2"), P.global("torch._utils", "_rebuild_tensor_v2"),
      P.global("my", "Tensor"),
      P.tuple(storage, P.int(2), P.tuple(P.int(1)), P.tuple(P.int(1)), P.no, P.none), P.dict())
    let source = try open(
      P.zip(
        P.dict(
          P.text("sparse"), sparse, P.text("q"), quantized, P.text("neg"), conjugate, P.text("sub"), subclass,
          P.text("tied"),
          P.call(P.global("torch._utils", "_rebuild_parameter"), subclass, [0x88], P.none)),
        [("0", floats(ten)), ("1", [1, 2, 3, 4])]))
    #expect(source.tensors.map(\.name) == ["q", "neg", "sub", "tied"])
    #expect(source.warnings.contains { $0.contains("'sparse' is a sparse tensor") })
    #expect(
      source.tensors[0].elementType == .quantizedI8 && source.warnings.contains { $0.contains("'q' is quantized") })
    #expect(formatError { try source.withBytes(ofTensorAt: 1) { _ in } }?.kind == .unsupported)
    #expect(formatError { try source.streamBytes(ofTensorAt: 1) { _ in } }?.kind == .unsupported)
    #expect(try values(source, "sub") == [2] && values(source, "tied") == [2])
  }

  // MARK: Imports

  @Test(arguments: [
    ("torch._utils", "_rebuild_tensor_v2", "known"), ("collections", "OrderedDict", "known"),
    ("torch", "BFloat16Storage", "known"),
    ("torch.cuda", "HalfTensor", "known"), ("torch", "float8_e4m3fn", "known"), ("__builtin__", "set", "known"),
    ("torch.nn.parameter", "Parameter", "known"), ("posix", "system", "dangerous"), ("os", "popen", "dangerous"),
    ("__builtin__", "eval", "dangerous"), ("builtins", "getattr", "dangerous"), ("subprocess", "Popen", "dangerous"),
    ("commands", "getoutput", "dangerous"), ("torch", "load", "dangerous"),
    ("torch.storage", "_load_from_bytes", "dangerous"),
    ("torch.hub", "load", "dangerous"), ("torch", "serialization.os.system", "dangerous"),
    ("numpy", "load", "dangerous"),
    ("operator", "attrgetter", "dangerous"), ("urllib.request", "urlopen", "dangerous"),
    ("runpy", "_run_code", "dangerous"),
    ("transformers.models.bert.modeling_bert", "BertModel", "unknown"), ("numpy", "dtype", "known"),
    ("argparse", "Namespace", "known"), ("torch", "StrangeStorage", "unknown"),
    ("torch.nn.modules.linear", "Linear", "known"),
    ("pathlib", "PosixPath", "known"), ("osaka", "Model", "unknown"), ("mycode", "Model", "unknown"),
  ])
  func verdicts(module: String, name: String, verdict: String) {
    #expect(PickleImports.verdict(PickleImports.canonical(module: module, name: name)).rawValue == verdict)
  }

  @Test func secondPicklesAreSeen() throws {
    let evil = P.whole(P.call(P.global("os", "system"), P.text("touch pwned")))
    let tensor = P.dict(P.text("a"), P.tensor(P.storage("0", count: 2, view: nil), [2], [1]))
    func names(_ bytes: [UInt8]) throws -> [String] {
      try open(bytes).imports.filter { $0.verdict == .dangerous }.map(\.name)
    }
    // After the first one, as another file of the archive, after the storages of the old form
    let first = ZipTestBuilder([.init("m/data.pkl", P.whole(tensor) + evil), .init("m/data/0", floats([1, 2]))]).bytes()
    #expect(try names(first) == ["os.system"])
    #expect(try names(P.zip(tensor, [("0", floats([1, 2]))], more: [.init("other/data.pkl", evil)])) == ["os.system"])
    let old = P.dict(P.text("a"), P.tensor(P.storage("0", count: 2), [2], [1]))
    #expect(try names(P.legacy(old, [("0", 2, floats([1, 2]))]) + evil) == ["os.system"])
    // The magic number itself made by a call
    let made =
      P.whole(P.call(P.global("__builtin__", "eval"), P.text("0x1950A86A20F9469CFC6C"))) + P.whole(P.int(1001)) + evil
    #expect(try names(made) == ["builtins.eval", "os.system"])
  }

  @Test func aBrokenHostilePickleIsNamed() {
    let bytes = ZipTestBuilder([
      .init("m/data.pkl", [0x80, 2] + P.call(P.global("os", "system"), P.text("x")) + [0xFF])
    ]).bytes()
    let error = formatError { _ = try open(bytes) }
    #expect(error?.advice?.text.contains("imports os.system") == true)
  }

  // MARK: Old forms

  @Test func theTarForm() throws {
    let storages =
      P.whole(P.int(1)) + P.whole(P.tuple(P.int(100), P.text("cpu"), P.global("torch", "FloatStorage")))
      + ZipTestBuilder.number(10, 8) + floats(ten)
      + P.whole(P.list(P.tuple(P.int(101), P.int(100), P.int(5), P.int(4))))
    func tensor(_ key: Int, _ storage: Int, _ shape: [Int], _ strides: [Int], _ offset: Int) -> [UInt8] {
      P.whole(P.tuple(P.int(key), P.int(storage), P.global("torch", "FloatTensor")))
        + ZipTestBuilder.number(shape.count, 8)
        + (shape + strides + [offset]).flatMap { ZipTestBuilder.number($0, 8) }
    }
    let tensors = P.whole(P.int(2)) + tensor(1, 100, [5, 2], [1, 5], 0) + tensor(2, 101, [2], [2], 1)
    let pickle = P.whole(P.dict(P.text("a"), P.int(1) + [0x51], P.text("b"), P.int(2) + [0x51]))
    func file(_ name: String, _ content: [UInt8]) -> [UInt8] {
      var header = Array(name.utf8) + [UInt8](repeating: 0, count: 512 - name.utf8.count)
      let octal = String(content.count, radix: 8)
      header.replaceSubrange(
        124..<136, with: Array((String(repeating: "0", count: 11 - octal.count) + octal).utf8) + [0])
      header[156] = 0x30
      header.replaceSubrange(257..<263, with: Array("ustar".utf8) + [0])
      header.replaceSubrange(148..<156, with: [UInt8](repeating: 0x20, count: 8))
      let sum = String(header.reduce(0) { $0 + Int($1) }, radix: 8)
      header.replaceSubrange(
        148..<156, with: Array((String(repeating: "0", count: 6 - sum.count) + sum).utf8) + [0, 0x20])
      return header + content + [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
    }
    let archive =
      file("storages", storages) + file("tensors", tensors) + file("pickle", pickle)
      + [UInt8](repeating: 0, count: 1024)
    let source = try open(archive)
    #expect(source.format == .pyTorchTar)
    #expect(try values(source, "a") == [0, 5, 1, 6, 2, 7, 3, 8, 4, 9] && values(source, "b") == [6, 8])
    var damaged = archive
    damaged[0] = 0x53
    #expect(!TorchLegacyFormat().recognizes(Bytes(damaged), path: "m"))
    let far =
      file("storages", storages) + file("tensors", P.whole(P.int(1)) + tensor(1, 101, [2], [4], 0))
      + file("pickle", pickle)
    #expect(formatError { _ = try open(far) }?.expected == "within 4 elements")
  }

  @Test func aBarePickleIsNamed() throws {
    let source = try open(P.whole(P.dict(P.text("epoch"), P.int(3))))
    #expect(source.tensors.isEmpty && source.metadata.map(\.key) == ["epoch"])
    #expect(source.warnings.contains { $0.contains("not one of torch.save") })
    #expect(formatError { _ = try open(P.magic + P.whole(P.int(1002))) }?.expected == "1001")
  }

  /// Whatever is cut or changed, a wrong file is an error or a list: no crash.
  @Test(.exhaustive, arguments: ["zip", "legacy"])
  func damagedFiles(form: String) throws {
    let good = try contents(fixture("torch/module/module-\(form).pt"))
    let format = format(of: Bytes(good))
    for count in stride(from: 0, to: good.count, by: 5) {
      #expect(throws: FormatError.self) { try format.open(Bytes(Array(good.prefix(count))), path: "m") }
    }
    var state: UInt64 = 1
    var opened = 0
    for index in good.indices {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      var bytes = good
      bytes[index] ^= UInt8(truncatingIfNeeded: state >> 33) | 1
      guard let source = try? format.open(Bytes(bytes), path: "m") else { continue }
      opened += 1
      for number in source.tensors.indices { try? source.streamBytes(ofTensorAt: number) { _ in } }
      if form == "zip" { #expect(source.tensors.map(\.name) == ["weight", "bias", "calls"]) }
    }
    #expect(opened > 0 && opened < good.count)
  }
}
