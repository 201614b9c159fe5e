"""NumPy archives."""

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
