"""`verify` and `run`, against the outputs of transformers."""

import json
import re
import unittest

import numpy as np
import safetensors.numpy
import torch
from support import (
    DENIED, DONE, INPUTS, TOLERANCE, UNUSABLE, WRONG_USAGE, InteropTest, WithModel, google_layout, make_fixture,
    outputs_of, random_bert, random_reference, write_google,
)  # fmt: skip


class Verify(WithModel):
    def setUp(self):
        super().setUp()
        self.output, _ = self.convert(self.prefix, name="verified")

    def write(self, fixture, name="changed.npz"):
        make_fixture.write_fixture(self.folder / name, fixture)
        return self.folder / name

    def test_every_output_of_the_fixture_is_compared(self):
        for name in ("fixture.npz", "fixture.safetensors"):
            with self.subTest(file=name):
                found = self.bertconv_json("verify", self.output, "--fixtures", self.write(self.reference, name))
                self.assertTrue(found["passed"])
                self.assertIsNone(found["first_divergence"])
                outputs = {output["name"]: output for output in found["outputs"]}
                self.assertEqual(set(outputs), set(outputs_of(self.reference)))
                for output in outputs.values():
                    self.assertLessEqual(output["max_abs_error"], TOLERANCE, output)
                    self.assertGreater(output["cosine"], 0.99999, output)
                # No two implementations agree to the last bit everywhere: zeros throughout would be rounded.
                self.assertGreater(max(output["max_abs_error"] for output in outputs.values()), 0)

    def test_outputs_that_are_off_are_denied(self):
        for name in ("prediction_logits", "seq_relationship_logits", "pooler_output", "last_hidden_state"):
            with self.subTest(output=name):
                fixture = self.reference | {name: self.reference[name] + np.float32(0.01)}
                found = self.bertconv_json("verify", self.output, "--fixtures", self.write(fixture), status=DENIED)
                self.assertFalse(found["passed"])
                self.assertEqual([o["name"] for o in found["outputs"] if not o["passed"]], [name])

    def test_the_tolerance_decides(self):
        fixture = self.reference | {"prediction_logits": self.reference["prediction_logits"] + np.float32(0.01)}
        path = self.write(fixture)
        self.bertconv("verify", self.output, "--fixtures", path, "--tolerance", "0.02")
        self.bertconv("verify", self.output, "--fixtures", path, "--tolerance", "0.005", status=DENIED)

    def test_what_lies_under_the_padding_does_not_count(self):
        fixture = dict(self.reference)
        hidden = fixture["last_hidden_state"].copy()
        hidden[fixture["attention_mask"] == 0] = 99
        fixture["last_hidden_state"] = hidden
        self.bertconv("verify", self.output, "--fixtures", self.write(fixture))

    def test_the_first_layer_that_diverges_is_named(self):
        layer = int(self.rng.integers(self.config.num_hidden_layers))
        name = f"bert/encoder/layer_{layer}/output/dense/kernel"
        bent = self.tensors | {name: self.tensors[name] * np.float32(1.5)}
        output, _ = self.convert(write_google(self.folder / "bent", bent, self.config))
        found = self.bertconv_json("verify", output, "--fixtures", self.fixture, status=DENIED)
        self.assertRegex(json.dumps(found["first_divergence"]), rf"layer[. _]?{layer}\b|hidden_states\.{layer + 1}\b")

    def test_a_wrong_embedding_is_named_as_such(self):
        name = "bert/embeddings/position_embeddings"
        bent = self.tensors | {name: self.tensors[name][::-1].copy()}
        output, _ = self.convert(write_google(self.folder / "moved", bent, self.config))
        found = self.bertconv_json("verify", output, "--fixtures", self.fixture, status=DENIED)
        self.assertTrue(re.search(r"embedding|hidden_states\.0", json.dumps(found["first_divergence"])), found)

    def test_fixtures_that_compare_nothing(self):
        inputs_alone = {name: self.reference[name] for name in INPUTS}
        without_ids = {name: value for name, value in self.reference.items() if name != "input_ids"}
        for fixture in (inputs_alone, without_ids):
            with self.subTest(names=sorted(fixture)):
                self.bertconv("verify", self.output, "--fixtures", self.write(fixture), status=UNUSABLE)

    def test_a_fixture_of_another_width(self):
        fixture = self.reference | {"last_hidden_state": self.reference["last_hidden_state"][..., :-1]}
        self.bertconv("verify", self.output, "--fixtures", self.write(fixture), status=(DENIED, UNUSABLE))


class Run(WithModel):
    def setUp(self):
        super().setUp()
        self.output, _ = self.convert(self.prefix, name="run")
        self.inputs = self.folder / "inputs.npz"
        np.savez(self.inputs, **{name: self.reference[name] for name in INPUTS})

    def assertSameUnderTheMask(self, found, name, reference=None):
        reference = reference or self.reference
        expected = reference[name]
        self.assertEqual(found.shape, expected.shape, name)
        # The hidden size may equal the sequence length, so the shape does not show which outputs are per token.
        if name not in ("pooler_output", "seq_relationship_logits"):
            inside = reference["attention_mask"] == 1
            np.testing.assert_array_equal(found[~inside], 0, f"{name} under the padding")
            found, expected = found[inside], expected[inside]
        self.assertLessEqual(float(np.abs(found - expected).max()), TOLERANCE, name)

    def test_outputs_are_those_of_transformers(self):
        names = list(outputs_of(self.reference))
        chosen = [word for name in names for word in ("--outputs", name)]
        for suffix, load in ((".npz", np.load), (".safetensors", safetensors.numpy.load_file)):
            with self.subTest(suffix=suffix):
                path = self.folder / f"outputs{suffix}"
                found = self.bertconv_json("run", self.output, "--inputs", self.inputs, "-o", path, *chosen)
                self.assertEqual(found["tokens"], int(self.reference["attention_mask"].sum()))
                self.assertEqual(found["sequences"], len(self.reference["input_ids"]))
                arrays = dict(load(path))
                self.assertEqual(set(arrays), set(names))
                for name in names:
                    self.assertSameUnderTheMask(arrays[name], name)

    def test_one_output_alone(self):
        path = self.folder / "one.npz"
        self.bertconv("run", self.output, "--inputs", self.inputs, "-o", path, "--outputs", "last_hidden_state")
        arrays = np.load(path)
        self.assertEqual(arrays.files, ["last_hidden_state"])
        self.assertSameUnderTheMask(arrays["last_hidden_state"], "last_hidden_state")

    def test_ids_of_another_integer_type(self):
        np.savez(self.folder / "int32.npz", **{name: self.reference[name].astype(np.int32) for name in INPUTS})
        path = self.folder / "int32-out.npz"
        self.bertconv(
            "run", self.output, "--inputs", self.folder / "int32.npz", "-o", path, "--outputs", "pooler_output"
        )
        self.assertSameUnderTheMask(np.load(path)["pooler_output"], "pooler_output")

    def run_refused(self, **changed):
        arrays = {name: self.reference[name].copy() for name in INPUTS} | changed
        np.savez(self.folder / "refused.npz", **arrays)
        path = self.folder / "refused-out.npz"
        result = self.bertconv("run", self.output, "--inputs", self.folder / "refused.npz", "-o", path, status=UNUSABLE)
        self.assertFalse(path.exists(), result)
        return result

    def test_ids_outside_the_vocabulary(self):
        for bad in (self.config.vocab_size, -1, 2**31, 2**40):
            with self.subTest(id=bad):
                ids = self.reference["input_ids"].copy()
                ids[0, 2] = bad
                self.assertIn(str(bad), self.run_refused(input_ids=ids).printed)

    def test_token_types_outside_the_table(self):
        types = self.reference["token_type_ids"].copy()
        types[0, 1] = 2
        self.run_refused(token_type_ids=types)

    def test_more_tokens_than_positions(self):
        length = self.config.max_position_embeddings + 1
        ids = self.rng.integers(0, self.config.vocab_size, (2, length))
        result = self.run_refused(input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=np.zeros_like(ids))
        self.assertIn(str(self.config.max_position_embeddings), result.printed)

    def test_inputs_whose_shapes_differ(self):
        self.run_refused(attention_mask=self.reference["attention_mask"][:, :-1])

    def test_a_mask_with_holes_is_answered_rightly_or_refused(self):
        inputs = {name: self.reference[name].copy() for name in INPUTS}
        inputs["attention_mask"][0, 1] = 0
        inputs["attention_mask"][0, 4] = 0
        np.savez(self.folder / "holes.npz", **inputs)
        path = self.folder / "holes-out.npz"
        result = self.bertconv(
            "run", self.output, "--inputs", self.folder / "holes.npz", "-o", path, "--outputs", "last_hidden_state",
            status=(DONE, UNUSABLE),
        )  # fmt: skip
        if result.status == DONE:
            expected = make_fixture.reference(self.model, inputs)
            self.assertSameUnderTheMask(np.load(path)["last_hidden_state"], "last_hidden_state", expected)

    def test_wrong_usage(self):
        self.bertconv("run", self.output, status=WRONG_USAGE)
        self.bertconv("verify", status=WRONG_USAGE)
        self.bertconv("convert", "tf-to-native", self.prefix, status=WRONG_USAGE)


class OtherModels(InteropTest):
    """Activations, epsilons and heads other than the pre-training's, out of TensorFlow checkpoints."""

    def verified(self, model, extra=None):
        folder = self.folder / f"{type(model).__name__}-{model.config.hidden_act}"
        tensors = google_layout.google_tensors(model.state_dict()) | (extra or {})
        prefix = write_google(folder, tensors)
        (folder / "config.json").write_text(model.config.to_json_string())
        fixture = random_reference(model, self.rng)
        make_fixture.write_fixture(folder / "reference.npz", fixture)
        output, _ = self.convert(prefix)
        found = self.bertconv_json("verify", output, "--fixtures", folder / "reference.npz")
        self.assertEqual({one["name"] for one in found["outputs"]}, set(outputs_of(fixture)))

    def test_activations_and_epsilons(self):
        for activation in ("gelu", "gelu_new", "relu"):
            with self.subTest(activation=activation):
                epsilon = float(10.0 ** -self.rng.integers(3, 13))
                self.verified(
                    random_bert("BertForPreTraining", self.rng, hidden_act=activation, layer_norm_eps=epsilon)
                )

    def test_sequence_classification(self):
        self.verified(random_bert("BertForSequenceClassification", self.rng, num_labels=int(self.rng.integers(2, 9))))

    def test_question_answering(self):
        model = random_bert("BertForQuestionAnswering", self.rng)
        size = model.config.hidden_size
        pooler = {
            "bert/pooler/dense/kernel": self.rng.normal(size=(size, size)).astype(np.float32),
            "bert/pooler/dense/bias": np.zeros(size, np.float32),
        }
        self.verified(model, pooler)

    def test_a_bare_encoder(self):
        model = random_bert("BertModel", self.rng)
        bare = {f"bert.{name}": value for name, value in model.state_dict().items()}
        folder = self.folder / "encoder"
        prefix = write_google(folder, google_layout.google_tensors(bare), model.config)
        make_fixture.write_fixture(folder / "reference.npz", random_reference(model, self.rng))
        output, _ = self.convert(prefix)
        self.bertconv("verify", output, "--fixtures", folder / "reference.npz")

    def test_long_and_single_token_sequences(self):
        model = random_bert("BertModel", self.rng, max_position_embeddings=300)
        bare = {f"bert.{name}": value for name, value in model.state_dict().items()}
        prefix = write_google(self.folder / "long", google_layout.google_tensors(bare), model.config)
        output, _ = self.convert(prefix)
        for shape in ((1, 1), (1, 300), (5, 67)):
            with self.subTest(shape=shape):
                inputs = make_fixture.random_inputs(model, *shape, self.rng)
                make_fixture.write_fixture(self.folder / "long.npz", make_fixture.reference(model, inputs))
                self.bertconv("verify", output, "--fixtures", self.folder / "long.npz")


if __name__ == "__main__":
    torch.set_num_threads(1)
    unittest.main()
