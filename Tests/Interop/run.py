"""Runs the interop tests, a file at a time on each processor.

usage: run.py [FILE ...]      the names of files, as test_flax; by default all of this folder

Exit status 1 when a test failed. What a file printed comes when it is done.
"""

import concurrent.futures
import io
import multiprocessing
import os
import pathlib
import secrets
import sys
import time
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent
# These begin first, so that none of them is left for the end.
SLOWEST = ("test_budgets", "test_flax", "test_garden", "test_scripts")


def run(name):
    """The tests of one file: its name, whether all passed and one at least was not skipped, what they printed and how many seconds they took."""
    start, printed = time.monotonic(), io.StringIO()
    tests = unittest.defaultTestLoader.loadTestsFromName(name)
    result = unittest.TextTestRunner(printed, verbosity=2).run(tests)
    return name, result.wasSuccessful() and result.testsRun > len(result.skipped), printed.getvalue(), time.monotonic() - start


def main():
    os.environ.setdefault("BERTCONV_SEED", str(secrets.randbelow(2**31)))
    sys.path.insert(0, str(FOLDER))
    names = sys.argv[1:] or sorted((file.stem for file in FOLDER.glob("test_*.py")), key=lambda name: (name not in SLOWEST, name))
    failed, start = [], time.monotonic()
    # A worker imports TensorFlow and torch once, and not for each file.
    workers = concurrent.futures.ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"))
    with workers:
        for done in concurrent.futures.as_completed([workers.submit(run, name) for name in names]):
            name, passed, printed, seconds = done.result()
            print(f"=== {name} ({seconds:.0f} s)\n{printed}", flush=True)
            if not passed:
                failed.append(name)
    print(f"interop: {len(names)} files in {time.monotonic() - start:.0f} s, BERTCONV_SEED={os.environ['BERTCONV_SEED']}")
    if failed:
        sys.exit(f"interop: FAILED: {', '.join(sorted(failed))}")


if __name__ == "__main__":
    main()
