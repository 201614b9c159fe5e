"""A transformers Megatron-BERT laid out as NVIDIA's Megatron-LM saves it, for fixtures and tests.

Names and nesting follow Megatron-LM's checkpointing.py, language_model.py and bert_model.py. The rows of the joined query,
key and value were stored in three orders, which `checkpoint_version` distinguishes:

    0         [3, heads, head size]     no version in the file at first
    1.0       [heads, head size, 3]
    2.0, 3.0  [heads, 3, head size]
"""

import argparse

import torch


def joined(parts, heads, version):
    """Query, key and value, each `[hidden]` or `[hidden, hidden]`, as one tensor."""
    # [3, heads, head size, ...]
    stack = torch.stack([part.reshape(heads, -1, *part.shape[1:]) for part in parts])
    if version == 0:
        ordered = stack
    elif version == 1:
        ordered = stack.movedim(0, 2)
    else:
        ordered = stack.movedim(0, 1)
    return ordered.reshape(-1, *parts[0].shape[1:]).contiguous()


def padded_rows(tensor, rows):
    """With rows of zeros up to `rows`, as Megatron-LM pads a vocabulary."""
    if rows is None or rows <= len(tensor):
        return tensor
    return torch.cat([tensor, tensor.new_zeros(rows - len(tensor), *tensor.shape[1:])])


def checkpoint(model, version, later_names=False, norm="layernorm", padded=None, with_args=False, with_version=True):
    """What Megatron-LM gives to torch.save for a MegatronBertForPreTraining."""
    config = model.config
    heads = config.num_attention_heads
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    attention = "self_attention" if later_names else "attention"
    layers = {}
    for number in range(config.num_hidden_layers):
        theirs, ours = f"layers.{number}", f"bert.encoder.layer.{number}"
        for kind in ("weight", "bias"):
            layers[f"{theirs}.input_{norm}.{kind}"] = state[f"{ours}.attention.ln.{kind}"]
            parts = [state[f"{ours}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            layers[f"{theirs}.{attention}.query_key_value.{kind}"] = joined(parts, heads, version)
            layers[f"{theirs}.{attention}.dense.{kind}"] = state[f"{ours}.attention.output.dense.{kind}"]
            layers[f"{theirs}.post_attention_{norm}.{kind}"] = state[f"{ours}.ln.{kind}"]
            layers[f"{theirs}.mlp.dense_h_to_4h.{kind}"] = state[f"{ours}.intermediate.dense.{kind}"]
            layers[f"{theirs}.mlp.dense_4h_to_h.{kind}"] = state[f"{ours}.output.dense.{kind}"]
    for kind in ("weight", "bias"):
        layers[f"final_{norm}.{kind}"] = state[f"bert.encoder.ln.{kind}"]
    embeddings = "bert.embeddings"
    language_model = {
        "embedding": {
            "word_embeddings": {"weight": padded_rows(state[f"{embeddings}.word_embeddings.weight"], padded)},
            "position_embeddings": {"weight": state[f"{embeddings}.position_embeddings.weight"]},
            "tokentype_embeddings": {"weight": state[f"{embeddings}.token_type_embeddings.weight"]},
        },
        "encoder" if later_names else "transformer": layers,
        "pooler": {f"dense.{kind}": state[f"bert.pooler.dense.{kind}"] for kind in ("weight", "bias")},
    }
    predictions = "cls.predictions"
    lm_head = {"bias": padded_rows(state[f"{predictions}.bias"], padded)}
    for kind in ("weight", "bias"):
        lm_head[f"dense.{kind}"] = state[f"{predictions}.transform.dense.{kind}"]
        lm_head[f"{norm}.{kind}"] = state[f"{predictions}.transform.LayerNorm.{kind}"]
    binary_head = {kind: state[f"cls.seq_relationship.{kind}"] for kind in ("weight", "bias")}
    result = {
        "iteration": 20,
        "model": {"language_model": language_model, "lm_head": lm_head, "binary_head": binary_head},
        "optimizer": {"optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}},
        "rng_state": [{"torch_rng_state": torch.zeros(8, dtype=torch.uint8)}],
    }
    if with_args:
        result["args"] = argparse.Namespace(
            num_layers=config.num_hidden_layers, hidden_size=config.hidden_size, num_attention_heads=heads,
            ffn_hidden_size=config.intermediate_size, max_position_embeddings=config.max_position_embeddings,
            padded_vocab_size=padded or config.vocab_size, layernorm_epsilon=config.layer_norm_eps,
            hidden_dropout=config.hidden_dropout_prob, attention_dropout=config.attention_probs_dropout_prob,
            init_method_std=config.initializer_range, tokenizer_type="BertWordPieceLowerCase", kv_channels=None,
        )  # fmt: skip
    if with_version:
        result["checkpoint_version"] = float(version)
    return result
