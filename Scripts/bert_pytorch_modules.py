"""A BERT with the modules of codertimo's BERT-pytorch, so that it can be pickled whole as that program's trainer does.

The modules have the names and attributes of those in bert_pytorch/model, because such a file contains them; what they
compute is written here from scratch: pre-norm, norms that divide by a sample's deviation plus epsilon, the tanh form of gelu,
sinusoids, and 0 for padding in ids and segments.
"""

import math
import sys
import types

import torch
from torch import nn


def _module(path):
    """Make the classes of `path` importable under the names that their pickles have."""

    def register(cls):
        parts = path.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            sys.modules.setdefault(name, types.ModuleType(name))
        cls.__module__ = path
        setattr(sys.modules[path], cls.__name__, cls)
        return cls

    return register


@_module("bert_pytorch.model.utils.layer_norm")
class LayerNorm(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.a_2 = nn.Parameter(torch.ones(features))
        self.b_2 = nn.Parameter(torch.zeros(features))
        self.eps = 1e-6

    def forward(self, x):
        centered = x - x.mean(-1, keepdim=True)
        return self.a_2 * centered / (x.std(-1, keepdim=True) + self.eps) + self.b_2


@_module("bert_pytorch.model.utils.sublayer")
class SublayerConnection(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.norm = LayerNorm(size)


@_module("bert_pytorch.model.attention.multi_head")
class MultiHeadedAttention(nn.Module):
    def __init__(self, h, d_model):
        super().__init__()
        self.d_k, self.h = d_model // h, h
        self.linear_layers = nn.ModuleList([nn.Linear(d_model, d_model) for _ in range(3)])
        self.output_linear = nn.Linear(d_model, d_model)

    def forward(self, x, mask):
        heads = [layer(x).unflatten(-1, (self.h, self.d_k)).transpose(1, 2) for layer in self.linear_layers]
        scores = heads[0] @ heads[1].transpose(-1, -2) / math.sqrt(self.d_k)
        weights = scores.masked_fill(mask == 0, -1e9).softmax(-1)
        return self.output_linear((weights @ heads[2]).transpose(1, 2).flatten(-2))


@_module("bert_pytorch.model.utils.feed_forward")
class PositionwiseFeedForward(nn.Module):
    def __init__(self, d_model, d_ff):
        super().__init__()
        self.w_1, self.w_2 = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)

    def forward(self, x):
        return self.w_2(nn.functional.gelu(self.w_1(x), approximate="tanh"))


@_module("bert_pytorch.model.transformer")
class TransformerBlock(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.attention = MultiHeadedAttention(heads, hidden)
        self.feed_forward = PositionwiseFeedForward(hidden, 4 * hidden)
        self.input_sublayer, self.output_sublayer = SublayerConnection(hidden), SublayerConnection(hidden)

    def forward(self, x, mask):
        x = x + self.attention(self.input_sublayer.norm(x), mask)
        return x + self.feed_forward(self.output_sublayer.norm(x))


@_module("bert_pytorch.model.embedding.position")
class PositionalEmbedding(nn.Module):
    def __init__(self, d_model, max_len):
        super().__init__()
        positions = torch.arange(max_len)[:, None].float()
        rates = torch.exp(torch.arange(0, d_model, 2) * -(math.log(10000.0) / d_model))
        table = torch.zeros(max_len, d_model)
        table[:, 0::2], table[:, 1::2] = torch.sin(positions * rates), torch.cos(positions * rates)
        self.register_buffer("pe", table[None])


@_module("bert_pytorch.model.embedding.token")
class TokenEmbedding(nn.Embedding):
    pass


@_module("bert_pytorch.model.embedding.segment")
class SegmentEmbedding(nn.Embedding):
    pass


@_module("bert_pytorch.model.embedding.bert")
class BERTEmbedding(nn.Module):
    def __init__(self, vocab_size, embed_size, max_len):
        super().__init__()
        self.token = TokenEmbedding(vocab_size, embed_size, padding_idx=0)
        self.position = PositionalEmbedding(embed_size, max_len)
        self.segment = SegmentEmbedding(3, embed_size, padding_idx=0)
        self.embed_size = embed_size

    def forward(self, ids, segments):
        return self.token(ids) + self.position.pe[:, : ids.shape[1]] + self.segment(segments)


@_module("bert_pytorch.model.bert")
class BERT(nn.Module):
    def __init__(self, vocab_size, hidden, n_layers, attn_heads, max_len=64):
        super().__init__()
        self.hidden, self.n_layers, self.attn_heads = hidden, n_layers, attn_heads
        self.embedding = BERTEmbedding(vocab_size, hidden, max_len)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(hidden, attn_heads) for _ in range(n_layers)])

    def states(self, ids, segments):
        x = self.embedding(ids, segments)
        states = [x]
        for block in self.transformer_blocks:
            x = block(x, (ids > 0)[:, None, None, :])
            states.append(x)
        return states


@_module("bert_pytorch.model.language_model")
class MaskedLanguageModel(nn.Module):
    def __init__(self, hidden, vocab_size):
        super().__init__()
        self.linear = nn.Linear(hidden, vocab_size)


@_module("bert_pytorch.model.language_model")
class NextSentencePrediction(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.linear = nn.Linear(hidden, 2)


@_module("bert_pytorch.model.language_model")
class BERTLM(nn.Module):
    def __init__(self, bert, vocab_size):
        super().__init__()
        self.bert = bert
        self.next_sentence = NextSentencePrediction(bert.hidden)
        self.mask_lm = MaskedLanguageModel(bert.hidden, vocab_size)


def random_model(vocab_size, hidden, layers, heads, max_len, generator):
    """A BERTLM, its parameters random, the norms near 1."""
    model = BERTLM(BERT(vocab_size, hidden, layers, heads, max_len), vocab_size)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = torch.randn(parameter.shape, generator=generator) * 0.1
            parameter.copy_(values + 1 if name.endswith("a_2") else values)
    return model.eval()


@torch.no_grad()
def reference(model, ids, segments):
    """A fixture: hidden states and the logits of both heads, before their softmax."""
    states = model.bert.states(ids, segments)
    fixture = {f"hidden_states.{number}": state.numpy() for number, state in enumerate(states)}
    return fixture | {
        "input_ids": ids.numpy(),
        "attention_mask": (ids > 0).long().numpy(),
        "token_type_ids": segments.numpy(),
        "last_hidden_state": states[-1].numpy(),
        "prediction_logits": model.mask_lm.linear(states[-1]).numpy(),
        "seq_relationship_logits": model.next_sentence.linear(states[-1][:, 0]).numpy(),
    }
