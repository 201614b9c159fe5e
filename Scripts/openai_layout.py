"""A transformers OpenAI GPT in the two forms that it was published in before, for fixtures and tests.

    params_shapes.json, params_0.npy ... params_9.npy   openai/finetune-transformer-lm: all parameters behind each other,
                                                        positions first, then words, then twelve a block
    a state dict                                        huggingface/pytorch-openai-transformer-lm: words, special tokens
                                                        and positions are one table
"""

import json

import numpy as np
import torch


def _block(block):
    attention, feed_forward = block.attn, block.mlp
    return [
        ("attn.c_attn", attention.c_attn), ("attn.c_proj", attention.c_proj), ("ln_1", block.ln_1),
        ("mlp.c_fc", feed_forward.c_fc), ("mlp.c_proj", feed_forward.c_proj), ("ln_2", block.ln_2),
    ]  # fmt: skip


def parameters(model):
    """The parameters in OpenAI's order; matrices are kernels of a convolution of width 1."""
    transformer = model.transformer
    values = [transformer.positions_embed.weight, transformer.tokens_embed.weight]
    for block in transformer.h:
        for name, part in _block(block):
            values += [part.weight if name.startswith("ln") else part.weight[None], part.bias]
    return [value.detach().numpy() for value in values]


def write_shards(model, folder, count=10):
    folder.mkdir(parents=True, exist_ok=True)
    values = parameters(model)
    (folder / "params_shapes.json").write_text(json.dumps([list(value.shape) for value in values]))
    flat = np.concatenate([value.ravel() for value in values])
    for number, part in enumerate(np.array_split(flat, count)):
        np.save(folder / f"params_{number}.npy", part)


def torch_state(model):
    """What model_pytorch.py's language model has as its state dict, the causal masks among it."""
    transformer = model.transformer
    positions = model.config.n_positions
    table = torch.cat([transformer.tokens_embed.weight, transformer.positions_embed.weight]).detach()
    state = {"transformer.embed.weight": table}
    for number, block in enumerate(transformer.h):
        prefix = f"transformer.h.{number}."
        state[prefix + "attn.b"] = torch.tril(torch.ones(positions, positions)).view(1, 1, positions, positions)
        for name, part in _block(block):
            weight, bias = ("g", "b") if name.startswith("ln") else ("w", "b")
            state[f"{prefix}{name}.{weight}"] = part.weight.detach()
            state[f"{prefix}{name}.{bias}"] = part.bias.detach()
    state["lm_head.decoder.weight"] = table
    return state
