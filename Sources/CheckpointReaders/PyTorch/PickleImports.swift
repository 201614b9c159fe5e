import TensorIO

/// Classifies the names that pickles import. Nothing is ever imported: the verdict is for the report, and for refusing
/// files that are meant to attack other programs.
///
/// Known is what `torch.load(weights_only=True)` allows (torch/_weights_only_unpickler.py); dangerous is what runs code
/// or reaches processes, files or the network; all else is unknown.
enum PickleImports {
  private static let modern: [String: String] = [
    "__builtin__": "builtins", "copy_reg": "copyreg", "cPickle": "pickle", "_pickle": "pickle",
    "commands": "subprocess",
    "httplib": "http.client", "urllib2": "urllib.request", "urllib": "urllib.request",
    "dummy_thread": "_dummy_thread",
    "thread": "_thread", "StringIO": "io", "cStringIO": "io", "UserDict": "collections", "UserList": "collections",
    "torch.tensor": "torch._tensor",
  ]

  /// A name as Python 3 spells it (Lib/_compat_pickle.py, as far as checkpoints go).
  static func canonical(module: String, name: String) -> String { "\(modern[module] ?? module).\(name)" }

  static func verdict(_ name: String) -> ImportedGlobal.Verdict {
    if isKnown(name) { return .known }
    return isDangerous(name) ? .dangerous : .unknown
  }

  // MARK: Known

  private static let knownNames: Set<String> = [
    "_codecs.encode", "builtins.bytearray", "builtins.complex", "builtins.set", "collections.Counter",
    "collections.OrderedDict", "torch.Size", "torch.Tensor", "torch.device", "torch.nn.parameter.Parameter",
    "torch.serialization._get_layout", "torch.storage.TypedStorage", "torch.storage.UntypedStorage",
    "torch._tensor._rebuild_from_type_v2", "torch._utils._rebuild_device_tensor_from_cpu_tensor",
    "torch._utils._rebuild_device_tensor_from_numpy", "torch._utils._rebuild_meta_tensor_no_storage",
    "torch._utils._rebuild_nested_tensor", "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state", "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_sparse_tensor",
    "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_wrapper_subclass", "torch.per_channel_affine", "torch.per_channel_affine_float_qparams",
    "torch.per_channel_symmetric", "torch.per_tensor_affine", "torch.per_tensor_symmetric",
  ]

  private static let dataTypes: Set<String> = [
    "bfloat16", "bits16", "bits1x8", "bits2x4", "bits4x2", "bits8", "bool", "complex128", "complex32", "complex64",
    "float16", "float32", "float4_e2m1fn_x2", "float64", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
    "float8_e5m2fnuz", "float8_e8m0fnu", "int1", "int16", "int2", "int3", "int32", "int4", "int5", "int6", "int64",
    "int7",
    "int8", "qint32", "qint8", "quint2x4", "quint4x2", "quint8", "uint1", "uint16", "uint2", "uint3", "uint32", "uint4",
    "uint5", "uint6", "uint64", "uint7", "uint8",
  ]

  private static let kinds: Set<String> = [
    "BFloat16", "Bool", "Byte", "Char", "ComplexDouble", "ComplexFloat", "Double", "Float", "Half", "Int", "Long",
    "QInt32", "QInt8", "QUInt2x4", "QUInt4x2", "QUInt8", "Short",
  ]

  private static func isKnown(_ name: String) -> Bool {
    if knownNames.contains(name) { return true }
    guard name.hasPrefix("torch.") else { return false }
    var rest = name.dropFirst("torch.".count)
    if dataTypes.contains(String(rest)) { return true }
    if rest.hasPrefix("cuda.") { rest = rest.dropFirst("cuda.".count) }
    if rest.hasSuffix("Storage") { return kinds.contains(String(rest.dropLast("Storage".count))) }
    if rest.hasPrefix("sparse.") { rest = rest.dropFirst("sparse.".count) }
    return rest.hasSuffix("Tensor") && kinds.contains(String(rest.dropLast("Tensor".count)))
  }

  // MARK: Dangerous

  /// Modules of which every name is dangerous, and those below them.
  private static let modules: Set<String> = [
    "os", "posix", "nt", "posixpath", "ntpath", "subprocess", "_posixsubprocess", "sys", "shutil", "tempfile", "glob",
    "fileinput", "linecache", "mmap", "fcntl", "resource", "signal", "pty", "tty", "popen2", "platform", "socket",
    "_socket",
    "socketserver", "ssl", "select", "asyncio", "http", "urllib", "ftplib", "smtplib", "poplib", "imaplib", "nntplib",
    "telnetlib", "xmlrpc", "wsgiref", "webbrowser", "requests", "httpx", "aiohttp", "urllib3", "paramiko", "importlib",
    "imp", "pkgutil", "runpy", "zipimport", "zipfile", "tarfile", "gzip", "bz2", "lzma", "code", "codeop", "bdb", "pdb",
    "cProfile", "profile", "timeit", "trace", "pydoc", "doctest", "unittest", "idlelib", "lib2to3", "ensurepip", "venv",
    "pip", "setuptools", "distutils.spawn", "distutils.file_util", "distutils.dir_util", "distutils.core",
    "distutils.ccompiler", "distutils.command", "ctypes", "_ctypes", "cffi", "gc", "pickle", "dill", "cloudpickle",
    "joblib",
    "marshal", "shelve", "dbm", "sqlite3", "multiprocessing", "threading", "_thread", "concurrent", "sched",
    "antigravity",
    "tkinter", "turtle", "readline", "logging.config", "logging.handlers", "faulthandler", "IPython", "fsspec",
    "torch.hub",
    "torch.package", "torch._inductor", "torch._dynamo.guards", "torch._dynamo.repro", "torch.utils.cpp_extension",
    "torch.utils.collect_env", "torch.utils.model_zoo", "torch.utils.bottleneck", "torch.distributed.rpc",
    "torch.distributed.run", "torch.multiprocessing", "torch.testing", "torch.fx.graph_module",
    "torch.jit._serialization",
    "numpy.f2py", "numpy.distutils", "numpy.testing", "numpy.ctypeslib", "_aix_support", "_osx_support", "_pyrepl",
    "sympy.parsing", "jinja2", "pandas.io",
  ]

  private static let names: Set<String> = [
    "builtins.eval", "builtins.exec", "builtins.execfile", "builtins.compile", "builtins.open", "builtins.file",
    "builtins.__import__", "builtins.getattr", "builtins.setattr", "builtins.delattr", "builtins.globals",
    "builtins.locals", "builtins.vars", "builtins.input", "builtins.raw_input", "builtins.breakpoint", "builtins.apply",
    "builtins.reload", "builtins.help", "builtins.exit", "builtins.quit", "builtins.__dict__",
    "operator.attrgetter", "operator.itemgetter", "operator.methodcaller", "operator.call", "_operator.attrgetter",
    "_operator.itemgetter", "_operator.methodcaller", "_operator.call", "functools.reduce", "_functools.reduce",
    "itertools.starmap", "copyreg.add_extension", "codecs.open", "io.open", "io.open_code", "io.FileIO", "_io.open",
    "_io.open_code", "_io.FileIO", "types.CodeType", "types.FunctionType", "types.LambdaType", "types.MethodType",
    "torch.load", "torch.save", "torch.compile", "torch.jit.load", "torch.jit.script", "torch.serialization.load",
    "torch.serialization.save", "torch.serialization._legacy_load", "torch.serialization._load",
    "torch.storage._load_from_bytes", "torch._utils._import_dotted_name",
    "torch.utils.data.datapipes.utils.decoder.basichandlers",
    "numpy.load", "numpy.save", "numpy.savez", "numpy.fromfile", "numpy.memmap", "numpy.loadtxt", "numpy.genfromtxt",
    "numpy.lib.npyio.load", "numpy.lib.npyio.save", "numpy.lib.npyio.NpzFile", "numpy.core._multiarray_umath.fromfile",
    "numpy._core._multiarray_umath.fromfile", "pandas.read_pickle", "pandas.read_csv", "pandas.eval", "sympy.sympify",
    "sympy.core.sympify.sympify",
  ]

  /// The maximum number of parts in the name of one of the modules.
  private static let maxModuleParts = modules.map { $0.utf8.count { $0 == UInt8(ascii: ".") } + 1 }.max() ?? 0

  private static func isDangerous(_ name: String) -> Bool {
    if names.contains(name) { return true }
    // A dotted name can hide a module inside another: 'torch' and 'serialization.os.system'.
    let parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    for end in parts.indices.prefix(maxModuleParts) where modules.contains(parts[...end].joined(separator: ".")) {
      return true
    }
    let inner: Set<String> = [
      "os", "sys", "subprocess", "builtins", "__builtins__", "importlib", "shutil", "socket", "pickle", "ctypes",
      "__globals__", "__subclasses__", "__import__",
    ]
    return parts.dropFirst().contains { inner.contains($0) }
  }
}

/// The imports of several pickles.
typealias ImportList = UniqueList<ImportedGlobal>
