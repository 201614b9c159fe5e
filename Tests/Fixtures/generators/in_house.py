"""A checkpoint in names of nobody else's: the one that the README converts with a table of its own."""

import re

import numpy as np

from . import fixture, micro_bert, write_json, write_reference

RENAMED = [
    (r"embeddings\.word_embeddings\.weight", "tok_embed"),
    (r"embeddings\.position_embeddings\.weight", "pos_embed"),
    (r"embeddings\.token_type_embeddings\.weight", "seg_embed"),
    (r"embeddings\.LayerNorm\.", "embed_norm."),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"encoder_blocks.\1.mha.out."),
    (r"encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.", r"encoder_blocks.\1.mha_norm."),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.", r"encoder_blocks.\1.ffn.up."),
    (r"encoder\.layer\.(\d+)\.output\.dense\.", r"encoder_blocks.\1.ffn.down."),
    (r"encoder\.layer\.(\d+)\.output\.LayerNorm\.", r"encoder_blocks.\1.ffn_norm."),
    (r"pooler\.dense\.", "pool."),
]


@fixture("examples/in-house")
def in_house(folder):
    """Dense kernels are [in, out]; query, key and value are one matrix, [3 * out, in]; Adam's state is next to them."""
    model = micro_bert("BertModel", seed=30, num_hidden_layers=2)
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    arrays = {}
    for layer in range(2):
        for kind in ("weight", "bias"):
            parts = [f"encoder.layer.{layer}.attention.self.{part}.{kind}" for part in ("query", "key", "value")]
            arrays[f"encoder_blocks.{layer}.mha.qkv.{kind}"] = np.concatenate([weights.pop(part) for part in parts])
    for name, value in weights.items():
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        if name.endswith("norm.weight") or name.endswith("norm.bias"):
            name = name.replace("norm.weight", "norm.scale").replace("norm.bias", "norm.offset")
        elif name.endswith(".weight"):
            name, value = name.removesuffix("weight") + "kernel", value.T
        arrays[name] = np.ascontiguousarray(value)
    arrays |= {f"adam/mu/{name}": np.zeros_like(arrays[name]) for name in ("tok_embed", "pool.kernel", "pool.bias")}
    np.savez(folder / "checkpoint.npz", **dict(sorted(arrays.items())))
    write_json(folder / "config.json", {"vocab": 40, "width": 16, "depth": 2, "heads": 2, "ffn": 32})
    write_reference(model, folder / "reference.npz", batch=3, length=14, seed=31)
