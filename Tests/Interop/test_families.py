"""Families other than BERT: random small models of transformers with every head, converted and verified."""

import re
import unittest

import numpy as np
import torch
import transformers
from support import (
    DENIED, UNUSABLE, InteropTest, generator, google_layout, make_fixture, outputs_of, safetensors, saved_tensors,
)  # fmt: skip

HEADS = (
    "Model", "ForPreTraining", "ForMaskedLM", "ForNextSentencePrediction", "ForSequenceClassification",
    "ForTokenClassification", "ForMultipleChoice", "ForQuestionAnswering",
)  # fmt: skip
TOLERANCE = 2e-5


def randomise(model, rng):
    """Random weights of a size at which a mistake shows; normalizations are near one."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            gain = bool(re.search(r"(LayerNorm|\bln)\.weight$", name))
            values = rng.normal(0, 0.1, tuple(parameter.shape)) + gain
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    model.tie_weights()
    return model.eval()


def random_megatron(head, rng, **settings):
    heads = int(rng.integers(1, 5))
    config = dict(
        vocab_size=int(rng.integers(30, 120)),
        hidden_size=heads * int(rng.choice([4, 6, 8, 12])),
        num_hidden_layers=int(rng.integers(1, 5)),
        num_attention_heads=heads,
        intermediate_size=int(rng.integers(16, 100)),
        max_position_embeddings=int(rng.integers(16, 40)),
        hidden_act=str(rng.choice(["gelu", "gelu_new", "relu"])),
        layer_norm_eps=float(10.0 ** -rng.integers(3, 13)),
        # The head of question answering has as many outputs as there are labels, and needs two.
        num_labels=2 if head == "ForQuestionAnswering" else int(rng.integers(2, 7)),
        attn_implementation="eager",
    )
    model_class = getattr(transformers, "MegatronBert" + head)
    return randomise(model_class(transformers.MegatronBertConfig(**(config | settings))), rng)


class FamilyTest(InteropTest):
    def verified(self, model, name):
        """The native file of the model, its fixture, and what transformers saved; verified on a mask with holes too."""
        folder = self.folder / name
        saved = saved_tensors(model, folder)
        inputs = make_fixture.random_inputs(model, 4, 14, self.rng)
        # A mask with holes, one of them at the first token.
        inputs["attention_mask"][0, [0, 3, 4]] = 0
        fixture = make_fixture.reference(model, inputs)
        make_fixture.write_fixture(folder / "reference.npz", fixture)
        output, _ = self.convert(folder, route="safetensors-to-native", name=name)
        found = self.bertconv_json("verify", output, "--fixtures", folder / "reference.npz", "--tolerance", TOLERANCE)
        self.assertEqual({one["name"] for one in found["outputs"]}, set(outputs_of(fixture)))
        return output, folder / "reference.npz", saved


class MegatronBERT(FamilyTest):
    def test_every_head(self):
        for head in HEADS:
            with self.subTest(head=head):
                output, _, saved = self.verified(random_megatron(head, self.rng), head)
                root = "bert." if head == "Model" else ""
                self.assertHolds(output, {root + name: value for name, value in saved.items()})

    def test_it_is_distinguished_from_a_bert(self):
        model = random_megatron("ForPreTraining", self.rng)
        output, _, _ = self.verified(model, "reported")
        found = self.bertconv_json("inspect", output)
        self.assertEqual(found["family"], "megatron-bert")

    def test_the_layer_that_diverges_is_named(self):
        model = random_megatron("Model", self.rng, num_hidden_layers=3)
        output, reference, _ = self.verified(model, "diverging")
        changes = {
            "bert.encoder.layer.1.ln.weight": "hidden_states.2 (layer 1 output",
            "bert.encoder.layer.0.attention.ln.bias": "hidden_states.1 (layer 0 output",
            "bert.encoder.ln.weight": "hidden_states.3 (layer 2 output",
        }
        for name, location in changes.items():
            with self.subTest(tensor=name):
                tensors = safetensors.numpy.load_file(output)
                tensors[name] = tensors[name] + generator(name).normal(0, 0.5, tensors[name].shape).astype(np.float32)
                changed = self.folder / "changed"
                changed.mkdir(exist_ok=True)
                safetensors.numpy.save_file(tensors, changed / "model.safetensors", metadata={"format": "pt"})
                (changed / "config.json").write_text(model.config.to_json_string())
                bent, _ = self.convert(changed, route="safetensors-to-native")
                found = self.bertconv_json("verify", bent, "--fixtures", reference, status=DENIED)
                self.assertTrue(found["first_divergence"].startswith(location), found["first_divergence"])

    def test_relative_positions_are_refused(self):
        model = random_megatron("Model", self.rng, position_embedding_type="relative_key")
        model.save_pretrained(self.folder / "relative")
        _, result = self.convert(self.folder / "relative", route="safetensors-to-native", status=UNUSABLE)
        self.assertIn("relative positions (position_embedding_type relative_key)", result.printed)


def random_mobile(head, rng, **settings):
    """A MobileBERT of random sizes and of a random one of its forms."""
    form = str(rng.choice(["none", "attention", "shared", "residual"]))
    heads = int(rng.integers(1, 5))
    inner = heads * int(rng.choice([4, 6, 8, 12]))
    hidden = inner if form in ("none", "residual") else int(rng.integers(12, 50))
    config = dict(
        vocab_size=int(rng.integers(30, 120)),
        hidden_size=hidden,
        embedding_size=hidden if rng.random() < 0.2 else int(rng.integers(2, hidden)),
        intra_bottleneck_size=inner if form != "none" else 128,
        num_hidden_layers=int(rng.integers(1, 5)),
        num_attention_heads=heads,
        intermediate_size=int(rng.integers(16, 100)),
        max_position_embeddings=int(rng.integers(16, 40)),
        hidden_act=str(rng.choice(["gelu", "gelu_new", "relu"])),
        # Large ones too: two of the normalizations do not take it.
        layer_norm_eps=float(10.0 ** -rng.integers(1, 13)),
        trigram_input=bool(rng.integers(2)),
        use_bottleneck=form != "none",
        use_bottleneck_attention=form == "attention",
        # The second bottleneck is there, unread, when attention reads the first.
        key_query_shared_bottleneck=form == "shared" or (form == "attention" and bool(rng.integers(2))),
        num_feedforward_networks=int(rng.integers(1, 5)),
        normalization_type=str(rng.choice(["no_norm", "layer_norm"])),
        classifier_activation=bool(rng.integers(2)),
        num_labels=2 if head == "ForQuestionAnswering" else int(rng.integers(2, 7)),
        attn_implementation="eager",
    )
    model_class = getattr(transformers, "MobileBert" + head)
    return randomise(model_class(transformers.MobileBertConfig(**(config | settings))), rng)


RELEASED = dict(
    hidden_size=48, embedding_size=12, intra_bottleneck_size=16, num_attention_heads=4, num_hidden_layers=3,
    hidden_act="relu", trigram_input=True, use_bottleneck=True, use_bottleneck_attention=False,
    key_query_shared_bottleneck=True, num_feedforward_networks=4, normalization_type="no_norm",
    classifier_activation=False,
)  # fmt: skip


def google_mobile(model):
    """The variables of google-research/mobilebert (modeling.py, run_pretraining.py) with the values of the model."""
    norm = "FakeLayerNorm" if model.config.normalization_type == "no_norm" else "LayerNorm"
    tensors = {}
    for name, value in model.state_dict().items():
        value = value.detach().numpy()
        if name.startswith("cls.predictions.decoder"):
            continue
        path = name.replace("mobilebert.", "bert.").replace("encoder.layer.", "encoder.layer_")
        path = path.replace(".ffn.", ".ffn_layer_").split(".")
        kind = path.pop()
        if name == "cls.predictions.dense.weight":
            path, value = ["cls", "predictions", "extra_output_weights"], value.T
        elif name == "cls.predictions.bias":
            path.append("output_bias")
        elif name.startswith(("cls.seq_relationship", "classifier", "qa_outputs")):
            scope = {"cls": ["cls", "seq_relationship"], "classifier": [], "qa_outputs": ["cls", "squad"]}[path[0]]
            path = [*scope, "output_weights" if kind == "weight" else "output_bias"]
        elif path[-1] == "LayerNorm":
            path[-1] = "LayerNorm" if path[0] == "cls" else norm
            path.append("gamma" if kind == "weight" else "beta")
        elif path[-1].endswith("_embeddings"):
            pass
        else:
            path.append("kernel" if kind == "weight" else "bias")
            value = value.T if kind == "weight" else value
        tensors["/".join(path)] = np.ascontiguousarray(value)
    return tensors


class MobileBERT(FamilyTest):
    def test_every_head_in_random_forms(self):
        for number in range(5):
            for head in HEADS:
                model = random_mobile(head, self.rng)
                with self.subTest(head=head, config=model.config.to_diff_dict()):
                    output, _, saved = self.verified(model, f"{head}-{number}")
                    root = "mobilebert." if head == "Model" else ""
                    self.assertHolds(output, {root + name: value for name, value in saved.items()})

    def test_as_released(self):
        for head in HEADS:
            with self.subTest(head=head):
                self.verified(random_mobile(head, self.rng, **RELEASED), f"released-{head}")

    def test_masks_do_not_hide_the_neighbours(self):
        """The embedding of a token uses the neighboring ids, whatever their mask is."""
        model = random_mobile("Model", self.rng, **RELEASED)
        output, reference, _ = self.verified(model, "neighbours")
        with np.load(reference) as stored:
            fixture = dict(stored)
        hole = (0, 4)
        self.assertEqual(fixture["attention_mask"][hole], 0)
        fixture["input_ids"][hole] = (fixture["input_ids"][hole] + 1) % model.config.vocab_size
        make_fixture.write_fixture(self.folder / "changed.npz", fixture)
        found = self.bertconv_json("verify", output, "--fixtures", self.folder / "changed.npz", status=DENIED)
        self.assertTrue(found["first_divergence"].startswith("hidden_states.0 (the embeddings"))

    def test_the_layer_that_diverges_is_named(self):
        for norm in ("no_norm", "layer_norm"):
            model = random_mobile("Model", self.rng, **(RELEASED | dict(normalization_type=norm)))
            output, reference, _ = self.verified(model, f"diverging-{norm}")
            name = "mobilebert.encoder.layer.1.output.bottleneck.LayerNorm.weight"
            tensors = safetensors.numpy.load_file(output)
            tensors[name] = tensors[name] * generator(name).uniform(1.5, 3, tensors[name].shape).astype(np.float32)
            changed = self.folder / f"changed-{norm}"
            changed.mkdir()
            safetensors.numpy.save_file(tensors, changed / "model.safetensors", metadata={"format": "pt"})
            (changed / "config.json").write_text(model.config.to_json_string())
            bent, _ = self.convert(changed, route="safetensors-to-native")
            found = self.bertconv_json("verify", bent, "--fixtures", reference, status=DENIED)["first_divergence"]
            self.assertTrue(found.startswith("hidden_states.2 (layer 1 output"), found)
            # Of a norm that takes no statistics nothing can be printed.
            self.assertEqual("output.bottleneck.LayerNorm among them" in found, norm == "layer_norm", found)

    def test_what_transformers_fails_at_is_refused(self):
        config = RELEASED | dict(key_query_shared_bottleneck=False)
        model = random_mobile("Model", self.rng, **config)
        with self.assertRaises(RuntimeError):
            model(torch.zeros(1, 4, dtype=torch.long))
        model.save_pretrained(self.folder / "unequal")
        output, _ = self.convert(self.folder / "unequal", route="safetensors-to-native")
        inputs = self.folder / "ids.npz"
        np.savez(inputs, input_ids=np.ones((1, 4), np.int64))
        result = self.bertconv("run", output, "--inputs", inputs, "-o", self.folder / "out.npz", status=UNUSABLE)
        self.assertIn("hidden_size 48 and intra_bottleneck_size 16", result.printed)

    def test_checkpoints_of_google(self):
        tf = google_layout.import_tensorflow()
        for norm in ("no_norm", "layer_norm"):
            for head in ("ForPreTraining", "ForQuestionAnswering", "ForSequenceClassification"):
                with self.subTest(norm=norm, head=head):
                    settings = RELEASED | dict(normalization_type=norm, classifier_activation=norm == "layer_norm")
                    model = random_mobile(head, self.rng, **settings)
                    _, reference, saved = self.verified(model, f"google-{norm}-{head}")
                    tensors = google_mobile(model)
                    folder = self.folder / f"tf-{norm}-{head}"
                    folder.mkdir()
                    extra = {"global_step": np.int64(7)}
                    google_layout.write_bundle(folder / "mobilebert.ckpt", tensors | extra)
                    config = model.config.to_diff_dict()
                    del config["model_type"], config["transformers_version"]
                    (folder / "bert_config.json").write_text(transformers.PretrainedConfig(**config).to_json_string())
                    output, _ = self.convert(folder / "mobilebert.ckpt")
                    self.assertHolds(output, saved)
                    found = self.bertconv_json("verify", output, "--fixtures", reference, "--tolerance", TOLERANCE)
                    self.assertTrue(found["passed"])
                    self.assertEqual(self.bertconv_json("inspect", folder / "mobilebert.ckpt")["family"], "mobilebert")
                    back = folder / "back" / "mobilebert.ckpt"
                    back.parent.mkdir()
                    if norm == "layer_norm":
                        result = self.bertconv("convert", "native-to-tf", output, "-o", back, status=UNUSABLE)
                        self.assertIn("normalization_type", result.printed)
                        continue
                    self.bertconv("convert", "native-to-tf", output, "-o", back)
                    reader = tf.train.load_checkpoint(str(back))
                    self.assertEqual(set(reader.get_variable_to_shape_map()), set(tensors))
                    for variable, value in tensors.items():
                        np.testing.assert_array_equal(reader.get_tensor(variable), value, variable)


if __name__ == "__main__":
    torch.set_num_threads(1)
    unittest.main()
