"""Checkpoints of every format, damaged at random: never a crash, and where a format has checksums never other values."""

import concurrent.futures
import importlib.util
import os
import pathlib
import shutil
import subprocess
import unittest

import h5py
import numpy as np
import safetensors.numpy
import torch
import transformers
from support import BINARY, DONE, UNUSABLE, WithModel

# Of each format with checksums, and of each without.
TRIES, FEWER = 250, 60


def mutated(content, rng):
    """`content` with damage of one kind."""
    content = bytearray(content)
    size = len(content)
    start = int(rng.integers(size))
    # Most of a checkpoint is numbers: half of the damage goes to its first and last thousand bytes.
    if rng.random() < 0.5:
        start = int(rng.integers(min(1000, size))) if rng.random() < 0.5 else size - 1 - int(rng.integers(min(1000, size)))
    length = int(rng.integers(1, 65))
    kind = rng.choice(["bit", "byte", "zeros", "noise", "cut", "lost", "twice", "moved", "appended"])
    match kind:
        case "bit":
            content[start] ^= 1 << int(rng.integers(8))
        case "byte":
            content[start] ^= int(rng.integers(1, 256))
        case "zeros":
            content[start : start + length] = bytes(len(content[start : start + length]))
        case "noise":
            chunk = content[start : start + length]
            content[start : start + length] = rng.integers(0, 256, len(chunk), dtype=np.uint8).tobytes()
        case "cut":
            del content[start:]
        case "lost":
            del content[start : start + length]
        case "twice":
            content[start:start] = content[start : start + length]
        case "moved":
            chunk = content[start : start + length]
            del content[start : start + length]
            offset = int(rng.integers(len(content) + 1))
            content[offset:offset] = chunk
        case "appended":
            content += rng.integers(0, 256, length, dtype=np.uint8).tobytes()
    return kind, start, bytes(content)


class Mutations(WithModel):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.state = {name: torch.from_numpy(value) for name, value in cls.saved.items()}

    @staticmethod
    def values_of(source, output):
        """The tensors of a checkpoint as they are after a conversion; or the status of one that is refused."""
        result = subprocess.run(
            [BINARY, "convert", "auto-to-native", source, "-o", output], capture_output=True, timeout=60
        )
        if result.returncode != DONE:
            return result.returncode, result.stderr.decode("utf-8", "replace")
        tensors = safetensors.numpy.load_file(output)
        pathlib.Path(output).unlink()
        return DONE, {name: (value.dtype, value.shape, value.tobytes()) for name, value in tensors.items()}

    def folder_of(self, name, write):
        folder = self.folder / name
        folder.mkdir()
        self.config.save_pretrained(folder)
        write(folder)
        return folder

    def damage(self, folder, files, tries, has_checksums):
        """Damages each of `files` of a checkpoint folder `tries` times."""
        status, good = self.values_of(folder, self.folder / f"{folder.name}-good.safetensors")
        self.assertEqual(status, DONE, good)

        def attempt(job):
            number, name, (kind, start, content) = job
            mutant = self.folder / f"{folder.name}-{number}"
            mutant.mkdir()
            for file in folder.iterdir():
                if file.name != name:
                    os.link(file, mutant / file.name)
            (mutant / name).write_bytes(content)
            output = self.folder / f"{mutant.name}.safetensors"
            status, found = self.values_of(mutant, output)
            if status in (DONE, UNUSABLE) and not output.exists():
                shutil.rmtree(mutant)
            return f"{mutant / name}: {kind} at {start}", status, found

        jobs = [
            (f"{n}-{name}", name, mutated((folder / name).read_bytes(), self.rng)) for name in files for n in range(tries)
        ]
        refused = 0
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for what, status, found in pool.map(attempt, jobs):
                self.assertIn(status, (DONE, UNUSABLE), f"{what}\n{found}")
                if status == UNUSABLE:
                    self.assertIn("error: ", found, what)
                    refused += 1
                elif has_checksums:
                    self.assertEqual(found, good, f"{what}: other values are taken without a word")
        self.assertGreater(refused, tries // 3)

    def test_tensorflow(self):
        files = [f"bert_model.ckpt.{end}" for end in ("index", "data-00000-of-00001")]
        self.damage(self.prefix.parent, files, TRIES // 2, has_checksums=True)

    def test_torch(self):
        folder = self.folder_of("zip", lambda folder: torch.save(self.state, folder / "pytorch_model.bin"))
        self.damage(folder, ["pytorch_model.bin"], TRIES, has_checksums=True)

    def test_npz(self):
        folder = self.folder_of("npz", lambda folder: np.savez(folder / "model.npz", **self.saved))
        self.damage(folder, ["model.npz"], TRIES, has_checksums=True)

    def test_npz_deflated(self):
        folder = self.folder_of("deflated", lambda folder: np.savez_compressed(folder / "model.npz", **self.saved))
        self.damage(folder, ["model.npz"], TRIES, has_checksums=True)

    def test_native(self):
        def write(folder):
            self.bertconv("convert", "tf-to-native", self.prefix, "-o", folder / "model.safetensors")

        self.damage(self.folder_of("native", write), ["model.safetensors"], TRIES, has_checksums=True)

    def test_legacy_torch(self):
        def write(folder):
            torch.save(self.state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)

        self.damage(self.folder_of("legacy", write), ["pytorch_model.bin"], FEWER, has_checksums=False)

    def test_safetensors(self):
        def write(folder):
            safetensors.numpy.save_file(self.saved, folder / "model.safetensors")

        self.damage(self.folder_of("safetensors", write), ["model.safetensors"], FEWER, has_checksums=False)

    def test_hdf5(self):
        def write(folder):
            with h5py.File(folder / "model.h5", "w") as file:
                for name, value in self.saved.items():
                    file.create_dataset(name, data=value, chunks=True, fletcher32=value.ndim > 1)

        folder = self.folder_of("hdf5", write)
        self.damage(folder, ["model.h5"], FEWER, has_checksums=False)

    @unittest.skipUnless(importlib.util.find_spec("flax"), "flax is not installed")
    def test_flax(self):
        model = transformers.FlaxBertForPreTraining(self.config)
        folder = self.folder_of("flax", model.save_pretrained)
        self.damage(folder, ["flax_model.msgpack"], FEWER, has_checksums=False)


if __name__ == "__main__":
    unittest.main()
