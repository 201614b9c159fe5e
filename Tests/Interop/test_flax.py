"""Flax models of transformers: every tensor is the one that transformers makes of it for torch."""

import unittest

import numpy as np
import safetensors.numpy
import torch
import transformers
from support import InteropTest, make_fixture, random_config, random_reference


class Flax(InteropTest):
    def test_every_head(self):
        import jax
        import transformers.modeling_flax_pytorch_utils as conversion

        heads = [
            "Model", "ForPreTraining", "ForMaskedLM", "ForSequenceClassification", "ForQuestionAnswering",
            "ForTokenClassification", "ForNextSentencePrediction", "ForMultipleChoice",
        ]  # fmt: skip
        for head in heads:
            with self.subTest(head=head):
                config = random_config(self.rng, num_labels=2 if "Answering" in head else 3)
                flax = getattr(transformers, f"FlaxBert{head}")(config)
                flax.params = jax.tree_util.tree_map(
                    lambda x: (self.rng.normal(0, 0.15, x.shape) + 0.2).astype(np.float32), flax.params
                )
                folder = self.folder / head
                flax.save_pretrained(folder)
                model = getattr(transformers, f"Bert{head}")(config).eval()
                conversion.load_flax_checkpoint_in_pytorch_model(model, str(folder / "flax_model.msgpack"))
                model.tie_weights()
                output, _ = self.convert(folder, route="flax-to-native")
                held = safetensors.numpy.load_file(output)
                wanted = {name.removeprefix("bert."): value.numpy() for name, value in model.state_dict().items()}
                for name, array in held.items():
                    np.testing.assert_array_equal(array, wanted[name.removeprefix("bert.")], name)
                fixture = self.folder / f"{head}.npz"
                reference = random_reference(model, self.rng, batch=2)
                # The torch classes without a pooler in their head still have one, of no values that were saved.
                if "pooler.dense.weight" not in {name.removeprefix("bert.") for name in held}:
                    reference.pop("pooler_output", None)
                make_fixture.write_fixture(fixture, reference)
                self.bertconv("verify", output, "--fixtures", fixture, "--against", folder)

    def test_a_bfloat16_tree(self):
        import flax.serialization
        import jax.numpy

        config = random_config(self.rng)
        model = transformers.FlaxBertModel(config, dtype=jax.numpy.bfloat16)
        halves = model.to_bf16(model.params)
        path = self.folder / "flax_model.msgpack"
        path.write_bytes(flax.serialization.to_bytes(halves))
        (self.folder / "config.json").write_text(config.to_json_string())
        output, _ = self.convert(path, route="auto-to-native")
        from safetensors.torch import load_file

        found = load_file(output)
        self.assertTrue(all(tensor.dtype == torch.bfloat16 for tensor in found.values()))


if __name__ == "__main__":
    unittest.main()
