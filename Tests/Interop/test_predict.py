"""`predict` against the pipelines of transformers, with random models and tokenizers that the libraries save themselves."""

import json
import unittest

import numpy as np
import tokenizers
import torch
import transformers
from support import UNUSABLE, InteropTest
from test_families import randomise

WORDS = "the a cat dog man woman house river in on of and was is good bad not very old new paris berlin anna went to é ü".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LABELS = ("O", "B-PER", "I-PER", "LOC")
TOLERANCE = 1e-5


def predict_lines(items):
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)


class Predict(InteropTest):
    def model(self, class_name, **settings):
        """A random model in a folder with its tokenizer, and both as transformers loads them."""
        folder = self.folder / f"{class_name}-{self.rng.integers(2**31)}"
        folder.mkdir()
        vocabulary = SPECIAL + WORDS + [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
        (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
        heads = int(self.rng.integers(1, 4))
        model_class = getattr(transformers, class_name)
        config = model_class.config_class(
            vocab_size=len(vocabulary),
            hidden_size=heads * 8,
            num_hidden_layers=2,
            num_attention_heads=heads,
            intermediate_size=24,
            max_position_embeddings=64,
            attn_implementation="eager",
            **settings,
        )
        model = randomise(model_class(config), self.rng)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter *= 3
        model.save_pretrained(folder)
        return folder, model, transformers.BertTokenizerFast(str(folder / "vocab.txt"))

    def text(self, count):
        return " ".join(self.rng.choice(WORDS + ["Zebra,", "(x)", "?"], count))

    def answers(self, folder, items, *options):
        path = self.folder / "items.jsonl"
        path.write_text(predict_lines(items))
        return self.bertconv_json("predict", folder, "--input", path, *options)

    def test_masks(self):
        for name in ("BertForMaskedLM", "ElectraForMaskedLM"):
            folder, model, tokenizer = self.model(name)
            pipe = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer)
            texts = [f"{self.text(int(self.rng.integers(0, 9)))} [MASK] {self.text(3)}" for _ in range(8)]
            found = self.answers(folder, [{"text": text} for text in texts], "--top", "4")
            self.assertEqual(found["task"], "fill-mask")
            for text, result in zip(texts, found["results"]):
                expected = pipe(text, top_k=4)
                candidates = result["masks"][0]["candidates"]
                self.assertEqual([c["id"] for c in candidates], [e["token"] for e in expected])
                np.testing.assert_allclose([c["score"] for c in candidates], [e["score"] for e in expected], atol=TOLERANCE)

    def test_labels(self):
        labels = dict(enumerate(("good", "schlecht", "très")))
        for settings in ({}, {"problem_type": "multi_label_classification"}):
            folder, model, tokenizer = self.model("BertForSequenceClassification", id2label=labels, **settings)
            pipe = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
            items = [{"text": self.text(n)} for n in range(8)] + [{"text": self.text(5), "text_pair": self.text(4)}]
            for item, result in zip(items, self.answers(folder, items)["results"]):
                expected = sorted(pipe(item, top_k=None), key=lambda entry: -entry["score"])
                self.assertEqual([x["label"] for x in result["labels"]], [x["label"] for x in expected])
                np.testing.assert_allclose(
                    [x["score"] for x in result["labels"]], [x["score"] for x in expected], atol=TOLERANCE
                )

    def test_entities(self):
        folder, model, tokenizer = self.model("BertForTokenClassification", id2label=dict(enumerate(LABELS)))
        pipe = transformers.pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="simple")
        texts = [self.text(n) for n in range(1, 12)]
        for text, result in zip(texts, self.answers(folder, [{"text": text} for text in texts])["results"]):
            expected = [e for e in pipe(text) if e["entity_group"] != "O"]
            self.assertEqual(
                [(e["label"], e["start"], e["end"]) for e in result["entities"]],
                [(e["entity_group"], e["start"], e["end"]) for e in expected],
            )

    def test_answers(self):
        folder, model, tokenizer = self.model("BertForQuestionAnswering")
        pipe = transformers.pipeline("question-answering", model=model, tokenizer=tokenizer)
        items = [{"question": self.text(4), "context": self.text(n)} for n in range(1, 30, 4)]
        for item, result in zip(items, self.answers(folder, items)["results"]):
            expected = pipe(**item, align_to_words=False, max_seq_len=64)
            best = result["answers"][0]
            self.assertEqual((best["text"], best["start"], best["end"]), tuple(expected[k] for k in ("answer", "start", "end")))
            self.assertLess(abs(best["score"] - expected["score"]), TOLERANCE)

    def best_labels(self, path):
        return [json.loads(line)["labels"][0]["label"] for line in path.read_text().splitlines()]

    def test_resumed_output(self):
        """An output that was cut off anywhere becomes the same as one that was written in one go."""
        folder, _, _ = self.model("BertForSequenceClassification", id2label=dict(enumerate("abc")))
        items = [{"text": self.text(int(self.rng.integers(0, 20)))} for _ in range(50)]
        path = self.folder / "resumed.jsonl"
        path.write_text(predict_lines(items))
        for form in ("jsonl", "csv"):
            whole, part = self.folder / f"whole.{form}", self.folder / f"part.{form}"
            self.bertconv("predict", folder, "--input", path, "-o", whole)
            self.bertconv("predict", folder, "--input", path, "-o", whole, status=UNUSABLE)
            part.write_bytes(whole.read_bytes()[: int(self.rng.integers(0, whole.stat().st_size))])
            self.bertconv("predict", folder, "--input", path, "-o", part, "--append")
            if form == "jsonl":
                self.assertEqual(self.best_labels(part), self.best_labels(whole))
            self.assertEqual(part.read_bytes().count(b"\n"), whole.read_bytes().count(b"\n"))

    def test_no_tokenizer(self):
        folder, _, _ = self.model("BertModel")
        (folder / "vocab.txt").unlink()
        result = self.bertconv("predict", folder, "a", status=UNUSABLE)
        self.assertIn("vocab.txt", result.printed)

    def test_gpt_goes_on(self):
        """Greedy continuation is that of generate()."""
        folder = self.folder / "gpt"
        folder.mkdir()
        trained = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
        trained.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=120, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
        )
        trained.train_from_iterator([self.text(20) for _ in range(50)], trainer)
        trained.model.save(str(folder))
        tokenizer = transformers.OpenAIGPTTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"))
        tokenizer.save_pretrained(folder)
        config = transformers.OpenAIGPTConfig(
            vocab_size=len(tokenizer), n_embd=24, n_layer=2, n_head=3, n_positions=64, attn_implementation="eager"
        )
        model = randomise(transformers.OpenAIGPTLMHeadModel(config), self.rng)
        model.save_pretrained(folder)
        text = "the cat was"
        found = self.bertconv_json("predict", folder, text, "--continue", "6")
        ids = tokenizer(text, return_tensors="pt")
        out = model.generate(**ids, max_new_tokens=6, do_sample=False, pad_token_id=0)[0]
        self.assertEqual(found["task"], "next-token")
        continuation = found["results"][0]["continuation"]
        self.assertEqual(continuation.split(), tokenizer.decode(out, clean_up_tokenization_spaces=False).split())


if __name__ == "__main__":
    unittest.main()
