"""HDF5 as h5py writes it, oldest and newest form, and what Keras writes with it."""

import io
import zipfile

import h5py
import numpy as np

from . import expected_array, expected_strings, fixture, write_json


def arrays(rng):
    return {
        "f4": rng.normal(size=(3, 4)).astype("<f4"), "f8": rng.normal(size=5), "f2": rng.normal(size=(2, 2)).astype("f2"),
        "big": rng.normal(size=(2, 3)).astype(">f4"), "i8": np.array([-(2**63), 2**63 - 1]), "u2": np.arange(3, dtype="u2"),
        "bool": np.array([[True, False], [False, True]]), "c8": (rng.normal(size=3) + 2j).astype("c8"),
        "scalar": np.float32(2.5), "empty": np.zeros((0, 4), "f4"), "group/inner/x": np.arange(6, dtype="i4").reshape(2, 3),
    }  # fmt: skip


def write(path, latest):
    rng = np.random.default_rng(81)
    expected = {}
    with h5py.File(path, "w", libver="latest" if latest else "earliest") as file:

        def add(name, array, **options):
            file.create_dataset(name, data=array, **options)
            expected[name] = expected_array(np.asarray(file[name][()]))

        for name, array in arrays(rng).items():
            add(name, array)
        grid = rng.normal(size=(7, 9)).astype("f4")
        add("chunks/plain", grid, chunks=(3, 4))
        add("chunks/all", grid, chunks=(3, 4), compression="gzip", shuffle=True, fletcher32=True)
        add("chunks/one", grid, chunks=(7, 9), compression="gzip")
        add("chunks/growing", grid, chunks=(2, 9), maxshape=(None, 12))
        add("chunks/growing2", grid, chunks=(2, 3), maxshape=(None, None), fletcher32=True)
        sparse = file.create_dataset("chunks/sparse", (50,), "i4", chunks=(4,), fillvalue=7)
        sparse[20:22] = 1
        expected["chunks/sparse"] = expected_array(sparse[...])
        file.create_dataset("never", (2, 3), "f8", fillvalue=0.5)
        expected["never"] = expected_array(file["never"][...])
        file["fixed"] = np.array([b"ab", b"cdef", b""])
        expected["fixed"] = expected_strings([b"ab", b"cdef", b""])
        file.create_dataset("text", data=["x", "", "k\u00e4se"], dtype=h5py.string_dtype())
        expected["text"] = expected_strings([b"x", b"", "k\u00e4se".encode()])
        for number in range(12):
            file[f"many/name {number}"] = np.float32(number)
            expected[f"many/name {number}"] = expected_array(np.float32(number))
            file["many"].attrs[f"attribute {number}"] = number
    return expected


REFUSED = {}


def refused(function):
    REFUSED[function.__name__.replace("_", "-")] = function


@refused
def external_link(file):
    file["link"] = h5py.ExternalLink("other.h5", "/x")


@refused
def external_data(file):
    file.create_dataset("data", (4,), "f4", external=[("raw.bin", 0, 16)])


@refused
def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    file.create_virtual_dataset("view", layout)


@refused
def lzf(file):
    file.create_dataset("packed", data=np.zeros(100, "f4"), compression="lzf")


@refused
def references(file):
    file["x"] = 1
    file.create_dataset("ref", data=np.array([file["x"].ref], h5py.ref_dtype))


@refused
def records(file):
    file["table"] = np.zeros(3, [("a", "i4"), ("b", "f4")])


@fixture("keras")
def keras_files(folder):
    expected = write(folder / "earliest.h5", latest=False)
    assert write(folder / "latest.h5", latest=True) == expected
    write_json(folder / "expected.json", expected)
    with h5py.File(folder / "user-block.h5", "w", userblock_size=512) as file:
        file["x"] = np.arange(3)
        file["a/y"] = np.arange(2)
        file["soft"] = h5py.SoftLink("/x")
        file["again"] = file["a"]
    (folder / "refused").mkdir()
    for name, make in REFUSED.items():
        with h5py.File(folder / "refused" / f"{name}.h5", "w") as file:
            make(file)


def small_model(library):
    model = library.Sequential(
        [library.layers.Input((3,)), library.layers.Dense(4, name="z_first"), library.layers.LayerNormalization(name="a_second")]
    )
    rng = np.random.default_rng(82)
    model.set_weights([rng.normal(size=w.shape).astype("f4") for w in model.get_weights()])
    return model


@fixture("keras/models", alone=True)
def keras_models(folder):
    """Weights as Keras 2 keeps them, and an archive of Keras 3 with its dates set back."""
    import keras
    import tf_keras

    model = small_model(tf_keras)
    model.save_weights(folder / "weights.h5")
    expected = {
        f"{layer.name}/{weight.name}": expected_array(weight.numpy()) for layer in model.layers for weight in layer.weights
    }
    write_json(folder / "weights.json", expected)
    model = small_model(keras)
    model.save(folder / "model.keras")
    written = zipfile.ZipFile(io.BytesIO((folder / "model.keras").read_bytes()))
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        for name in written.namelist():
            data = written.read(name)
            if name == "metadata.json":
                data = b'{"keras_version": "3", "date_saved": "2020-01-01@00:00:00"}'
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED if name.endswith("h5") else zipfile.ZIP_STORED
            archive.writestr(entry, data)
    names = ["layers/dense/vars/0", "layers/dense/vars/1", "layers/layer_normalization/vars/0", "layers/layer_normalization/vars/1"]
    write_json(folder / "model.json", {n: expected_array(np.asarray(w)) for n, w in zip(names, model.get_weights())})
