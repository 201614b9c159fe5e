"""TensorFlow checkpoints of named variables: the V2 bundle with SaveV2, the V1 file with Save and SaveSlices."""

import hashlib

import google_layout
import numpy as np

from . import (
    dtype_name, expected_array, expected_strings, fixture, micro_bert, tiny_bert, vocabulary, write_expected,
    write_json, write_reference,
)  # fmt: skip

tf = google_layout.import_tensorflow()
# What tf.compat.v1.train.Saver calls; the public function writes absolute paths only.
from tensorflow.python.checkpoint.checkpoint_management import update_checkpoint_state_internal  # noqa: E402


def write_model(folder, model, prefix="bert_model.ckpt", scope=""):
    """The model as google-research/bert stores it: bundle and bert_config.json."""
    google_layout.write_bundle(folder / prefix, google_layout.google_tensors(model.state_dict(), scope))
    google_layout.write_google_config(model.config, folder)


@fixture("tensorflow/bert-tiny")
def bert_tiny(folder):
    model = tiny_bert()
    write_model(folder, model)
    write_expected(model, folder / "expected.safetensors")
    write_reference(model, folder / "reference.npz", batch=3, length=20, seed=2)
    (folder / "vocab.txt").write_text(vocabulary(model.config.vocab_size), encoding="utf-8")


@fixture("tensorflow/bert-training")
def bert_training(folder):
    """What run_classifier.py leaves: the weights, Adam's two slots of each, the step, a head of three classes."""
    model = micro_bert("BertForSequenceClassification", seed=3, num_labels=3)
    weights = google_layout.google_tensors(model.state_dict())
    rng = np.random.default_rng(4)
    tensors = dict(weights, global_step=np.int64(1234))
    for name, value in weights.items():
        tensors[f"{name}/adam_m"] = rng.normal(0, 1e-3, value.shape).astype(np.float32)
        tensors[f"{name}/adam_v"] = rng.gamma(1, 1e-6, value.shape).astype(np.float32)
    google_layout.write_bundle(folder / "model.ckpt-1234", tensors)
    google_layout.write_google_config(model.config, folder)
    prefix = str(folder / "model.ckpt-1234")
    update_checkpoint_state_internal(str(folder), prefix, [prefix], save_relative_paths=True)
    write_expected(model, folder / "expected.safetensors")


def with_pooler(model, seed):
    """google-research/bert has a pooler under every head; some classes of transformers leave it out. Add it."""
    model.bert.pooler = micro_bert("BertModel", seed).pooler
    return model


@fixture("tensorflow/bert-squad")
def bert_squad(folder):
    model = with_pooler(micro_bert("BertForQuestionAnswering", seed=5), seed=6)
    write_model(folder, model)
    write_expected(model, folder / "expected.safetensors")


@fixture("tensorflow/bert-hub")
def bert_hub(folder):
    model = with_pooler(micro_bert("BertForMaskedLM", seed=7), seed=8)
    write_model(folder, model, scope="module/")
    write_expected(model, folder / "expected.safetensors")


@fixture("tensorflow/bert-sharded")
def bert_sharded(folder):
    model = micro_bert("BertForPreTraining", seed=9)
    tensors = google_layout.google_tensors(model.state_dict())
    names = sorted(tensors)
    parts = [{name: tensors[name] for name in names[start::2]} for start in range(2)]
    google_layout.write_sharded_bundle(folder / "bert_model.ckpt", parts)
    google_layout.write_google_config(model.config, folder)
    write_expected(model, folder / "expected.safetensors")


@fixture("tensorflow/bert-partitioned")
def bert_partitioned(folder):
    """Word embeddings in two slices of rows, one kernel in three of columns; `-` and `0,16` both mean "all"."""
    model = micro_bert("BertForPreTraining", seed=10)
    tensors = google_layout.google_tensors(model.state_dict())
    words, kernel = "bert/embeddings/word_embeddings", "bert/encoder/layer_0/intermediate/dense/kernel"
    table, matrix = tensors.pop(words), tensors.pop(kernel)
    slices = [
        (words, "40 16 0,23:-", table[:23]),
        (words, "40 16 23,17:0,16", table[23:]),
        (kernel, "16 32 -:0,9", matrix[:, :9]),
        (kernel, "16 32 -:9,3", matrix[:, 9:12]),
        (kernel, "16 32 0,16:12,20", matrix[:, 12:]),
    ]
    google_layout.write_bundle(folder / "bert_model.ckpt", tensors, slices)
    google_layout.write_google_config(model.config, folder)
    write_expected(model, folder / "expected.safetensors")


@fixture("tensorflow/bert-ema")
def bert_ema(folder):
    """Each weight and its moving average: the weight is what counts."""
    model = micro_bert("BertForPreTraining", seed=11)
    weights = google_layout.google_tensors(model.state_dict())
    averages = {f"{name}/ExponentialMovingAverage": value * np.float32(0.9) for name, value in weights.items()}
    google_layout.write_bundle(folder / "bert_model.ckpt", weights | averages)
    google_layout.write_google_config(model.config, folder)
    write_expected(model, folder / "expected.safetensors")


STRINGS = [
    b"", b"plain", "größe".encode(), "世界".encode(), "🦉".encode(), b"\x00\xff\x80 not UTF-8",
    b"x" * 127, b"y" * 128, b"z" * 300, b"",
]  # fmt: skip


def dtype_values(dtype, rng):
    """Six elements of a type, in [2, 3], that show its byte order and its sign."""
    numpy_type = dtype.as_numpy_dtype
    if dtype.is_quantized:
        plain = {1: np.int8, 2: np.int16, 4: np.int32}[dtype.size]
        plain = np.dtype(plain if dtype.name.startswith("q") and "u" not in dtype.name else f"u{dtype.size}")
        raw = np.array([[0, 1, 2], [3, np.iinfo(plain).max, np.iinfo(plain).min]], plain)
        return tf.bitcast(tf.constant(raw), dtype)
    if dtype.name == "bool":
        return tf.constant([[True, False, True], [False, False, True]])
    if dtype.name in ("int4", "uint4", "int2", "uint2"):
        low, high = {"int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3)}[dtype.name]
        return tf.constant(np.array([[0, 1, high], [low, 1, high]]).astype(numpy_type), dtype)
    if dtype.is_integer:
        info = np.iinfo(numpy_type)
        return tf.constant(np.array([[0, 1, 2], [info.min, info.max, info.max // 3]], numpy_type))
    if dtype.is_complex:
        return tf.constant((rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3))).astype(numpy_type))
    return tf.constant(np.array([[0.0, -0.5, 1.5], [np.nan, -2.0, 3.0]]).astype(numpy_type), dtype)


def expected_tf(tensor):
    """Type, shape and bytes of a TensorFlow tensor; types of less than a byte take one byte an element."""
    if tensor.dtype == tf.string:
        return expected_strings(tensor.numpy())
    array = np.asarray(tensor.numpy())
    raw = np.ascontiguousarray(array).view(np.uint8) if array.ndim else np.frombuffer(array.tobytes(), np.uint8)
    return {"dtype": dtype_name(tensor.dtype.name), "shape": list(tensor.shape), "hex": raw.tobytes().hex()}


@fixture("tensorflow/dtypes")
def dtypes(folder):
    """Every type that SaveV2 takes; scalars, empty tensors, high ranks. The newest type has a bundle of its own."""
    rng = np.random.default_rng(12)
    tensors = {}
    for name in (
        "float64 float32 float16 bfloat16 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e4m3b11fnuz float8_e5m2fnuz "
        "int64 int32 int16 int8 int4 int2 uint64 uint32 uint16 uint8 uint4 uint2 bool complex64 complex128 "
        "qint8 quint8 qint16 quint16 qint32"
    ).split():
        tensors[f"types/{name}"] = dtype_values(tf.dtypes.as_dtype(name), rng)
    tensors["shapes/scalar_float"] = tf.constant(np.float32(-2.5))
    tensors["shapes/scalar_int"] = tf.constant(np.int64(-(2**40)))
    tensors["shapes/scalar_string"] = tf.constant("one string")
    tensors["shapes/empty"] = tf.zeros([0, 3])
    tensors["shapes/empty_strings"] = tf.constant([], tf.string)
    tensors["shapes/rank5"] = tf.constant(np.arange(2 * 3 * 1 * 2 * 2, dtype=np.float32).reshape(2, 3, 1, 2, 2))
    tensors["shapes/ones"] = tf.ones([1, 1, 1])
    tensors["strings/vector"] = tf.constant(STRINGS)
    tensors["strings/matrix"] = tf.constant([[b"a", b""], ["é".encode(), b"d" * 200]])
    tensors["a name, with spaces/ünïcödé/🦉"] = tf.constant([1.0, 2.0])
    google_layout.write_bundle(folder / "dtypes", tensors)
    expected = {name: expected_tf(tensors[name]) for name in sorted(tensors)}
    write_json(folder / "expected.json", expected)

    four_bits = dtype_values(tf.dtypes.experimental.float4_e2m1fn, rng)
    google_layout.write_bundle(folder / "float4", {"types/float4_e2m1fn": four_bits})
    write_json(folder / "expected-float4.json", {"types/float4_e2m1fn": expected_tf(four_bits)})


@fixture("tensorflow/many-keys")
def many_keys(folder):
    """4,096 scalars under names that share no prefix, for a table of several blocks; each value is its number."""
    tensors = {}
    for number in range(4096):
        scope = hashlib.sha256(b"scope %d" % number).hexdigest()
        tensors[f"{scope}/variable_{number}"] = np.int32(number)
    google_layout.write_bundle(folder / "many", tensors)


@fixture("tensorflow/v1")
def v1(folder):
    """V1 files: every type that Save takes, and a variable in slices with SaveSlices."""
    rng = np.random.default_rng(13)
    tensors = {}
    for name in (
        "float64 float32 float16 int64 int32 int16 int8 uint16 uint8 bool complex64 complex128 qint8 quint8 qint32"
    ).split():
        tensors[f"types/{name}"] = dtype_values(tf.dtypes.as_dtype(name), rng)
    tensors["shapes/scalar"] = tf.constant(np.float32(0.75))
    tensors["shapes/rank4"] = tf.constant(np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2))
    tensors["shapes/same_values"] = tf.fill([4, 5], np.float32(1.25))
    tensors["strings"] = tf.constant(STRINGS)
    names = sorted(tensors)
    tf.raw_ops.Save(filename=str(folder / "types"), tensor_names=names, data=[tensors[name] for name in names])
    write_json(folder / "expected-types.json", {name: expected_tf(tensors[name]) for name in names})

    table = rng.normal(size=(7, 6)).astype(np.float32)
    plain = np.arange(5, dtype=np.int64)
    tf.raw_ops.SaveSlices(
        filename=str(folder / "slices"),
        tensor_names=["plain", "table", "table", "table"],
        shapes_and_slices=["", "7 6 0,4:-", "7 6 4,3:0,2", "7 6 4,3:2,4"],
        data=[tf.constant(plain), tf.constant(table[:4]), tf.constant(table[4:, :2]), tf.constant(table[4:, 2:])],
    )
    write_json(folder / "expected-slices.json", {"plain": expected_array(plain), "table": expected_array(table)})
