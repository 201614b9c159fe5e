"""Files of torch.save, as a zip and in the form before torch 1.6, and a TorchScript archive."""

import collections
import contextlib
import importlib.util
import io
import os
import pathlib
import pickle
import re
import struct
import sys
import tarfile

import google_layout
import torch

from . import (
    expected_torch, fixture, micro_bert, micro_model, tiny_bert, vocabulary, write_expected, write_json, write_reference,
)  # fmt: skip


class _SerialisationStrings(type(str)):
    def __instancecheck__(cls, value):
        return type.__instancecheck__(str, value)


def reproducible_strings():
    """A stand-in for `str` that turns each number into its rank of appearance, and leaves everything else to `str`.

    The old form names each storage by its address, and orders them by it.
    """
    seen = {}

    class Strings(str, metaclass=_SerialisationStrings):
        def __new__(cls, value=""):
            return str(1000 + seen.setdefault(value, len(seen)) if type(value) is int else value)

    return Strings


@contextlib.contextmanager
def reproducible():
    """Within this context, torch.save writes nothing of the machine: no address, no path of a source file."""
    serialisation = torch.serialization
    get_source = serialisation.get_source_lines_and_file

    def source_without_folder(*arguments):
        lines, number, file = get_source(*arguments)
        return lines, number, os.path.basename(file)

    serialisation.str = reproducible_strings()
    serialisation.get_source_lines_and_file = source_without_folder
    try:
        yield
    finally:
        del serialisation.str
        serialisation.get_source_lines_and_file = get_source


def save(value, path, legacy=False):
    with reproducible():
        torch.save(value, path, _use_new_zipfile_serialization=not legacy)


def save_both(value, folder, stem):
    save(value, folder / f"{stem}-zip.pt")
    save(value, folder / f"{stem}-legacy.pt", legacy=True)


def flatten(value, path=()):
    """The tensors in nested dictionaries, lists and tuples, under their paths joined with dots."""
    if torch.is_tensor(value):
        yield ".".join(path), value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from flatten(item, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from flatten(item, (*path, str(number)))


@fixture("torch/objects")
def objects(folder):
    """A training checkpoint with a tensor of every type and of every kind of view."""
    generator = torch.Generator().manual_seed(19)
    base = torch.randn(6, 8, generator=generator)
    small = torch.randn(2, 3, generator=generator)
    whole = torch.arange(-2, 4)
    tied = torch.nn.Parameter(small.clone())
    state = collections.OrderedDict(
        f64=small.double(), f32=small.clone(), f16=small.half(), bf16=small.bfloat16(),
        f8_e4m3=small.to(torch.float8_e4m3fn), f8_e5m2=small.to(torch.float8_e5m2),
        f8_e4m3fnuz=small.to(torch.float8_e4m3fnuz), f8_e5m2fnuz=small.to(torch.float8_e5m2fnuz),
        f8_e8m0=torch.tensor([0.5, 1.0, 2.0]).to(torch.float8_e8m0fnu),
        i64=whole.clone(), i32=whole.int(), i16=whole.short(), i8=whole.to(torch.int8), u8=whole.to(torch.uint8),
        u16=whole.abs().to(torch.uint16), u32=whole.abs().to(torch.uint32), u64=whole.abs().to(torch.uint64),
        bool=whole > 0, c32=torch.complex(small, -small).to(torch.complex32), c64=torch.complex(small, -small),
        c128=torch.complex(small, -small).to(torch.complex128),
        view=base[1:4, ::2], transposed=base.t(), row=base[2], column=base[:, 3],
        permuted=base.view(2, 3, 8).permute(2, 0, 1), expanded=torch.randn(1, 4, generator=generator).expand(3, 4),
        scalar=torch.tensor(3.5), scalar_view=base[4, 5], empty=torch.zeros(0, 4), empty_slice=base[3:3],
        parameter=torch.nn.Parameter(base.clone()), tied=tied, tied_too=tied,
    )  # fmt: skip
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    checkpoint = {
        "epoch": 3,
        "best": 0.875,
        "args": {"lr": 1e-4, "name": "größe 🦉", "betas": (0.9, 0.999), "none": None, "big": 2**70, "set": {1}},
        "model": {"state": state, "list": [base, (base[0], {"deep": base[5, 2:]})]},
        "optimizer": {
            "state": {0: {"step": torch.tensor(12.0), "exp_avg": small * 0.1}},
            "param_groups": [{"lr": 1e-4, "params": [0, 1]}],
        },
        "device": torch.device("cpu"),
        "dtype": torch.bfloat16,
        "size": torch.Size([2, 3]),
    }
    save_both(checkpoint, folder, "checkpoint")
    write_json(folder / "expected.json", {name: expected_torch(tensor) for name, tensor in flatten(checkpoint)})


@fixture("torch/bert-tiny-zip")
def bert_tiny_zip(folder):
    write_bert_tiny(folder, legacy=False)


@fixture("torch/bert-tiny-legacy")
def bert_tiny_legacy(folder):
    write_bert_tiny(folder, legacy=True)


def write_bert_tiny(folder, legacy):
    """The weights of tensorflow/bert-tiny, with the tied decoder as state_dict() has it."""
    model = tiny_bert()
    save(model.state_dict(), folder / "pytorch_model.bin", legacy)
    model.config.architectures = ["BertForPreTraining"]
    (folder / "config.json").write_text(model.config.to_json_string())


@fixture("torch/bert-2018")
def bert_2018(folder):
    """As pytorch-pretrained-bert left it: old form, gamma and beta, bert_config.json."""
    model = micro_bert("BertForPreTraining", seed=20)
    old = collections.OrderedDict()
    for name, value in model.state_dict().items():
        if name.endswith(("position_ids", "decoder.bias")):
            continue
        name = re.sub(r"LayerNorm\.weight$", "LayerNorm.gamma", name)
        old[re.sub(r"LayerNorm\.bias$", "LayerNorm.beta", name)] = value
    save(old, folder / "pytorch_model.bin", legacy=True)
    google_layout.write_google_config(model.config, folder)
    (folder / "vocab.txt").write_text(vocabulary(model.config.vocab_size), encoding="utf-8")
    write_expected(model, folder / "expected.safetensors")


def load_as(name, path):
    """The Python file as a module of that name, in no package: so a user's own classes are pickled."""
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


@fixture("torch/module")
def whole_module(folder):
    """torch.save(module) instead of its state_dict(): an object of a class of the user's."""
    network = load_as("network", pathlib.Path(__file__).with_name("network.py"))
    module = network.Affine(4, 3, torch.Generator().manual_seed(21))
    save_both(module, folder, "module")
    write_json(folder / "expected.json", {name: expected_torch(value) for name, value in module.state_dict().items()})


class Scripted(torch.jit.ScriptModule):
    def __init__(self, generator):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(3, 4, generator=generator))
        self.register_buffer("offset", torch.randn(3, generator=generator))
        # From a string, so that the archive's debug records name no file of this machine.
        self.define("def forward(self, x):\n    return torch.matmul(x, self.weight.t()) + self.offset\n")


@fixture("torch/configs")
def configs_in_pickles(folder):
    """A whole model of transformers, whose config is an object in it, and a state dict next to its config.

    Nothing else shows that these are a RoBERTa and a DistilBERT, how they count positions, or which activation they have.
    """
    roberta = micro_model("RobertaForTokenClassification", 911, pad_token_id=0, id2label={0: "O", 1: "B", 2: "I"})
    torch.save(roberta, folder / "roberta-module.pt")
    write_reference(roberta, folder / "roberta-module.npz", 2, 6, 911)
    distilbert = micro_model("DistilBertModel", 913, activation="relu", n_heads=4)
    state = {"config": distilbert.config.to_dict(), "state_dict": distilbert.state_dict(), "epoch": 3}
    torch.save(state, folder / "distilbert-state.pt")
    write_reference(distilbert, folder / "distilbert-state.npz", 2, 6, 913)


@fixture("torch/script")
def script(folder):
    module = Scripted(torch.Generator().manual_seed(22))
    module.save(str(folder / "script.pt"))
    write_json(folder / "expected.json", {name: expected_torch(value) for name, value in module.state_dict().items()})


class _KeysOfTensors(pickle.Pickler):
    """Pickles a tensor as a key of the member `tensors`."""

    def __init__(self, file, keys):
        super().__init__(file, protocol=2)
        self.keys = keys

    def persistent_id(self, value):
        return self.keys.get(id(value)) if torch.is_tensor(value) else None


def write_tar(state, path):
    """The archive of torch before 0.1.10, whose writer installs nowhere now: laid out for what torch still reads."""

    def packed(value):
        return pickle.dumps(value, protocol=2)

    storages, tensors, keys = io.BytesIO(), io.BytesIO(), {}
    storages.write(packed(len(state)))
    tensors.write(packed(len(state)))
    for number, tensor in enumerate(state.values()):
        storages.write(packed((100 + number, "cpu", torch.FloatStorage)))
        storages.write(struct.pack("<q", tensor.untyped_storage().nbytes() // tensor.element_size()))
        storages.write(bytes(tensor.untyped_storage()))
        keys[id(tensor)] = 200 + number
        tensors.write(packed((200 + number, 100 + number, torch.FloatTensor)))
        tensors.write(struct.pack("<ii", tensor.dim(), 0))
        tensors.write(struct.pack(f"<{2 * tensor.dim() + 1}q", *tensor.shape, *tensor.stride(), tensor.storage_offset()))
    storages.write(packed([]))
    root = io.BytesIO()
    _KeysOfTensors(root, keys).dump(state)
    system = packed({"protocol_version": 1000, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}})
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        members = {"sys_info": system, "pickle": root.getvalue(), "tensors": tensors.getvalue()}
        for name, content in (members | {"storages": storages.getvalue()}).items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


@fixture("torch/tar")
def tar(folder):
    generator = torch.Generator().manual_seed(23)
    base = torch.randn(3, 4, generator=generator)
    state = collections.OrderedDict(weight=base, turned=base.clone().t(), bias=torch.randn(3, generator=generator))
    write_tar(state, folder / "model.pt")
    again = torch.load(folder / "model.pt", weights_only=False)
    assert all(torch.equal(again[name], value) for name, value in state.items())
    write_json(folder / "expected.json", {name: expected_torch(value) for name, value in state.items()})


class Hostile:
    """What runs a command when a careless reader unpickles it."""

    def __reduce__(self):
        return os.system, ("touch pwned",)


@fixture("torch/hostile")
def hostile(folder):
    """Never load these with torch.load(weights_only=False)."""
    value = {"weight": torch.arange(6, dtype=torch.float32).reshape(2, 3), "trap": Hostile()}
    save_both(value, folder, "system")
