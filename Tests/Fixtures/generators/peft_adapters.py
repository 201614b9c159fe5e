"""LoRA adapters as PEFT saves them, each with its base and what PEFT's merged model computes."""

import shutil

import make_fixture
import numpy as np
import torch

from . import fixture, micro_model, random_weights


def write(folder, config, class_name="BertForSequenceClassification", base_class="BertForSequenceClassification", seed=0):
    """The base in base/, the adapter in adapter/, and reference.npz of the merged model."""
    import peft
    import transformers

    base = micro_model(base_class, seed)
    base.save_pretrained(folder / "base")
    model = getattr(transformers, class_name).from_pretrained(folder / "base")
    # PEFT writes where the base was loaded from, which would be a path of this machine.
    model.name_or_path = "base"
    wrapped = peft.get_peft_model(model, config)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(seed + 1)
        for name, parameter in wrapped.named_parameters():
            is_bias = name.endswith("bias") and parameter.requires_grad
            if "lora_" in name or "modules_to_save" in name or is_bias:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2 + ("magnitude" in name))
    wrapped.save_pretrained(str(folder / "adapter"))
    (folder / "adapter" / "README.md").unlink(missing_ok=True)
    merged = wrapped.merge_and_unload().eval()
    inputs = make_fixture.random_inputs(merged, 2, 6, np.random.default_rng(seed))
    make_fixture.write_fixture(folder / "reference.npz", make_fixture.reference(merged, inputs))
    for left in folder.glob("*/README.md"):
        left.unlink()
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def lora(**options):
    import peft

    settings = {"task_type": "SEQ_CLS", "r": 2, "lora_alpha": 5, "target_modules": ["query", "value"]} | options
    return peft.LoraConfig(**settings)


@fixture("adapters/lora")
def plain(folder):
    """LoRA on queries and values, the classifier saved whole; alpha differs in one layer."""
    write(folder, lora(alpha_pattern={"layer.1.attention.self.query": 3}), seed=901)


@fixture("adapters/rank-stabilized")
def rank_stabilized(folder):
    """Rank-stabilized LoRA of every dense layer, and of the embeddings; the base has no head."""
    targets = ["query", "key", "value", "dense", "word_embeddings"]
    write(folder, lora(use_rslora=True, target_modules=targets), base_class="BertModel", seed=903)


@fixture("adapters/dora")
def dora(folder):
    """DoRA (Liu et al. 2024): the rows of the merged weights get lengths of their own."""
    write(folder, lora(use_dora=True, target_modules=["query", "output.dense"]), seed=905)


@fixture("adapters/biases-of-lora")
def biases_of_lora(folder):
    """The biases of the changed layers are trained too: they are below base_layer in the file."""
    write(folder, lora(bias="lora_only"), seed=907)


@fixture("adapters/all-biases")
def all_biases(folder):
    """All biases are trained: the file has the classifier's twice, as its own and as that of the module that is saved."""
    write(folder, lora(bias="all", target_modules=["query"]), seed=909)
