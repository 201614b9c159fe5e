#!/usr/bin/env python3
"""Write the fixtures in this folder again, with the real TensorFlow, torch, transformers, safetensors and numpy.

    generate.py                     all of them, in place
    generate.py tensorflow/v1 ...   some
    generate.py --out FOLDER        elsewhere, to compare with what is here
    generate.py --list

Every fixture is a function in `generators/`, registered by its folder. Each comes out byte for byte the same every time
with the versions of Scripts/requirements-interop.txt: the seeds are fixed, and what a writer would take from the
machine (paths, addresses, clocks) is kept out. README.md describes the purpose of each one.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "Scripts")]
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", PYTHONWARNINGS="ignore", CUDA_VISIBLE_DEVICES="")

from generators import FIXTURES, numpy_files, safetensors_files, sentence_models  # noqa: E402, F401
from generators import container_files, torch_files, transformers_heads  # noqa: E402, F401
from generators import keras_files, other_models, programs  # noqa: E402, F401
from generators import flax_files, in_house, megatron_files, peft_adapters, predictions  # noqa: E402, F401
from generators import tensorflow_bundles, tensorflow_graphs, tensorflow_objects  # noqa: E402, F401


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="folders to write, as tensorflow/v1 (default: all)")
    parser.add_argument("--out", type=pathlib.Path, default=HERE, metavar="FOLDER", help="where (default: here)")
    parser.add_argument("--list", action="store_true", help="list the fixtures and stop")
    options = parser.parse_args()
    if options.list:
        print("\n".join(FIXTURES))
        return
    unknown = [name for name in options.names if name not in FIXTURES]
    if unknown:
        parser.error(f"no fixture is named {', '.join(unknown)}; see --list")
    names = options.names or list(FIXTURES)
    for name in names:
        if FIXTURES[name].alone and len(names) > 1:
            subprocess.run([sys.executable, __file__, "--out", options.out, name], check=True)
            continue
        folder = options.out.resolve() / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        FIXTURES[name](folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"{size:>9,}  {name}", flush=True)


if __name__ == "__main__":
    main()
