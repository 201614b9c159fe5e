#!/usr/bin/env python3
"""Open a native file of bertconv in Python: with `safetensors`, and as a model of `transformers`.

    open_native.py MODEL [--bertconv PROGRAM] [--tolerance 1e-4]

A native file is a safetensors file with the names of `transformers`, so both need nothing of bertconv. Then random ids go
through the model of `transformers` and through `bertconv run`, and every hidden state is compared; the exit status is 1
when one is further off than the tolerance.

Needs numpy, safetensors, torch and transformers (4.56 or later). Nothing is downloaded.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import safetensors
import torch
import transformers


def describe(path):
    """The config in the file. The tensors are mapped, and read when they are used."""
    with safetensors.safe_open(path, framework="np") as file:
        metadata = file.metadata()
        names = list(file.keys())
        config = json.loads(metadata["bertconv.config"])
        words = file.get_slice(next(name for name in names if name.endswith("word_embeddings.weight")))
        print(f"{path}: profile {metadata['bertconv.profile']}, {len(names)} tensors, a {config['model_type']}")
        print(f"word embeddings {words.get_shape()}, the first row begins {words[0, :4]}")
    return config


def load(path, config):
    """A model of `transformers`: it wants a folder of a config.json and a model.safetensors."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "model.safetensors").symlink_to(path.resolve())
        return transformers.AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()


def random_inputs(config, rng, batch=3):
    """Sequences of several lengths, padded to one."""
    length = min(12, config["max_position_embeddings"] - 2)
    ids = rng.integers(1, config["vocab_size"], (batch, length))
    mask = np.ones_like(ids)
    for row in range(1, batch):
        mask[row, length - row :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def run_here(model, inputs):
    with torch.no_grad():
        states = model(**{name: torch.from_numpy(array) for name, array in inputs.items()}, output_hidden_states=True)
    return {f"hidden_states.{number}": state.numpy() for number, state in enumerate(states.hidden_states)}


def run_bertconv(program, path, inputs, names):
    with tempfile.TemporaryDirectory() as folder:
        given, made = pathlib.Path(folder, "inputs.npz"), pathlib.Path(folder, "outputs.npz")
        np.savez(given, **inputs)
        wanted = [word for name in names for word in ("--outputs", name)]
        subprocess.run([program, "run", path, "--inputs", given, "-o", made, *wanted], check=True, capture_output=True)
        with np.load(made) as outputs:
            return dict(outputs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--bertconv", default="bertconv", help="the program (default: the one on the PATH)")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="largest absolute error allowed (default: 1e-4)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    config = describe(arguments.model)
    inputs = random_inputs(config, np.random.default_rng(arguments.seed))
    expected = run_here(load(arguments.model, config), inputs)
    found = run_bertconv(arguments.bertconv, arguments.model, inputs, expected)
    worst = 0.0
    for name, reference in expected.items():
        # Values where there is no token have no meaning.
        error = np.abs(found[name] - reference)[inputs["attention_mask"] == 1].max()
        print(f"{name}: largest error {error:.2e}")
        # NaN is further off than anything.
        worst = max(worst, float(error)) if np.isfinite(error) else float("inf")
    agree = worst <= arguments.tolerance
    print("transformers and bertconv agree" if agree else f"they differ by more than {arguments.tolerance}")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
