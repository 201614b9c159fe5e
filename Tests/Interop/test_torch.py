"""Checkpoints that torch wrote: the zip form, the form before torch 1.6, and the names of several years."""

import json
import os
import re
import unittest

import safetensors.numpy
import torch
from support import UNUSABLE, WithModel

FORMS = {"zip": {}, "legacy": {"_use_new_zipfile_serialization": False}}
FORMATS = {"zip": "pytorch-zip", "legacy": "pytorch-legacy"}


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class StateDicts(WithModel):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.state = cls.model.state_dict()

    def write(self, value, form="zip"):
        folder = self.folder / self.id().rsplit(".", 1)[-1] / form
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(value, folder / "pytorch_model.bin", **FORMS[form])
        (folder / "config.json").write_text(self.config.to_json_string())
        return folder / "pytorch_model.bin"

    def assertConverts(self, value, expected=None):
        for form in FORMS:
            with self.subTest(form=form):
                output, _ = self.convert(self.write(value, form), route="pytorch-to-native")
                self.assertHolds(output, expected or self.saved)

    def test_a_state_dict(self):
        self.assertConverts(self.state)

    def test_it_is_listed_as_torch_lists_it(self):
        for form in FORMS:
            with self.subTest(form=form):
                found = self.bertconv_json("inspect", self.write(self.state, form))
                self.assertEqual((found["format"], found["family"]), (FORMATS[form], "bert"))
                self.assertEqual(
                    {tensor["name"]: tensor["shape"] for tensor in found["tensors"]},
                    {name: list(value.shape) for name, value in self.state.items()},
                )

    def test_gamma_and_beta(self):
        old = {re.sub(r"LayerNorm\.weight$", "LayerNorm.gamma", name): value for name, value in self.state.items()}
        self.assertConverts({re.sub(r"LayerNorm\.bias$", "LayerNorm.beta", name): value for name, value in old.items()})

    def test_prefixes_of_wrappers(self):
        for prefix in ("module.", "model."):
            with self.subTest(prefix=prefix):
                self.assertConverts({prefix + name: value for name, value in self.state.items()})

    def test_inside_a_training_checkpoint(self):
        optimizer = torch.optim.AdamW(self.model.parameters())
        self.assertConverts({"epoch": 2, "state_dict": self.state, "optimizer": optimizer.state_dict()})

    def test_views_are_read_as_they_look(self):
        viewed = {}
        for name, value in self.state.items():
            wide = torch.full((*value.shape[:-1], value.shape[-1] * 2), 7.0)
            wide[..., ::2] = value
            viewed[name] = wide[..., ::2]
        self.assertConverts(viewed)

    def test_a_transposed_storage(self):
        self.assertConverts({n: v.t().contiguous().t() if v.dim() == 2 else v for n, v in self.state.items()})

    def test_a_hostile_pickle_is_listed_and_never_run(self):
        mark = self.folder / "pwned"
        for form in FORMS:
            with self.subTest(form=form):
                path = self.write({**self.state, "trap": Trap(mark)}, form)
                found = self.bertconv_json("inspect", path)
                dangerous = [one["name"] for one in found["imports"] if one["verdict"] == "dangerous"]
                self.assertIn("system", " ".join(dangerous))
                _, result = self.convert(path, route="pytorch-to-native", status=UNUSABLE)
                self.assertIn("system", result.printed)
                self.assertFalse(mark.exists())


class Folders(WithModel):
    def test_a_folder_as_transformers_saves_it(self):
        output, _ = self.convert(self.folder / "saved", route="safetensors-to-native")
        self.assertHolds(output, self.saved)
        self.bertconv("verify", output, "--fixtures", self.fixture)

    def test_shards(self):
        folder = self.folder / "sharded"
        folder.mkdir()
        names = list(self.saved)
        self.rng.shuffle(names)
        files = [f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
        for number, file in enumerate(files):
            held = {name: self.saved[name] for name in names[number::3]}
            safetensors.numpy.save_file(held, folder / file, metadata={"format": "pt"})
        index = {"metadata": {}, "weight_map": {name: files[i % 3] for i, name in enumerate(names)}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        (folder / "config.json").write_text(self.config.to_json_string())
        output, _ = self.convert(folder, route="safetensors-to-native")
        self.assertHolds(output, self.saved)


if __name__ == "__main__":
    unittest.main()
