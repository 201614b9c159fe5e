"""ELECTRA as google-research wrote it, every family exported to other programs, and weights in smaller types."""

import re
import unittest

import numpy as np
import safetensors.torch
import torch
import transformers
from support import DENIED, DONE, UNUSABLE, WRONG_USAGE, InteropTest, google_layout, saved_tensors

tf = google_layout.import_tensorflow()


def randomise(model, rng):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = rng.normal(0, 0.1, tuple(parameter.shape)) + bool(re.search(r"[Nn]orm\.weight$", name))
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    model.tie_weights()
    return model.eval()


def electra(class_name, rng, **sizes):
    config = transformers.ElectraConfig(
        vocab_size=33, embedding_size=8, max_position_embeddings=20, num_hidden_layers=2, **sizes
    )
    return randomise(getattr(transformers, class_name)(config), rng)


def electra_names(state, scope):
    """The variables of google-research/electra (modeling.py, run_pretraining.py) with the values of a transformers model."""
    tensors = {}
    for name, value in state.items():
        value = value.detach().numpy()
        if name.endswith("position_ids") or name.endswith("token_type_ids") or name == "generator_lm_head.weight":
            continue
        path = name.replace("encoder.layer.", "encoder.layer_").split(".")
        kind = path.pop()
        if path[-1] == "LayerNorm":
            path.append({"weight": "gamma", "bias": "beta"}[kind])
        elif kind == "weight" and not path[-1].endswith("_embeddings"):
            path.append("kernel")
            value = value.T
        elif kind == "bias":
            path.append("bias")
        path = [{"dense_prediction": "dense_1"}.get(part, part) for part in path]
        if name == "generator_lm_head.bias":
            path = ["generator_predictions", "output_bias"]
        if path[0] == "electra" and path[1] != "embeddings":
            path[0] = scope
        tensors["/".join(path)] = np.ascontiguousarray(value)
    return tensors


class GoogleElectra(InteropTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.discriminator = electra(
            "ElectraForPreTraining", cls.rng, hidden_size=16, num_attention_heads=4, intermediate_size=64
        )
        cls.generator = electra("ElectraForMaskedLM", cls.rng, hidden_size=4, num_attention_heads=1, intermediate_size=16)
        # Both read the same embeddings.
        shared = cls.discriminator.electra.embeddings.state_dict()
        cls.generator.electra.embeddings.load_state_dict(shared)
        cls.generator.tie_weights()
        cls.saved = {}
        for name in ("discriminator", "generator"):
            cls.saved[name] = saved_tensors(getattr(cls, name), cls.folder / name)
        cls.tensors = electra_names(cls.generator.state_dict(), "generator")
        cls.tensors |= electra_names(cls.discriminator.state_dict(), "electra")
        extra = {"global_step": np.int64(7), "electra/embeddings/word_embeddings/adam_m": np.zeros((33, 8), np.float32)}
        cls.prefix = cls.folder / "tf" / "electra.ckpt"
        cls.prefix.parent.mkdir()
        google_layout.write_bundle(cls.prefix, cls.tensors | extra)

    def test_each_of_the_two_models_is_the_one_that_transformers_has(self):
        for name in ("discriminator", "generator"):
            with self.subTest(name):
                output, result = self.convert(self.prefix, "--config", self.folder / name / "config.json")
                self.assertHolds(output, self.saved[name])
                other = {"discriminator": "generator", "generator": "discriminator"}[name]
                self.assertIn(f"the {other}'s", result.printed)

    def test_without_a_config_it_is_the_discriminator(self):
        output, result = self.convert(self.prefix)
        self.assertHolds(output, self.saved["discriminator"])
        self.assertIn("ElectraForMaskedLM", result.printed)

    def test_exports_have_the_names_of_google(self):
        for name, scope in (("discriminator", "electra"), ("generator", "generator")):
            with self.subTest(name):
                output, _ = self.convert(self.prefix, "--config", self.folder / name / "config.json")
                back = self.folder / f"back-{name}" / "electra.ckpt"
                back.parent.mkdir()
                self.bertconv("convert", "native-to-tf", output, "-o", back)
                reader = tf.train.load_checkpoint(str(back))
                expected = electra_names(getattr(self, name).state_dict(), scope)
                self.assertEqual(set(reader.get_variable_to_shape_map()), set(expected))
                for variable, value in expected.items():
                    np.testing.assert_array_equal(reader.get_tensor(variable), value, variable)


class ThereAndBack(InteropTest):
    def models(self):
        sizes = dict(vocab_size=31, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20)
        sizes["max_position_embeddings"] = 18
        distil = dict(vocab_size=31, dim=12, n_layers=2, n_heads=3, hidden_dim=20, max_position_embeddings=18)
        for name, config in (
            ("BertForPreTraining", transformers.BertConfig(**sizes)),
            ("RobertaForMaskedLM", transformers.RobertaConfig(**sizes)),
            ("DistilBertForQuestionAnswering", transformers.DistilBertConfig(**distil)),
            ("ElectraForTokenClassification", transformers.ElectraConfig(**sizes, embedding_size=8)),
            ("AlbertForMaskedLM", transformers.AlbertConfig(**sizes, embedding_size=8)),
            (
                "MobileBertForMaskedLM",
                transformers.MobileBertConfig(**sizes, embedding_size=8, intra_bottleneck_size=6),
            ),
        ):
            yield name, randomise(getattr(transformers, name)(config), self.rng)

    def test_what_torch_loads_is_what_transformers_saved(self):
        for name, model in self.models():
            with self.subTest(name):
                saved = saved_tensors(model, self.folder / name)
                native, _ = self.convert(self.folder / name, route="safetensors-to-native")
                back = self.folder / f"{name}.bin"
                self.bertconv("convert", "native-to-pytorch", native, "-o", back)
                found = torch.load(back, weights_only=True)
                self.assertEqual(set(found), set(saved))
                for key, value in saved.items():
                    np.testing.assert_array_equal(found[key].numpy(), value, key)
                google = name.startswith(("Bert", "Albert", "MobileBert"))
                result = self.bertconv(
                    "convert", "native-to-tf", native, "-o", self.folder / f"{name}.ckpt", "--force",
                    status=DONE if google else UNUSABLE,
                )  # fmt: skip
                if not google:
                    self.assertRegex(result.printed, "in the names of google-tf1: it cannot|has no name for it")

    def test_eight_bits_are_proved_and_go_back_as_floats(self):
        name, model = next(self.models())
        saved = saved_tensors(model, self.folder / f"small-{name}")
        source = self.folder / f"small-{name}"
        native, _ = self.convert(source, "--dtype", "int8", route="safetensors-to-native")
        report = self.bertconv_json("verify", native, "--against", source)
        self.assertEqual([(r["source"], r["stored"]) for r in report["reduced"]], [("F32", "I8")])
        stored = safetensors.torch.load_file(native)
        expected = {key: stored[key].float() for key in saved}
        for key in saved:
            if key + "_scale" in stored:
                expected[key] = stored[key].float() * stored[key + "_scale"][:, None]
        largest = max(float(np.abs(expected[key].numpy() - saved[key]).max()) for key in saved)
        self.assertAlmostEqual(report["reduced"][0]["max_abs_error"], largest, places=9)
        diff = self.bertconv_json("diff", source, native, status=DENIED)
        self.assertEqual({d["name"] for d in diff["retyped"]}, {k for k in saved if k + "_scale" in stored})
        self.assertAlmostEqual(max(d["max_abs_difference"] for d in diff["retyped"]), largest, places=9)
        self.bertconv("diff", source, native, "--tolerance", largest * 1.001)
        for route, output in (("native-to-pytorch", "small.bin"), ("native-to-tf", "small.ckpt")):
            self.bertconv("convert", route, native, "-o", self.folder / output)
            self.bertconv("convert", route, native, "-o", self.folder / f"x-{output}", "--dtype", "int8", status=WRONG_USAGE)
        found = torch.load(self.folder / "small.bin", weights_only=True)
        for key, value in expected.items():
            self.assertTrue(torch.equal(found[key], value), key)
        reader = tf.train.load_checkpoint(str(self.folder / "small.ckpt"))
        np.testing.assert_array_equal(
            reader.get_tensor("bert/pooler/dense/kernel"), expected["bert.pooler.dense.weight"].numpy().T
        )


if __name__ == "__main__":
    unittest.main()
