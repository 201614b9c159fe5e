"""What `inspect` lists, against what TensorFlow lists and numpy computes."""

import unittest

import numpy as np
from support import InteropTest, WithModel, google_layout, write_google

tf = google_layout.import_tensorflow()

DTYPES = {
    "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
    "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL", "complex64": "C64",
    "string": "STRING",
}  # fmt: skip


class Listing(WithModel):
    def assertListedAsTensorFlowDoes(self, source, prefix):
        reader = tf.train.load_checkpoint(str(prefix))
        types = reader.get_variable_to_dtype_map()
        expected = {
            name: (DTYPES[types[name].name], shape) for name, shape in reader.get_variable_to_shape_map().items()
        }
        found = self.bertconv_json("inspect", source)
        self.assertEqual(found["format"], "tensorflow-bundle")
        self.assertEqual({t["name"]: (t["dtype"], t["shape"]) for t in found["tensors"]}, expected)
        return found

    def test_a_plain_checkpoint(self):
        found = self.assertListedAsTensorFlowDoes(self.prefix, self.prefix)
        self.assertEqual(found["family"], "bert")
        self.assertTrue(found["dialect"])
        self.assertEqual(found["parameters"], sum(array.size for array in self.tensors.values()))
        self.assertEqual(found["bytes"], sum(array.nbytes for array in self.tensors.values()))

    def test_the_index_without_its_data(self):
        prefix = write_google(self.folder / "alone", self.tensors)
        (self.folder / "alone" / "bert_model.ckpt.data-00000-of-00001").unlink()
        found = self.assertListedAsTensorFlowDoes(f"{prefix}.index", self.prefix)
        self.assertTrue(found["warnings"])

    def test_a_sharded_checkpoint(self):
        names = sorted(self.tensors)
        prefix = self.folder / "sharded" / "model"
        parts = [{name: self.tensors[name] for name in names[start::3]} for start in range(3)]
        google_layout.write_sharded_bundle(prefix, parts)
        self.assertListedAsTensorFlowDoes(prefix, prefix)

    def test_a_partitioned_variable_is_listed_once(self):
        words = "bert/embeddings/word_embeddings"
        table = self.tensors[words]
        rows, columns = table.shape
        rest = {name: value for name, value in self.tensors.items() if name != words}
        slices = [
            (words, f"{rows} {columns} 0,10:-", table[:10]),
            (words, f"{rows} {columns} 10,{rows - 10}:-", table[10:]),
        ]
        prefix = write_google(self.folder / "partitioned", rest, slices=slices)
        self.assertListedAsTensorFlowDoes(prefix, prefix)

    def test_a_training_checkpoint_with_many_types(self):
        tensors = dict(self.tensors, global_step=np.int64(5))
        tensors |= {f"{name}/adam_m": np.zeros_like(value) for name, value in self.tensors.items()}
        values = tf.constant(self.rng.integers(0, 2, (2, 3)))
        tensors |= {f"typed/{name}": tf.cast(values, name) for name in DTYPES if name != "string"}
        tensors["typed/string"] = tf.constant(["", "größe", "x" * 200])
        prefix = write_google(self.folder / "training", tensors, prefix="model.ckpt-5")
        self.assertListedAsTensorFlowDoes(self.folder / "training", prefix)

    def test_the_filter_and_the_plain_listing(self):
        listed = self.bertconv("inspect", self.prefix, "--filter", "*layer_0*kernel").stdout
        for name in self.tensors:
            wanted = "layer_0/" in name and name.endswith("kernel")
            self.assertEqual(name in listed, wanted, name)


class Statistics(InteropTest):
    def test_they_are_numpys(self):
        arrays = {}
        for number in range(8):
            values = self.rng.normal(size=tuple(self.rng.integers(1, 40, 2))) * 10.0 ** self.rng.integers(-3, 4)
            arrays[f"values/{number}"] = values.astype(self.rng.choice(["float32", "float64", "float16"]))
        arrays["integers"] = self.rng.integers(-1000, 1000, 500).astype(np.int32)
        arrays["sparse"] = np.where(self.rng.random(1000) < 0.7, 0, 1).astype(np.float32)
        prefix = write_google(self.folder / "values", arrays, prefix="values")
        found = {t["name"]: t["stats"] for t in self.bertconv_json("inspect", prefix, "--stats")["tensors"]}
        self.assertEqual(set(found), set(arrays))
        for name, array in arrays.items():
            wide = array.astype(np.float64)
            for key in ("min", "max", "mean", "std"):
                expected = getattr(np, key)(wide)
                np.testing.assert_allclose(found[name][key], expected, rtol=1e-4, atol=1e-6, err_msg=f"{key} of {name}")
            self.assertEqual(found[name]["zeros"], int((array == 0).sum()), name)

    def test_values_that_are_no_numbers_are_counted(self):
        array = self.rng.normal(size=200).astype(np.float32)
        array[[3, 50, 120]] = np.nan
        array[[7, 8]] = np.inf, -np.inf
        prefix = write_google(self.folder / "odd", {"odd": array}, prefix="odd")
        (tensor,) = self.bertconv_json("inspect", prefix, "--stats")["tensors"]
        self.assertEqual((tensor["stats"]["nan"], tensor["stats"]["inf"]), (3, 2))


class Objects(InteropTest):
    def test_an_object_graph_checkpoint(self):
        class Layer(tf.Module):
            def __init__(self, rng):
                super().__init__()
                self.kernel = tf.Variable(rng.normal(size=(3, 4)).astype(np.float32), name="dense/kernel")
                self.words = tf.Variable(["a", "bé"], name="words")

        tf.train.Checkpoint(model=Layer(self.rng), step=tf.Variable(3, dtype=tf.int64, name="step")).write(
            str(self.folder / "objects")
        )
        found = {t["name"]: t for t in self.bertconv_json("inspect", self.folder / "objects")["tensors"]}
        reader = tf.train.load_checkpoint(str(self.folder / "objects"))
        variables = {k: v for k, v in reader.get_variable_to_shape_map().items() if "VARIABLE_VALUE" in k}
        for key, shape in variables.items():
            self.assertEqual(found[key]["shape"], shape, key)
        self.assertEqual(found["model/kernel/.ATTRIBUTES/VARIABLE_VALUE"]["full_name"], "dense/kernel")
        self.assertEqual(found["model/words/.ATTRIBUTES/VARIABLE_VALUE"]["dtype"], "STRING")

    def test_a_saved_model(self):
        module = tf.Module()
        module.table = tf.Variable(self.rng.normal(size=(5, 2)).astype(np.float32), name="table")
        tf.saved_model.save(module, str(self.folder / "saved"))
        found = self.bertconv_json("inspect", self.folder / "saved")
        self.assertEqual(found["format"], "tensorflow-bundle")
        self.assertIn([5, 2], [tensor["shape"] for tensor in found["tensors"]])

    def test_a_v1_checkpoint(self):
        first, second = self.rng.normal(size=(2, 3)).astype(np.float32), np.int64(9)
        path = self.folder / "version-1"
        tf.raw_ops.Save(filename=str(path), tensor_names=["first", "second"], data=[first, second])
        found = self.bertconv_json("inspect", path, "--stats")
        self.assertEqual(found["format"], "tensorflow-v1")
        tensors = {t["name"]: t for t in found["tensors"]}
        self.assertEqual({name: t["shape"] for name, t in tensors.items()}, {"first": [2, 3], "second": []})
        self.assertAlmostEqual(tensors["first"]["stats"]["mean"], float(first.mean()), places=4)


if __name__ == "__main__":
    unittest.main()
