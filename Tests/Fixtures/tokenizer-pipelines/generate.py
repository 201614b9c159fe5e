#!/usr/bin/env python3
"""Writes cases.json: small tokenizers, one for each component and option, and what `tokenizers` 0.22.2 makes of texts.

usage: generate.py        with tokenizers 0.22.2 and sentencepiece
"""
import json
import pathlib
import tempfile
import unicodedata

import sentencepiece
import tokenizers as T
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex
from tokenizers import decoders as D
from tokenizers import models as M
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P
from tokenizers import processors as R

FOLDER = pathlib.Path(__file__).parent
TEXTS = [
    "", " ", "   ", "\t", "\r\n", "\0", "\ufffd", "The quick brown fox isn't here, is it?", "  two  spaces  ", "a\tb\nc\r\nd", "don't I'll we've 'S d'",
    "[MASK] a[MASK]b [mask]", "a <mask> b<mask>", "<s>x</s>", "Zürich zürich New York New Yorker", "@@ x @@y@@", "##ing ing##", "1,000 3.14 ٣ ½²", "x-y--z", "C++ a^b~c|d $1.00",
    "Crème brûlée Ångström", "Cre\u0300me e\u0301\u0323\u0308 q\u0307\u0323", "İstanbul ΣΑΣ ǅ ẞ ŉ", "ﬁ ﬃ Ａ１！ ㍿ ① ½ ℃", "한국어 까끼 각", unicodedata.normalize("NFD", "한국어 까끼 각"), "中文abc漢字 𠀀𠮷 豈",
    "カタカナ ｶﾞｷﾞ か゛", "नमस्ते क्षत्रिय क़", "สวัสดี น้ำ", "السَّلَامُ ﷺ ﻻ", "👨‍👩‍👧‍👦 👍🏽 🇩🇪🇫🇷 ☺", "nbsp\u00a0narrow\u202fideo\u3000", "zwj\u200dzwsp\u200bbom\ufeff soft\u00ad", "ctl\x01\x1b\x7f\x80\x85",
    "\u0301 lead", "▁a ▁▁ b▁", "\ue000\U000f0000\U0010fffd", "\u0378\U0001f8ff", "``quoted'' “so”…", "aſK", "a b c  d", "https://x.org/a_b?c=d#f",
]
PAIRS = [("first text", "second one"), ("", "x"), (" a  b ", ""), ("über <mask> 中", " c [SEP]"), ("a b c d e f g h", "i j")]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
FORMS = [lambda s: s, str.lower, lambda s: unicodedata.normalize("NFD", s), lambda s: unicodedata.normalize("NFKC", s), lambda s: unicodedata.normalize("NFKD", s.lower())]
LETTERS = sorted({c for t in TEXTS for f in FORMS for c in f(t)} - set(" \n\r\t"))
VOCAB = {t: i for i, t in enumerate(SPECIAL + LETTERS + ["##" + c for c in LETTERS])}
BYTES = {c: i + 5 for i, c in enumerate(sorted(P.ByteLevel.alphabet()))}
BPE = {**{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4}, **BYTES, "Ġa": 261, "th": 262, "Ġth": 263, "Ġthe": 264, "Ã©": 265}
MERGES = [("Ġ", "a"), ("t", "h"), ("Ġ", "th"), ("Ġth", "e"), ("Ã", "©")]
UNI = [("<unk>", 0.0), ("▁", -3.0), ("▁the", -4.0), ("an", -4.5), *((c, -8.0 - i % 5) for i, c in enumerate(LETTERS[:400:3]) if c not in "▁")]


def wordpiece(**parts):
    return build(M.WordPiece(VOCAB, unk_token="[UNK]"), parts)


def bpe(**parts):
    return build(M.BPE(BPE, MERGES), parts)


def unigram(**parts):
    return build(M.Unigram(UNI, 0, False), parts)


def build(model, parts):
    t = T.Tokenizer(model)
    special, added = parts.pop("special", []), parts.pop("added", [])
    for name, part in parts.items():
        setattr(t, name, part)
    t.add_special_tokens(special)
    t.add_tokens(added)
    return t


def chars_map(rule):
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "text").write_text("a few words to train on\nand a few more of them\n" * 20)
        sentencepiece.SentencePieceTrainer.train(
            input=f"{folder}/text", model_prefix=f"{folder}/m", vocab_size=30, normalization_rule_name=rule, minloglevel=2, hard_vocab_limit=False
        )
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString((pathlib.Path(folder) / "m.model").read_bytes())
        return proto.normalizer_spec.precompiled_charsmap


def tokenizers():
    words = P.WhitespaceSplit()
    for low in (True, False):
        for strip in (None, True, False):
            yield f"bert lower {low} strip {strip}", wordpiece(
                normalizer=N.BertNormalizer(handle_chinese_chars=low, strip_accents=strip, lowercase=low), pre_tokenizer=P.BertPreTokenizer(),
                post_processor=R.BertProcessing(("[SEP]", 3), ("[CLS]", 2)), decoder=D.WordPiece(cleanup=low), special=SPECIAL,
            )  # fmt: skip
    normalizers = {
        "NFC": N.NFC(), "NFD": N.NFD(), "NFKC": N.NFKC(), "NFKD": N.NFKD(), "Lowercase": N.Lowercase(), "Strip": N.Strip(), "Strip right": N.Strip(False, True), "Nmt": N.Nmt(),
        "StripAccents": N.Sequence([N.NFD(), N.StripAccents()]), "Replace": N.Replace("a", "éb"), "Replace regex": N.Replace(Regex(r"[0-9]+|\p{Lu}| {2,}"), "0"), "Prepend": N.Prepend("▁x"),
        "unclean": N.BertNormalizer(clean_text=False, strip_accents=True, lowercase=False),
    }  # fmt: skip
    for name, part in normalizers.items():
        yield f"normalizer {name}", wordpiece(normalizer=part, pre_tokenizer=words)
    pre_tokenizers = {
        "Whitespace": P.Whitespace(), "Digits": P.Digits(), "Digits one by one": P.Digits(True), "CharDelimiterSplit": P.CharDelimiterSplit("-"), "Metaspace first": P.Metaspace(prepend_scheme="first"),
        "Metaspace never": P.Metaspace(prepend_scheme="never"), "Metaspace unsplit": P.Metaspace(split=False), "Sequence": P.Sequence([words, P.Punctuation(), P.Digits(True), P.Metaspace(prepend_scheme="first")]),
        **{f"Punctuation {b}": P.Punctuation(b) for b in ("removed", "contiguous", "merged_with_previous", "merged_with_next")},
        "Split text": P.Split("a", "merged_with_next"), "Split nothing": P.Split("", "isolated"), "Split inverted": P.Split(Regex(r"\w+|[^\w\s]+"), "removed", invert=True),
        "Split cl100k": P.Split(Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"), "isolated"),
        "Split others": P.Split(Regex(r"(?<=a)b|\bx|a*?[c-e]|(?>s+)|[^\x00-\u00ff]{2}"), "contiguous"),
    }  # fmt: skip
    for name, part in pre_tokenizers.items():
        yield f"pre-tokenizer {name}", wordpiece(pre_tokenizer=part)
    roberta = dict(post_processor=R.RobertaProcessing(("</s>", 2), ("<s>", 0)), decoder=D.ByteLevel(), special=["<s>", "</s>", AddedToken("<mask>", lstrip=True, special=True)])
    yield "byte-level BPE", bpe(pre_tokenizer=P.ByteLevel(), **roberta)
    yield "byte-level BPE, no prefix", bpe(pre_tokenizer=P.ByteLevel(add_prefix_space=False), **{**roberta, "post_processor": R.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=False)})
    yield "byte level, then digits", bpe(pre_tokenizer=P.Sequence([P.ByteLevel(), P.Digits(True)]), post_processor=R.ByteLevel(trim_offsets=True))
    yield "byte-level normalizer", bpe(normalizer=N.ByteLevel())
    yield "byte level, template", bpe(
        pre_tokenizer=P.ByteLevel(use_regex=False), special=["<s>", "</s>"],
        post_processor=R.Sequence([R.ByteLevel(trim_offsets=True), R.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> <unk> $B:1 </s>:1 <s>:2", special_tokens=[("</s>", 2), ("<s>", 0), ("<unk>", 3)])]),
    )  # fmt: skip
    for rule in ("nmt_nfkc_cf",):
        yield f"Precompiled {rule}", unigram(
            normalizer=N.Sequence([N.Precompiled(chars_map(rule)), N.Strip(left=False), N.Replace(Regex(" {2,}"), "▁")]), pre_tokenizer=P.Metaspace(), decoder=D.Metaspace(),
            special=[AddedToken("<mask>", lstrip=True, special=True)],
        )  # fmt: skip
    yield "added tokens", wordpiece(
        normalizer=N.BertNormalizer(), pre_tokenizer=P.BertPreTokenizer(), special=[*SPECIAL, "<s>"],
        added=["zürich", AddedToken("New York", single_word=True), AddedToken("@@", lstrip=True, rstrip=True), AddedToken("ﬁ", normalized=False)],
    )  # fmt: skip
    yield "decoders", build(
        M.BPE({**{c: i + 256 for i, c in enumerate(LETTERS[::2])}, **{f"<0x{i:02X}>": i for i in range(256)}}, [], byte_fallback=True),
        dict(normalizer=N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]), decoder=D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])),
    )


def encoded(t, item, length=None):
    e = t.encode(*item) if isinstance(item, tuple) else t.encode(item)
    return [
        e.ids, [x for o in e.offsets for x in o], e.type_ids, e.special_tokens_mask, e.tokens, [-1 if w is None else w for w in e.word_ids],
        [-1 if s is None else s for s in e.sequence_ids], t.decode(e.ids) if e.ids else None,
    ]  # fmt: skip


def main():
    assert T.__version__ == "0.22.2", T.__version__
    lines, models = [], {}
    for name, t in tokenizers():
        cases = [[x, None, None, *encoded(t, x)] for x in TEXTS] + [[*p, None, *encoded(t, p)] for p in PAIRS]
        for n in (4, 7):
            if t.num_special_tokens_to_add(True) < n:
                t.enable_truncation(n, strategy="longest_first")
                cases += [[*p, n, *encoded(t, p)] for p in PAIRS]
                t.no_truncation()
        tokenizer = json.loads(t.to_str())
        # The models are few: each stands once, in the first line.
        model = json.dumps(tokenizer["model"], ensure_ascii=False)
        tokenizer["model"] = models.setdefault(model, len(models))
        lines.append({"name": name, "tokenizer": tokenizer, "cases": cases})
    lines.insert(0, [json.loads(model) for model in models])
    lines = [json.dumps(line, ensure_ascii=False, separators=(",", ":")) for line in lines]
    (FOLDER / "cases.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(len(lines), "tokenizers", (FOLDER / "cases.jsonl").stat().st_size, "bytes")


main()
