import TensorIO

/// Classifies the names that pickles import, by what is allowed. Nothing is ever imported: the verdict is for the report, and
/// for refusing files that are meant to attack other programs.
///
/// Known are the names that checkpoints of torch and NumPy are made of (``HarmlessNames``). Whatever else the standard
/// library, torch, NumPy and the tools of pip have to call is dangerous, and so are other packages' functions that
/// load code or run it. Classes of other packages and of the user's own are unknown.
enum PickleImports {
  private static let modern: [String: String] = [
    "__builtin__": "builtins", "exceptions": "builtins", "copy_reg": "copyreg", "cPickle": "pickle",
    "_pickle": "pickle", "commands": "subprocess",
    "httplib": "http.client", "urllib2": "urllib.request", "urllib": "urllib.request",
    "dummy_thread": "_dummy_thread",
    "thread": "_thread", "StringIO": "io", "cStringIO": "io", "UserDict": "collections", "UserList": "collections",
    "UserString": "collections", "torch.tensor": "torch._tensor",
  ]

  /// A name as Python 3 spells it (Lib/_compat_pickle.py, as far as checkpoints go).
  static func canonical(module: String, name: String) -> String { "\(modern[module] ?? module).\(name)" }

  /// The verdict on a name in its canonical form.
  static func verdict(_ name: String) -> CodeVerdict {
    if HarmlessNames.isOfCheckpoints(name) || HarmlessNames.joblibWrappers.contains(name) { return .known }
    let parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard let package = parts.first else { return .unknown }
    if isOfTheSystem(package, parts) {
      if HarmlessNames.isData(name) { return .known }
      return HarmlessNames.isNewType(name) ? .unknown : .dangerous
    }
    // A dotted name can hide a module inside another: 'package' and 'module.os.system'.
    return isHarmful(parts) || parts.dropFirst().contains(where: hidden.contains) ? .dangerous : .unknown
  }

  // MARK: Packages that everyone has

  /// Those of which nothing is harmless but what is listed.
  private static let packages: Set<String> = HarmlessNames.words(GeneratedNames.standardLibrary).subtracting([
    // A user's own script.
    "__main__", "__mp_main__",
  ]).union([
    "torch", "torchgen", "functorch", "caffe2", "numpy", "pip", "setuptools", "pkg_resources", "distutils", "wheel",
    "_distutils_hack", "easy_install", "ensurepip", "venv", "virtualenv", "pythonwin", "win32com", "win32api",
  ])

  /// Whether a name is one of the standard library, torch, NumPy or the tools of pip.
  private static func isOfTheSystem(_ package: String, _ parts: [String]) -> Bool {
    guard packages.contains(package) else { return false }
    // The library's own tests; another module 'test' is usually the user's.
    guard package == "test", parts.count > 1 else { return true }
    return parts[1].hasPrefix("test_") || parts[1].hasPrefix("_test") || testModules.contains(parts[1])
  }

  private static let testModules: Set<String> = [
    "__main__", "_assert_python_ok", "_mock_backport", "archiver_tests", "audit-tests", "autotest", "audiotests",
    "crashers", "datetimetester", "dis_module", "eintrdata", "encoded_modules", "fork_wait", "libregrtest",
    "list_tests", "lock_tests", "mapping_tests", "memory_watchdog", "mock_socket", "mp_fork_bomb", "mp_preload",
    "multibytecodec_support", "os", "pickletester", "profilee", "pstats", "pydoc_mod", "pythoninfo", "re_tests",
    "regrtest",
    "sample_doctest", "script_helper", "seq_tests", "signalinterproctester", "ssl_servers", "ssltests",
    "string_tests", "subprocessdata", "support", "sys", "tf_inherit_check", "time_hashlib", "tokenizedata",
    "tracedmodules",
    "win_console_handler", "xmltests", "ziptestdata",
  ]

  // MARK: Other packages

  /// Packages, modules and functions of others that load code, run it, or reach files and the network.
  private static let harmful: Set<String> = [
    "requests", "httpx", "aiohttp", "urllib3", "paramiko", "pexpect", "ptyprocess", "sh", "plumbum", "fabric", "invoke",
    "execnet", "boto3", "botocore", "websocket", "websockets", "smart_open", "fsspec", "s3fs", "gcsfs",
    "cffi", "dill", "cloudpickle", "joblib", "IPython", "jinja2", "numexpr", "numba", "llvmlite", "sympy.parsing",
    "sympy.sympify", "sympy.core.sympify", "pandas.io", "pandas.eval", "pandas.read_pickle", "pandas.read_csv",
    "pandas.core.computation", "pydash", "tensorflow.io", "tensorflow.python.ops.io_ops", "tensorflow.python.lib.io",
    "tensorflow.load_library", "tensorflow.load_op_library", "tensorflow.py_function", "tensorflow.numpy_function",
    "keras.models.load_model", "transformers.dynamic_module_utils", "huggingface_hub", "webdataset", "nltk.downloader",
  ]

  /// The maximum number of parts in one of these names.
  private static let maxHarmfulParts = harmful.map { $0.utf8.count { $0 == UInt8(ascii: ".") } + 1 }.max() ?? 0

  private static func isHarmful(_ parts: [String]) -> Bool {
    parts.indices.prefix(maxHarmfulParts).contains { harmful.contains(parts[...$0].joined(separator: ".")) }
  }

  /// Modules that others import, and attributes that lead from any value to all of Python.
  private static let hidden: Set<String> = [
    "os", "sys", "posix", "nt", "pty", "subprocess", "builtins", "__builtins__", "__builtin__", "importlib", "runpy",
    "shutil",
    "socket", "pickle", "cPickle", "marshal", "ctypes", "pkgutil", "webbrowser", "multiprocessing", "__globals__",
    "__subclasses__", "__import__", "__dict__", "__class__", "__base__", "__bases__", "__mro__", "__code__", "__init__",
    "__getattribute__", "__reduce__", "__reduce_ex__", "__self__", "__func__", "__wrapped__", "__closure__",
    "__loader__",
    "__spec__",
  ]

  // MARK: Words

  /// A sentence on the dangerous imports, and one on the unknown.
  static func warnings(_ imports: [ImportedGlobal]) -> [String] {
    func names(_ verdict: CodeVerdict) -> String? {
      let all = imports.filter { $0.verdict == verdict }.map(\.name)
      if all.isEmpty { return nil }
      return all.prefix(5).joined(separator: ", ")
        + (all.count > 5 && verdict == .unknown ? " and \(grouped(all.count - 5)) more" : "")
    }
    var result: [String] = []
    if let dangerous = names(.dangerous) {
      result.append(
        "the pickle imports \(dangerous): loading it with Python could run code; nothing was run here")
    }
    if let unknown = names(.unknown) {
      result.append(
        "the pickle imports \(unknown), of other packages: Python would call them; nothing was run here")
    }
    return result
  }
}

/// The imports of several pickles.
typealias ImportList = UniqueList<ImportedGlobal>
