"""The arrays of openai/finetune-transformer-lm, as transformers reads them into its OpenAI GPT."""

import json
import re
import unittest

import numpy as np
import transformers
from support import UNUSABLE, InteropTest
from transformers.models.openai.modeling_openai import load_tf_weights_in_openai_gpt


def block_shapes(n):
    """The shapes of a block's variables, in the order in which train.py of that program makes them."""
    return [
        [1, n, 3 * n], [3 * n], [1, n, n], [n], [n], [n], [1, n, 4 * n], [4 * n], [1, 4 * n, n], [n], [n], [n],
    ]  # fmt: skip


class Shards(InteropTest):
    def write(self, folder, config):
        folder.mkdir()
        n = config.n_embd
        shapes = [[config.n_positions, n], [config.vocab_size, n], *(block_shapes(n) * config.n_layer)]
        values = self.rng.normal(size=sum(int(np.prod(shape)) for shape in shapes)).astype(np.float32)
        for number, part in enumerate(np.array_split(values, 10)):
            np.save(folder / f"params_{number}.npy", part)
        (folder / "params_shapes.json").write_text(json.dumps(shapes))
        return shapes

    def test_names_and_values_are_those_that_transformers_loads(self):
        heads = int(self.rng.integers(1, 4))
        config = transformers.OpenAIGPTConfig(
            vocab_size=int(self.rng.integers(20, 90)), n_positions=int(self.rng.integers(8, 40)),
            n_embd=heads * int(self.rng.choice([3, 4, 8])), n_layer=int(self.rng.integers(1, 4)), n_head=heads,
        )  # fmt: skip
        folder = self.folder / "gpt"
        shapes = self.write(folder, config)
        found = self.bertconv_json("inspect", folder, "--stats")
        self.assertEqual((found["format"], found["family"]), ("npy-shards", "gpt"))
        self.assertEqual([tensor["shape"] for tensor in found["tensors"]], shapes)
        names = [tensor["name"] for tensor in found["tensors"]]
        # transformers takes the names from a list next to the arrays, with both embeddings as one.
        listed = ["model/we:0"] + [f"{name}:0" for name in names[2:]]
        (folder / "parameters_names.json").write_text(json.dumps(listed))
        model = transformers.OpenAIGPTModel(config)
        load_tf_weights_in_openai_gpt(model, config, str(folder))
        state = model.state_dict()
        known = {"model/positions": "positions_embed.weight", "model/tokens": "tokens_embed.weight"}
        endings = {"w": "weight", "g": "weight", "b": "bias"}
        for tensor in found["tensors"]:
            name = tensor["name"]
            ours = re.sub(r"^model/h(\d+)/", r"h/\1/", name)
            other = known.get(name) or ours[:-1].replace("/", ".") + endings[ours[-1]]
            values = state.pop(other).numpy()
            self.assertEqual(tensor["shape"], [1] * (len(tensor["shape"]) - values.ndim) + list(values.shape), name)
            self.assertAlmostEqual(tensor["stats"]["min"], float(values.min()), places=6, msg=name)
            self.assertAlmostEqual(tensor["stats"]["max"], float(values.max()), places=6, msg=name)
            self.assertAlmostEqual(tensor["stats"]["mean"], float(values.mean(dtype=np.float64)), places=6, msg=name)
        self.assertEqual([name for name in state if not name.endswith("attn.bias")], [])

    def test_a_missing_part_is_named(self):
        config = transformers.OpenAIGPTConfig(vocab_size=30, n_positions=8, n_embd=8, n_layer=1, n_head=1)
        folder = self.folder / "missing"
        self.write(folder, config)
        (folder / "params_4.npy").unlink()
        for source in (folder, folder / "params_shapes.json", folder / "params_0.npy"):
            self.assertIn("no params_4.npy", self.bertconv("inspect", source, status=UNUSABLE).printed)
        self.write(self.folder / "short", config)
        (self.folder / "short" / "params_9.npy").unlink()
        self.assertIn("after params_8.npy", self.bertconv("inspect", self.folder / "short", status=UNUSABLE).printed)


if __name__ == "__main__":
    unittest.main()
