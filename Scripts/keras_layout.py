"""A transformers BERT laid out as two Keras ports keep it in HDF5, for fixtures and tests.

    bert-for-tf2   kpe/bert-for-tf2: google-research's names below the layer's
    BERT-keras     Separius/BERT-keras, as its load_google_bert makes a model: query, key and value are one kernel of a
                   convolution of width 1
"""

import sys

import h5py
import numpy as np


def _google(name):
    """google-research's name of a weight of transformers, and whether it is transposed."""
    for old, new in (
        ("encoder.layer.", "encoder/layer_"), ("embeddings.weight", "embeddings/embeddings"), ("LayerNorm.weight", "LayerNorm/gamma"),
        ("LayerNorm.bias", "LayerNorm/beta"), ("intermediate.dense", "intermediate"), (".", "/"),
    ):  # fmt: skip
        name = name.replace(old, new)
    transposed = name.endswith("/weight")
    return name.removesuffix("weight") + "kernel" if transposed else name, transposed


def bert_for_tf2(model, path, layer="bert"):
    """Embeddings and layers; this port has no pooler."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer]
        group, names = file.create_group(layer), []
        for name, tensor in model.state_dict().items():
            if name.startswith(("embeddings.", "encoder.")) and not name.endswith("_ids"):
                port, transposed = _google(name)
                names.append(f"{layer}/{port}:0")
                group[names[-1]] = tensor.numpy().T if transposed else tensor.numpy()
        group.attrs["weight_names"] = names


def bert_keras(model, path, number=1):
    """`number` is that of the layer normalization of the embeddings, which Keras counts up through a process."""
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    norm = "layer_normalization" + (f"_{number}" if number else "")
    with h5py.File(path, "w") as file:

        def add(layer, **weights):
            for weight, array in weights.items():
                file[f"{layer}/{layer}/{weight}:0"] = array

        for layer, name in (("Segment", "token_type"), ("Position", "position"), ("Token", "word")):
            add(f"{layer}Embedding", embeddings=state[f"embeddings.{name}_embeddings.weight"])
        add(norm, gamma=state["embeddings.LayerNorm.weight"], beta=state["embeddings.LayerNorm.bias"])
        for number in range(model.config.num_hidden_layers):
            prefix, layer = f"encoder.layer.{number}.", f"layer_{number}/"
            parts = [f"{prefix}attention.self.{part}." for part in ("query", "key", "value")]
            add(
                layer + "c_attn", kernel=np.concatenate([state[part + "weight"].T for part in parts], 1)[None],
                bias=np.concatenate([state[part + "bias"] for part in parts]),
            )  # fmt: skip
            for port, name in (
                ("c_attn_proj", "attention.output.dense"), ("c_fc", "intermediate.dense"), ("c_ffn_proj", "output.dense"),
            ):  # fmt: skip
                add(layer + port, kernel=state[f"{prefix}{name}.weight"].T[None], bias=state[f"{prefix}{name}.bias"])
            for port, name in (("ln_1", "attention.output.LayerNorm"), ("ln_2", "output.LayerNorm")):
                add(layer + port, gamma=state[f"{prefix}{name}.weight"], beta=state[f"{prefix}{name}.bias"])


def modules_of_keras_2():
    """Let packages of Keras 2 find tf_keras where they import keras."""
    import tf_keras

    sys.modules["keras"] = tf_keras
    for name in ("layers", "models", "backend", "utils", "initializers", "activations", "constraints", "regularizers"):
        sys.modules[f"keras.{name}"] = getattr(tf_keras, name)
