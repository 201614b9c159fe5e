import TensorIO
import TestSupport
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// What `inspect` prints, compared with what was reviewed before. `BERTCONV_RECORD=1 swift test --filter Golden` writes
/// the listings anew; the difference is then reviewed like any other change.
@Suite("Golden listings")
struct GoldenListingTests {
  @Test(arguments: [
    ("bert-tiny", ["tensorflow/bert-tiny"]),
    ("bert-training", ["tensorflow/bert-training"]),
    ("bert-tiny-tree", ["tensorflow/bert-tiny", "--tree"]),
    ("bert-training-stats", ["tensorflow/bert-training", "--stats", "--filter", "*pooler*"]),
    ("bert-training-unmapped", ["tensorflow/bert-training", "--unmapped"]),
    ("bert-partitioned-by-size", ["tensorflow/bert-partitioned", "--sort", "size"]),
    ("bert-sharded-by-offset", ["tensorflow/bert-sharded", "--sort", "offset"]),
    ("dtypes", ["tensorflow/dtypes/dtypes"]),
    ("object-graph", ["tensorflow/object-graph"]),
    ("saved-model-json", ["tensorflow/saved-model", "--json"]),
    ("v1", ["tensorflow/v1/types"]),
    ("npz", ["numpy/stored.npz"]),
    ("numpy-shards", ["numpy-shards"]),
    ("safetensors", ["safetensors/dtypes.safetensors"]),
    ("safetensors-sharded", ["safetensors/sharded"]),
    ("hdf5", ["keras/latest.h5", "--stats", "--filter", "*"]),
    ("keras-weights", ["keras/models/weights.h5"]),
    ("keras-archive", ["keras/models/model.keras"]),
    ("gpt-shards", ["numpy/gpt-shards"]),
    ("ulmfit", ["torch/other-models/fwd_wt103.h5"]),
    ("flax-types", ["flax/types"]),
    ("flax-chunks-by-offset", ["flax/chunks", "--sort", "offset"]),
    ("flax-train-state-unmapped", ["flax/train-state/state.msgpack", "--unmapped"]),
    ("megatron-lm", ["torch/megatron-lm/version-3.pt"]),
    ("megatron-lm-unmapped", ["torch/megatron-lm/version-1.pt", "--unmapped"]),
  ])
  func listing(_ name: String, _ arguments: [String]) throws {
    let result = try Program.run(["inspect", fixture(arguments[0])] + arguments.dropFirst())
    #expect(result.status == 0, "\(result.errors)")
    let root = fixture("")
    let text = result.output.split(separator: root, omittingEmptySubsequences: false).joined(separator: "Fixtures/")
    let path = fixture("../bertconvTests/Listings/\(name).txt")
    if unsafe getenv("BERTCONV_RECORD") != nil {
      try AtomicFile.write(Array(text.utf8), to: path, overwrites: true)
    }
    #expect(text == String(decoding: try contents(path), as: UTF8.self))
  }
}
