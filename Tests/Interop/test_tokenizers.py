"""`bertconv tokenize` against `tokenizers`: ids, offsets, tokens, masks and types of texts of all kinds, for each component."""

import collections
import functools
import json
import random
import subprocess
import unicodedata
import unittest

import tokenizers as T
from support import BINARY, SEED, InteropTest
from tokenizers import AddedToken, Regex
from tokenizers import models as M
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P
from tokenizers import processors as R
from tokenizers import trainers

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
EXPRESSIONS = [
    r"\p{L}+|[^\s\p{L}]{1,3}",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s+(?!\S)|\s+",
    r"\w+|[^\w\s]+", r"\d{1,2}(?=\d)|\D", r"(?<=a)b|\bx", r"a*?b|c", r"[a-z]+$|^[A-Z]", r"x*", r"(?:ab|a)(?:c|bcd)?|.", r"\p{^L}+", r"\P{L}{2}", r"(?>a+)b|a", r"(?i:k+)", r"[^\S\n]+|\n+",
]  # fmt: skip


@functools.lru_cache(None)
def texts():
    """Every code point of planes 0 and 1 whose block is in use, words of random letters by script, heaps of marks, and random strings."""
    rng = random.Random(SEED)
    category = {c: unicodedata.category(chr(c)) for c in range(0x20000)}
    used = {c >> 7 for c, name in category.items() if name != "Cn"}
    many = lambda c: 0x3400 <= c < 0xA000 or 0xAC00 <= c < 0xD7A4 or 0xE000 <= c < 0xF900 or 0x17000 <= c < 0x18D00
    points = [c for c in range(0x20000) if not 0xD800 <= c < 0xE000 and c >> 7 in used and (not many(c) or rng.random() < 0.05)]
    every = [" ".join(f"a{chr(c)}b {chr(c)}" for c in points[i : i + 7]) for i in range(0, len(points), 7)]
    scripts = collections.defaultdict(list)
    for c, name in category.items():
        if name[0] in "LMN":
            scripts[unicodedata.name(chr(c), "?").split()[0]].append(chr(c))
    scripts = [letters for letters in scripts.values() if len(letters) > 5]
    spaces = [" "] * 8 + ["  ", "-", ", ", ". ", "\u00a0", "", "\u200b", "\u200d", "\n", "/", "'", "\u3000", "\t", "\r\n"]
    words = ["".join("".join(rng.choices(s, k=rng.randrange(1, 9))) + rng.choice(spaces) for s in rng.choices(rng.sample(scripts, 2), k=rng.randrange(1, 12))) for _ in range(2000)]
    marks = [chr(c) for c in category if unicodedata.combining(chr(c)) or unicodedata.decomposition(chr(c))[:1].isalnum()]
    heaps = ["".join(rng.choice(marks) if rng.random() < 0.7 else rng.choice("aé각ᄀ中 -") for _ in range(rng.randrange(1, 14))) for _ in range(2000)]
    bits = ["<mask>", " <mask> ", "<s>", "</s>", "[MASK]", "##ing", "don't", "I'LL", "İ", "ΣΑΣ", "ﬁ", "ẞ", "ǅ", "①", "㍿", "½²", "１２", "👨‍👩‍👧", "🇩🇪", "𠀀", "豈", "各", "क्षि", "น้ำ", "▁", "<0x41>", "``", "\0", "\ufffd", "\u00ad", "ſ", "K", *"aZ 1.,'-_é中ß\u0301\u0323\u3099\ufe0f\n"]
    mixed = ["".join(rng.choices(bits, k=rng.randrange(0, 12))) for _ in range(3000)]
    long = ["a" * 3000, "e" + "\u0301\u0323" * 200, " " * 500 + "x", "x-" * 500, "中" * 1000]
    return ["", " ", *every, *words, *heaps, *mixed, *long]


@functools.lru_cache(None)
def letters():
    return sorted({c for t in texts() for f in (t, t.lower(), *(unicodedata.normalize(n, x) for n in ("NFD", "NFKC", "NFKD") for x in (t, t.lower()))) for c in f} - set(" \n\r\t"))


@functools.lru_cache(None)
def characters():
    """A WordPiece of single characters, so that nothing hides in an unknown token."""
    return {t: i for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters(), *("##" + c for c in letters())])}


@functools.lru_cache(None)
def byte_bpe():
    t = T.ByteLevelBPETokenizer()
    t.train_from_iterator(texts()[::3], vocab_size=6000, special_tokens=SPECIAL, show_progress=False)
    model = json.loads(t.to_str())["model"]
    return model["vocab"], [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]


class Tokenizers(InteropTest):
    def agree(self, label, tokenizer, items, pairs=None, length=None, special=True):
        """The program makes of these texts what the library makes of them."""
        tokenizer.no_padding()
        tokenizer.no_truncation()
        file, source = self.folder / "tokenizer.json", self.folder / "texts.jsonl"
        tokenizer.save(str(file))
        tokenizer = T.Tokenizer.from_file(str(file))
        if length:
            tokenizer.enable_truncation(length, strategy="longest_first")
        rows = [{"text": x, **({"text_pair": pairs[i]} if pairs else {})} for i, x in enumerate(items)]
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        more = [*(["--max-length", str(length)] if length else []), *([] if special else ["--no-special-tokens"])]
        run = subprocess.run([BINARY, "tokenize", file, "--input", source, "--json", *more], capture_output=True, timeout=300)
        self.assertEqual(run.returncode, 0, (label, run.stderr[-2000:]))
        found = json.loads(run.stdout)["texts"]
        wanted = tokenizer.encode_batch(list(zip(items, pairs)) if pairs else list(items), add_special_tokens=special)
        self.assertEqual(len(found), len(wanted), label)
        for x, f, w in zip(items, found, wanted):
            for key, value in (("input_ids", w.ids), ("offsets", [list(o) for o in w.offsets]), ("tokens", w.tokens), ("special_tokens_mask", w.special_tokens_mask)):
                self.assertEqual(f[key], value, f"{label}: {key} of {ascii(x)[:200]}")

    def wordpiece(self, **parts):
        t = T.Tokenizer(M.WordPiece(characters(), unk_token="[UNK]"))
        for name, part in parts.items():
            setattr(t, name, part)
        return t

    def test_normalizers(self):
        for low in (True, False):
            for strip in (None, True, False):
                normalizer = N.BertNormalizer(handle_chinese_chars=low, strip_accents=strip, lowercase=low)
                self.agree(f"BertNormalizer {low} {strip}", self.wordpiece(normalizer=normalizer, pre_tokenizer=P.BertPreTokenizer()), texts())
        for normalizer in (
            N.NFC(), N.NFD(), N.NFKC(), N.NFKD(), N.Lowercase(), N.Strip(), N.Strip(True, False), N.Strip(False, True), N.Nmt(), N.StripAccents(), N.Prepend("▁x"), N.Replace("a", "éb"), N.Replace("a", ""),
            N.Replace(Regex(r"[0-9]+|\p{Lu}| {2,}"), "0"), N.Sequence([N.NFD(), N.StripAccents(), N.Lowercase()]), N.Sequence([N.Nmt(), N.NFKD(), N.Prepend("x"), N.NFC()]),
            N.BertNormalizer(clean_text=False, strip_accents=True, lowercase=False), N.Sequence([N.BertNormalizer(), N.NFC(), N.Replace("e", "éa")]), N.ByteLevel(),
        ):  # fmt: skip
            self.agree(str(normalizer), self.wordpiece(normalizer=normalizer, pre_tokenizer=P.WhitespaceSplit()), texts())

    def test_pre_tokenizers(self):
        behaviors = ("isolated", "removed", "contiguous", "merged_with_previous", "merged_with_next")
        parts = [
            P.Whitespace(), P.Digits(), P.Digits(True), P.CharDelimiterSplit("-"), *(P.Punctuation(b) for b in behaviors), *(P.Metaspace(prepend_scheme=s, split=x) for s in ("always", "first", "never") for x in (True, False)),
            P.Sequence([P.WhitespaceSplit(), P.Punctuation(), P.Digits(True)]), P.Sequence([P.WhitespaceSplit(), P.Metaspace(prepend_scheme="first")]), P.ByteLevel(), P.Sequence([P.ByteLevel(), P.Digits(True)]),
            P.Split("a", "merged_with_next"), P.Split("", "isolated"), P.Split(Regex(r"\w+"), "removed", invert=True), *(P.Split(Regex(x), behaviors[i % 5]) for i, x in enumerate(EXPRESSIONS)),
        ]  # fmt: skip
        for part in parts:
            self.agree(str(part), self.wordpiece(pre_tokenizer=part), texts()[::2])

    def test_byte_level(self):
        vocabulary, merges = byte_bpe()
        for prefix in (True, False):
            for trim in (True, False):
                t = T.Tokenizer(M.BPE(vocabulary, merges))
                t.pre_tokenizer = P.ByteLevel(add_prefix_space=prefix)
                t.post_processor = R.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=trim, add_prefix_space=prefix)
                t.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True), AddedToken("<s>", special=True, normalized=True), "</s>"])
                t.add_tokens([AddedToken("@@", lstrip=True, rstrip=True), AddedToken("don't", single_word=True)])
                self.agree(f"ByteLevel prefix {prefix} trim {trim}", t, texts())
        t.pre_tokenizer = P.ByteLevel(use_regex=False)
        self.agree("ByteLevel without its pattern", t, texts()[::2])

    def test_unigram_and_pairs(self):
        t = T.Tokenizer(M.Unigram())
        t.pre_tokenizer = P.Metaspace()
        t.train_from_iterator(texts()[-5000::2], trainers.UnigramTrainer(vocab_size=20000, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False))
        t.normalizer = N.Sequence([N.NFKC(), N.Strip(left=False), N.Replace(Regex(" {2,}"), "▁")])
        t.post_processor = R.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B:1 </s>:1", special_tokens=[("<s>", 0), ("</s>", 2)])
        self.agree("Unigram", t, texts())
        items, pairs = texts()[-3000:-2000], texts()[-2000:-1000]
        for special in (True, False):
            self.agree("pairs", t, items, pairs=pairs, special=special)
            for length in (5, 7, 16):
                self.agree(f"pairs cut to {length}", t, items, pairs=pairs, length=length, special=special)


if __name__ == "__main__":
    unittest.main()
