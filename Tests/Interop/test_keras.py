"""HDF5 as h5py writes it in all its forms, and the weights of Keras, each array as h5py itself reads it."""

import json
import struct
import unittest

import h5py
import numpy as np
from support import UNUSABLE, InteropTest

TYPES = ["<f4", ">f4", "<f8", ">f8", "<f2", ">i4", "<i8", "i1", "u1", "<u2", ">u8", "?", "<c8", ">c16"]


class HDF5(InteropTest):
    def array(self, shape=None):
        if shape is None:
            shape = tuple(int(n) for n in self.rng.integers(1, 9, int(self.rng.integers(0, 5))))
        kind = np.dtype(self.rng.choice(TYPES))
        values = self.rng.normal(0, 40, shape)
        if kind.kind == "u":
            values = np.abs(values)
        if kind.kind == "c":
            values = values + 1j * self.rng.normal(size=shape)
        return np.asarray(values).astype(kind)

    def storage(self, array):
        """Options of create_dataset for an array."""
        shape = array.shape
        options = {}
        if not shape or self.rng.random() < 0.25:
            return options
        options["chunks"] = tuple(int(self.rng.integers(1, n + 3)) for n in shape)
        if self.rng.random() < 0.5:
            options["maxshape"] = tuple(None if self.rng.random() < 0.5 else n + 5 for n in shape)
            options["chunks"] = tuple(min(c, n + 5) for c, n in zip(options["chunks"], shape))
        else:
            options["chunks"] = tuple(min(c, n) for c, n in zip(options["chunks"], shape))
        if self.rng.random() < 0.4:
            options["compression"], options["compression_opts"] = "gzip", int(self.rng.integers(0, 10))
        options["shuffle"] = bool(self.rng.random() < 0.4)
        options["fletcher32"] = bool(self.rng.random() < 0.4)
        if self.rng.random() < 0.3 and array.dtype.kind != "c":
            options["fillvalue"] = 1
        return options

    def check(self, path, expected):
        npz = path.with_suffix(".npz")
        listed = self.bertconv_json("inspect", path, "--stats")
        self.assertEqual(listed["format"], "hdf5")
        tensors = {tensor["name"]: tensor for tensor in listed["tensors"]}
        self.assertEqual(sorted(tensors), sorted(expected))
        for name, array in expected.items():
            self.assertEqual(tensors[name]["shape"], list(array.shape), name)
        # The values: `diff` reads both files through their own readers.
        np.savez(npz, **{name: array for name, array in expected.items()})
        self.bertconv("diff", path, npz)

    def test_random_files(self):
        for number in range(40):
            latest = bool(number % 2)
            path = self.folder / f"random-{number}.h5"
            expected = {}
            with h5py.File(
                path, "w", libver="latest" if latest else ("earliest", "v108"),
                userblock_size=int(self.rng.choice([0, 0, 512, 2048])), track_order=bool(self.rng.random() < 0.3),
            ) as file:  # fmt: skip
                for _ in range(int(self.rng.integers(1, 30))):
                    name = "/".join(f"g{n}" for n in self.rng.integers(0, 4, int(self.rng.integers(0, 4))))
                    name = f"{name}/d{len(expected)}".lstrip("/")
                    array = self.array()
                    file.create_dataset(name, data=array, **self.storage(array))
                    expected[name] = array
                for number in range(int(self.rng.integers(0, 20))):
                    item = file[str(self.rng.choice(list(expected)))]
                    item.attrs[f"note{number}"] = "x" * int(self.rng.integers(0, 3000))
            with self.subTest(path=path.name):
                self.check(path, expected)

    def test_indexes_of_many_chunks(self):
        shapes = {
            "fixed": ((3000,), (1,), (3000,)), "paged": ((5000,), (2,), (9000,)),
            "extensible": ((4000,), (1,), (None,)), "extensible-long": ((70000,), (1,), (None,)),
            "tree": ((60, 50), (1, 1), (None, None)), "growing": ((900, 3), (2, 2), (None, 3)),
            "single": ((40, 50), (40, 50), (40, 50)), "implicit": ((40, 50), (7, 11), (40, 50)),
        }  # fmt: skip
        for latest in (False, True):
            for filtered in (False, True):
                path = self.folder / f"many-{latest}-{filtered}.h5"
                expected = {}
                with h5py.File(path, "w", libver="latest" if latest else "earliest") as file:
                    for name, (shape, chunks, most) in shapes.items():
                        array = self.rng.normal(size=shape).astype("f4")
                        options = dict(compression="gzip", compression_opts=1, shuffle=True) if filtered else {}
                        if name == "implicit" and latest and not filtered:
                            space = h5py.h5s.create_simple(shape, most)
                            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                            plist.set_chunk(chunks)
                            plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
                            made = h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(array.dtype), space, plist)
                            h5py.Dataset(made)[...] = array
                        else:
                            file.create_dataset(name, data=array, chunks=chunks, maxshape=most, **options)
                        expected[name] = array
                    # Only some chunks written, the others of the fill value.
                    sparse = file.create_dataset(
                        "sparse", (5000,), "i4", chunks=(3,), maxshape=(None,) if filtered else (9000,), fillvalue=7
                    )
                    sparse[1200:1210] = np.arange(10)
                    expected["sparse"] = sparse[...]
                    never = file.create_dataset("never", (7, 3), "f8", fillvalue=2.5)
                    expected["never"] = never[...]
                with self.subTest(latest=latest, filtered=filtered):
                    self.check(path, expected)

    def test_many_links_and_attributes(self):
        for latest in (False, True):
            path = self.folder / f"links-{latest}.h5"
            expected = {}
            with h5py.File(path, "w", libver="latest" if latest else "earliest") as file:
                for number in range(2500):
                    name = f"group/{'long ' * (number % 9)}name {number}"
                    file[name] = np.float32(number)
                    expected[name] = np.float32(number)
                for number in range(300):
                    file["group"].attrs[f"attribute {number}"] = np.arange(number % 17)
                file["group"].attrs["text"] = "word " * 2000
            self.check(path, {name: np.asarray(array) for name, array in expected.items()})

    def test_strings(self):
        path = self.folder / "strings.h5"
        with h5py.File(path, "w") as file:
            file["fixed"] = np.array([b"ab", b"cdef", b""])
            file.create_dataset("variable", data=["x", "", "käse" * 30], dtype=h5py.string_dtype())
        listed = {t["name"]: t for t in self.bertconv_json("inspect", path)["tensors"]}
        self.assertEqual([listed[name]["dtype"] for name in ("fixed", "variable")], ["STRING", "STRING"])
        self.assertEqual(listed["variable"]["shape"], [3])

    def test_what_is_not_read_is_named(self):
        def external_link(file):
            file["link"] = h5py.ExternalLink("other.h5", "/x")

        def external_data(file):
            file.create_dataset("data", (4,), "f4", external=[("raw.bin", 0, 16)])

        def virtual(file):
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
            file.create_virtual_dataset("view", layout)

        def lzf(file):
            file.create_dataset("packed", data=np.zeros(100, "f4"), compression="lzf")

        def references(file):
            file["x"] = 1
            file.create_dataset("ref", data=np.array([file["x"].ref], h5py.ref_dtype))

        def records(file):
            file["table"] = np.zeros(3, [("a", "i4"), ("b", "f4")])

        (self.folder / "raw.bin").write_bytes(bytes(16))
        for make, word in (
            (external_link, "points to another file"), (external_data, "is in other files"),
            (virtual, "is virtual"), (lzf, "lzf"), (references, "references"), (records, "records of a, b"),
        ):  # fmt: skip
            for latest in (False, True):
                path = self.folder / f"{make.__name__}-{latest}.h5"
                with h5py.File(path, "w", libver="latest" if latest else "earliest") as file:
                    make(file)
                result = self.bertconv("inspect", path, status=UNUSABLE)
                self.assertIn(word, result.printed)

    def test_what_h5py_would_read_as_something_else(self):
        """Chunks out of order, which libhdf5 does not find, and a fill value of another size than the elements."""

        def write(name, make):
            path = self.folder / name
            with h5py.File(path, "w", libver="earliest") as file:
                make(file)
            return path, bytearray(path.read_bytes())

        path, content = write("chunks.h5", lambda file: file.create_dataset("w", data=np.arange(6, dtype="f4"), chunks=(2,)))
        first = bytes(content).index(b"TREE\1") + 24
        struct.pack_into("<Q", content, first + 8, 4)
        struct.pack_into("<Q", content, first + 2 * 32 + 8, 0)
        path.write_bytes(content)
        self.assertIn("not in order", self.bertconv("inspect", path, "--stats", status=UNUSABLE).printed)

        path, content = write("fill.h5", lambda file: file.create_dataset("w", (4,), "f8", fillvalue=1.5))
        offset = bytes(content).index(struct.pack("<Id", 8, 1.5))
        struct.pack_into("<If", content, offset, 4, 2.0)
        path.write_bytes(content)
        self.assertIn("fill value", self.bertconv("inspect", path, "--stats", status=UNUSABLE).printed)

    def test_soft_links_and_second_names_are_reported(self):
        path = self.folder / "links.h5"
        with h5py.File(path, "w") as file:
            file["a/x"] = np.arange(3)
            file["soft"] = h5py.SoftLink("/a/x")
            file["b"] = file["a"]
            file["a/again"] = file["a"]
        listed = self.bertconv_json("inspect", path)
        self.assertEqual([tensor["name"] for tensor in listed["tensors"]], ["a/x"])
        self.assertEqual(sum("soft link" in text or "is an alias" in text for text in listed["warnings"]), 3)

    def test_damage_is_an_error_or_without_effect(self):
        path = self.folder / "good.h5"
        for latest in (False, True):
            with h5py.File(path, "w", libver="latest" if latest else "earliest") as file:
                for name in "abc":
                    file.create_dataset(
                        f"g/{name}", data=self.rng.normal(size=(9, 8)), chunks=(4, 3), fletcher32=True, compression="gzip"
                    )
                file.attrs["keras_version"] = "2.15.0"
            good = path.read_bytes()
            for number in range(120):
                data = bytearray(good)
                for _ in range(int(self.rng.integers(1, 4))):
                    data[int(self.rng.integers(len(data)))] = int(self.rng.integers(256))
                if number % 7 == 0:
                    del data[int(self.rng.integers(len(data))) :]
                damaged = self.folder / "damaged.h5"
                damaged.write_bytes(data)
                self.bertconv("inspect", damaged, "--stats", status=(0, UNUSABLE), timeout=20)


class Keras(InteropTest):
    def test_weights_and_models_of_both_generations(self):
        import keras
        import tf_keras

        for library, suffixes in ((tf_keras, (".h5", ".keras")), (keras, (".weights.h5", ".keras", ".h5"))):
            model = library.Sequential(
                [library.layers.Input((5,)), library.layers.Dense(7, name="a"), library.layers.LayerNormalization(name="n")]
            )
            model.set_weights([self.rng.normal(size=w.shape).astype("f4") for w in model.get_weights()])
            for suffix in suffixes:
                for whole in (False, True) if suffix == ".h5" else (suffix == ".keras",):
                    with self.subTest(library=library.__name__, suffix=suffix, whole=whole):
                        path = self.folder / f"{library.__name__}-{whole}{suffix}"
                        if whole:
                            model.save(path)
                        elif suffix == ".h5" and library is keras:
                            continue
                        else:
                            model.save_weights(str(path))
                        listed = self.bertconv_json("inspect", path, "--stats")
                        self.assertEqual(listed["format"], "keras-zip" if suffix == ".keras" else "keras-h5")
                        found = [t for t in listed["tensors"] if t["shape"] and "optimizer" not in t["name"]]
                        self.assertEqual(
                            sorted((t["shape"], round(t["stats"]["mean"], 4)) for t in found),
                            sorted((list(w.shape), round(float(w.mean(dtype="f8")), 4)) for w in model.get_weights()),
                        )

    def test_layers_come_in_their_order(self):
        import tf_keras

        names = [f"layer_{n}" for n in self.rng.permutation(14)]
        model = tf_keras.Sequential([tf_keras.layers.Dense(3, name=name) for name in names])
        model.build((None, 3))
        path = self.folder / "order.h5"
        model.save_weights(path)
        listed = [tensor["name"].split("/")[0] for tensor in self.bertconv_json("inspect", path)["tensors"]]
        self.assertEqual(listed, [name for name in names for _ in range(2)])
        model.save(self.folder / "whole.h5")
        whole = self.bertconv_json("inspect", self.folder / "whole.h5")
        listed = [t["name"].split("/")[1] for t in whole["tensors"] if t["name"].startswith("model_weights/")]
        self.assertEqual(listed, [name for name in names for _ in range(2)])
        self.assertIn("keras_version", json.dumps(whole))


if __name__ == "__main__":
    unittest.main()
