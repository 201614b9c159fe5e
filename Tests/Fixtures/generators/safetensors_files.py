"""Plain safetensors files, without the native profile: one of many types, one in shards."""

import json

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

from . import expected_array, expected_torch, fixture, write_json


@fixture("safetensors")
def safetensors_files(folder):
    generator = torch.Generator().manual_seed(17)
    values = torch.randn(2, 3, generator=generator)
    tensors = {
        "F64": values.double(), "F32": values, "F16": values.half(), "BF16": values.bfloat16(),
        "F8_E4M3": values.to(torch.float8_e4m3fn), "F8_E5M2": values.to(torch.float8_e5m2),
        "I64": torch.tensor([-(2**63), 0, 2**63 - 1]), "I32": torch.arange(-2, 3, dtype=torch.int32),
        "I16": torch.arange(-2, 3, dtype=torch.int16), "I8": torch.arange(-2, 3, dtype=torch.int8),
        "U64": torch.arange(4, dtype=torch.int64).to(torch.uint64),
        "U32": torch.arange(4, dtype=torch.int64).to(torch.uint32),
        "U16": torch.arange(4, dtype=torch.int32).to(torch.uint16), "U8": torch.arange(252, 256).to(torch.uint8),
        "BOOL": torch.tensor([True, False, True]), "C64": torch.complex(values, -values),
        "scalar": torch.tensor(-1.5), "empty": torch.zeros(0, 3), "ünïcödé 🦉": torch.ones(2),
    }  # fmt: skip
    safetensors.torch.save_file(tensors, folder / "dtypes.safetensors", metadata={"note": "every type"})
    write_json(folder / "expected.json", {name: expected_torch(value) for name, value in tensors.items()})

    rng = np.random.default_rng(18)
    arrays = {f"layer.{i}.{part}": rng.normal(size=(3, 4)).astype(np.float32) for i in range(3) for part in ("a", "b")}
    names, sharded = list(arrays), folder / "sharded"
    sharded.mkdir()
    files = {"model-00001-of-00002.safetensors": names[:4], "model-00002-of-00002.safetensors": names[4:]}
    for file, held in files.items():
        safetensors.numpy.save_file({name: arrays[name] for name in held}, sharded / file, metadata={"format": "pt"})
    index = {
        "metadata": {"total_size": sum(array.nbytes for array in arrays.values())},
        "weight_map": {name: file for file, held in files.items() for name in held},
    }
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    write_json(sharded / "expected.json", {name: expected_array(value) for name, value in arrays.items()})
