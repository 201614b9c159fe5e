"""The ports of BERT to Keras: keras-bert and KerasHub by their own code, the two others laid out as they keep a model."""

import json
import os
import subprocess
import sys
import unittest

import numpy as np
import torch
import transformers
from support import DENIED, InteropTest, make_fixture, random_bert, random_reference

import keras_layout

KERAS_BERT = """
import os, sys, json
os.environ.update(TF_KERAS="1", TF_USE_LEGACY_KERAS="1")
import numpy as np
import keras_layout
keras_layout.modules_of_keras_2()
import tf_keras
from keras_bert import get_model
folder, seed, sizes = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
length = sizes["seq_len"]
model = get_model(training=True, dropout_rate=0.0, **sizes)
rng = np.random.default_rng(seed)
model.set_weights([(rng.normal(size=w.shape) * 0.1 + ("gamma" in v.name)).astype("f4") for v, w in zip(model.weights, model.get_weights())])
model.save_weights(f"{folder}/weights.h5")
model.save(f"{folder}/model.h5")
ids = rng.integers(1, sizes["token_num"], (2, length))
types = np.zeros_like(ids)
types[:, length // 2 :] = 1
ids[1, length // 2 + 1 :] = 0
layers = ["Embedding-Norm"] + [f"Encoder-{i + 1}-FeedForward-Norm" for i in range(sizes["transformer_num"])]
parts = tf_keras.Model(model.inputs[:2], [model.get_layer(n).output for n in [*layers, "NSP-Dense", "MLM-Sim"]])
made = parts.predict([ids, types], verbose=0)
values = {v.name: w for v, w in zip(model.weights, model.get_weights())}
states = made[: len(layers)]
fixture = {f"hidden_states.{i}": state for i, state in enumerate(states)}
fixture["pooler_output"] = made[-2]
fixture["seq_relationship_logits"] = made[-2] @ values["NSP/kernel:0"] + values["NSP/bias:0"]
np.savez(f"{folder}/reference.npz", input_ids=ids, attention_mask=(ids > 0).astype(int), token_type_ids=types, **fixture)
np.save(f"{folder}/mlm.npy", made[-1])
"""

KERAS_HUB = """
import os, sys, json
os.environ["KERAS_BACKEND"] = "torch"
from unittest.mock import MagicMock
# Of use for tokenizers and downloads alone.
for name in ("tensorflow_text", "kagglehub", "kagglehub.auth", "kagglehub.exceptions"):
    sys.modules[name] = MagicMock()
import numpy as np
import keras_hub
folder, seed, sizes = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
backbone = keras_hub.models.BertBackbone(num_segments=2, dropout=0, **sizes)
rng = np.random.default_rng(seed)
def fill(model):
    model.set_weights([(rng.normal(size=w.shape) * 0.1 + ("gamma" in v.path)).astype("f4") for v, w in zip(model.weights, model.get_weights())])
classifier = keras_hub.models.BertTextClassifier(backbone, num_classes=3, preprocessor=None)
fill(classifier)
backbone.save_weights(f"{folder}/backbone.weights.h5")
backbone.save(f"{folder}/backbone.keras")
classifier.save_weights(f"{folder}/classifier.weights.h5")
keras_hub.models.BertMaskedLM(backbone, preprocessor=None).save_weights(f"{folder}/masked-lm.weights.h5")
length = sizes["max_sequence_length"] - 2
ids = rng.integers(1, sizes["vocabulary_size"], (2, length))
types, mask = np.zeros_like(ids), np.ones_like(ids)
types[:, length // 2 :] = 1
mask[1, length // 2 + 1 :] = 0
inputs = {"token_ids": ids, "segment_ids": types, "padding_mask": mask}
made = {key: value.detach().cpu().numpy() for key, value in backbone(inputs).items()}
fixture = dict(input_ids=ids, attention_mask=mask, token_type_ids=types, last_hidden_state=made["sequence_output"], pooler_output=made["pooled_output"])
np.savez(f"{folder}/backbone.npz", **fixture)
np.savez(f"{folder}/classifier.npz", **fixture, logits=classifier(inputs).detach().cpu().numpy())
"""


class KerasModels(InteropTest):
    def write(self, script, name, **sizes):
        folder = self.folder / name
        folder.mkdir()
        path = os.pathsep.join(sys.path)
        made = subprocess.run(
            [sys.executable, "-c", script, folder, str(self.rng.integers(2**31)), json.dumps(sizes)],
            capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
        self.assertEqual(made.returncode, 0, made.stderr[-2000:])
        return folder

    def test_keras_bert(self):
        heads = int(self.rng.integers(1, 5))
        length = int(self.rng.integers(8, 20))
        # Layers of two digits, and numbers that are those of weights too (W1, b2).
        folder = self.write(
            KERAS_BERT, "keras-bert", token_num=int(self.rng.integers(20, 90)), pos_num=length + 5, seq_len=length,
            embed_dim=heads * 8, transformer_num=11, head_num=heads, feed_forward_dim=int(self.rng.integers(16, 60)),
        )  # fmt: skip
        config = folder / "config.json"
        config.write_text(json.dumps({"num_attention_heads": heads, "hidden_act": "gelu"}))
        for name in ("weights.h5", "model.h5"):
            output, result = self.convert(folder / name, route="keras-to-native")
            self.assertIn("is what others call 'gelu_new' in keras-bert", result.printed)
            if name == "model.h5":
                # The whole model records how many heads it has.
                bare = self.folder / "bare" / name
                bare.parent.mkdir()
                bare.write_bytes((folder / name).read_bytes())
                _, result = self.convert(bare, route="keras-to-native", name="bare")
                self.assertIn(f"taken from the values of the checkpoint: num_attention_heads {heads} (model_config.", result.printed)
            self.bertconv("verify", output, "--fixtures", folder / "reference.npz", "--against", folder / name)
        made = self.folder / "mlm.npz"
        self.bertconv("run", output, "--inputs", folder / "reference.npz", "-o", made, "--outputs", "prediction_logits")
        logits = np.load(made)["prediction_logits"].astype("f8")
        chances = np.exp(logits - logits.max(-1, keepdims=True))
        chances /= chances.sum(-1, keepdims=True)
        mask = np.load(folder / "reference.npz")["attention_mask"] == 1
        np.testing.assert_allclose(chances[mask], np.load(folder / "mlm.npy")[mask], atol=2e-6)

    def test_keras_hub(self):
        heads = int(self.rng.integers(1, 5))
        folder = self.write(
            KERAS_HUB, "keras-hub", vocabulary_size=int(self.rng.integers(20, 90)), num_layers=int(self.rng.integers(1, 13)),
            num_heads=heads, hidden_dim=heads * int(self.rng.choice([4, 6, 16])),
            intermediate_dim=int(self.rng.integers(16, 60)), max_sequence_length=int(self.rng.integers(12, 30)),
        )  # fmt: skip
        for name in ("backbone.weights.h5", "backbone.keras"):
            output, _ = self.convert(folder / name, route="keras-to-native")
            self.bertconv("verify", output, "--fixtures", folder / "backbone.npz", "--against", folder / name)
        output, _ = self.convert(folder / "classifier.weights.h5", route="keras-to-native")
        self.bertconv("verify", output, "--fixtures", folder / "classifier.npz")
        output, result = self.convert(folder / "masked-lm.weights.h5", route="keras-to-native")
        self.assertIn("which a BERT cannot have", result.printed)
        self.bertconv("verify", output, "--fixtures", folder / "backbone.npz")

    def test_two_that_are_laid_out_here(self):
        for port in ("bert-for-tf2", "BERT-keras"):
            for number in range(2):
                with self.subTest(port=port, number=number):
                    model = random_bert("BertModel", self.rng, hidden_act="gelu_new")
                    path = self.folder / f"{port}-{number}" / "weights.h5"
                    path.parent.mkdir()
                    if port == "bert-for-tf2":
                        keras_layout.bert_for_tf2(model, path, layer=("bert", "bert_model_layer_1")[number])
                    else:
                        keras_layout.bert_keras(model, path, number)
                    # The name that such a config has: the tanh form in both programs.
                    config = json.loads(model.config.to_json_string()) | {"hidden_act": "gelu", "architectures": None}
                    (path.parent / "config.json").write_text(json.dumps(config))
                    output, _ = self.convert(path, route="keras-to-native")
                    reference = random_reference(model, self.rng)
                    reference.pop("pooler_output")
                    fixture = path.with_suffix(".npz")
                    make_fixture.write_fixture(fixture, reference)
                    self.bertconv("verify", output, "--fixtures", fixture, "--against", path)

    def test_the_exact_gelu_of_older_versions(self):
        model = random_bert("BertModel", self.rng, hidden_act="gelu")
        with torch.no_grad():
            for layer in model.encoder.layer:
                # Near 0 the two forms differ too little to be distinguished: most values of theirs are far from it.
                layer.intermediate.dense.weight.mul_(10)
        path = self.folder / "older.h5"
        keras_layout.bert_for_tf2(model, path)
        fixture = self.folder / "older.npz"
        reference = random_reference(model, self.rng)
        reference.pop("pooler_output")
        make_fixture.write_fixture(fixture, reference)
        for word, status in (("gelu", DENIED), ("gelu_python", 0)):
            config = self.folder / f"{word}.json"
            config.write_text(
                json.dumps({"hidden_act": word, "num_attention_heads": model.config.num_attention_heads})
            )
            output, _ = self.convert(path, "--config", config, route="keras-to-native")
            self.bertconv("verify", output, "--fixtures", fixture, "--tolerance", "2e-5", status=status)
        self.assertEqual(transformers.BertConfig().hidden_act, "gelu")


if __name__ == "__main__":
    unittest.main()
