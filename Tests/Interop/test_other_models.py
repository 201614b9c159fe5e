"""OpenAI's GPT, ULMFiT and codertimo's BERT-pytorch, in every form that they were published in."""

import json
import re
import unittest

import numpy as np
import torch
import transformers
from support import DENIED, UNUSABLE, InteropTest, make_fixture, random_config, saved_tensors

import awd_lstm
import bert_pytorch_modules
import openai_layout


class WithGenerator(InteropTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.generator = torch.Generator().manual_seed(int(cls.rng.integers(2**31)))

    def assertVerifies(self, output, reference, *options, status=0):
        path = output.with_suffix(".npz")
        np.savez(path, **reference)
        result = self.bertconv("verify", output, "--fixtures", path, *options, status=status)
        for name in set(reference) - set(make_fixture.INPUTS):
            self.assertIn(name, result.stdout)
        return result


class OpenAIGPT(WithGenerator):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        heads = int(cls.rng.integers(1, 5))
        cls.settings = dict(
            vocab_size=int(cls.rng.integers(20, 130)), n_positions=int(cls.rng.integers(16, 60)),
            n_embd=heads * int(cls.rng.choice([3, 6, 8, 16])), n_layer=int(cls.rng.integers(1, 4)), n_head=heads,
        )  # fmt: skip
        cls.model = cls.random("OpenAIGPTLMHeadModel")
        cls.saved = saved_tensors(cls.model, cls.folder / "saved")
        cls.ids = torch.from_numpy(cls.rng.integers(0, cls.settings["vocab_size"], (3, int(cls.rng.integers(8, 17)))))
        with torch.no_grad():
            made = cls.model(cls.ids, output_hidden_states=True)
        cls.reference = {"input_ids": cls.ids.numpy(), "logits": made.logits.numpy()}
        cls.reference |= {f"hidden_states.{n}": state.numpy() for n, state in enumerate(made.hidden_states)}
        cls.heads = cls.folder / "heads.json"
        cls.heads.write_text(json.dumps({"n_head": heads, "afn": "gelu"}))

    @classmethod
    def random(cls, name, **settings):
        model = getattr(transformers, name)(transformers.OpenAIGPTConfig(**cls.settings, **settings))
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                values = torch.randn(parameter.shape, generator=cls.generator) * 0.1
                parameter.copy_(values + bool(re.search(r"ln_\d\.weight", key)))
        return model.eval()

    def test_as_transformers_saves_it(self):
        for form in ("safetensors", "zip", "legacy"):
            with self.subTest(form=form):
                source = self.folder / "saved"
                if form != "safetensors":
                    source = self.folder / form / "pytorch_model.bin"
                    source.parent.mkdir()
                    torch.save(self.model.state_dict(), source, _use_new_zipfile_serialization=form == "zip")
                    (source.parent / "config.json").write_text(self.model.config.to_json_string())
                output, _ = self.convert(source, route="auto-to-native")
                self.assertHolds(output, self.saved)
                self.assertVerifies(output, self.reference)

    def test_the_shards_that_openai_published(self):
        for count in (1, 10, 23):
            with self.subTest(count=count):
                folder = self.folder / f"shards-{count}"
                openai_layout.write_shards(self.model, folder, count)
                output, _ = self.convert(folder, "--config", self.heads, route="numpy-to-native")
                self.assertHolds(output, self.saved)
                self.assertVerifies(output, self.reference)

    def test_words_and_positions_in_one_table(self):
        path = self.folder / "old.pth"
        torch.save(openai_layout.torch_state(self.model), path)
        _, result = self.convert(path, route="pytorch-to-native", status=UNUSABLE)
        self.assertIn("where to split it is unknown", result.printed)
        config = self.folder / "positions.json"
        config.write_text(json.dumps(dict(n_positions=self.settings["n_positions"], n_head=self.settings["n_head"])))
        output, _ = self.convert(path, "--config", config, route="pytorch-to-native")
        self.assertHolds(output, self.saved)
        self.assertVerifies(output, self.reference)

    def test_token_types_and_padding(self):
        mask = np.ones(self.ids.shape, np.int64)
        mask[0, 5:] = 0
        types = torch.from_numpy(self.rng.integers(0, self.settings["vocab_size"], tuple(self.ids.shape)))
        with torch.no_grad():
            made = self.model(self.ids, attention_mask=torch.from_numpy(mask), token_type_ids=types)
        output, _ = self.convert(self.folder / "saved", route="auto-to-native")
        reference = dict(
            input_ids=self.ids.numpy(), attention_mask=mask, token_type_ids=types.numpy(), logits=made.logits.numpy()
        )
        self.assertVerifies(output, reference)

    def test_a_classifier_of_the_last_token(self):
        model = self.random("OpenAIGPTForSequenceClassification", num_labels=3, pad_token_id=0)
        model.save_pretrained(self.folder / "classifier")
        ids = self.ids.clamp(min=1)
        mask = torch.ones_like(ids)
        ids[1, 6:], mask[1, 6:] = 0, 0
        with torch.no_grad():
            logits = model(ids, attention_mask=mask).logits
        output, _ = self.convert(self.folder / "classifier", route="auto-to-native")
        self.assertVerifies(
            output, dict(input_ids=ids.numpy(), attention_mask=mask.numpy(), logits=logits.numpy())
        )

    def test_reduced_precisions(self):
        output, _ = self.convert(self.folder / "saved", route="auto-to-native")
        for precision, tolerance in (("bf16", 0.2), ("int8", 0.4)):
            self.assertVerifies(output, self.reference, "--precision", precision, "--tolerance", tolerance)


class ULMFiT(WithGenerator):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        layers = int(cls.rng.integers(1, 5))
        vocabulary = int(cls.rng.integers(20, 130))
        cls.model = awd_lstm.AWDLSTM(
            vocabulary, int(cls.rng.integers(5, 50)), int(cls.rng.integers(51, 90)), layers, cls.generator
        )
        cls.ids = torch.from_numpy(cls.rng.integers(0, vocabulary, (3, 17)))

    def test_every_form(self):
        for form, suffix, legacy in (("0.7", "h5", True), ("2", "pth", False), ("plain", "pth", False)):
            with self.subTest(form=form):
                path = self.folder / f"lm-{form}.{suffix}"
                torch.save(self.model.state(form, self.generator), path, _use_new_zipfile_serialization=not legacy)
                output, _ = self.convert(path, route="pytorch-to-native")
                self.assertVerifies(output, self.model.reference(self.ids, with_bias=form != "0.7"))
                again, _ = self.convert(output, route="auto-to-native")
                self.assertVerifies(again, self.model.reference(self.ids, with_bias=form != "0.7"))

    def test_with_its_optimizer_and_as_an_encoder_alone(self):
        state = self.model.state("2", self.generator)
        path = self.folder / "full.pth"
        torch.save({"model": state, "opt": {"state": [{"mom": torch.zeros(3)}]}}, path)
        output, result = self.convert(path, route="pytorch-to-native")
        self.assertIn("state of the optimizer", result.printed)
        reference = self.model.reference(self.ids)
        self.assertVerifies(output, reference)
        path = self.folder / "encoder.pth"
        torch.save({key[2:]: value for key, value in state.items() if key.startswith("0.")}, path)
        output, _ = self.convert(path, route="pytorch-to-native")
        del reference["logits"]
        self.assertVerifies(output, reference)

    def test_a_decoder_of_its_own(self):
        state = self.model.state("plain", self.generator)
        state["1.decoder.weight"] = torch.randn(self.model.table.shape, generator=self.generator)
        path = self.folder / "untied.pth"
        torch.save(state, path)
        output, _ = self.convert(path, route="pytorch-to-native")
        reference = self.model.reference(self.ids)
        reference["logits"] = reference["last_hidden_state"] @ state["1.decoder.weight"].numpy().T
        reference["logits"] += self.model.bias.numpy()
        self.assertVerifies(output, reference)

    def test_configs_of_others_are_reported(self):
        path = self.folder / "lm.h5"
        torch.save(self.model.state("0.7", self.generator), path, _use_new_zipfile_serialization=False)
        config = self.folder / "bert.json"
        config.write_text(random_config(self.rng).to_json_string())
        _, result = self.convert(path, "--config", config, route="pytorch-to-native", status=UNUSABLE)
        self.assertRegex(result.printed, "do not make an ULMFiT")
        self.assertIn("has the keys of a BERT", result.printed)


class BERTPyTorch(WithGenerator):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        heads = int(cls.rng.integers(1, 5))
        vocabulary = int(cls.rng.integers(20, 130))
        cls.model = bert_pytorch_modules.random_model(
            vocabulary, heads * int(cls.rng.choice([4, 6, 8, 16])), int(cls.rng.integers(1, 4)), heads,
            int(cls.rng.integers(16, 60)), cls.generator,
        )  # fmt: skip
        ids = torch.from_numpy(cls.rng.integers(1, vocabulary, (3, 15)))
        segments = torch.ones_like(ids)
        segments[:, 6:] = 2
        ids[1, 9:], segments[1, 9:] = 0, 0
        cls.reference = bert_pytorch_modules.reference(cls.model, ids, segments)

    def test_modules_and_state_dicts(self):
        heads = self.folder / "heads.json"
        heads.write_text(json.dumps({"num_attention_heads": self.model.bert.attn_heads}))
        alone = {name: value for name, value in self.reference.items() if not name.endswith("logits")}
        for label, value, reference, options in (
            ("bert", self.model.bert, alone, ()),
            ("lm", self.model, self.reference, ()),
            ("state", self.model.state_dict(), self.reference, ("--config", heads)),
        ):
            for legacy in (False, True):
                with self.subTest(value=label, legacy=legacy):
                    path = self.folder / f"{label}-{legacy}.ep0"
                    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
                    output, result = self.convert(path, *options, route="pytorch-to-native")
                    self.assertVerifies(output, reference)
                    if not options:
                        self.assertIn("taken from the values of the checkpoint: num_attention_heads", result.printed)

    def test_another_number_of_heads_shows(self):
        heads = self.model.bert.attn_heads
        if heads == 1:
            self.skipTest("one head")
        path = self.folder / "one.pth"
        torch.save(self.model.state_dict(), path)
        config = self.folder / "one.json"
        config.write_text(json.dumps({"num_attention_heads": 1}))
        output, _ = self.convert(path, "--config", config, route="pytorch-to-native")
        result = self.assertVerifies(output, self.reference, status=DENIED)
        self.assertIn("layer 0", result.printed)


if __name__ == "__main__":
    unittest.main()
