"""The scripts for users: fixtures of their own models, and the demo with a trained model."""

import subprocess
import sys
import unittest

import numpy as np
from support import ROOT, InteropTest, WithModel, outputs_of


def script(name, *arguments):
    return subprocess.run(
        [sys.executable, ROOT / "Scripts" / name, *map(str, arguments)], capture_output=True, text=True, timeout=600
    )


class MakeFixture(WithModel):
    def test_a_fixture_of_a_saved_model_verifies(self):
        output, _ = self.convert(self.prefix)
        for suffix in (".npz", ".safetensors"):
            path = self.folder / f"made{suffix}"
            made = script(
                "make_fixture.py", self.folder / "saved", "-o", path, "--batch", 3, "--length", 11, "--seed", 5
            )
            self.assertEqual(made.returncode, 0, made.stderr)
            found = self.bertconv_json("verify", output, "--fixtures", path)
            self.assertEqual({one["name"] for one in found["outputs"]}, set(outputs_of(self.reference)))

    def test_the_same_seed_gives_the_same_inputs(self):
        first, second = self.folder / "first.npz", self.folder / "second.npz"
        for path in (first, second):
            self.assertEqual(script("make_fixture.py", self.folder / "saved", "-o", path, "--seed", 9).returncode, 0)
        for name, value in np.load(first).items():
            np.testing.assert_array_equal(value, np.load(second)[name], name)

    def test_what_cannot_be_done_is_reported_in_a_line(self):
        saved = self.folder / "saved"
        for arguments in (
            (self.folder, "-o", "x.npz"),
            (saved, "-o", "x.txt"),
            (saved, "-o", "x.npz", "--class", "NoSuchModel"),
            (saved, "-o", "x.npz", "--class", "BertForQuestionAnswering"),
            (saved, "-o", "x.npz", "--length", self.config.max_position_embeddings + 1),
        ):
            with self.subTest(arguments=arguments[1:]):
                made = script("make_fixture.py", *arguments)
                self.assertEqual(made.returncode, 1)
                self.assertNotIn("Traceback", made.stderr)
                self.assertIn("make_fixture.py:", made.stderr)


class TrainedModel(InteropTest):
    def test_minilm_converts_and_verifies(self):
        made = script("make_demo_model.py", self.folder / "minilm")
        self.assertEqual(made.returncode, 0, made.stderr)
        output, _ = self.convert(self.folder / "minilm")
        found = self.bertconv_json("verify", output, "--fixtures", self.folder / "minilm" / "reference.npz")
        self.assertIn("pooler_output", {one["name"] for one in found["outputs"]})
        for one in found["outputs"]:
            self.assertLessEqual(one["max_abs_error"], 2e-5, one)
        self.bertconv("verify", output, "--against", self.folder / "minilm" / "bert_model.ckpt")


if __name__ == "__main__":
    unittest.main()
