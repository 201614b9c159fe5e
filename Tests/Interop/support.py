"""Shared by the interop tests: the program under test, random BERTs, and their checkpoints, written by the original programs.

Two environment variables control them: BERTCONV is the path of the program (default: .build/release/bertconv), and
BERTCONV_SEED the seed of all random numbers (default: a new one in each run, which is printed).
"""

import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import unittest
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Scripts"))
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import google_layout  # noqa: E402
import make_fixture  # noqa: E402  (sets the environment for transformers)
import numpy as np  # noqa: E402
import safetensors.numpy  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

INPUTS = make_fixture.INPUTS
BINARY = pathlib.Path(os.environ.get("BERTCONV") or ROOT / ".build/release/bertconv").resolve()
if not BINARY.is_file():
    raise RuntimeError(f"no program at {BINARY}: run `make build`, or set BERTCONV to its path")

SEED = int(os.environ.get("BERTCONV_SEED") or secrets.randbelow(2**31))
print(f"interop: {BINARY}, BERTCONV_SEED={SEED}", file=sys.stderr, flush=True)

# Exit statuses of the program.
DONE, DENIED, UNUSABLE, WRONG_USAGE = 0, 1, 2, 64

# The largest error of a converted model on random weights of these sizes.
TOLERANCE = 1e-4


def generator(label):
    return np.random.default_rng([SEED, zlib.crc32(label.encode())])


class Result:
    """One run of the program."""

    def __init__(self, arguments, completed):
        self.command = " ".join(["bertconv", *arguments])
        self.status = completed.returncode
        self.stdout = completed.stdout.decode("utf-8", "replace")
        self.stderr = completed.stderr.decode("utf-8", "replace")
        self.printed = self.stdout + self.stderr

    def __str__(self):
        return f"$ {self.command}\nexit status {self.status}\n{self.printed[-3000:]}"


class InteropTest(unittest.TestCase):
    """A test class with a folder and a random generator of its own."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="bertconv-interop-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.rng = generator(cls.__qualname__)

    def setUp(self):
        # Each test has its own random numbers, so that it gets the same ones whether it runs alone or with the others.
        self.rng = generator(self.id())

    def bertconv(self, *arguments, status=DONE, timeout=300):
        """Run the program; fail unless it exits with `status`, or with one of them."""
        arguments = [str(argument) for argument in arguments]
        result = Result(arguments, subprocess.run([BINARY, *arguments], capture_output=True, timeout=timeout))
        self.assertIn(result.status, status if isinstance(status, tuple) else (status,), result)
        if result.status != DONE:
            self.assertGreater(len(result.printed.strip()), 20, f"it does not report why\n{result}")
        return result

    def bertconv_json(self, *arguments, status=DONE):
        """The JSON object that a run prints with --json."""
        result = self.bertconv(*arguments, "--json", status=status)
        try:
            return json.loads(result.stdout)
        except json.JSONDecodeError as error:
            self.fail(f"standard output is not one JSON object: {error}\n{result}")

    def convert(self, source, *options, route="tf-to-native", name=None, status=DONE):
        """Convert to a new file: its path, and what the program printed. A refusal must leave no file."""
        if name is None:
            name = f"{len(list(self.folder.glob('native-*')))}"
        output = self.folder / f"native-{name}.safetensors"
        output.unlink(missing_ok=True)
        result = self.bertconv("convert", route, source, "-o", output, *options, status=status)
        self.assertEqual(output.exists(), status == DONE, result)
        left = [path.name for path in self.folder.iterdir() if output.stem in path.name and path != output]
        self.assertEqual(left, [], f"files left behind\n{result}")
        return output, result

    def assertHolds(self, path, expected):
        """The safetensors file contains exactly these arrays, bit for bit."""
        found = safetensors.numpy.load_file(path)
        self.assertEqual(sorted(found), sorted(expected))
        for name, array in expected.items():
            self.assertEqual((found[name].dtype, found[name].shape), (array.dtype, array.shape), name)
            self.assertEqual(found[name].tobytes(), np.ascontiguousarray(array).tobytes(), f"the bytes of {name}")


def random_config(rng, **settings):
    """A BERT configuration of small random sizes, odd ones among them."""
    heads = int(rng.integers(1, 5))
    config = dict(
        vocab_size=int(rng.integers(30, 220)),
        hidden_size=heads * int(rng.choice([4, 6, 8, 12, 16])),
        num_hidden_layers=int(rng.integers(1, 4)),
        num_attention_heads=heads,
        intermediate_size=int(rng.integers(16, 140)),
        max_position_embeddings=int(rng.integers(16, 60)),
        type_vocab_size=2,
        attn_implementation="eager",
    )
    return transformers.BertConfig(**(config | settings))


def random_bert(class_name, rng, **settings):
    """A BERT of random sizes and weights; biases and layer norms are random too."""
    model = getattr(transformers, class_name)(random_config(rng, **settings))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = rng.normal(0, 0.1, tuple(parameter.shape)) + bool(re.search(r"LayerNorm\.weight$", name))
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    model.tie_weights()
    return model.eval()


def random_reference(model, rng, batch=4):
    """A fixture of the model on random inputs."""
    length = int(rng.integers(8, model.config.max_position_embeddings + 1))
    return make_fixture.reference(model, make_fixture.random_inputs(model, batch, length, rng))


def outputs_of(fixture):
    return {name: value for name, value in fixture.items() if name not in INPUTS}


def saved_tensors(model, folder):
    """Save the model as transformers does, and the arrays that it wrote."""
    model.save_pretrained(folder)
    return safetensors.numpy.load_file(folder / "model.safetensors")


def write_google(folder, tensors, config=None, prefix="bert_model.ckpt", slices=()):
    """A checkpoint folder of google-research/bert; its prefix."""
    folder.mkdir(parents=True, exist_ok=True)
    google_layout.write_bundle(folder / prefix, tensors, slices)
    if config is not None:
        google_layout.write_google_config(config, folder)
    return folder / prefix


class WithModel(InteropTest):
    """A test class with one random BertForPreTraining, as a TensorFlow checkpoint and as transformers saves it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = random_bert("BertForPreTraining", cls.rng)
        cls.config = cls.model.config
        cls.tensors = google_layout.google_tensors(cls.model.state_dict())
        cls.prefix = write_google(cls.folder / "checkpoint", cls.tensors, cls.config)
        cls.saved = saved_tensors(cls.model, cls.folder / "saved")
        cls.reference = random_reference(cls.model, cls.rng)
        cls.fixture = cls.folder / "reference.npz"
        make_fixture.write_fixture(cls.fixture, cls.reference)
