"""Tokens are those of the fast tokenizers of transformers, and of sentencepiece, for tokenizers that are trained here."""

import json
import random
import unittest

import sentencepiece
import tokenizers
import transformers
from support import InteropTest

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
HARD = [
    "", " ", "\t", "[MASK]", "a[MASK]b", " <mask> ", "x" * 101, "e\u0301" * 60, "漢字かな交じり文", "한국어 까", "İstanbul ΑΣ ß ﬁ",
    "don't we've I'LL", "1,000 3.14", "zwj\u200djoin soft\u00adhyphen", "👨‍👩‍👧 🇩🇪", "a\u00a0b\u3000c", "nul\0nul", "Việt Nam", "ｶﾞ ＡＢＣ",
]
SYLLABLES = "ka lo mi tu ré ná ßo 漢 字 한 국 ing er un 12 7 , . ! - ' ( ) Ü Ä É zu".split()


class Tokenize(InteropTest):
    def lines(self, count=1500):
        rng = random.Random(int(self.rng.integers(1 << 30)))
        join = lambda: rng.choice(["", "", " ", "  ", "\u00a0"])
        words = lambda: "".join(rng.choice(SYLLABLES) + join() for _ in range(rng.randrange(1, 30)))
        return HARD + [words() for _ in range(count)]

    def tokens(self, model, texts, *options, pairs=None):
        path = self.folder / "texts.jsonl"
        rows = [{"text": text, **({"text_pair": pairs[i]} if pairs else {})} for i, text in enumerate(texts)]
        path.write_text("".join(json.dumps(row, ensure_ascii=i % 2 == 0) + "\n" for i, row in enumerate(rows)))
        return self.bertconv_json("tokenize", model, "--input", path, *options)

    def assertSame(self, found, encodings, texts, types):
        self.assertEqual(len(found["texts"]), len(encodings))
        for text, one, other in zip(texts, found["texts"], encodings):
            self.assertEqual(one["input_ids"], other.ids, repr(text))
            self.assertEqual(one["tokens"], other.tokens, repr(text))
            self.assertEqual([tuple(offset) for offset in one["offsets"]], other.offsets, repr(text))
            self.assertEqual(one["special_tokens_mask"], other.special_tokens_mask, repr(text))
            self.assertEqual(one.get("token_type_ids"), other.type_ids if types else None, repr(text))

    def check(self, folder, types, kind):
        judge = transformers.AutoTokenizer.from_pretrained(folder).backend_tokenizer
        judge.no_truncation()
        judge.no_padding()
        texts = self.lines()
        found = self.tokens(folder, texts)
        self.assertEqual(found["tokenizer"], kind)
        self.assertSame(found, judge.encode_batch(texts), texts, types)
        pairs = texts[::-1]
        judge.enable_truncation(20, strategy="longest_first")
        found = self.tokens(folder, texts, "--max-length", "20", pairs=pairs)
        self.assertSame(found, judge.encode_batch(list(zip(texts, pairs))), texts, types)

    def test_wordpiece(self):
        for lowercase in (True, False):
            with self.subTest(lowercase=lowercase):
                folder = self.folder / f"bert-{lowercase}"
                folder.mkdir()
                trained = tokenizers.BertWordPieceTokenizer(lowercase=lowercase)
                trained.train_from_iterator(self.lines(), vocab_size=400, special_tokens=SPECIAL, show_progress=False)
                trained.save_model(str(folder))
                (folder / "config.json").write_text('{"model_type": "bert"}')
                (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lowercase}))
                self.check(folder, True, "wordpiece")

    def test_byte_level_bpe(self):
        folder = self.folder / "roberta"
        folder.mkdir()
        trained = tokenizers.ByteLevelBPETokenizer()
        trained.train_from_iterator(self.lines(), vocab_size=600, special_tokens=ROBERTA, show_progress=False)
        trained.save_model(str(folder))
        (folder / "config.json").write_text('{"model_type": "roberta"}')
        self.check(folder, False, "byte-bpe")

    def sentencepiece_model(self, kind, **options):
        text = self.folder / "text.txt"
        text.write_text("\n".join(line.replace("\0", "") for line in self.lines() if line.strip()))
        prefix = self.folder / f"model-{kind}"
        sentencepiece.SentencePieceTrainer.train(
            input=str(text), model_prefix=str(prefix), model_type=kind, vocab_size=150, hard_vocab_limit=False,
            character_coverage=1.0, minloglevel=2, **options,
        )
        return prefix.with_suffix(".model")

    def test_sentencepiece_of_xlm_roberta(self):
        folder = self.folder / "xlm-roberta"
        folder.mkdir()
        self.sentencepiece_model("unigram").rename(folder / "sentencepiece.bpe.model")
        (folder / "config.json").write_text('{"model_type": "xlm-roberta"}')
        self.check(folder, False, "unigram")

    def test_sentencepiece_alone(self):
        for kind in ("unigram", "bpe"):
            with self.subTest(kind=kind):
                model = self.sentencepiece_model(kind)
                texts = self.lines()
                found = self.tokens(model, texts)
                self.assertEqual(found["tokenizer"], kind)
                judge = sentencepiece.SentencePieceProcessor(model_file=str(model))
                self.assertEqual([text["input_ids"] for text in found["texts"]], judge.encode(texts))


if __name__ == "__main__":
    unittest.main()
