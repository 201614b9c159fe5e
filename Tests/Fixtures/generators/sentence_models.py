"""Folders as sentence-transformers saves them: a transformer, and what makes a sentence embedding of its tokens."""

import json
import logging
import shutil

import make_fixture
import numpy as np
import torch

from . import fixture, micro_model, random_weights

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"##{number}" for number in range(35)]
# How the results are concatenated.
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


def transformer(folder, class_name, seed):
    """A transformers folder with a tokenizer, and the library's module that loads it."""
    import transformers
    from sentence_transformers.sentence_transformer.modules import Transformer

    model = micro_model(class_name, seed)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=24).save_pretrained(folder)
    return Transformer(str(folder), max_seq_length=20), model


def reference(model, plain, path, seed):
    """The fixture of a SentenceTransformer, whose transformer `plain` is."""
    inputs = make_fixture.random_inputs(plain, 4, 14, np.random.default_rng(seed))
    values = make_fixture.reference(plain, inputs)
    values |= make_fixture.sentence_reference(model, inputs)
    make_fixture.write_fixture(path, values)


def save(model, folder, **options):
    """`save_pretrained` without what is of no use here, or would change from day to day."""
    model.save_pretrained(str(folder), create_model_card=False, **options)
    for name in ("config_sentence_transformers.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)


@fixture("sentence/modules")
def all_modules(folder):
    """Every mode of pooling, dense layers with and without bias, layer normalization, length 1; in safetensors."""
    write(folder, safe_serialization=True)


@fixture("sentence/torch")
def torch_weights(folder):
    """The same with pytorch_model.bin in each folder."""
    write(folder, safe_serialization=False)


def write(folder, **options):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, LayerNorm, Normalize, Pooling

    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    source = folder / "source"
    module, plain = transformer(source, "BertModel", seed=401)
    modules = [
        Pooling(16, pooling_mode=MODES), Dense(96, 24), LayerNorm(24),
        Dense(24, 12, bias=False, activation_function=torch.nn.GELU()), Normalize(),
    ]  # fmt: skip
    for number, one in enumerate(modules):
        random_weights_of(one, 410 + number)
    model = SentenceTransformer(modules=[module, *modules], device="cpu")
    save(model, folder, **options)
    reference(model, plain, folder / "reference.npz", seed=402)
    shutil.rmtree(source)


def random_weights_of(module, seed):
    module.tie_weights = lambda: None
    random_weights(module, seed, std=0.2)
    del module.tie_weights


@fixture("sentence/of-2020")
def of_2020(folder):
    """The layout of 2019 to 2021, which today's library still reads: the transformer in a folder of its own, flags for
    the pooling, weights as torch wrote them before 1.6. Written here by hand, read back by the library."""
    from sentence_transformers import SentenceTransformer

    _, plain = transformer(folder / "0_BERT", "BertModel", seed=403)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "model.safetensors"):
        (folder / "0_BERT" / name).unlink(missing_ok=True)
    torch.save(plain.state_dict(), folder / "0_BERT/pytorch_model.bin", _use_new_zipfile_serialization=False)
    write_json(folder / "0_BERT/sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": True})
    flags = {"word_embedding_dimension": 16, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    flags |= {"pooling_mode_max_tokens": True, "pooling_mode_mean_sqrt_len_tokens": False}
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling/config.json", flags)
    (folder / "2_Dense").mkdir()
    function = "torch.nn.modules.activation.Tanh"
    write_json(
        folder / "2_Dense/config.json",
        {"in_features": 32, "out_features": 8, "bias": True, "activation_function": function},
    )
    rng = np.random.default_rng(404)
    dense = {"linear.weight": rng.normal(0, 0.3, (8, 32)), "linear.bias": rng.normal(0, 0.3, 8)}
    dense = {name: torch.from_numpy(value.astype(np.float32)) for name, value in dense.items()}
    torch.save(dense, folder / "2_Dense/pytorch_model.bin", _use_new_zipfile_serialization=False)
    names = [("0_BERT", "BERT"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")]
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(names)
    ]
    write_json(folder / "modules.json", [modules[0] | {"type": "sentence_transformers.models.Transformer"}, *modules[1:]])
    reference(SentenceTransformer(str(folder), device="cpu"), plain, folder / "reference.npz", seed=405)
    write_json(folder / "modules.json", modules)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")
