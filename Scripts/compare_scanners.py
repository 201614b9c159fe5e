#!/usr/bin/env python3
"""Compares what bertconv, picklescan, modelscan and fickling report on hostile files and of ordinary ones: docs/TRUST.md has the result.

    compare_scanners.py make FOLDER                      writes the samples (torch, transformers, scikit-learn, joblib)
    compare_scanners.py scan FOLDER [--bertconv PATH]    runs the scanners (pip install picklescan modelscan fickling)

No sample is ever loaded: a scanner that loaded one would be the find of the day. Each hostile pickle imports one name and calls it.
"""

import argparse
import collections
import contextlib
import io
import json
import pathlib
import pickle
import subprocess
import sys
import zipfile

# Of picklescan's own tests and list, a name each.
PICKLESCAN = """
builtins.eval builtins.exec builtins.compile builtins.open builtins.breakpoint __builtin__.getattr __builtin__.apply
cloudpickle.cloudpickle._make_function types.CodeType aiohttp.ClientSession asyncio.subprocess.create_subprocess_shell bdb.Bdb.run
commands.getoutput ctypes.CDLL functools.partial httplib.HTTPSConnection logging.FileHandler _io.FileIO numpy.f2py.crackfortran.getlincoef
numpy.testing._private.utils.runstring nt.system posix.system operator.attrgetter operator.methodcaller os.system requests.api.get
runpy._run_code shutil.rmtree socket.create_connection ssl.get_server_certificate subprocess.Popen sys.exit
code.InteractiveInterpreter.runcode cProfile.runctx distutils.file_util.write_file doctest.debug_script ensurepip._run_pip
idlelib.autocomplete.AutoComplete.get_entity idlelib.calltip.get_entity idlelib.debugobj.ObjectTreeItem.SetText
idlelib.pyshell.ModifiedInterpreter.runcommand idlelib.run.Executive.runcode imaplib.IMAP4_stream lib2to3.pgen2.grammar.Grammar.loads
pdb.run pickle.loads _pickle.loads pip.main pkgutil.resolve_name pty.spawn profile.Profile.run pydoc.pipepager
test.support.script_helper.assert_python_ok timeit.timeit torch._dynamo.guards.GuardBuilder.get torch._inductor.codecache.compile_file
torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression torch.jit.unsupported_tensor_ops.execWrapper
torch.serialization.load torch.utils._config_module.ConfigModule.load_config torch.utils.bottleneck.__main__.run_cprofile
torch.utils.collect_env.run torch.utils.data.datapipes.utils.decoder.basichandlers trace.Trace.run urllib.request.urlopen
uuid._get_command_stdout venv.create webbrowser.open _osx_support._read_output _aix_support._read_cmd_output _pyrepl.pager.pipe_pager
""".split()

# Others that do the same: found by reading the library, on no scanner's list when this was written or on some.
OTHERS = """
logging.handlers.SocketHandler logging.config.listen multiprocessing.connection.Client concurrent.futures.ProcessPoolExecutor
collections.namedtuple sqlite3.connect dbm.open shelve.open zipfile.ZipFile tarfile.open gzip.open bz2.open lzma.open mmap.mmap
fileinput.input linecache.getlines tempfile.mkstemp glob.glob pathlib.Path.write_text ftplib.FTP smtplib.SMTP telnetlib.Telnet
xmlrpc.client.ServerProxy http.server.test wsgiref.simple_server.make_server imp.load_source importlib.import_module
zipimport.zipimporter compileall.compile_file py_compile.compile modulefinder.ModuleFinder.run_script site.addsitedir
sysconfig._get_sysconfigdata platform.popen popen2.popen3 pipes.Template.open getpass.unix_getpass curses.wrapper turtle.Screen
unittest.main faulthandler.dump_traceback_later signal.alarm resource.setrlimit fcntl.ioctl _posixsubprocess.fork_exec
_xxsubinterpreters.run_string _testcapi.run_in_subinterp _ctypes.dlopen test.test_os.main distutils.spawn.spawn setuptools._distutils.spawn.spawn
pkg_resources.run_script pip._internal.utils.subprocess.call_subprocess numpy.load numpy.memmap numpy.distutils.exec_command.exec_command
numpy.core._ufunc_reconstruct numpy.lib.format.open_memmap torch.hub.load torch.package.PackageImporter torch.jit.load torch.load
torch.utils.cpp_extension.load_inline torch.distributed.run.main torch.multiprocessing.spawn torch.fx.graph_module._forward_from_src
torch._C._jit_import torch.ops.load_library torch.classes.load_library torch.utils.data.datapipes.iter.fileopener.FileOpenerIterDataPipe
""".split()

# Names of modules that other modules import.
HIDDEN = [
    ("torch", "serialization.os.system"), ("torch.serialization", "os.system"), ("collections.abc", "sys.modules"),
    ("transformers", "utils.os.system"), ("pathlib", "os.popen"), ("argparse", "_os.system"), ("mypackage.tools", "subprocess.run"),
]  # fmt: skip


def hostile(module, name, protocol=4):
    """A pickle of a call of a name."""
    if protocol < 4 and "." not in name:
        return b"\x80\x02c%s\n%s\nX\x04\x00\x00\x00echo\x85R." % (module.encode(), name.encode())
    texts = b"".join(b"\x8c%c%s\x94" % (len(text), text.encode()) for text in (module, name))
    return b"\x80\x04" + texts + b"\x93\x94\x8c\x04echo\x94\x85\x94R\x94."


def split(name):
    """Module and attribute, as a pickle has them: `a.b.Class.method` is the attribute `Class.method` of `a.b`."""
    parts = name.split(".")
    first = next((index for index, part in enumerate(parts[1:], 1) if part[0].isupper()), len(parts) - 1)
    return ".".join(parts[:first]), ".".join(parts[first:])


def torch_zip(data, others=()):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in [("archive/data.pkl", data), ("archive/version", b"3\n"), *others]:
            archive.writestr(name, content)
    return buffer.getvalue()


def make(folder):
    bad, good = folder / "hostile", folder / "ordinary"
    for path in (bad, good):
        path.mkdir(parents=True, exist_ok=True)
    for group, names in (("picklescan", PICKLESCAN), ("others", OTHERS)):
        for name in names:
            (bad / f"{group}-{name}.pkl").write_bytes(hostile(*split(name)))
    for module, name in HIDDEN:
        (bad / f"hidden-{module}-{name}.pkl").write_bytes(hostile(module, name))
    system = hostile("posix", "system", 2)
    plain = pickle.dumps({"a": 1}, 2)
    (bad / "container-zip.pt").write_bytes(torch_zip(system))
    (bad / "container-second-entry.pt").write_bytes(torch_zip(plain, [("archive/other/data.pkl", system)]))
    (bad / "container-after-the-end.pkl").write_bytes(plain + system)
    (bad / "container-broken-after-the-call.pkl").write_bytes(system[:-1] + b"\xff")
    (bad / "container-inst.pkl").write_bytes(b"(X\x04\x00\x00\x00echoiposix\nsystem\n.")
    import zlib

    (bad / "container-zlib.joblib").write_bytes(zlib.compress(system))
    make_ordinary(good, bad)


def make_ordinary(good, bad):
    import datetime
    import decimal
    import random
    import uuid

    import joblib
    import numpy as np
    import torch
    import transformers
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    class Reader(torch.nn.Module):
        def forward(self, x):
            return torch.from_file("/etc/hostname", False, 10) + x

    torch.jit.script(Reader()).save(str(bad / "script-from-file.pt"))
    writer = torch.jit.script(torch.nn.Linear(2, 2))
    writer.define('def dump(self, x: Tensor) -> Tensor:\n    torch.save(x, "out")\n    return x\n')
    writer.save(str(bad / "script-save.pt"))

    config = transformers.BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, max_position_embeddings=8)
    model = transformers.BertForSequenceClassification(config).eval()
    torch.save(model.state_dict(), good / "pytorch_model.bin")
    torch.save(model.state_dict(), good / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save(model, good / "whole-model.pt")
    torch.save(torch.optim.AdamW(model.parameters()).state_dict(), good / "optimizer.pt")
    torch.save(transformers.TrainingArguments(output_dir="out", use_cpu=True, report_to=[]), good / "training_args.bin")
    torch.save(argparse.Namespace(lr=0.1, path=pathlib.Path("a"), device=torch.device("cpu")), good / "namespace.pt")
    numbers = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.get_rng_state()}
    torch.save(numbers, good / "rng_state.pth")
    lightning = {
        "state_dict": model.state_dict(), "epoch": 1, "callbacks": {"ModelCheckpoint{'monitor': None}": {"dirpath": "x"}},
        "hyper_parameters": {"date": datetime.datetime(2020, 1, 1), "id": uuid.UUID(int=1), "d": decimal.Decimal("1.5")},
        "metrics": collections.defaultdict(list, a=[np.float64(1), np.float32(2)]), "best": np.int64(3),
    }  # fmt: skip
    torch.save(lightning, good / "lightning.ckpt")
    quantized = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    torch.save(quantized, good / "quantized.pt")
    inputs = torch.tensor([[1, 2, 3]])
    torch.jit.trace(model, inputs, strict=False).save(str(good / "traced.pt"))
    torch.jit.freeze(torch.jit.trace(model, inputs, strict=False)).save(str(good / "frozen.pt"))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
    (good.parent / "vocab.txt").write_text("\n".join(words))
    for kind in (transformers.BertTokenizer, transformers.BertTokenizerFast):
        tokenizer = kind(vocab_file=str(good.parent / "vocab.txt"))
        (good / f"{kind.__name__}.pkl").write_bytes(pickle.dumps(tokenizer))
    (good / "state_dict.pkl").write_bytes(pickle.dumps(model.state_dict()))
    texts, labels = ["red blue", "green red", "blue"], [0, 1, 0]
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, labels)
    joblib.dump(pipeline, good / "pipeline.joblib")
    joblib.dump(RandomForestClassifier(3).fit([[0], [1], [2]], labels), good / "forest.joblib", compress=3)
    joblib.dump({"a": np.arange(4), "b": np.ones((2, 2))}, good / "arrays.joblib")
    (good / "arrays.pkl").write_bytes(pickle.dumps([np.arange(4), np.float32(1), np.array(["x"], object)]))


# ---- scanning


def bertconv(path, program):
    result = subprocess.run([program, "inspect", path, "--json"], capture_output=True, text=True)
    if result.returncode != 0:
        return "do not load this file" in result.stderr
    found = json.loads(result.stdout)
    return any(item["verdict"] == "dangerous" for item in found["imports"] + found["code"])


def picklescan(path, _):
    from picklescan.scanner import scan_file_path

    return scan_file_path(str(path)).issues_count > 0


def modelscan(path, _):
    from modelscan.modelscan import ModelScan

    scan = ModelScan()
    with contextlib.redirect_stdout(io.StringIO()):
        found = scan.scan(path)
    return found["summary"]["total_issues"] > 0


def fickling(path, _):
    from fickling.analysis import Severity, check_safety
    from fickling.fickle import StackedPickle

    contents = [path.read_bytes()]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            contents = [archive.read(name) for name in archive.namelist() if name.endswith(".pkl")]
    for content in contents:
        for part in StackedPickle.load(content, fail_on_decode_error=False):
            if check_safety(part).severity > Severity.LIKELY_SAFE:
                return True
    return False


def scan(folder, program, fixtures):
    files = {"hostile": sorted((folder / "hostile").iterdir()), "ordinary": sorted((folder / "ordinary").iterdir())}
    if fixtures:
        hostile_fixtures = {"hostile", "script-code"}
        files["fixtures"] = sorted(
            path for suffix in ("pt", "bin", "pth", "ckpt", "pkl", "joblib") for path in fixtures.rglob(f"*.{suffix}")
            if path.is_file() and not hostile_fixtures & set(path.parts))  # fmt: skip
    table = []
    for scanner in (bertconv, picklescan, modelscan, fickling):
        row = [scanner.__name__]
        for kind, paths in files.items():
            counts, wrong = collections.Counter(), []
            for path in paths:
                group = path.name.split("-")[0] if kind == "hostile" else kind
                try:
                    alarm = scanner(path, program)
                except Exception as error:
                    alarm = None
                    print(f"{scanner.__name__}: {path.name}: {type(error).__name__}: {error}"[:160], file=sys.stderr)
                counts[group, bool(alarm)] += 1
                if bool(alarm) != (kind == "hostile"):
                    wrong.append(path.name)
            for group in dict.fromkeys(group for group, _ in counts):
                row.append(f"{group} {counts[group, True]}/{counts[group, True] + counts[group, False]}")
            print(f"{scanner.__name__}, {kind}, wrong: {' '.join(wrong) or 'none'}", file=sys.stderr)
        table.append(row)
    for row in table:
        print(" | ".join(row))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "scan"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--bertconv", default=".build/release/bertconv", metavar="PATH")
    parser.add_argument("--fixtures", type=pathlib.Path, help="ordinary files too")
    options = parser.parse_args()
    if options.what == "make":
        make(options.folder)
    else:
        scan(options.folder, options.bertconv, options.fixtures)


if __name__ == "__main__":
    main()
