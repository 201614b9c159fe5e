#!/usr/bin/env python3
"""Writes the lists of names that verdicts on code rest on, from the programs that have them.

    Scripts/pickle_names.py > Sources/CheckpointReaders/Trust/GeneratedNames.swift

Needs torch, numpy and stdlib-list (pip install stdlib-list: the modules of Python 2.6 to 3.14). What is listed as harmless was
looked at: classes of torch that hold tensors and settings, functions of numpy and operators of torch that compute.
"""

import importlib
import inspect
import pkgutil
import sys
import warnings

import numpy
import stdlib_list
import torch
import torch.nn.utils.prune

warnings.simplefilter("ignore")

# Operators of torch that are more than a computation on their arguments.
HARMFUL = {
    "from_file": "maps a file", "save": "writes a file", "load": "reads a file",
}
UNCERTAIN_PREFIXES = ("_test", "_foobar")
UNCERTAIN = {"to_here", "owner", "owner_name", "is_owner", "confirmed_by_owner", "local_value", "_propagate_xla_data"}
NAMESPACES = (
    "aten", "prim", "prims", "quantized", "_quantized", "quantization", "mkldnn", "mkldnn_prepacked", "mkl", "onednn",
    "sparse", "static_runtime", "profiler",
)
HARMFUL_PRIMS = {"rpc_async", "rpc_remote", "rpc_sync", "PythonOp", "IgnoredPythonOp"}


def walk(name):
    try:
        module = importlib.import_module(name)
    except Exception:
        return
    yield module
    for child in pkgutil.iter_modules(getattr(module, "__path__", []), name + "."):
        yield from walk(child.name)


def classes(roots, base, own=True):
    """Paths of the classes in the modules below `roots` that have one of the bases."""
    found = set()
    for root in roots:
        for module in walk(root):
            for name, value in vars(module).items():
                if not (inspect.isclass(value) and issubclass(value, base) and value.__module__.startswith("torch.")):
                    continue
                # An alias at a former path is a class of the same name.
                if name == value.__name__ and (not own or value.__module__.rpartition(".")[2] == module.__name__.rpartition(".")[2]):
                    found.add(f"{module.__name__}.{name}")
    return found


def torch_classes():
    modules = classes(
        ["torch.nn.modules", "torch.nn.quantized", "torch.nn.quantizable", "torch.nn.intrinsic", "torch.nn.qat", "torch.ao.nn",
         "torch.nn.parallel"], torch.nn.Module)
    observers = classes(["torch.ao.quantization", "torch.quantization"], torch.nn.Module)
    optimizers = classes(["torch.optim"], (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler))
    utilities = classes(["torch.nn.utils"], (torch.nn.Module, torch.nn.utils.prune.BasePruningMethod))
    utilities |= classes(["torch.optim.swa_utils"], torch.nn.Module)
    distributions = classes(
        ["torch.distributions"],
        (torch.distributions.Distribution, torch.distributions.Transform, torch.distributions.constraints.Constraint))
    datasets = classes(["torch.utils.data"], (torch.utils.data.Dataset, torch.utils.data.Sampler))
    found = modules | observers | optimizers | utilities | distributions | datasets
    # Graph modules carry code and compile it; pipes of data read files.
    return {name for name in found if not any(part in name for part in (".fx.", ".datapipes.", "._numeric_suite"))}


def numpy_names():
    scalars = {name for name, value in vars(numpy).items() if inspect.isclass(value) and issubclass(value, numpy.generic)}
    scalars |= {"bool8", "object0", "float_", "int0", "uint0", "str0", "bytes0", "void0", "unicode_", "string_", "complex_"}
    functions = {name for name, value in vars(numpy).items() if isinstance(value, numpy.ufunc) and value.__name__ == name}
    types = {f"dtypes.{name}" for name in dir(numpy.dtypes) if name.endswith("DType")}
    return scalars | functions | types


def operators():
    found = set()
    for schema in torch._C._jit_get_all_schemas():
        space, _, name = schema.name.partition("::")
        if space not in NAMESPACES or name in HARMFUL or name in UNCERTAIN or name.startswith(UNCERTAIN_PREFIXES):
            continue
        if space == "prim" and name in HARMFUL_PRIMS:
            continue
        found.add(schema.name)
    # Operators without a schema of their own, of the compiler.
    found |= {f"prim::{name}" for name in (
        "Constant TupleConstruct ListConstruct ListUnpack DictConstruct CreateObject GetAttr SetAttr If Loop Return unchecked_unwrap_optional "
        "isinstance fork awaitable hasattr annotate shape range enumerate zip").split()}
    return found


def wrapped(words, indent):
    line, lines = "", []
    for word in sorted(words):
        if len(line) + len(word) + 1 > 116:
            lines.append(line)
            line = ""
        line += (" " if line else "") + word
    lines.append(line)
    return "\n".join(indent + line for line in lines)


def block(name, comment, words):
    return f'  /// {comment}\n  static let {name} = """\n{wrapped(words, "    ")}\n    """\n'


def main():
    library = {name.partition(".")[0] for version in stdlib_list.long_versions for name in stdlib_list.stdlib_list(version)}
    library |= set(sys.stdlib_module_names)
    by_space = {}
    for name in operators():
        space, _, operator = name.partition("::")
        by_space.setdefault(space, set()).add(operator)
    print("// Made by Scripts/pickle_names.py: do not edit.")
    print(f"// torch {torch.__version__.partition('+')[0]}, numpy {numpy.__version__}; Python 2.6 to 3.14.\n")
    print("/// Names by words, parted by white space. They are parted when they are first needed.")
    print("enum GeneratedNames {")
    print(block("standardLibrary", "The top-level modules of the standard library, in every version of Python from 2.6 on.", library))
    print(block("torchClasses", "Classes of torch, after `torch.`: modules, optimizers, schedules and datasets, which hold tensors and settings.",
                {name.removeprefix("torch.") for name in torch_classes()}))
    print(block("numpyNames", "Scalars, types and functions of one number each, after `numpy.`.", numpy_names()))
    print("  /// Operators of torch that compute, by their namespace.")
    print("  static let operators = [")
    for space in sorted(by_space):
        print(f'    "{space}": """\n{wrapped(by_space[space], "      ")}\n      """,')
    print("  ]")
    print("}")


main()
