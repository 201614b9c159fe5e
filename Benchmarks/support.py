"""What the benchmarks of the program share: a run's time and memory, inputs that are made once, and tables."""

import importlib.util
import multiprocessing
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BINARY = ROOT / ".build/release/bertconv"
WORK = ROOT / ".build/benchmarks"


class Failed(Exception):
    """A program that did not do what it was started for."""


class Run:
    """One program from its start to its end: `seconds`, `peak` (the most memory it had, in bytes), `output`."""

    def __init__(self, *command):
        command = [str(part) for part in command]
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            start = time.perf_counter()
            process = subprocess.Popen(command, stdout=output, stderr=errors)
            _, status, usage = os.wait4(process.pid, 0)
            self.seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            errors.seek(0)
            self.output = output.read()
            if process.returncode != 0:
                printed = (errors.read() or self.output).strip()
                raise Failed(f"{' '.join(command)}\nexit status {process.returncode}: {printed[-2000:]}")
        # Linux counts in KiB, and starts from what this interpreter has: keep its modules few.
        self.peak = usage.ru_maxrss * 1024


def in_a_process_of_its_own(function, *arguments):
    """Call it where torch and TensorFlow leave no threads behind and do not count as memory of what is timed later."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode != 0:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: could not make the inputs")


def made(folder, make):
    """The folder, which `make(folder)` fills if it is not there; it is there only when it is whole."""
    if not folder.exists():
        print(f"making {folder}", file=sys.stderr, flush=True)
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(partial)
        partial.rename(folder)
    return folder


def is_installed(module):
    return importlib.util.find_spec(module) is not None


def median(values):
    return statistics.median(values)


def megabytes(count):
    return f"{count / 1e6:.0f}"


def print_table(heading, rows):
    """Rows of texts below their heading: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (heading, *rows)) for column in range(len(heading))]
    for row in (heading, *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        print("  ".join(cells).rstrip(), flush=True)
