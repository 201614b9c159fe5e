"""Folders of sentence-transformers: random transformers with random modules behind them, saved by the library itself."""

import json
import logging
import unittest

import numpy as np
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Dropout, LayerNorm, Normalize, Pooling, Transformer
from support import UNUSABLE, InteropTest, make_fixture
from test_families import randomise
from test_scripts import script

logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
ACTIVATIONS = (torch.nn.Tanh, torch.nn.Identity, torch.nn.ReLU, torch.nn.GELU)
TOLERANCE = 2e-5


class Sentences(InteropTest):
    def transformer(self, folder, kind="Bert"):
        """A random transformers folder with a tokenizer, and the model."""
        rng = self.rng
        heads = int(rng.integers(1, 5))
        size = heads * int(rng.choice([4, 8, 12]))
        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"##{n}" for n in range(int(rng.integers(20, 60)))]
        config = dict(vocab_size=len(vocabulary), max_position_embeddings=40)
        if kind == "DistilBert":
            config |= dict(dim=size, n_layers=2, n_heads=heads, hidden_dim=48)
        else:
            config |= dict(
                hidden_size=size, num_hidden_layers=2, num_attention_heads=heads, intermediate_size=48, pad_token_id=0
            )
        model_class = getattr(transformers, f"{kind}Model")
        model = randomise(model_class(model_class.config_class(**config, attn_implementation="eager")), rng)
        model.save_pretrained(folder)
        (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
        transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=32).save_pretrained(folder)
        return model, size

    def save(self, kind="Bert", **options):
        """A saved SentenceTransformer with random modules, and a fixture of it."""
        rng = self.rng
        folder = self.folder / f"{self.id().split('.')[-1]}-{kind}-{rng.integers(2**31)}"
        folder.mkdir()
        plain, size = self.transformer(folder / "source", kind)
        modes = tuple(str(mode) for mode in rng.permutation(MODES)[: rng.integers(1, 7)])
        modules = [Pooling(size, pooling_mode=modes)]
        size *= len(modes)
        for _ in range(int(rng.integers(0, 4))):
            choice = rng.integers(4)
            if choice == 0:
                activation = ACTIVATIONS[rng.integers(len(ACTIVATIONS))]()
                output = int(rng.integers(1, 40))
                modules.append(Dense(size, output, bias=bool(rng.integers(2)), activation_function=activation))
                size = output
            elif choice == 1:
                modules.append(LayerNorm(size))
            else:
                modules.append(Normalize() if choice == 2 else Dropout(0.3))
        for module in modules:
            for parameter in module.parameters():
                # Small enough to keep the size of the embedding: an absolute tolerance means little for large values.
                values = rng.normal(0.3, 0.3, tuple(parameter.shape)) / np.sqrt(parameter.shape[-1])
                parameter.data = torch.from_numpy(values.astype(np.float32))
        SentenceTransformer(modules=[Transformer(str(folder / "source")), *modules], device="cpu").save_pretrained(
            str(folder / "model"), **options
        )
        model = make_fixture.load_sentence_model(folder / "model")
        inputs = make_fixture.random_inputs(plain, 5, 20, rng)
        fixture = make_fixture.reference(plain, inputs) | make_fixture.sentence_reference(model, inputs)
        make_fixture.write_fixture(folder / "reference.npz", fixture)
        return folder

    def verified(self, folder):
        output = folder / "native.safetensors"
        self.bertconv("convert", "auto-to-native", folder / "model", "-o", output)
        # Random dense modules make embeddings of any size; the last bit of a float32 grows with it.
        embedding = np.load(folder / "reference.npz")["sentence_embedding"]
        tolerance = TOLERANCE * max(1.0, float(np.abs(embedding).max()))
        found = self.bertconv_json(
            "verify", output, "--fixtures", folder / "reference.npz", "--tolerance", tolerance
        )
        self.assertIn("sentence_embedding", {one["name"] for one in found["outputs"]})
        self.bertconv("verify", output, "--against", folder / "model")
        self.bertconv("diff", output, folder / "model")
        return output

    def test_random_modules(self):
        for kind in ("Bert", "Bert", "DistilBert", "Electra"):
            for options in ({}, {"safe_serialization": False}):
                with self.subTest(kind=kind, **options):
                    self.verified(self.save(kind, **options))

    def test_the_script_for_fixtures_knows_the_folder(self):
        folder = self.save()
        output = self.verified(folder)
        fixture = folder / "made.npz"
        made = script("make_fixture.py", folder / "model", "-o", fixture, "--batch", 3, "--length", 12)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("sentence_embedding", np.load(fixture).files)
        self.bertconv("verify", output, "--fixtures", fixture)

    def test_a_module_that_is_not_known_is_refused(self):
        folder = self.save()
        path = folder / "model/modules.json"
        modules = json.loads(path.read_text())
        modules[1]["type"] = "sentence_transformers.models.WeightedLayerPooling"
        path.write_text(json.dumps(modules))
        output = folder / "refused.safetensors"
        result = self.bertconv("convert", "auto-to-native", folder / "model", "-o", output, status=UNUSABLE)
        self.assertIn("WeightedLayerPooling", result.printed)
        self.assertFalse(output.exists())


if __name__ == "__main__":
    unittest.main()
