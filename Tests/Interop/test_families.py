"""Families beside BERT: random small models of transformers with every head, converted and verified."""

import re
import unittest

import numpy as np
import torch
import transformers
from support import DENIED, UNUSABLE, InteropTest, generator, make_fixture, outputs_of, safetensors, saved_tensors

HEADS = (
    "Model", "ForPreTraining", "ForMaskedLM", "ForNextSentencePrediction", "ForSequenceClassification",
    "ForTokenClassification", "ForMultipleChoice", "ForQuestionAnswering",
)  # fmt: skip
TOLERANCE = 2e-5


def randomise(model, rng):
    """Random weights of a size at which a mistake shows; normalisations are near one."""
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


class MegatronBERT(InteropTest):
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

    def test_every_head(self):
        for head in HEADS:
            with self.subTest(head=head):
                output, _, saved = self.verified(random_megatron(head, self.rng), head)
                root = "bert." if head == "Model" else ""
                self.assertHolds(output, {root + name: value for name, value in saved.items()})

    def test_it_is_told_from_a_bert(self):
        model = random_megatron("ForPreTraining", self.rng)
        output, _, _ = self.verified(model, "told")
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
        for name, place in changes.items():
            with self.subTest(tensor=name):
                tensors = safetensors.numpy.load_file(output)
                tensors[name] = tensors[name] + generator(name).normal(0, 0.5, tensors[name].shape).astype(np.float32)
                changed = self.folder / "changed"
                changed.mkdir(exist_ok=True)
                safetensors.numpy.save_file(tensors, changed / "model.safetensors", metadata={"format": "pt"})
                (changed / "config.json").write_text(model.config.to_json_string())
                bent, _ = self.convert(changed, route="safetensors-to-native")
                found = self.bertconv_json("verify", bent, "--fixtures", reference, status=DENIED)
                self.assertTrue(found["first_divergence"].startswith(place), found["first_divergence"])

    def test_relative_positions_are_refused(self):
        model = random_megatron("Model", self.rng, position_embedding_type="relative_key")
        model.save_pretrained(self.folder / "relative")
        _, result = self.convert(self.folder / "relative", route="safetensors-to-native", status=UNUSABLE)
        self.assertIn("distance_embedding", result.told)


if __name__ == "__main__":
    torch.set_num_threads(1)
    unittest.main()
