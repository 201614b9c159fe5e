"""What the fixture generators share: the registry, the expected values, and small BERTs with weights of known seeds."""

import base64
import json
import re

import make_fixture  # sets the environment for transformers, so it comes before torch
import numpy as np
import torch

torch.set_num_threads(1)  # the same sums in the same order on every machine

FIXTURES = {}


def fixture(name, alone=False):
    """Register the function that writes the folder `name`.

    `alone` is for writers that number what they write through the life of the process: it gets one of its own.
    """

    def register(function):
        FIXTURES[name] = function
        function.alone = alone
        return function

    return register


# safetensors' names of the element types, and TensorFlow's quantized ones with a Q in front.
_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8",
    "bool": "BOOL", "complex32": "C32", "complex64": "C64", "complex128": "C128", "string": "STRING",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e4m3b11fnuz": "F8_E4M3B11FNUZ", "float8_e8m0fnu": "F8_E8M0",
    "float4_e2m1fn": "F4", "int4": "I4", "uint4": "U4", "int2": "I2", "uint2": "U2",
    "qint8": "QI8", "quint8": "QU8", "qint16": "QI16", "quint16": "QU16", "qint32": "QI32",
}  # fmt: skip


def dtype_name(name):
    """`torch.float32`, `float32` or `>f4` as "F32"."""
    name = str(name).removeprefix("torch.")
    return _DTYPES[name if name in _DTYPES else np.dtype(name).name]


def expected_array(array, dtype=None):
    """What a reader must make of an array: type, shape, and the elements row by row, little-endian, as hexadecimal."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return {"dtype": dtype or dtype_name(array.dtype), "shape": list(array.shape), "hex": little.tobytes().hex()}


def expected_strings(array):
    """The same for strings: base64, row by row."""
    values = [base64.b64encode(value).decode() for value in np.ravel(array)]
    return {"dtype": "STRING", "shape": list(np.shape(array)), "strings": values}


def expected_torch(tensor):
    flat = tensor.detach().contiguous().reshape(-1)
    raw = flat.view(torch.uint8).numpy() if flat.numel() else np.zeros(0, np.uint8)
    return {"dtype": dtype_name(tensor.dtype), "shape": list(tensor.shape), "hex": raw.tobytes().hex()}


def write_json(path, value):
    """JSON with a line for each entry of the outermost list or object."""
    if isinstance(value, dict):
        rows, brackets = [f"{json.dumps(k, ensure_ascii=False)}: {json.dumps(v)}" for k, v in value.items()], "{}"
    else:
        rows, brackets = [json.dumps(row) for row in value], "[]"
    body = ",\n  ".join(rows)
    path.write_text(f"{brackets[0]}\n  {body}\n{brackets[1]}\n", encoding="utf-8")


def random_weights(model, seed, std):
    """Fill a model so that a mistake anywhere shows: biases are not zero, layer norms are not one."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = rng.normal(0.0, std, tuple(parameter.shape)) + bool(re.search(r"(LayerNorm|layer_norm|\bln|ln_\d)\.weight$", name))
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    model.tie_weights()
    return model.eval()


def tiny_bert():
    """The BERT of `tensorflow/bert-tiny`, 54,000 parameters, with both heads of the pre-training."""
    import transformers

    config = transformers.BertConfig(
        vocab_size=101, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=112,
        max_position_embeddings=40, type_vocab_size=2, attn_implementation="eager",
    )  # fmt: skip
    return random_weights(transformers.BertForPreTraining(config), seed=1, std=0.1)


def micro_bert(class_name, seed, **settings):
    """A one-layer BERT of hidden size 16, of the given class of transformers; `settings` go to its configuration."""
    import transformers

    config = dict(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=24, type_vocab_size=2, attn_implementation="eager",
    )  # fmt: skip
    model = getattr(transformers, class_name)(transformers.BertConfig(**(config | settings)))
    return random_weights(model, seed, std=0.2)


def micro_model(class_name, seed, **settings):
    """A model of hidden size 16 of any class of transformers whose encoder is BERT's or like it."""
    import transformers

    model_class = getattr(transformers, class_name)
    config = dict(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=24,
        attn_implementation="eager",
    )  # fmt: skip
    if class_name.startswith("DistilBert"):
        config |= dict(hidden_dim=32)
    else:
        config |= dict(intermediate_size=32)
    if not class_name.startswith(("DistilBert", "MPNet")):
        config |= dict(type_vocab_size=1 if class_name.startswith("Roberta") else 2)
    if class_name.startswith(("Electra", "Albert", "MobileBert")):
        config |= dict(embedding_size=8)
    if class_name.startswith("MobileBert"):
        config |= dict(intra_bottleneck_size=12)
    return random_weights(model_class(model_class.config_class(**(config | settings))), seed, std=0.2)


def write_reference(model, path, batch, length, seed):
    inputs = make_fixture.random_inputs(model, batch, length, np.random.default_rng(seed))
    make_fixture.write_fixture(path, make_fixture.reference(model, inputs))


def write_expected(model, path):
    """The tensors as `save_pretrained` of the model's class writes them."""
    model.save_pretrained(path.parent / "saved")
    (path.parent / "saved" / "model.safetensors").rename(path)
    for file in (path.parent / "saved").iterdir():
        file.unlink()
    (path.parent / "saved").rmdir()


_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_WORDS = "the of and to in a is was for on with as by at it from his an were are which this be had or has not".split()
_OTHER = "é ß naïve привет 世 界 漢 字 日本 한 😀 🦉 ##ing ##ed ##ß ##世".split()


def vocabulary(size):
    """`size` tokens, one per line: words, word pieces, letters of several scripts, an emoji."""
    letters = [chr(ord("a") + i) for i in range(26)]
    tokens = list(dict.fromkeys(_SPECIAL + _OTHER + _WORDS + letters + [f"##{letter}" for letter in letters]))
    tokens += [f"[unused{i}]" for i in range(max(0, size - len(tokens)))]
    return "".join(f"{token}\n" for token in tokens[:size])
