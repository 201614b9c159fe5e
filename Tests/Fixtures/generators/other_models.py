"""OpenAI's GPT as NumPy shards, ULMFiT and BERT-pytorch as torch saves them."""

import json

import awd_lstm
import bert_pytorch_modules
import numpy as np
import openai_layout
import torch
import transformers

from . import fixture, random_weights, write_reference
from .torch_files import save


def gpt(class_name, seed, **settings):
    config = transformers.OpenAIGPTConfig(
        vocab_size=37, n_positions=20, n_embd=12, n_layer=2, n_head=3, pad_token_id=0, **settings
    )
    return random_weights(getattr(transformers, class_name)(config), seed, std=0.2)


for number, (class_name, settings) in enumerate(
    {"OpenAIGPTLMHeadModel": {}, "OpenAIGPTForSequenceClassification": dict(num_labels=3)}.items()
):

    @fixture(f"heads/{class_name}")
    def write_head(folder, class_name=class_name, settings=settings, seed=300 + 2 * number):
        model = gpt(class_name, seed, **settings)
        model.save_pretrained(folder)
        write_reference(model, folder / "reference.npz", batch=3, length=14, seed=seed + 1)


@fixture("numpy/gpt-shards")
def gpt_shards(folder):
    model = gpt("OpenAIGPTLMHeadModel", seed=310)
    openai_layout.write_shards(model, folder, count=4)
    (folder / "config.json").write_text(json.dumps({"n_head": 3}))
    ids = torch.arange(24).reshape(2, 12) % 37
    with torch.no_grad():
        made = model(ids, output_hidden_states=True)
    states = {f"hidden_states.{n}": state.numpy() for n, state in enumerate(made.hidden_states)}
    np.savez(folder / "reference.npz", input_ids=ids.numpy(), logits=made.logits.numpy(), **states)


@fixture("torch/other-models")
def torch_models(folder):
    generator = torch.Generator().manual_seed(320)
    lstm = awd_lstm.AWDLSTM(29, 5, 7, 3, generator)
    ids = torch.arange(20).reshape(2, 10) % 29
    save(lstm.state("0.7", generator), folder / "fwd_wt103.h5", legacy=True)
    save(lstm.state("2", generator), folder / "awd-lstm.pth")
    np.savez(folder / "awd-lstm.npz", **lstm.reference(ids))
    np.savez(folder / "fwd_wt103.npz", **lstm.reference(ids, with_bias=False))
    model = bert_pytorch_modules.random_model(29, 8, 2, 2, 16, generator)
    ids = 1 + torch.arange(20).reshape(2, 10) % 28
    ids[1, 6:] = 0
    segments = torch.where(ids > 0, 1, 0)
    save(model, folder / "bert-lm.ep0")
    np.savez(folder / "bert-lm.npz", **bert_pytorch_modules.reference(model, ids, segments))
