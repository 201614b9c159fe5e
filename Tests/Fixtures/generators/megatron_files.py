"""Checkpoints as NVIDIA's Megatron-LM lays them out, of one Megatron-BERT of transformers."""

import megatron_layout

from . import fixture, micro_model, write_expected, write_reference
from .torch_files import save


@fixture("torch/megatron-lm")
def megatron_lm(folder):
    """The same weights in each order of rows, in both generations of names; as zips, and the oldest in the old form."""
    model = micro_model("MegatronBertForPreTraining", seed=40, num_attention_heads=4, layer_norm_eps=1e-5)
    save(megatron_layout.checkpoint(model, 0, with_version=False), folder / "unversioned.pt", legacy=True)
    save(megatron_layout.checkpoint(model, 0), folder / "version-0.pt")
    save(megatron_layout.checkpoint(model, 1), folder / "version-1.pt")
    save(megatron_layout.checkpoint(model, 2), folder / "version-2.pt", legacy=True)
    latest = megatron_layout.checkpoint(model, 3, later_names=True, norm="norm", with_args=True)
    save(latest, folder / "version-3.pt")
    model.config.architectures = ["MegatronBertForPreTraining"]
    (folder / "config.json").write_text(model.config.to_json_string())
    write_expected(model, folder / "expected.safetensors")
    write_reference(model, folder / "reference.npz", batch=3, length=14, seed=41)
