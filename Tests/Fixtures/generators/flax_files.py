"""Files of flax.serialization: a tree of every type, arrays in chunks, a BERT, and a state of its training."""

import tempfile

import ml_dtypes
import numpy as np
import transformers

from . import expected_array, fixture, micro_bert, write_expected, write_json, write_reference


def flatten(tree, path=()):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, (*path, key))
        else:
            yield "/".join((*path, key)), value


def write_tree(path, tree):
    import flax.serialization

    path.write_bytes(flax.serialization.msgpack_serialize(tree))


@fixture("flax/types")
def types(folder):
    rng = np.random.default_rng(40)
    values = rng.normal(size=(2, 3))
    names = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8")
    arrays = {name: (values * 40).astype(name) if "u" not in name else np.arange(6, dtype=name) for name in names}
    low = ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e4m3b11fnuz")
    arrays |= {name: values.astype(getattr(ml_dtypes, name)) for name in low}
    arrays |= {name: np.arange(4).astype(getattr(ml_dtypes, name)) for name in ("int4", "uint4", "int2", "uint2")}
    arrays["float8_e8m0fnu"] = np.array([0.5, 1, 2], ml_dtypes.float8_e8m0fnu)
    arrays["float4_e2m1fn"] = np.array([0.5, -1, 6], ml_dtypes.float4_e2m1fn)
    arrays["bool"] = np.array([[True, False], [False, True]])
    arrays["complex64"] = (values + 1j * values).astype(np.complex64)
    arrays["complex128"] = values - 1j * values
    tree = {
        "types": arrays,
        "shapes": {
            "empty": np.zeros((0, 4), np.float32), "none": np.array(2.5, np.float32),
            "five": np.arange(16, dtype=np.int32).reshape(1, 2, 2, 1, 4), "long": np.arange(300, dtype=np.uint8),
            "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        },
        "scalars": {"float32": np.float32(1.5), "int64": np.int64(-3), "bool": np.bool_(True)},
        "ünïcödé 🦉": {"a key that is longer than thirty-one bytes": np.ones(2, np.float32)},
    }  # fmt: skip
    write_json(folder / "expected.json", {name: expected_array(np.asarray(value)) for name, value in flatten(tree)})
    values = {
        "complex": 1.5 - 2j, "none": None, "true": True, "int": 7, "large": 2**63, "negative": -(2**40), "float": 0.1,
        "text": "adamw", "bytes": b"\x00\xff",
    }  # fmt: skip
    write_tree(folder / "types.msgpack", tree | {"values": values, "nothing": {}})


@fixture("flax/chunks")
def chunks(folder):
    """Flax cuts arrays of more than 2^30 bytes; here of more than 64."""
    import flax.serialization

    rng = np.random.default_rng(41)
    tree = {
        "large": rng.normal(size=(13, 7)).astype(np.float32), "many": np.arange(11 * 32, dtype=np.int16),
        "bfloat16": rng.normal(size=(5, 9)).astype(ml_dtypes.bfloat16), "small": np.arange(4, dtype=np.int32),
    }  # fmt: skip
    write_json(folder / "expected.json", {name: expected_array(value) for name, value in tree.items()})
    largest = flax.serialization.MAX_CHUNK_SIZE
    flax.serialization.MAX_CHUNK_SIZE = 64
    try:
        write_tree(folder / "chunks.msgpack", tree)
    finally:
        flax.serialization.MAX_CHUNK_SIZE = largest


def flax_counterpart(model):
    """The Flax model of the same class, as transformers loads it from the torch model."""
    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)
        return getattr(transformers, "Flax" + type(model).__name__).from_pretrained(saved, from_pt=True)


@fixture("flax/bert")
def bert(folder):
    model = micro_bert("BertForPreTraining", seed=42, num_hidden_layers=2)
    flax_counterpart(model).save_pretrained(folder)
    write_expected(model, folder / "expected.safetensors")
    write_reference(model, folder / "reference.npz", batch=3, length=14, seed=43)


@fixture("flax/train-state")
def training(folder):
    import flax.serialization
    import optax
    from flax.training.train_state import TrainState

    sizes = dict(hidden_size=8, intermediate_size=12, vocab_size=20, num_labels=3)
    model = micro_bert("BertForSequenceClassification", seed=44, **sizes)
    counterpart = flax_counterpart(model)
    state = TrainState.create(apply_fn=None, params=counterpart.params, tx=optax.adamw(1e-3))
    (folder / "state.msgpack").write_bytes(flax.serialization.to_bytes(state))
    counterpart.config.save_pretrained(folder)
    write_expected(model, folder / "expected.safetensors")
