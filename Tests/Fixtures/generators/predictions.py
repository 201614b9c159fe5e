"""Small models with a tokenizer, and what the pipelines of transformers answer with them; long texts by the rules' definitions."""

import json

import numpy as np
import torch

from . import fixture, random_weights

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "the a cat dog man woman house river in on of and was is good bad not very old new paris berlin anna went to".split()
PIECES = ["##s", "##er", "##ing", ".", ",", "?", "é", "z", "##z", "ü", "##ber"]
VOCABULARY = SPECIAL + WORDS + PIECES
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "MISC"]
TEXTS = ["the cat was in the house.", "Anna went to Paris, and the dogs?", "", "überz Zz  the\tman", "old river of Berlin"]


def model(folder, class_name, seed, **options):
    """A saved model with its tokenizer, both of transformers."""
    import transformers

    model_class = getattr(transformers, class_name)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=48,
        attn_implementation="eager",
        **options,
    )
    result = model_class(config).eval()
    random_weights(result, seed, 0.3)
    result.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}\n')
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True)
    return result, tokenizer


def write(folder, answers):
    (folder / "answers.json").write_text(json.dumps(answers, ensure_ascii=False, indent=1) + "\n")


def pipeline(name, parts):
    import transformers

    return transformers.pipeline(name, model=parts[0], tokenizer=parts[1])


def long_text(seed, count):
    return " ".join(np.random.default_rng(seed).choice(WORDS, count))


def windows(tokenizer, text, length, overlap):
    """Windows as the tokenizer of transformers cuts them."""
    cut = tokenizer(
        text,
        truncation=True,
        max_length=length,
        stride=overlap,
        return_overflowing_tokens=True,
        return_special_tokens_mask=True,
    )
    return [{key: cut[key][i] for key in ("input_ids", "special_tokens_mask")} for i in range(len(cut["input_ids"]))]


def output(model, ids, name="logits"):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]))[name][0].double()


@fixture("predictions/fill-mask")
def fill_mask(folder):
    parts = model(folder, "BertForMaskedLM", 1)
    pipe = pipeline("fill-mask", parts)
    texts = ["the [MASK] was in the house.", "[MASK] went to [MASK]", "Anna[MASK]"]
    answers = []
    for text in texts:
        masks = pipe(text, top_k=3)
        masks = masks if isinstance(masks[0], list) else [masks]
        ids = parts[1](text)["input_ids"]
        positions = [i for i, token in enumerate(ids) if token == parts[1].mask_token_id]
        answers.append(
            {
                "text": text,
                "masks": [
                    {"position": at, "candidates": [{"id": c["token"], "score": c["score"]} for c in mask]}
                    for at, mask in zip(positions, masks)
                ],
            }
        )
    write(folder, answers)


@fixture("predictions/text-classification")
def text_classification(folder):
    parts = model(folder, "BertForSequenceClassification", 2, id2label={0: "good", 1: "schlecht", 2: "très bien"})
    pipe = pipeline("text-classification", parts)
    short = [{"text": text, "labels": pipe(text, top_k=None)} for text in TEXTS]
    text = long_text(3, 60)
    logits = torch.stack([output(parts[0], w["input_ids"]) for w in windows(parts[1], text, 20, 6)])
    long = {
        "text": text,
        "windows": len(logits),
        "mean": logits.mean(0).softmax(-1).tolist(),
        "max": logits.max(0).values.softmax(-1).tolist(),
    }
    ids = parts[1](text, add_special_tokens=False)["input_ids"]
    for name, kept in (("head", ids[:18]), ("head-tail", ids[:5] + ids[-13:])):
        long[name] = output(parts[0], [2, *kept, 3]).softmax(-1).tolist()
    write(folder, {"short": short, "long": long})


@fixture("predictions/token-classification")
def token_classification(folder):
    parts = model(folder, "BertForTokenClassification", 4, id2label=dict(enumerate(LABELS)))
    pipe = pipeline("token-classification", parts)
    short = []
    for text in TEXTS:
        groups = pipe(text, aggregation_strategy="simple") if text else []
        short.append(
            {
                "text": text,
                "entities": [
                    {"label": g["entity_group"], "score": float(g["score"]), "start": g["start"], "end": g["end"]}
                    for g in groups
                    if g["entity_group"] != "O"
                ],
            }
        )
    text = long_text(5, 60)
    best = {}
    at = 0
    for window in windows(parts[1], text, 20, 6):
        scores = output(parts[0], window["input_ids"]).softmax(-1)
        inner = [i for i, special in enumerate(window["special_tokens_mask"]) if not special]
        for position, i in enumerate(inner):
            distance = min(position, len(inner) - 1 - position)
            if distance > best.get(at + position, (-1,))[0]:
                best[at + position] = (distance, LABELS[int(scores[i].argmax())], float(scores[i].max()))
        at += len(inner) - 6
    tokens = [{"label": best[i][1], "score": best[i][2]} for i in sorted(best)]
    write(folder, {"short": short, "long": {"text": text, "tokens": tokens}})


@fixture("predictions/question-answering")
def question_answering(folder):
    parts = model(folder, "BertForQuestionAnswering", 6)
    pipe = pipeline("question-answering", parts)
    answers = []
    for context in (TEXTS[0], TEXTS[1], long_text(7, 34)):
        found = pipe(question="was Anna old?", context=context, align_to_words=False, max_seq_len=48)
        answers.append({"question": "was Anna old?", "context": context, **{k: found[k] for k in ("answer", "score", "start", "end")}})
    write(folder, answers)


@fixture("predictions/sentence-embedding")
def sentence_embedding(folder):
    parts = model(folder, "BertModel", 8)
    rows = []
    for text, length in ((TEXTS[0], 48), (TEXTS[1], 48), ("", 48), (long_text(9, 60), 20)):
        hidden = [output(parts[0], w["input_ids"], "last_hidden_state") for w in windows(parts[1], text, length, 6)]
        every = torch.cat(hidden)
        rows.append(
            {
                "text": text,
                "mean": every.mean(0).tolist(),
                "max": every.max(0).values.tolist(),
                "cls": torch.stack([h[0] for h in hidden]).mean(0).tolist(),
            }
        )
    write(folder, rows)
