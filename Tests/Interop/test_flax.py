"""Checkpoints of flax.serialization: random Flax models of transformers, converted and compared with the same models in torch."""

import importlib.util
import inspect
import json
import logging
import re
import unittest
from unittest import mock

import numpy as np
import safetensors.torch
import torch
import transformers
from support import DENIED, TOLERANCE, UNUSABLE, InteropTest, make_fixture, random_config, saved_tensors

HAS_FLAX = importlib.util.find_spec("flax") is not None
if HAS_FLAX:
    import flax.serialization
    import jax.numpy as jnp
    from flax.traverse_util import flatten_dict, unflatten_dict
    from transformers.modeling_flax_pytorch_utils import load_flax_checkpoint_in_pytorch_model

    logging.getLogger("transformers.modeling_flax_pytorch_utils").setLevel(logging.ERROR)

HEADS = (
    "Model", "ForPreTraining", "ForMaskedLM", "ForNextSentencePrediction", "ForSequenceClassification",
    "ForTokenClassification", "ForMultipleChoice", "ForQuestionAnswering",
)  # fmt: skip
OTHERS = {
    "Roberta": (
        "Model", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForMultipleChoice",
        "ForQuestionAnswering",
    ),
    "Electra": (
        "Model", "ForPreTraining", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification",
        "ForMultipleChoice", "ForQuestionAnswering",
    ),
    "Albert": (
        "Model", "ForPreTraining", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification",
        "ForMultipleChoice", "ForQuestionAnswering",
    ),
    "DistilBert": (
        "Model", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForMultipleChoice",
        "ForQuestionAnswering",
    ),
}  # fmt: skip


def torch_class(model):
    return getattr(transformers, type(model).__name__.removeprefix("Flax"))


@unittest.skipUnless(HAS_FLAX, "flax is not installed")
class FlaxFiles(InteropTest):
    def model(self, class_name="BertForPreTraining", dtype=np.float32, **settings):
        """A Flax BERT of random sizes and weights."""
        return self.randomised(getattr(transformers, f"Flax{class_name}")(random_config(self.rng, **settings)), dtype)

    def randomised(self, model, dtype=np.float32):
        """The model with random weights, biases and layer norms included."""
        flat = {}
        for path, value in flatten_dict(model.params).items():
            values = self.rng.normal(0, 0.1, value.shape) + (path[-1] == "scale")
            flat[path] = jnp.asarray(values.astype(np.float32)).astype(dtype)
        model.params = unflatten_dict(flat)
        return model

    def torch_counterpart(self, model, path):
        """The torch model of the same class, as transformers loads it from the Flax file."""
        counterpart = torch_class(model)(model.config)
        load_flax_checkpoint_in_pytorch_model(counterpart, str(path))
        return counterpart.eval()

    def fixture(self, model, folder):
        """The outputs of the Flax model itself."""
        config = model.config
        inputs = make_fixture.random_inputs(torch_class(model)(config), 4, 12, self.rng)
        accepted = inspect.signature(model.__call__).parameters
        given = {name: jnp.asarray(value) for name, value in inputs.items() if name in accepted}
        if type(model).__name__.endswith("ForMultipleChoice"):
            given = {name: value[:, None] for name, value in given.items()}
        found = model(**given, output_hidden_states=True)
        fixture = dict(inputs)
        for name, value in found.items():
            if name == "hidden_states":
                fixture |= {f"hidden_states.{i}": np.asarray(state) for i, state in enumerate(value)}
            else:
                fixture[name] = np.asarray(value)
        make_fixture.write_fixture(folder / "reference.npz", fixture)
        return folder / "reference.npz"

    def assertConverts(self, model, name, root=""):
        """Every tensor is that of the torch counterpart, and the outputs are those of the Flax model."""
        folder = self.folder / name
        model.save_pretrained(folder)
        output, _ = self.convert(folder, route="flax-to-native", name=name)
        counterpart = self.torch_counterpart(model, folder / "flax_model.msgpack")
        saved = saved_tensors(counterpart, self.folder / f"{name}-torch")
        self.assertHolds(output, {root + tensor: value for tensor, value in saved.items()})
        reference = self.fixture(model, folder)
        found = self.bertconv_json("verify", output, "--fixtures", reference, "--tolerance", TOLERANCE)
        self.assertGreater(len(found["outputs"]), 1)
        self.bertconv("verify", output, "--against", folder)

    def test_every_head(self):
        for head in HEADS:
            with self.subTest(head=head):
                model = self.model(f"Bert{head}", num_labels=2 if head == "ForQuestionAnswering" else 5)
                self.assertConverts(model, head, "bert." if head == "Model" else "")

    def test_other_families(self):
        for family, heads in OTHERS.items():
            for head in heads:
                with self.subTest(family=family, head=head):
                    model_class = getattr(transformers, f"Flax{family}{head}")
                    # These two heads have two outputs, and torch's count them as labels.
                    labels = 2 if head in ("ForQuestionAnswering", "ForPreTraining") else 4
                    settings = dict(num_labels=labels, vocab_size=60, max_position_embeddings=32)
                    if family == "DistilBert":
                        settings |= dict(dim=24, n_layers=2, n_heads=3, hidden_dim=40)
                    else:
                        settings |= dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40)
                    if family in ("Electra", "Albert"):
                        settings |= dict(embedding_size=10)
                    model = self.randomised(model_class(model_class.config_class(**settings)))
                    self.assertConverts(model, family + head, f"{family.lower()}." if head == "Model" else "")

    def test_the_fixture_tells_a_kernel_that_was_not_transposed(self):
        model = self.model()
        folder = self.folder / "transposed"
        flat = flatten_dict(model.params)
        folder.mkdir()
        reference = self.fixture(model, folder)
        key = ("bert", "encoder", "layer", "0", "attention", "self", "query", "kernel")
        flat[key] = flat[key].T
        model.params = unflatten_dict(flat)
        model.save_pretrained(folder)
        output, _ = self.convert(folder, route="flax-to-native")
        found = self.bertconv_json("verify", output, "--fixtures", reference, status=DENIED)
        self.assertFalse(found["passed"])

    def test_it_is_listed_as_flax_lists_it(self):
        model = self.model()
        folder = self.folder / "listed"
        model.save_pretrained(folder)
        found = self.bertconv_json("inspect", folder)
        self.assertEqual((found["format"], found["family"], found["dialect"]), ("flax-msgpack", "bert", "flax"))
        self.assertEqual(
            {tensor["name"]: (tensor["dtype"], tensor["shape"]) for tensor in found["tensors"]},
            {name: ("F32", list(value.shape)) for name, value in flatten_dict(model.params, sep="/").items()},
        )

    def test_bfloat16_is_kept(self):
        model = self.model(dtype=jnp.bfloat16)
        folder = self.folder / "bfloat16"
        model.save_pretrained(folder)
        # transformers loads it as float32, which represents every bfloat16.
        counterpart = self.torch_counterpart(model, folder / "flax_model.msgpack")
        saved = saved_tensors(counterpart, self.folder / "bfloat16-torch")
        output, _ = self.convert(folder, route="auto-to-native")
        found = safetensors.torch.load_file(output)
        self.assertEqual(sorted(found), sorted(saved))
        for name, value in found.items():
            self.assertEqual(value.dtype, torch.bfloat16, name)
            self.assertTrue(np.array_equal(value.float().numpy(), saved[name]), name)
        output, _ = self.convert(folder, "--dtype", "f32", route="auto-to-native")
        self.assertHolds(output, saved)

    def test_a_decoder_that_is_not_tied(self):
        model = self.model(tie_word_embeddings=False)
        folder = self.folder / "untied"
        model.save_pretrained(folder)
        output, _ = self.convert(folder, route="flax-to-native")
        found = safetensors.torch.load_file(output)
        kernel = np.asarray(model.params["cls"]["predictions"]["decoder"]["kernel"])
        self.assertTrue(np.array_equal(found["cls.predictions.decoder.weight"].numpy(), kernel.T))
        self.bertconv("verify", output, "--fixtures", self.fixture(model, folder), "--tolerance", TOLERANCE)

    def test_a_decoder_that_came_from_torch(self):
        model = self.model()
        folder = self.folder / "kept"
        model.save_pretrained(folder)
        expected, _ = self.convert(folder, route="flax-to-native")
        flat = flatten_dict(model.params)
        flat["cls", "predictions", "decoder", "kernel"] = flat["bert", "embeddings", "word_embeddings", "embedding"].T
        flat["cls", "predictions", "decoder", "bias"] = flat["cls", "predictions", "bias"]
        (folder / "flax_model.msgpack").write_bytes(flax.serialization.to_bytes(unflatten_dict(flat)))
        output, _ = self.convert(folder, route="flax-to-native")
        self.bertconv("diff", expected, output)

    def test_shards_and_chunks(self):
        # Large enough for several of each
        model = self.model(vocab_size=80, hidden_size=24, num_attention_heads=2)
        whole = self.folder / "whole"
        model.save_pretrained(whole)
        expected, _ = self.convert(whole, route="flax-to-native")
        sharded = self.folder / "sharded"
        model.save_pretrained(sharded, max_shard_size="12KB")
        self.assertGreater(len(list(sharded.glob("flax_model-*.msgpack"))), 1)
        chunked = self.folder / "chunked"
        with mock.patch("flax.serialization.MAX_CHUNK_SIZE", 1000):
            model.save_pretrained(chunked)
        self.assertIn(b"__msgpack_chunked_array__", (chunked / "flax_model.msgpack").read_bytes())
        for folder in (sharded, chunked):
            with self.subTest(folder=folder.name):
                output, _ = self.convert(folder, route="flax-to-native")
                self.bertconv("diff", expected, output)

    def test_a_state_of_training(self):
        import optax
        from flax.training.train_state import TrainState

        model = self.model("BertForSequenceClassification", num_labels=3)
        folder = self.folder / "state"
        model.save_pretrained(folder)
        expected, _ = self.convert(folder, route="flax-to-native")
        for name, optimizer in {"adamw": optax.adamw(1e-3), "adafactor": optax.adafactor(1e-3)}.items():
            with self.subTest(optimizer=name):
                state = TrainState.create(apply_fn=None, params=model.params, tx=optimizer)
                (folder / f"{name}.msgpack").write_bytes(flax.serialization.to_bytes(state))
                # A step that was counted on a device is an array.
                state = state.replace(step=jnp.asarray(7))
                (folder / f"{name}-array.msgpack").write_bytes(flax.serialization.to_bytes(state))
                for file in (f"{name}.msgpack", f"{name}-array.msgpack"):
                    output, _ = self.convert(folder / file, route="flax-to-native")
                    self.bertconv("diff", expected, output)

    def test_damage_is_reported(self):
        model = self.model()
        folder = self.folder / "damaged"
        model.save_pretrained(folder)
        path = folder / "flax_model.msgpack"
        good = path.read_bytes()
        path.write_bytes(good[: len(good) // 2])
        _, result = self.convert(path, route="flax-to-native", status=UNUSABLE)
        self.assertRegex(result.printed, re.compile(r"flax_model\.msgpack: at byte \d+: .*cut short", re.S))
        path.write_bytes(json.dumps({"a": 1}).encode())
        self.convert(path, route="flax-to-native", status=UNUSABLE)


if __name__ == "__main__":
    unittest.main()
