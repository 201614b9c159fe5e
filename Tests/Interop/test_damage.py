"""Damaged checkpoints: refused with exit status 2 and a word of explanation, and the file that was there is kept."""

import json
import os
import shutil
import unittest

import numpy as np
from support import UNUSABLE, WithModel

DATA = "bert_model.ckpt.data-00000-of-00001"
INDEX = "bert_model.ckpt.index"
TRIES = 12


class DamagedCheckpoint(WithModel):
    def refuse(self, damage, word=None):
        """Damage a copy of the checkpoint, and see the conversion refuse it."""
        folder = self.folder / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.prefix.parent, folder)
        damage(folder)
        output = self.folder / "precious.safetensors"
        output.write_bytes(b"precious")
        result = self.bertconv(
            "convert", "tf-to-native", folder / "bert_model.ckpt", "-o", output, "--force", status=UNUSABLE
        )
        self.assertEqual(output.read_bytes(), b"precious", result)
        self.assertEqual([path.name for path in self.folder.iterdir() if "precious" in path.name], [output.name])
        if word:
            self.assertIn(word, result.printed)
        return result

    def flip(self, path, position):
        content = bytearray(path.read_bytes())
        content[position] ^= 1 << int(self.rng.integers(8))
        path.write_bytes(content)

    def test_a_flipped_bit_of_the_data(self):
        for _ in range(TRIES):
            position = int(self.rng.integers((self.prefix.parent / DATA).stat().st_size))
            with self.subTest(position=position):
                self.refuse(lambda folder: self.flip(folder / DATA, position), "/")

    def test_a_flipped_bit_of_the_index(self):
        size = (self.prefix.parent / INDEX).stat().st_size
        # The keys, then the last eight bytes, the magic number; the padding of the footer between them is unused.
        positions = [int(position) for position in self.rng.integers(0, size - 48 - 64, TRIES)] + [size - 8, size - 1]
        for position in positions:
            with self.subTest(position=position):
                self.refuse(lambda folder: self.flip(folder / INDEX, position))

    def test_files_cut_short(self):
        for name in (DATA, INDEX):
            size = (self.prefix.parent / name).stat().st_size
            for length in (0, 1, size - 1, *map(int, self.rng.integers(2, size - 1, 4))):
                with self.subTest(file=name, length=length):
                    self.refuse(lambda folder: os.truncate(folder / name, length))

    def test_files_that_are_not_there(self):
        self.refuse(lambda folder: (folder / DATA).unlink(), DATA)
        self.refuse(lambda folder: (folder / INDEX).unlink())
        self.refuse(shutil.rmtree, "damaged")

    def test_files_that_are_something_else(self):
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 210000\n" % 7
        page = b"<!DOCTYPE html><html><body>404: not found</body></html>\n" * 40
        noise = self.rng.integers(0, 256, 5000, dtype=np.uint8).tobytes()
        for name in (DATA, INDEX):
            for kind, content in (("git-lfs pointer", pointer), ("web page", page), ("noise", noise)):
                with self.subTest(file=name, content=kind):
                    self.refuse(lambda folder: (folder / name).write_bytes(content))

    def test_a_damaged_checkpoint_can_still_be_listed(self):
        folder = self.folder / "listed"
        shutil.copytree(self.prefix.parent, folder)
        self.flip(folder / DATA, 100)
        found = self.bertconv_json("inspect", folder)
        self.assertEqual({tensor["name"] for tensor in found["tensors"]}, set(self.tensors))


class DamagedNativeFile(WithModel):
    def test_a_flipped_bit_is_found_and_its_tensor_named(self):
        output, _ = self.convert(self.prefix)
        content = output.read_bytes()
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        names = [name for name in header if name != "__metadata__"]
        for name in self.rng.choice(names, 6, replace=False):
            with self.subTest(tensor=name):
                begin, end = header[name]["data_offsets"]
                bent = bytearray(content)
                bent[start + int(self.rng.integers(begin, end))] ^= 1 << int(self.rng.integers(8))
                path = self.folder / "bent.safetensors"
                path.write_bytes(bent)
                self.assertIn(name, self.bertconv("verify", path, status=UNUSABLE).printed)
                self.assertIn(name, self.bertconv("verify", path, "--fixtures", self.fixture, status=UNUSABLE).printed)

    def test_a_file_cut_short(self):
        output, _ = self.convert(self.prefix)
        size = output.stat().st_size
        for length in (0, 7, 8, size - 1, *map(int, self.rng.integers(9, size - 1, 4))):
            with self.subTest(length=length):
                path = self.folder / "short.safetensors"
                path.write_bytes(output.read_bytes()[:length])
                self.bertconv("verify", path, "--fixtures", self.fixture, status=UNUSABLE)


if __name__ == "__main__":
    unittest.main()
