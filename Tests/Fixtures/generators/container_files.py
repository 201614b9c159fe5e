"""Containers of torch and NumPy other than torch.save's own: pickles, joblib, distributed checkpoints, TorchScript, packed weights."""

import collections
import io
import os
import pickle
import zipfile

import joblib
import numpy as np
import torch
import torch.distributed as dist

from . import expected_torch, fixture, write_json


def weights():
    generator = torch.Generator().manual_seed(31)
    return collections.OrderedDict(
        [
            ("embeddings.weight", torch.randn(5, 4, generator=generator)),
            ("dense.weight", torch.randn(3, 4, generator=generator).half()),
            ("dense.bias", torch.arange(3, dtype=torch.bfloat16)),
            ("turned", torch.randn(2, 6, generator=generator).t()),
            ("positions", torch.arange(7)),
            ("empty", torch.zeros(0, 3)),
        ]
    )


def expect(folder, tensors):
    write_json(folder / "expected.json", {name: expected_torch(value) for name, value in tensors.items()})


@fixture("torch/pickles")
def pickles(folder):
    state = weights()
    for protocol in (2, 4, 5):
        (folder / f"protocol-{protocol}.pkl").write_bytes(pickle.dumps(state, protocol=protocol))
    joblib.dump(state, folder / "state.joblib")
    joblib.dump(state, folder / "state-zlib.joblib", compress=("zlib", 3))
    expect(folder, state)
    module = torch.nn.Sequential(torch.nn.Linear(4, 3, bias=False), torch.nn.LayerNorm(3))
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.fill_(number + 0.5)
    (folder / "module.pkl").write_bytes(pickle.dumps({"model": module, "epoch": 3}, protocol=2))


@fixture("numpy/joblib")
def joblib_arrays(folder):
    rng = np.random.default_rng(32)
    arrays = {
        "f32": rng.normal(size=(3, 4)).astype("f4"), "columns": np.asfortranarray(rng.normal(size=(5, 2))),
        "big": np.arange(6).astype(">i4"), "empty": np.zeros((0, 3), "f4"), "scalar": np.array(3.0),
        "bool": np.array([True, False]), "half": np.arange(4).astype("f2"),
    }  # fmt: skip
    others = {
        "text": np.array(["x", "yy"]), "objects": np.array([1, "a", None, np.ones(3)], dtype=object),
        "record": np.zeros(2, dtype=[("x", "f4"), ("y", "i8")]), "date": np.array(["2020-01-01"], dtype="M8[D]"),
    }  # fmt: skip
    value = {**arrays, **others, "last": np.arange(3)}
    joblib.dump(value, folder / "arrays.joblib")
    for method in ("zlib", "gzip", "bz2", "xz", "lzma"):
        joblib.dump(value, folder / f"arrays-{method}.joblib", compress=(method, 3))
    arrays["last"] = value["last"]
    plain = {name: np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")) for name, array in arrays.items()}
    expect(folder, {name: torch.from_numpy(array.reshape(arrays[name].shape)) for name, array in plain.items()})

    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["red blue", "green red", "blue"], [0, 1, 0])
    joblib.dump(model, folder / "sklearn.joblib")


def _rank(rank, world, folder):
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint import filesystem
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    # What a writer would take from clocks and chance.
    filesystem._generate_uuid = lambda: "00000000-0000-0000-0000-000000000000"
    os.chdir(folder)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(29650 + world))
    dist.init_process_group("gloo", rank=rank, world_size=world)
    mesh = init_device_mesh("cpu", (world,))
    state = weights()
    model = {
        "embeddings.weight": distribute_tensor(state["embeddings.weight"], mesh, [Shard(0)]),
        "dense.weight": distribute_tensor(state["dense.weight"], mesh, [Shard(1)]),
        "dense.bias": distribute_tensor(state["dense.bias"], mesh, [Replicate()]), "turned": state["turned"],
        "positions": state["positions"],
    }  # fmt: skip
    value = {"model": model, "epoch": 3, "name": "small"}
    dcp.save(value, checkpoint_id="ranks" if world > 1 else "rank")
    if world == 1 or rank == 0:
        torch.save(value, f"dtensor-of-{world}.pt")
    dist.barrier()
    dist.destroy_process_group()


@fixture("torch/distributed", alone=True)
def distributed(folder):
    for world in (1, 2):
        torch.multiprocessing.spawn(_rank, args=(world, str(folder)), nprocs=world)
    state = weights()
    expect(folder, {f"model.{name}": state[name] for name in state if name != "empty"})


class Reader(torch.nn.Module):
    def forward(self, x):
        stolen = torch.from_file("/etc/hostname", False, 10)
        return x + stolen.sum()


class Scripted(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(4, 3)
        self.norm = torch.nn.LayerNorm(3)
        self.register_buffer("offset", torch.ones(3))

    def forward(self, x):
        # Words in a text are no operators: torch.from_file("x").
        assert x.dim() == 2, "torch.save is not called"
        return torch.nn.functional.gelu(self.norm(self.inner(x))) + self.offset


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embeddings = torch.nn.Embedding(5, 4)
        self.dense = torch.nn.Linear(4, 8)
        self.out = torch.nn.Linear(8, 2, bias=False)

    def forward(self, x):
        return self.out(torch.nn.functional.gelu(self.dense(self.embeddings(x))))


def _fill(module):
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.copy_(torch.arange(parameter.numel()).reshape(parameter.shape) / 8 + number)
    return module.eval()


def save_script(folder, module, name):
    """The archive of torch.jit.save, without the pickles that name the source files of this machine."""
    whole = zipfile.ZipFile(io.BytesIO(module.save_to_buffer()))
    with zipfile.ZipFile(folder / name, "w") as archive:
        for item in whole.infolist():
            if not item.filename.endswith(".debug_pkl"):
                archive.writestr(zipfile.ZipInfo(item.filename), whole.read(item))


@fixture("torch/script-code", alone=True)
def script_code(folder):
    save_script(folder, torch.jit.script(Reader()), "reads-a-file.pt")
    writer = torch.jit.script(torch.nn.Linear(2, 2))
    writer.define('def dump(self, x: Tensor) -> Tensor:\n    torch.save(x, "out.pt")\n    return x\n')
    save_script(folder, _fill(writer), "writes-a-file.pt")
    save_script(folder, torch.jit.script(_fill(Scripted())), "harmless.pt")
    save_script(folder, torch.jit.freeze(torch.jit.script(_fill(Scripted()))), "frozen.pt")


@fixture("torch/quantized")
def quantized(folder):
    module = torch.ao.quantization.quantize_dynamic(_fill(Small()), {torch.nn.Linear}, dtype=torch.qint8)
    torch.save(module, folder / "module.pt")
    torch.save(module.state_dict(), folder / "state.pt")
    save_script(folder, torch.jit.trace(module, torch.tensor([1, 2])), "traced.pt")
