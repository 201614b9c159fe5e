"""Writes the fixtures of Tests/TokenizersTests for models and tokenizer files: small vocabularies, and what the original libraries make of texts.

    pip install tokenizers==0.22.2 transformers==4.57.6 sentencepiece==0.2.3 protobuf
    python generate.py

models.json          models as in a tokenizer.json, words, and the tokens (id, first byte, end) that `tokenizers` makes; null for an error
*.model              SentencePiece models, trained on the words below
sentencepiece.json   texts, and the ids that `sentencepiece` makes with each of these models
folders.json         files next to a checkpoint, texts, and the ids and offsets of the fast tokenizer that `transformers` makes of them
"""

import json
import os
import pathlib
import random
import shutil
import tempfile

os.environ["USE_TF"] = "0"
import sentencepiece
import tokenizers
import transformers
from tokenizers import models

here = pathlib.Path(__file__).resolve().parent
os.chdir(here)  # The models name the files that they are made of.
rng = random.Random(20)
transformers.logging.set_verbosity_error()
WORDS = "the of and to in is that it was for on are as with his they at be this from have or by one had not but what all were when we there can an your which their said if do will each how them then she many some so these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little very after words called just where most know".split()
ODD = ["Ünïcödé", "naïve", "中文字", "日本", "한국", "x" * 12, "thé", "e\u0301a", "\U0001f600", "##the", "<unk>", "▁the", "9,", "don't"]


def write(name, value):
    (here / name).write_text(json.dumps(value, ensure_ascii=True, indent=None, separators=(",", ":")) + "\n")


def model_json(model):
    return json.loads(tokenizers.Tokenizer(model).to_str())["model"]


def numbered(tokens):
    return {t: i for i, t in enumerate(dict.fromkeys(tokens))}


def merges(count, prefix="", suffix=""):
    """A vocabulary and merges, counted on the words."""
    split = [[(prefix if i else "") + c + (suffix if i == len(w) - 1 else "") for i, c in enumerate(w)] for w in WORDS + ODD[:7]]
    vocab = ["<unk>"] + sorted({s for w in split for s in w})
    out = []
    for _ in range(count):
        pairs = {}
        for w in split:
            for a, b in zip(w, w[1:]):
                pairs[a, b] = pairs.get((a, b), 0) + 1
        if not pairs:
            break
        a, b = max(sorted(pairs), key=pairs.get)
        new = a + b[len(prefix):]
        out.append((a, b))
        vocab.append(new)
        for w in split:
            i = 0
            while i + 1 < len(w):
                if (w[i], w[i + 1]) == (a, b):
                    w[i : i + 2] = [new]
                i += 1
    return numbered(vocab), out


def write_models():
    letters = sorted(set("".join(WORDS)))
    hexes = [f"<0x{i:02X}>" for i in range(256)]
    pieces = numbered(["[UNK]", "the", "th", "##e", "##at", "un", "##aff", "##able", *letters, *("##" + c for c in letters[:20]), "é", "中"])
    scored = [("<unk>", 0.0), *((c, -5.0 - i % 3) for i, c in enumerate(letters)), ("th", -6.5), ("the", -7.25), ("he", -6.5), ("is", -6.0), ("an", -8.0), ("and", -9.0), ("▁", -3.0), ("▁the", -4.0), ("中", -9.5)]
    plain, order = merges(60)
    ended, ended_order = merges(60, suffix="</w>")
    carried, carried_order = merges(60, prefix="##")
    byted = {**plain, **{h: len(plain) + i for i, h in enumerate(hexes)}}
    partly = {**plain, **{h: len(plain) + i for i, h in enumerate(hexes[:0xE5])}}
    alphabet = "abc"
    many = [("<unk>", 0.0)] + [("".join(rng.choices(alphabet, k=rng.randrange(1, 5))), float(-rng.randrange(1, 6))) for _ in range(20)]
    cases = {
        "wordpiece": models.WordPiece(pieces, unk_token="[UNK]"),
        "wordpiece, 5 characters": models.WordPiece(pieces, unk_token="[UNK]", max_input_chars_per_word=5),
        "wordpiece, no prefix": models.WordPiece(pieces, unk_token="[UNK]", continuing_subword_prefix=""),
        "wordpiece, no unknown token": models.WordPiece({k: v for k, v in pieces.items() if v}, unk_token="[UNK]"),
        "wordlevel": models.WordLevel(numbered(["<unk>", *WORDS[:30]]), unk_token="<unk>"),
        "wordlevel, no unknown token": models.WordLevel(numbered(WORDS[:30]), unk_token="<unk>"),
        "unigram": models.Unigram(scored, 0, False),
        "unigram, equal tokens and ties": models.Unigram(many, 0, False),
        "unigram, bytes": models.Unigram(scored + [(h, -20.0) for h in hexes], 0, True),
        "unigram, some bytes": models.Unigram(scored + [(h, -20.0) for h in hexes[:0xE5]], 0, True),
        "bpe": models.BPE(plain, order, unk_token="<unk>"),
        "bpe, fused": models.BPE(plain, order, unk_token="<unk>", fuse_unk=True),
        "bpe, no unknown token": models.BPE(plain, order),
        "bpe, unknown token missing": models.BPE(plain, order, unk_token="<none>"),
        "bpe, whole words": models.BPE(plain, order[:20], unk_token="<unk>", ignore_merges=True),
        "bpe, bytes": models.BPE(byted, order, unk_token="<unk>", byte_fallback=True, fuse_unk=True),
        "bpe, some bytes": models.BPE(partly, order, unk_token="<unk>", byte_fallback=True, fuse_unk=True),
        "bpe, some bytes, not fused": models.BPE(partly, order, unk_token="<unk>", byte_fallback=True),
        "bpe, suffix": models.BPE(ended, ended_order, unk_token="<unk>", end_of_word_suffix="</w>"),
        "bpe, prefix": models.BPE(carried, carried_order, unk_token="<unk>", continuing_subword_prefix="##"),
        "bpe, merges in another order": models.BPE(plain, rng.sample(order, len(order)), unk_token="<unk>"),
    }
    out = []
    for name, model in cases.items():
        words = WORDS[:40] + ODD + ["".join(rng.choices("thisandeé中\U0001f600 ▁", k=rng.randrange(1, 12))) for _ in range(30)]
        if name == "unigram, equal tokens and ties":
            words = ["".join(rng.choices("abcd", k=rng.randrange(1, 20))) for _ in range(80)]
        tokens = []
        for word in words:
            try:
                tokens.append([[t.id, *t.offsets] for t in model.tokenize(word)])
            except Exception:
                tokens.append(None)
        out.append({"name": name, "model": model_json(model), "words": words, "tokens": tokens})
    write("models.json", out)


def write_sentencepiece():
    cases = {
        "unigram": dict(),
        "bpe": dict(model_type="bpe"),
        "bytes": dict(byte_fallback=True, user_defined_symbols="<sep>,☺☺", vocab_size=420),
        "bpe-bytes": dict(model_type="bpe", byte_fallback=True, vocab_size=420),
        "spaces": dict(add_dummy_prefix=False, remove_extra_whitespaces=False, user_defined_symbols="<sep>"),
        "suffix": dict(treat_whitespace_as_suffix=True),
        "albert": dict(pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols="[CLS],[SEP],[MASK]"),
    }
    texts = ["", " ", "the  of", " the ", "ﬁnd A ﬁ", "e\u0301 é", "a\u00a0b\u3000c", "\u00ad", " \u00ad ", "▁", "the▁", "<sep>the<sep> of", "☺☺☺", "中文 日本", "\U0001f600", "<s>", "<unk>", "xxxxxxxxxxxx", "Ünïcödé"]
    texts += [" ".join(rng.choices(WORDS + ODD + ["", "<sep>"], k=rng.randrange(1, 9))) for _ in range(40)]
    out = []
    for name, options in cases.items():
        train(name, **{"vocab_size": 150, **options})
        model = sentencepiece.SentencePieceProcessor(model_file=str(here / f"{name}.model"))
        out.append({"file": f"{name}.model", "ids": model.encode(texts)})
    write("sentencepiece.json", {"texts": texts, "models": out})


def train(name, **options):
    text = here / "train.txt"
    text.write_text("\n".join(" ".join(rng.choices(WORDS, k=8)) for _ in range(400)) + "\n" + "\n".join(ODD * 3))
    rules = here / "rules.tsv"
    rules.write_text("FB01\t66 69\n3000\t20\nA0\t20\n41\t61\n65 301\tE9\nAD\t\n")
    sentencepiece.SentencePieceTrainer.train(input=text.name, model_prefix=name, character_coverage=0.9995, hard_vocab_limit=False, minloglevel=2, num_threads=1, normalization_rule_tsv=rules.name, **options)
    for path in (text, rules, here / f"{name}.vocab"):
        path.unlink()


def write_folders():
    bert = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS + sorted(set("abcdefghijklmnopqrstuvwxyz0123456789.,'中文é")) + ["##" + c for c in "abcdefghijklmnopqrstuvwxyz"]
    cased = bert + ["The", "Of", "É", "É" + "t"] + list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    byte_letters = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    roberta = {t: i for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>", *sorted(byte_letters), "Ġt", "he", "Ġthe", "th", "in", "<mask>"])}
    roberta_merges = "#version: 0.2\nĠ t\nh e\nĠt he\nt h\ni n\n"
    ended, ended_order = merges(60, suffix="</w>")
    gpt_merges = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in ended_order)
    lines = lambda tokens: "\n".join(tokens) + "\n"
    text = lambda value: json.dumps(value, ensure_ascii=False)
    config = lambda kind, **more: {"config.json": text({"model_type": kind, **more})}
    settings = lambda **values: {"tokenizer_config.json": text(values)}
    odd = cased[:]
    odd[60:60] = ["the", "", "the"]
    named = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"] + bert[5:]
    fast = transformers.BertTokenizerFast
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "vocab.txt").write_text(lines(bert))
        tokenizer = fast(vocab_file=folder + "/vocab.txt")
        plain = tokenizer.backend_tokenizer.to_str()
        tokenizer.add_tokens(["<new>", "New York", tokenizers.AddedToken("@@", lstrip=True, rstrip=True)])
        tokenizer.add_special_tokens({"additional_special_tokens": ["<e1>"]})
        tokenizer.save_pretrained(folder)
        saved = {name: (pathlib.Path(folder) / name).read_text() for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")}
    legacy = {name: content for name, content in saved.items() if name != "tokenizer.json"}
    folders = {
        "bert": {"vocab.txt": lines(bert), **config("bert")},
        "bert, CR LF": {"vocab.txt": lines(bert).replace("\n", "\r\n"), **config("bert")},
        "bert, cased": {"vocab.txt": lines(cased), **config("bert"), **settings(do_lower_case=False)},
        "bert, options": {"vocab.txt": lines(cased), **config("bert"), **settings(do_lower_case=False, strip_accents=True, tokenize_chinese_chars=False)},
        "bert, equal and empty entries": {"vocab.txt": lines(odd)[:-1], **config("bert"), **settings(do_lower_case=False)},
        "bert, saved": {**saved, **config("bert")},
        "bert, saved, without tokenizer.json": {**legacy, **config("bert")},
        "bert, tokenizer.json with other settings": {"tokenizer.json": plain, **config("bert"), **settings(do_lower_case=False)},
        "bert, files of old": {"vocab.txt": lines(bert), **config("bert"), **settings(do_lower_case=True), "special_tokens_map.json": text({"mask_token": {"content": "[MASK]", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}, "additional_special_tokens": ["<e1>"]}), "added_tokens.json": text({"<e1>": len(bert), "<new>": len(bert) + 1})},
        "electra": {"vocab.txt": lines(bert), **config("electra")},
        "mpnet": {"vocab.txt": lines(named), **config("mpnet")},
        "roberta": {"vocab.json": text(roberta), "merges.txt": roberta_merges, **config("roberta")},
        "roberta, prefix space": {"vocab.json": text(roberta), "merges.txt": roberta_merges, **config("roberta"), **settings(add_prefix_space=True, trim_offsets=False)},
        "longformer": {"vocab.json": text(roberta), "merges.txt": roberta_merges, **config("longformer")},
        "deberta": {"vocab.json": text({**roberta, "[CLS]": 300, "[SEP]": 301}), "merges.txt": roberta_merges, **config("deberta")},
        "gpt2": {"vocab.json": text(roberta), "merges.txt": roberta_merges, **config("gpt2")},
        "openai-gpt": {"vocab.json": text(ended), "merges.txt": gpt_merges, **config("openai-gpt")},
        "albert": {"spiece.model": "albert.model", **config("albert")},
        "albert, accents kept": {"spiece.model": "albert.model", **config("albert"), **settings(tokenizer_class="AlbertTokenizer", do_lower_case=False, keep_accents=True)},
        "albert, BPE": {"spiece.model": "bpe.model", **config("albert")},
        "xlm-roberta": {"sentencepiece.bpe.model": "unigram.model", **config("xlm-roberta")},
        "camembert": {"sentencepiece.bpe.model": "unigram.model", **config("camembert")},
        "mbart": {"sentencepiece.bpe.model": "unigram.model", **config("mbart")},
        "xlnet": {"spiece.model": "unigram.model", **config("xlnet")},
        "big_bird": {"spiece.model": "albert.model", **config("big_bird")},
        "deberta-v2": {"spm.model": "albert.model", **config("deberta-v2"), **settings(tokenizer_class="DebertaV2Tokenizer", split_by_punct=True)},
    }
    texts = ["", "the of and", "The ÉTÉ été Of", "a [MASK] b[MASK]", " <mask>  <mask>", "<s>the</s> <unk>", "中文 the 中", "don't, 1,000", "``the''", "the  water \n long", "<new>the <e1> @@ New York new york", "\U0001f600 ﬁ", "The\u00a0of\u3000and"]
    out = []
    for name, files in folders.items():
        with tempfile.TemporaryDirectory() as folder:
            for file, content in files.items():
                if file.endswith(".model"):
                    shutil.copy(here / content, folder + "/" + file)
                else:
                    (pathlib.Path(folder) / file).write_bytes(content.encode())
            backend = transformers.AutoTokenizer.from_pretrained(folder).backend_tokenizer
            backend.no_padding(), backend.no_truncation()
            one = backend.encode_batch(texts)
            two = backend.encode("the of", "and to")
            out.append({"name": name, "files": files, "ids": [e.ids for e in one], "offsets": [e.offsets for e in one], "types": [e.type_ids for e in one], "pair": two.ids, "pair_types": two.type_ids})
    write("folders.json", {"texts": texts, "folders": out})


write_models()
write_sentencepiece()
write_folders()
