#!/usr/bin/env python3
"""What encoding costs as length, batch, layers and hidden size grow, in each precision; see README.md.

    growth.py [--grow length,batch,layers,hidden] [--precisions f32,bf16,int8] [--quick] [--work DIR] [--json FILE]

The models are BERTs with random weights, BERT-base except for the size that grows. They stay in the work folder for the next run.
"""

import argparse
import json
import os
import pathlib
import sys

import support

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", USE_TF="0")
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

PRECISIONS = "f32,bf16,int8"
HEAD_SIZE = 64
# What is as it is while something else grows, and the values of what grows.
USUAL = dict(batch=1, length=128, layers=12, hidden=768)
GROWTH = {
    "length": (dict(batch=1), (16, 32, 64, 128, 256, 512)),
    "batch": (dict(length=64), (1, 2, 4, 8, 16, 32)),
    "layers": (dict(), (2, 4, 6, 12, 24)),
    "hidden": (dict(), (128, 256, 512, 768, 1024)),
}
QUICK_USUAL = dict(batch=1, length=32, layers=2, hidden=128)
QUICK_GROWTH = {
    "length": (dict(batch=1), (16, 64)),
    "batch": (dict(length=16), (1, 4)),
    "layers": (dict(), (1, 2)),
    "hidden": (dict(), (128, 256)),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grow", default=",".join(GROWTH), help=f"default: {','.join(GROWTH)}")
    parser.add_argument("--precisions", default=PRECISIONS, help=f"default: {PRECISIONS}")
    parser.add_argument("--threads", type=int, metavar="N", help="default: one a core")
    parser.add_argument("--repeats", type=int, metavar="N", help="runs, whose median counts (default: 9, quick 3)")
    parser.add_argument("--quick", action="store_true", help="a few small models, to try this")
    parser.add_argument(
        "--work", type=pathlib.Path, default=support.WORK, metavar="DIR",
        help="where models are kept (default: .build/benchmarks)",
    )  # fmt: skip
    parser.add_argument("--bertconv", type=pathlib.Path, default=support.BINARY)
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    options = parser.parse_args()
    options.repeats = options.repeats or (3 if options.quick else 9)
    options.grow, options.precisions = options.grow.split(","), options.precisions.split(",")
    for name in options.grow:
        if name not in GROWTH:
            parser.error(f"--grow: '{name}' is none of {', '.join(GROWTH)}")
    if not options.bertconv.is_file():
        parser.error(f"no program at {options.bertconv}: run `make build`, or give its path with --bertconv")
    options.bertconv = options.bertconv.resolve()
    return options


def settings_of(name, quick):
    """The settings of each measurement in which the size `name` grows."""
    usual, growth = (QUICK_USUAL, QUICK_GROWTH) if quick else (USUAL, GROWTH)
    fixed, values = growth[name]
    return [{**usual, **fixed, name: value} for value in values]


def model_path(folder, settings):
    return folder / f"bert-{settings['layers']}x{settings['hidden']}" / "native.safetensors"


def inputs_path(folder, settings):
    return folder / f"ids-{settings['batch']}x{settings['length']}" / "inputs.npz"


def make_inputs(folder, all_settings, bertconv):
    """Every model and every batch of ids that `folder` does not hold yet."""
    import numpy as np
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    for settings in all_settings:
        config = transformers.BertConfig(
            num_hidden_layers=settings["layers"], hidden_size=settings["hidden"],
            intermediate_size=4 * settings["hidden"], num_attention_heads=settings["hidden"] // HEAD_SIZE,
        )  # fmt: skip

        def make_model(target):
            torch.manual_seed(0)
            model = transformers.BertModel(config, add_pooling_layer=False)
            model.save_pretrained(target)
            source = target / "model.safetensors"
            support.Run(bertconv, "convert", "safetensors-to-native", source, "-o", target / "native.safetensors")
            source.unlink()

        def make_ids(target):
            shape = settings["batch"], settings["length"]
            ids = np.random.default_rng(0).integers(5, config.vocab_size, shape)
            np.savez(target / "inputs.npz", input_ids=ids, attention_mask=np.ones(shape, np.int64))

        support.made(model_path(folder, settings).parent, make_model)
        support.made(inputs_path(folder, settings).parent, make_ids)


def measure(options, folder, settings, precision):
    threads = ("--threads", options.threads) if options.threads else ()
    output = folder / "output.npz"
    run = support.Run(
        options.bertconv, "run", model_path(folder, settings), "--inputs", inputs_path(folder, settings), "-o", output,
        "--force", "--outputs", "last_hidden_state", "--precision", precision, "--repeat", options.repeats, "--json",
        *threads,
    )  # fmt: skip
    output.unlink()
    report = json.loads(run.output)
    return dict(
        precision=precision, **settings, threads=report["threads"], seconds=report["median_s"], best_s=report["best_s"],
        tokens_per_second=report["tokens"] / report["median_s"], load_s=report["load_s"], peak_bytes=run.peak,
    )  # fmt: skip


def usable_precisions(options, folder, settings):
    """Those of the options that this machine computes in."""
    usable = []
    for precision in options.precisions:
        try:
            measure(options, folder, settings, precision)
            usable.append(precision)
        except support.Failed as error:
            print(f"{precision}: left out: {error}", file=sys.stderr)
    return usable


def print_growth(name, rows):
    usual = ", ".join(f"{key} {rows[0][key]}" for key in USUAL if key != name)
    print(f"{usual}; {rows[0]['threads']} threads")
    first = {}
    for row in rows:
        first.setdefault(row["precision"], row["seconds"])
    support.print_table(
        ("precision", name, "ms", "times the first", "tokens/s", "load s", "peak MB"),
        [
            (
                row["precision"], str(row[name]), f"{row['seconds'] * 1000:.2f}",
                f"{row['seconds'] / first[row['precision']]:.2f}", f"{row['tokens_per_second']:.0f}",
                f"{row['load_s']:.3f}", support.megabytes(row["peak_bytes"]),
            )
            for row in rows
        ],
    )  # fmt: skip
    print()


def main():
    options = arguments()
    folder = options.work.resolve() / "growth"
    planned = {name: settings_of(name, options.quick) for name in options.grow}
    everything = sum(planned.values(), [])
    support.in_a_process_of_its_own(make_inputs, folder, everything, options.bertconv)
    precisions = usable_precisions(options, folder, everything[0])
    if not precisions:
        sys.exit("growth.py: no precision is left to measure")
    results = []
    for name in options.grow:
        rows = [measure(options, folder, one, precision) for precision in precisions for one in planned[name]]
        print_growth(name, rows)
        results += [dict(grows=name, **row) for row in rows]
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except support.Failed as error:
        sys.exit(f"growth.py: {error}")
