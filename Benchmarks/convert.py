#!/usr/bin/env python3
"""Compare the time of `bertconv convert` with a synced copy of the same file; also time inspect and verify. See README.md.

    convert.py [--size tiny|base|large] [--formats tensorflow,torch,safetensors] [--rounds 5] [--work DIR] [--json FILE]

The inputs are a BertForPreTraining with random weights, written by TensorFlow, torch and transformers. They stay in
the work folder, on whose disk everything is measured, for the next time.
"""

import argparse
import json
import os
import pathlib
import sys

import support

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", USE_TF="0")
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

SIZES = {
    "tiny": dict(hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512),
    "base": dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072),
    "large": dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096),
}
# A format's route, its file with the data, and what is given to the program, in the folder of its name.
FORMATS = {
    "tensorflow": ("tf-to-native", "bert_model.ckpt.data-00000-of-00001", "bert_model.ckpt"),
    "torch": ("pytorch-to-native", "pytorch_model.bin", "pytorch_model.bin"),
    "safetensors": ("safetensors-to-native", "model.safetensors", "model.safetensors"),
}
TRAINING = "training"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="base", help="of the model (default: base; tiny for trying)")
    parser.add_argument("--formats", default=",".join(FORMATS), help=f"default: {','.join(FORMATS)}")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of copy and conversion (default: 5)")
    parser.add_argument(
        "--work", type=pathlib.Path, default=support.WORK, metavar="DIR",
        help="where inputs are kept and outputs written: a folder on the disk to measure (default: .build/benchmarks)",
    )  # fmt: skip
    parser.add_argument("--bertconv", type=pathlib.Path, default=support.BINARY)
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    options = parser.parse_args()
    options.formats = options.formats.split(",")
    for name in options.formats:
        if name not in FORMATS:
            parser.error(f"--formats: '{name}' is none of {', '.join(FORMATS)}")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if not options.bertconv.is_file():
        parser.error(f"no program at {options.bertconv}: run `make build`, or give its path with --bertconv")
    options.bertconv = options.bertconv.resolve()
    return options


# MARK: Inputs


def make_inputs(folder, size, formats):
    """Every input that `folder` does not hold yet; safetensors and the fixture in any case."""
    sys.path.insert(0, str(support.ROOT / "Scripts"))
    import make_fixture
    import numpy as np
    import torch
    import transformers

    transformers.logging.set_verbosity_error()

    def make_safetensors(target):
        torch.manual_seed(0)
        transformers.BertForPreTraining(transformers.BertConfig(**SIZES[size])).save_pretrained(target)

    saved = support.made(folder / "safetensors", make_safetensors)
    model, _ = make_fixture.load_model(saved)

    def make_reference(target):
        inputs = make_fixture.random_inputs(model, 4, 32, np.random.default_rng(0))
        make_fixture.write_fixture(target / "fixture.npz", make_fixture.reference(model, inputs))

    def make_torch(target):
        torch.save(model.state_dict(), target / "pytorch_model.bin")
        model.config.save_pretrained(target)

    support.made(folder / "reference", make_reference)
    if "torch" in formats:
        support.made(folder / "torch", make_torch)
    if "tensorflow" in formats:
        import google_layout

        tensors = google_layout.google_tensors(model.state_dict())

        def make_tensorflow(target):
            google_layout.write_bundle(target / "bert_model.ckpt", tensors)
            google_layout.write_google_config(model.config, target)

        def make_training(target):
            # Two moments a variable and the step, as that project's Adam keeps them.
            kinds = ("adam_m", "adam_v")
            moments = {f"{name}/{kind}": np.zeros_like(array) for name, array in tensors.items() for kind in kinds}
            step = {"global_step": np.array(1000, np.int64)}
            google_layout.write_bundle(target / "model.ckpt-1000", {**tensors, **moments, **step})
            google_layout.write_google_config(model.config, target)

        support.made(folder / "tensorflow", make_tensorflow)
        support.made(folder / TRAINING, make_training)


def read_into_cache(path):
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def drop_from_cache(path):
    """What the system holds of the file in memory is let go, so that the next reader waits for the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


# MARK: Measuring


def copy(source, target):
    """Seconds of a copy that is on the disk when it ends."""
    target.unlink(missing_ok=True)
    return support.Run("cp", source, target).seconds + support.Run("sync", "-d", target).seconds


def convert(bertconv, route, source, target):
    target.unlink(missing_ok=True)
    return support.Run(bertconv, "convert", route, source, "-o", target)


def measure_conversion(options, folder, name):
    """Copies and conversions in turn: which is first changes from round to round, so that neither profits."""
    route, data, source = FORMATS[name]
    data, source = folder / name / data, folder / name / source
    copied, converted = folder / "copy", folder / "converted.safetensors"
    copies, runs = [], []
    for number in range(options.rounds):
        for is_copy in (True, False) if number % 2 == 0 else (False, True):
            read_into_cache(data)
            if is_copy:
                copies.append(copy(data, copied))
            else:
                runs.append(convert(options.bertconv, route, source, converted))
    copied.unlink()
    converted.unlink()
    ratios = [run.seconds / seconds for run, seconds in zip(runs, copies)]
    return dict(
        format=name, bytes=data.stat().st_size, copy_s=support.median(copies),
        convert_s=support.median([run.seconds for run in runs]), ratio=support.median(ratios),
        ratio_least=min(ratios), ratio_most=max(ratios), peak_bytes=max(run.peak for run in runs),
    )  # fmt: skip


def measure_command(options, name, command, path, before=None):
    """The median of several runs; `before(path)` goes before each."""
    runs = []
    for _ in range(options.rounds):
        if before:
            before(path)
        runs.append(support.Run(options.bertconv, *command))
    size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    seconds = [run.seconds for run in runs]
    return dict(
        command=name, bytes=size, seconds=support.median(seconds), least_s=min(seconds), most_s=max(seconds),
        peak_bytes=max(run.peak for run in runs),
    )  # fmt: skip


def measure_commands(options, folder):
    rows = []
    if "tensorflow" in options.formats:
        training = folder / TRAINING / "model.ckpt-1000"
        rows.append(measure_command(options, "inspect, of a training checkpoint", ("inspect", training), training))
    native, fixture = folder / "native.safetensors", folder / "reference/fixture.npz"
    convert(options.bertconv, FORMATS["safetensors"][0], folder / "safetensors/model.safetensors", native)
    verify = ("verify", native, "--fixtures", fixture)
    rows.append(measure_command(options, "verify, file read from the disk", verify, native, before=drop_from_cache))
    rows.append(measure_command(options, "verify, file in memory", verify, native, before=read_into_cache))
    native.unlink()
    return rows


def main():
    options = arguments()
    if "tensorflow" in options.formats and not support.is_installed("tensorflow"):
        print("tensorflow: left out, with inspect: TensorFlow is not installed", file=sys.stderr)
        options.formats.remove("tensorflow")
    folder = options.work.resolve() / f"convert-{options.size}"
    support.in_a_process_of_its_own(make_inputs, folder, options.size, options.formats)
    disk = support.Run("stat", "-f", "-c", "%T", folder).output.strip()
    print(f"BERT-{options.size}, {options.rounds} rounds, in {folder} ({disk})\n")

    conversions = [measure_conversion(options, folder, name) for name in options.formats]
    support.print_table(
        ("convert", "MB", "copy s", "convert s", "ratio", "least", "most", "convert MB/s", "peak MB"),
        [
            (
                row["format"], support.megabytes(row["bytes"]), f"{row['copy_s']:.3f}", f"{row['convert_s']:.3f}",
                f"{row['ratio']:.2f}", f"{row['ratio_least']:.2f}", f"{row['ratio_most']:.2f}",
                f"{row['bytes'] / row['convert_s'] / 1e6:.0f}", support.megabytes(row["peak_bytes"]),
            )
            for row in conversions
        ],
    )  # fmt: skip
    print()
    commands = measure_commands(options, folder)
    support.print_table(
        ("command", "MB", "s", "least", "most", "peak MB"),
        [
            (
                row["command"], support.megabytes(row["bytes"]), f"{row['seconds']:.3f}", f"{row['least_s']:.3f}",
                f"{row['most_s']:.3f}", support.megabytes(row["peak_bytes"]),
            )
            for row in commands
        ],
    )  # fmt: skip
    if options.json:
        result = dict(size=options.size, file_system=disk, convert=conversions, commands=commands)
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except support.Failed as error:
        sys.exit(f"convert.py: {error}")
