"""Checkpoints of NVIDIA's Megatron-LM: each order of query, key and value is the model that transformers has."""

import unittest

import numpy as np
import safetensors.numpy
import torch
import transformers
from support import DENIED, UNUSABLE, InteropTest, make_fixture, random_reference, saved_tensors
from test_families_and_back import randomise

import megatron_layout


class Megatron(InteropTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # No two of heads, head size and the three parts are alike: every other order would show.
        heads, size = (int(number) for number in cls.rng.choice([2, 4, 5, 6, 7], 2, replace=False))
        config = transformers.MegatronBertConfig(
            vocab_size=int(cls.rng.integers(30, 90)), hidden_size=heads * size, num_attention_heads=heads,
            num_hidden_layers=int(cls.rng.integers(1, 4)), intermediate_size=int(cls.rng.integers(16, 90)),
            max_position_embeddings=int(cls.rng.integers(16, 40)), layer_norm_eps=float(cls.rng.choice([1e-5, 1e-12])),
            attn_implementation="eager",
        )  # fmt: skip
        cls.model = randomise(transformers.MegatronBertForPreTraining(config), cls.rng)
        with torch.no_grad():
            for name, parameter in cls.model.named_parameters():
                if name.endswith("ln.weight"):
                    parameter.add_(1)
        cls.saved = saved_tensors(cls.model, cls.folder / "saved")
        cls.config = cls.folder / "saved" / "config.json"
        cls.fixture = cls.folder / "reference.npz"
        make_fixture.write_fixture(cls.fixture, random_reference(cls.model, cls.rng))

    def write(self, name, version, legacy=False, **form):
        path = self.folder / name / "model_optim_rng.pt"
        path.parent.mkdir()
        value = megatron_layout.checkpoint(self.model, version, **form)
        torch.save(value, path, _use_new_zipfile_serialization=not legacy)
        return path

    def test_every_version_in_every_generation_of_names(self):
        for version in (0, 1, 2, 3):
            for later, norm, legacy in ((False, "layernorm", True), (True, "layernorm", False), (True, "norm", False)):
                with self.subTest(version=version, later=later, norm=norm):
                    name = f"v{version}-{later}-{norm}"
                    path = self.write(name, version, later_names=later, norm=norm, legacy=legacy)
                    output, _ = self.convert(path, "--config", self.config, route="pytorch-to-native")
                    self.assertHolds(output, self.saved)
                    self.bertconv("verify", output, "--fixtures", self.fixture, "--against", path, "--config", self.config)
        other = self.folder / "v2-False-layernorm" / "model_optim_rng.pt"
        (other.parent / "config.json").write_bytes(self.config.read_bytes())
        self.bertconv("diff", other, self.folder / "saved")

    def test_two_orders_are_not_taken_for_one_another(self):
        path = self.write("renamed", 1)
        value = torch.load(path, weights_only=True)
        value["checkpoint_version"] = 2.0
        torch.save(value, path)
        output, _ = self.convert(path, "--config", self.config, route="pytorch-to-native")
        self.bertconv("verify", output, "--fixtures", self.fixture, status=DENIED)

    def test_its_own_arguments_are_a_config(self):
        path = self.write("args", 3, later_names=True, with_args=True)
        output, result = self.convert(path, route="pytorch-to-native")
        self.assertHolds(output, self.saved)
        self.assertIn("args.num_attention_heads", result.printed)
        self.bertconv("verify", output, "--fixtures", self.fixture)

    def test_without_the_number_of_heads_only_version_0_is_taken(self):
        for version, status in ((1, UNUSABLE), (2, UNUSABLE), (0, 0)):
            path = self.write(f"heads-{version}", version)
            _, result = self.convert(path, route="pytorch-to-native", status=status)
            self.assertIn("no shape gives num_attention_heads", result.printed)

    def test_without_a_version_only_the_oldest_names_are_taken(self):
        path = self.write("oldest", 0, with_version=False, legacy=True)
        output, result = self.convert(path, "--config", self.config, route="pytorch-to-native")
        self.assertHolds(output, self.saved)
        self.assertIn("has no checkpoint_version", result.printed)
        path = self.write("lost", 3, with_version=False, later_names=True)
        _, result = self.convert(path, "--config", self.config, route="pytorch-to-native", status=UNUSABLE)
        self.assertIn("checkpoint_version is not among the values", result.printed)

    def test_a_padded_vocabulary_keeps_its_rows(self):
        rows = self.model.config.vocab_size + 13
        path = self.write("padded", 2, padded=rows)
        output, result = self.convert(path, "--config", self.config, route="pytorch-to-native")
        self.assertIn("usually padding", result.printed)
        found = safetensors.numpy.load_file(output)
        for name in ("bert.embeddings.word_embeddings.weight", "cls.predictions.bias"):
            self.assertEqual(len(found[name]), rows)
            np.testing.assert_array_equal(found[name][: self.model.config.vocab_size], self.saved[name])


if __name__ == "__main__":
    unittest.main()
