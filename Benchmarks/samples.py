#!/usr/bin/env python3
"""How many texts a second GPT, BERT-base and BERT-large encode, and what a million of them cost; see README.md.

    samples.py [--models gpt,bert-base,bert-large] [--cases 8x80,8x128,2x512] [--peers ours-f32,torch,…] [--json FILE]

The models have random weights. They stay in the work folder for the next run.
"""

import argparse
import json
import os
import pathlib
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TF_CPP_MIN_LOG_LEVEL="3", USE_TF="0")

import encode
import support

MODELS = "gpt,bert-base,bert-large"
CASES = "8x80,8x128,2x512"
PEERS = "ours-f32,torch-f32,onnxruntime-f32,ours-bf16,torch-bf16,ours-int8,torch-int8,onnxruntime-int8"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=MODELS, help=f"default: {MODELS}")
    parser.add_argument("--cases", default=CASES, help=f"default: {CASES}")
    parser.add_argument("--peers", default=PEERS, help=f"default: {PEERS}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--work", type=pathlib.Path, default=support.WORK, metavar="DIR",
        help="where models are kept (default: .build/benchmarks)",
    )  # fmt: skip
    parser.add_argument("--bertconv", type=pathlib.Path, default=support.BINARY)
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    options = parser.parse_args()
    options.models = options.models.split(",")
    for name in options.models:
        if name not in MODELS.split(","):
            parser.error(f"--models: '{name}' is none of {MODELS}")
    if not options.bertconv.is_file():
        parser.error(f"no program at {options.bertconv}: run `make build`, or give its path with --bertconv")
    options.bertconv = options.bertconv.resolve()
    return options


def random_model(name):
    """A model of `transformers` in the sizes that were published."""
    import torch
    from transformers import BertConfig, BertModel, OpenAIGPTConfig, OpenAIGPTModel

    torch.manual_seed(0)
    if name == "gpt":
        return OpenAIGPTModel(OpenAIGPTConfig())
    large = dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
    return BertModel(BertConfig(**large if name == "bert-large" else {}), add_pooling_layer=False)


class Engines(encode.Engines):
    """With those of a GPT, which is not all of Linear layers, and for which ONNX Runtime has no fusion."""

    def engine_torch(self, precision):
        if precision == "int8" and self.model.config.model_type != "bert":
            raise support.Failed("torch quantizes the Linear layers of a model, and a GPT has none")
        return super().engine_torch(precision)


def measure(options, name):
    import numpy as np
    import torch
    import transformers

    folder = support.made(
        options.work.resolve() / "samples" / name, lambda target: random_model(name).save_pretrained(target)
    )
    options.work = folder
    model = transformers.AutoModel.from_pretrained(folder).eval()
    engines, ready = Engines(options, folder, model), {}
    for peer in options.peers.split(","):
        try:
            ready[peer] = engines.make(peer)
        except Exception as error:  # whatever a missing or unfit engine raises: the others are timed all the same
            print(f"{name}: {peer} left out: {(str(error) or repr(error)).splitlines()[0][:120]}", file=sys.stderr)
    rows = []
    for case in options.cases.split(","):
        ids, mask, _ = encode.inputs(case, model.config.vocab_size, np.random.default_rng(0))
        for peer, run in ready.items():
            _, seconds = encode.time_engine(run, ids, mask, options.repeats)
            rate = len(ids) / seconds
            rows.append(
                dict(model=name, length=ids.shape[1], batch=len(ids), engine=peer, samples_per_second=rate,
                     core_hours_per_million=options.threads * 1e6 / rate / 3600)
            )  # fmt: skip
    return rows


def main():
    options = arguments()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    torch.set_num_threads(options.threads)
    work, rows = options.work, []
    for name in options.models:
        options.work = work
        part = measure(options, name)
        rows += part
        print(f"{name}, {options.threads} threads")
        support.print_table(
            ("engine", "tokens", "batch", "texts/s", "core-hours for a million"),
            [
                (row["engine"], str(row["length"]), str(row["batch"]), f"{row['samples_per_second']:.1f}",
                 f"{row['core_hours_per_million']:.1f}")
                for row in part
            ],
        )  # fmt: skip
        print()
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
