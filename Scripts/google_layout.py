"""The layout of google-research/bert: its variable names, its `bert_config.json`, its TensorFlow bundle.

It is here to write checkpoints as that project's training code wrote them, for the demo, the fixtures and the interop
tests. The way back, from these names to those of `transformers`, is bertconv's own and shares nothing with this module.
"""

import contextlib
import json
import os
import pathlib
import re
import sys

import numpy as np

# (name in transformers, name in google-research/bert, whether the matrix is transposed); the first that fits counts.
# Dense kernels are [in, out] in TensorFlow and [out, in] in torch. The weights of the heads that google-research/bert
# multiplies with transpose_b=True are [out, in] in both.
_RULES = [
    (r"cls\.predictions\.bias", r"cls/predictions/output_bias", False),
    (r"cls\.seq_relationship\.weight", r"cls/seq_relationship/output_weights", False),
    (r"cls\.seq_relationship\.bias", r"cls/seq_relationship/output_bias", False),
    (r"classifier\.weight", r"output_weights", False),
    (r"classifier\.bias", r"output_bias", False),
    (r"qa_outputs\.weight", r"cls/squad/output_weights", False),
    (r"qa_outputs\.bias", r"cls/squad/output_bias", False),
    (r"(.*_embeddings)\.weight", r"\1", False),
    (r"(.*LayerNorm)\.weight", r"\1.gamma", False),
    (r"(.*LayerNorm)\.bias", r"\1.beta", False),
    (r"(.*)\.weight", r"\1.kernel", True),
    (r"(.*)\.bias", r"\1.bias", False),
]

# Tied to the word embeddings and to `cls.predictions.bias`, or no weight at all: that project stores none of them.
_NOT_STORED = re.compile(r"cls\.predictions\.decoder\.(weight|bias)|(.*\.)?position_ids")


def import_tensorflow():
    """Import TensorFlow without the messages that it prints before its log level takes effect."""
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with open(os.devnull, "w") as nowhere, _stderr_to(nowhere):
            import tensorflow  # noqa: F401
    return sys.modules["tensorflow"]


@contextlib.contextmanager
def _stderr_to(file):
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def google_name(name):
    """The google-research name of a `transformers` tensor, and whether its matrix is transposed there."""
    for pattern, replacement, transposed in _RULES:
        if re.fullmatch(pattern, name):
            name = re.sub(pattern, replacement, name)
            return re.sub(r"\blayer/(\d+)\b", r"layer_\1", name.replace(".", "/")), transposed
    raise ValueError(f"no google-research name is known for the tensor '{name}'")


def google_tensors(state_dict, scope=""):
    """A BERT state dict of `transformers` as {google-research name: array}; `scope` goes before each name."""
    tensors = {}
    for name, value in state_dict.items():
        if _NOT_STORED.fullmatch(name):
            continue
        stored, transposed = google_name(name)
        array = np.asarray(value.detach().numpy())
        tensors[scope + stored] = np.ascontiguousarray(array.T if transposed else array)
    return tensors


def google_config(config):
    """What google-research/bert keeps in `bert_config.json`, from a `BertConfig`."""
    keys = (
        "attention_probs_dropout_prob", "hidden_act", "hidden_dropout_prob", "hidden_size", "initializer_range",
        "intermediate_size", "max_position_embeddings", "num_attention_heads", "num_hidden_layers", "type_vocab_size",
        "vocab_size",
    )  # fmt: skip
    return {key: getattr(config, key) for key in keys}


def write_google_config(config, folder):
    path = pathlib.Path(folder) / "bert_config.json"
    path.write_text(json.dumps(google_config(config), indent=2, sort_keys=True) + "\n")


def write_bundle(prefix, tensors, slices=()):
    """Write {name: array} as a TensorFlow bundle at `prefix`, with TensorFlow's own SaveV2.

    `slices` holds (name, specification, array) for partitioned variables, the specification in SaveV2's words:
    "40 16 0,20:-" is rows 0 to 19 of a [40, 16] variable. A numpy array of `object` is a tensor of strings.
    """
    tf = import_tensorflow()
    pathlib.Path(prefix).parent.mkdir(parents=True, exist_ok=True)
    entries = [(name, "", tensors[name]) for name in sorted(tensors)] + list(slices)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=[name for name, _, _ in entries],
        shape_and_slices=[specification for _, specification, _ in entries],
        tensors=[array if tf.is_tensor(array) else tf.constant(array) for _, _, array in entries],
    )


def write_sharded_bundle(prefix, parts):
    """Write several {name: array} as one bundle with a data file for each, as a distributed training does."""
    tf = import_tensorflow()
    prefix = pathlib.Path(prefix)
    prefixes = [prefix.parent / f"part-{number}" / "part" for number in range(len(parts))]
    for part, tensors in zip(prefixes, parts):
        write_bundle(part, tensors)
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(part) for part in prefixes], destination_prefix=str(prefix), delete_old_dirs=True
    )
