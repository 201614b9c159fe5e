"""The TF2 models of tensorflow/models, written by tf-models-official itself, in a process with Keras 2."""

import json
import subprocess
import sys
import unittest

import numpy as np
from support import DENIED, UNUSABLE, InteropTest

SCRIPT = """
import os, sys
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import json
import numpy as np, tensorflow as tf
from official.nlp.modeling import models, networks
folder, layout, head, seed, sizes = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), json.loads(sys.argv[5])
# Garden's own gelu: official/modeling/activations/gelu.py.
gelu = lambda x: tf.keras.activations.gelu(x, approximate=True)
old = {} if layout.endswith("V2") else {"dict_outputs": True}
encoder = getattr(networks, layout)(inner_activation=gelu, type_vocab_size=2, **sizes, **old)
rng = np.random.default_rng(seed)
length = sizes["max_sequence_length"] - 3
ids = rng.integers(5, sizes["vocab_size"], (2, length))
mask, types = np.ones_like(ids), np.zeros_like(ids)
mask[1, length // 2 :] = 0
types[:, length // 3 :] = 1
inputs = dict(zip(("input_word_ids", "input_mask", "input_type_ids"), (tf.constant(x, tf.int32) for x in (ids, mask, types))))
if head == "classifier":
    model = models.BertClassifier(encoder, num_classes=3)
elif head == "span":
    model = models.BertSpanLabeler(encoder)
elif head == "pretraining":
    model = models.BertPretrainerV2(encoder, mlm_activation=gelu)
else:
    model = encoder
if head == "pretraining":
    inputs["masked_lm_positions"] = tf.constant(np.tile(np.arange(length), (2, 1)), tf.int32)
model(inputs)
model.set_weights([(rng.normal(size=w.shape) * 0.1 + np.allclose(w, 1)).astype("f4") for w in model.get_weights()])
made = encoder({key: value for key, value in inputs.items() if "masked" not in key})
fixture = dict(
    input_ids=ids, attention_mask=mask, token_type_ids=types, last_hidden_state=made["sequence_output"].numpy(),
    pooler_output=made["pooled_output"].numpy(),
)
fixture.update({f"hidden_states.{i + 1}": h.numpy() for i, h in enumerate(made["encoder_outputs"])})
out = model(inputs)
if head == "classifier":
    fixture["logits"] = out.numpy()
if head == "span":
    fixture["start_logits"], fixture["end_logits"] = out[0].numpy(), out[1].numpy()
if head == "pretraining":
    fixture["prediction_logits"] = out["mlm_logits"].numpy()
np.savez(f"{folder}/reference.npz", **fixture)
tf.train.Checkpoint(model=model).write(f"{folder}/ckpt")
if head == "saved":
    tf.saved_model.save(model, f"{folder}/saved")
"""


class Garden(InteropTest):
    def make(self, layout, head="none"):
        heads = int(self.rng.integers(1, 5))
        sizes = dict(
            vocab_size=int(self.rng.integers(30, 90)), hidden_size=heads * int(self.rng.choice([4, 6, 8, 16])),
            num_layers=int(self.rng.integers(1, 4)), num_attention_heads=heads,
            max_sequence_length=int(self.rng.integers(12, 30)), inner_dim=int(self.rng.integers(16, 90)),
        )  # fmt: skip
        folder = self.folder / f"{layout}-{head}-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        made = subprocess.run(
            [sys.executable, "-c", SCRIPT, folder, layout, head, str(self.rng.integers(2**31)), json.dumps(sizes)],
            capture_output=True, text=True,
        )  # fmt: skip
        self.assertEqual(made.returncode, 0, made.stderr[-2000:])
        return folder, sizes

    def test_both_layouts_and_every_head(self):
        for layout in ("BertEncoderV2", "BertEncoder"):
            for head in ("none", "classifier", "span", "pretraining"):
                with self.subTest(layout=layout, head=head):
                    folder, sizes = self.make(layout, head)
                    # No config: everything follows from the shapes, including the number of heads.
                    output, result = self.convert(folder / "ckpt")
                    self.assertIn(f"num_attention_heads {sizes['num_attention_heads']}", result.printed)
                    self.bertconv("verify", output, "--fixtures", folder / "reference.npz", "--against", folder / "ckpt")

    def test_a_saved_model(self):
        folder, _ = self.make("BertEncoderV2", "saved")
        output, _ = self.convert(folder / "saved")
        self.bertconv("verify", output, "--fixtures", folder / "reference.npz")

    def test_another_number_of_heads_is_a_conflict(self):
        folder, sizes = self.make("BertEncoder")
        config = folder / "config.json"
        config.write_text(json.dumps({"num_attention_heads": sizes["num_attention_heads"] + 1}))
        _, result = self.convert(folder / "ckpt", "--config", config, status=UNUSABLE)
        self.assertIn("num_attention_heads of", result.printed)

    def test_another_activation_shows(self):
        folder, _ = self.make("BertEncoderV2")
        config = folder / "relu.json"
        config.write_text(json.dumps({"hidden_act": "relu"}))
        output, _ = self.convert(folder / "ckpt", "--config", config)
        reference = dict(np.load(folder / "reference.npz"))
        self.assertGreater(len(reference), 4)
        self.bertconv("verify", output, "--fixtures", folder / "reference.npz", status=DENIED)


if __name__ == "__main__":
    unittest.main()
