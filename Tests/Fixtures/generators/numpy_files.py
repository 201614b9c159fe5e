"""NumPy archives, and arrays cut into several files."""

import io
import json
import warnings
import zipfile
from unittest import mock

import numpy as np

from . import expected_array, fixture, write_json


@fixture("numpy")
def numpy_files(folder):
    rng = np.random.default_rng(16)
    arrays = {
        "f4": rng.normal(size=(3, 4)).astype(np.float32),
        "f8": rng.normal(size=5),
        "f2": rng.normal(size=(2, 2)).astype(np.float16),
        "c8": (rng.normal(size=3) + 1j * rng.normal(size=3)).astype(np.complex64),
        "i8": np.array([-(2**63), 0, 2**63 - 1]),
        "i4": np.arange(-3, 3, dtype=np.int32).reshape(3, 2),
        "u1": np.arange(250, 256, dtype=np.uint8),
        "bool": np.array([[True, False], [False, True]]),
        "scalar": np.float32(2.5),
        "empty": np.zeros((0, 4), np.float32),
        "fortran": np.asfortranarray(rng.normal(size=(4, 3)).astype(np.float32)),
        "fortran_rank3": np.asfortranarray(np.arange(24, dtype=np.int32).reshape(2, 3, 4)),
        "big_endian": rng.normal(size=(2, 3)).astype(">f4"),
        "scope/layer_0/kernel": rng.normal(size=(2, 3)).astype(np.float32),
    }
    np.savez(folder / "stored.npz", **arrays)
    np.savez_compressed(folder / "compressed.npz", **arrays)
    np.savez(folder / "object.npz", weights=arrays["f4"], settings=np.array({"layers": 2}, object))
    write_json(folder / "expected.json", {name: expected_array(np.asarray(value)) for name, value in arrays.items()})


class Pipe(io.RawIOBase):
    """A file that cannot seek, so that zipfile writes sizes after the data."""

    def __init__(self, file):
        self.file = file

    def writable(self):
        return True

    def write(self, data):
        return self.file.write(data)


@fixture("numpy-forms")
def forms(folder):
    values = np.random.default_rng(20).normal(size=(2, 3, 4)).astype(np.float32)
    arrays = {
        "fortran": np.asfortranarray(values), "big-endian": values.astype(">f8"),
        "big-endian-fortran": np.asfortranarray(values.astype(">i2")), "scalar": np.array(2.5, ">f2"),
    }  # fmt: skip
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    for version in (1, 2, 3):
        with open(folder / f"version-{version}.npy", "wb") as file:
            np.lib.format.write_array(file, values, version=(version, 0))
        arrays[f"version-{version}"] = values
    # A field whose name needs UTF-8 is what version 3 is for.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.save(folder / "fields.npy", np.zeros(2, [("вес", "<f4")]))
    np.save(folder / "object.npy", np.array([{"layers": 2}], object))
    archived = {"a": values, "b/c": arrays["big-endian-fortran"]}
    for compression, name in ((zipfile.ZIP_STORED, "stored"), (zipfile.ZIP_DEFLATED, "deflated")):
        save = np.savez if name == "stored" else np.savez_compressed
        # As if four gigabytes were passed: zip64 records everywhere.
        with mock.patch("zipfile.ZIP64_LIMIT", 8), mock.patch("zipfile.ZIP_FILECOUNT_LIMIT", 1):
            save(folder / f"zip64-{name}.npz", **archived)
        with open(folder / f"streamed-{name}.npz", "wb") as file:
            with zipfile.ZipFile(Pipe(file), "w", compression) as archive:
                for entry, array in archived.items():
                    with archive.open(f"{entry}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array)
    arrays |= archived
    write_json(folder / "expected.json", {name: expected_array(value) for name, value in arrays.items()})


# The variables of openai/finetune-transformer-lm in the order in which train.py makes them, for hidden size n.
def gpt_2018(positions, tokens, n, layers):
    shapes = {"model/positions": [positions, n], "model/tokens": [tokens, n]}
    for layer in range(layers):
        block = {
            "attn/c_attn/w": [1, n, 3 * n], "attn/c_attn/b": [3 * n], "attn/c_proj/w": [1, n, n], "attn/c_proj/b": [n],
            "ln_1/g": [n], "ln_1/b": [n], "mlp/c_fc/w": [1, n, 4 * n], "mlp/c_fc/b": [4 * n],
            "mlp/c_proj/w": [1, 4 * n, n], "mlp/c_proj/b": [n], "ln_2/g": [n], "ln_2/b": [n],
        }  # fmt: skip
        shapes |= {f"model/h{layer}/{name}": shape for name, shape in block.items()}
    return shapes


@fixture("numpy-shards")
def npy_shards(folder):
    rng = np.random.default_rng(19)
    named = gpt_2018(positions=6, tokens=11, n=4, layers=2)
    count = sum(int(np.prod(shape)) for shape in named.values())
    for number, part in enumerate(np.array_split(rng.normal(size=count).astype(np.float32), 10)):
        np.save(folder / f"params_{number}.npy", part)
    (folder / "params_shapes.json").write_text(json.dumps(list(named.values())))
    (folder / "encoder_bpe_11.json").write_text(json.dumps({chr(ord("a") + i): i for i in range(11)}))
    (folder / "vocab_11.bpe").write_text("#version: 0.2\na b</w>\n")

    # As train.py reads them
    shapes = json.loads((folder / "params_shapes.json").read_text())
    offsets = np.cumsum([np.prod(shape) for shape in shapes])
    params = np.split(np.concatenate([np.load(folder / f"params_{n}.npy") for n in range(10)], 0), offsets)[:-1]
    values = {name: param.reshape(shape) for name, param, shape in zip(named, params, shapes)}
    write_json(folder / "expected.json", {name: expected_array(value) for name, value in values.items()})
