import TensorIO
import TestSupport
import Testing

@testable import CheckpointReaders

@Suite("Trust in pickles and TorchScript")
struct TrustTests {
  // MARK: Names

  /// Samples of picklescan, fickling and modelscan, and others of their kinds.
  @Test(arguments: [
    "uuid._get_command_stdout", "logging.FileHandler", "logging.config.listen",
    "test.support.script_helper.assert_python_ok",
    "test.test_os.Anything", "torch.jit.unsupported_tensor_ops.execWrapper",
    "torch.utils.bottleneck.__main__.run_cprofile",
    "torch._inductor.codecache.compile_file", "torch.fx.graph_module._forward_from_src", "torch.cuda.os.system",
    "torch.utils.data.datapipes.utils.decoder.basichandlers", "torch.distributed.run.main",
    "numpy.f2py.crackfortran.getlincoef",
    "numpy.testing._private.utils.runstring", "numpy.core._ufunc_reconstruct", "pip.main", "pip._internal.main",
    "setuptools._distutils.spawn.spawn", "pkg_resources.run_script", "distutils.file_util.write_file",
    "idlelib.calltip.get_entity", "lib2to3.pgen2.grammar.Grammar.loads", "imaplib.IMAP4_stream", "_io.FileIO",
    "cProfile.runctx", "profile.Profile.run", "trace.Trace.run", "ensurepip._run_pip", "pydoc.locate", "bdb.Bdb.run",
    "venv.create", "pty.spawn", "_osx_support._read_output", "_aix_support._read_cmd_output",
    "_pyrepl.pager.pipe_pager",
    "doctest.debug_script", "code.InteractiveInterpreter.runcode", "zipimport.zipimporter", "compileall.compile_file",
    "collections.namedtuple", "collections.abc.os.system", "pathlib.Path.unlink", "pathlib.Path.write_text",
    "argparse.FileType", "argparse._sys.exit", "datetime.sys.exit", "enum.sys.modules", "decimal._sys.exit",
    "builtins.__import__", "builtins.type", "builtins.map", "functools.reduce", "operator.attrgetter",
    "types.FunctionType",
    "annotationlib.ForwardRef", "compression.zstd.open", "tomllib.load", "commands.getoutput", "popen2.popen3",
    "joblib.load", "joblib.numpy_pickle.load", "cloudpickle.cloudpickle._make_function", "dill._dill._create_function",
    "requests.api.get", "pandas.read_pickle", "sympy.core.sympify.sympify", "mypackage.module.os.system",
    "mypackage.Model.__init__.__globals__", "_posixsubprocess.fork_exec", "_xxsubinterpreters.run_string",
  ])
  func whatCanRunCodeIsDangerous(name: String) { #expect(PickleImports.verdict(name) == .dangerous) }

  @Test(arguments: [
    "argparse.Namespace", "datetime.datetime", "datetime.timedelta", "pathlib.PosixPath", "pathlib._local.PosixPath",
    "collections.defaultdict", "collections.deque", "uuid.UUID", "decimal.Decimal", "fractions.Fraction",
    "enum.IntEnum",
    "re._compile", "random.Random", "functools.partial", "logging.getLogger", "typing.Any", "array.array",
    "_io.BytesIO",
    "builtins.int", "builtins.slice", "copyreg._reconstructor", "numpy.ndarray", "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct", "numpy.float64", "numpy.log1p", "numpy.dtypes.Float32DType",
    "numpy.random._pickle.__randomstate_ctor", "torch.nn.modules.linear.Linear",
    "torch.nn.modules.linear._LinearWithBias",
    "torch.nn.quantized.dynamic.modules.linear.Linear", "torch.ao.nn.quantized.dynamic.modules.linear.Linear",
    "torch._C._nn.gelu", "torch.nn.functional.relu", "torch.tanh", "torch._C._VariableFunctions.sigmoid",
    "torch.optim.adamw.AdamW", "torch.optim.lr_scheduler.LambdaLR", "torch.distributed.tensor.DTensor",
    "torch.nn.backends.thnn._get_thnn_function_backend", "torch.jit._pickle.build_intlist", "torch.ScriptObject",
    "joblib.numpy_pickle.NumpyArrayWrapper", "builtins.OSError", "builtins.ZeroDivisionError",
    "zoneinfo.ZoneInfo._unpickle",
  ])
  func plainDataIsKnown(name: String) { #expect(PickleImports.verdict(name) == .known) }

  /// By the names that Python 2 has for them.
  @Test(arguments: [("exceptions", "ValueError"), ("UserDict", "IterableUserDict"), ("copy_reg", "_reconstructor")])
  func plainDataOfPython2IsKnown(module: String, name: String) {
    #expect(PickleImports.verdict(PickleImports.canonical(module: module, name: name)) == .known)
  }

  @Test(arguments: [
    "transformers.training_args.TrainingArguments", "tiktoken.core.Encoding", "__main__.Model", "test.Net",
    "utils.Config",
    "sklearn.linear_model._logistic.LogisticRegression", "sklearn.tree._tree.__pyx_unpickle_Tree",
    "regex._regex_core.Any",
    "omegaconf.dictconfig.DictConfig", "scipy.sparse._csr.csr_matrix", "pytorch_lightning.callbacks.ModelCheckpoint",
    "fairseq.data.dictionary.Dictionary", "torchvision.models.resnet.ResNet", "torch.Float6Storage",
    "torch.float6_e3m2",
    "ultralytics.__main__.Net", "spacy.vocab.Vocab", "osaka.Model",
  ])
  func classesOfOthersAreUnknown(name: String) { #expect(PickleImports.verdict(name) == .unknown) }

  @Test("No list repeats a name of another with a different verdict")
  func everyListedNameIsOfAKnownPackage() {
    for name in HarmlessNames.words(GeneratedNames.torchClasses) {
      #expect(PickleImports.verdict("torch." + name) == .known)
    }
    for name in HarmlessNames.words(GeneratedNames.numpyNames) {
      #expect(PickleImports.verdict("numpy." + name) == .known)
    }
    for name in ["os", "_zstd", "annotationlib", "popen2", "imputil", "_interpreters", "_remote_debugging", "dl"] {
      #expect(PickleImports.verdict(name + ".anything") == .dangerous)
    }
  }

  @Test("Unknown names are warned about without a word of danger")
  func words() {
    let warnings = PickleImports.warnings([
      ImportedGlobal(name: "transformers.training_args.TrainingArguments", verdict: .unknown),
      ImportedGlobal(name: "argparse.Namespace", verdict: .known),
    ])
    #expect(warnings.count == 1 && warnings[0].contains("TrainingArguments"))
    #expect(!warnings[0].contains("run code") && !warnings[0].contains("dangerous"))
    #expect(PickleImports.warnings([ImportedGlobal(name: "argparse.Namespace", verdict: .known)]).isEmpty)
  }

  // MARK: Functions that are as harmless as their arguments

  private typealias P = TestPickle

  private func imports(_ value: [UInt8]) throws -> [String: CodeVerdict] {
    let file = P.zip(P.dict(P.text("a"), value), [])
    let source = try ZipFormat().open(Bytes(file), path: "m.pt")
    return Dictionary(uniqueKeysWithValues: source.imports.map { ($0.name, $0.verdict) })
  }

  /// Python 3.11 writes members of enumerations so.
  @Test func aMemberOfAnEnumerationIsOfItsClass() throws {
    let member = P.call(
      P.global("__builtin__", "getattr"), P.global("transformers.trainer_utils", "IntervalStrategy"), P.text("STEPS"))
    let found = try imports(member)
    #expect(found["builtins.getattr"] == .known)
    #expect(found["transformers.trainer_utils.IntervalStrategy.STEPS"] == .unknown)
  }

  @Test func anAttributeIsJudgedByItsWholeName() throws {
    let system = P.call(P.global("__builtin__", "getattr"), P.global("pathlib", "os"), P.text("system"))
    #expect(try imports(system)["pathlib.os.system"] == .dangerous)
    let method = P.call(P.global("__builtin__", "getattr"), P.global("pathlib", "Path"), P.text("unlink"))
    #expect(try imports(method)["pathlib.Path.unlink"] == .dangerous)
    let globals = P.call(P.global("__builtin__", "getattr"), P.global("mine", "f"), P.text("__globals__"))
    #expect(try imports(globals)["mine.f.__globals__"] == .dangerous)
  }

  @Test func getattrIsDangerousWhereItIsNotUnderstood() throws {
    let number = P.call(P.global("__builtin__", "getattr"), P.int(1), P.text("real"))
    #expect(try imports(number)["builtins.getattr"] == .dangerous)
    let given = P.call(P.global("mine", "apply"), P.global("__builtin__", "getattr"))
    #expect(try imports(given)["builtins.getattr"] == .dangerous)
    let dotted = P.call(P.global("__builtin__", "getattr"), P.global("mine", "f"), P.text("a.b"))
    #expect(try imports(dotted)["builtins.getattr"] == .dangerous)
  }

  @Test func typesAndTheirWordsAreKnown() throws {
    let none = try imports(P.call(P.global("__builtin__", "type"), P.none))
    #expect(none["builtins.type"] == .known)
    let optional = P.call(P.global("_operator", "getitem"), P.global("typing", "Optional"), P.global("builtins", "int"))
    #expect(try imports(optional)["_operator.getitem"] == .known)
    let made = P.call(P.global("__builtin__", "type"), P.text("A"), P.tuple(), P.dict())
    #expect(try imports(made)["builtins.type"] == .dangerous)
    let item = P.call(P.global("_operator", "getitem"), P.global("sys", "modules"), P.text("os"))
    #expect(try imports(item)["_operator.getitem"] == .dangerous)
  }

  @Test func bytesThatAreNoStorageAreNotLoaded() throws {
    let bytes = P.call(P.global("_codecs", "encode"), P.text("cos\nsystem\n."), P.text("latin1"))
    let load = P.call(P.global("torch.storage", "_load_from_bytes"), bytes)
    #expect(try imports(load)["torch.storage._load_from_bytes"] == .dangerous)
  }

  // MARK: TorchScript

  private func judge(_ text: String) -> [ContainedCode] {
    var code = TorchScriptCode()
    code.read(Bytes(Array(text.utf8)))
    return code.finished()
  }

  @Test func operatorsThatComputeAreKnown() {
    let found = judge(
      """
      class Model(Module):
        __parameters__ = ["weight", ]
        def forward(self: __torch__.Model, x: Tensor) -> Tensor:
          _0 = "torch.from_file('x') # \\" torch.save(1)"
          _1 = __torch__.torch.nn.functional.pad
          y = torch.add(torch.matmul(x, self.weight), CONSTANTS.c0)  # torch.save(y)
          _2 = (self.layer).forward(_1(y, [1, 2], ), )
          z = annotate(List[int], [])
          print(_0, torch.size(y))
          return ops.quantized.linear_dynamic(y, uninitialized(int))
      """)
    #expect(found.map(\.name) == ["aten::add", "aten::matmul", "aten::size", "quantized::linear_dynamic"])
    #expect(found.allSatisfy { $0.verdict == .known && $0.kind == .torchScript })
  }

  @Test(arguments: [
    ("torch.from_file(\"/etc/passwd\", None, 100)", "aten::from_file"), ("torch.save(x, \"/tmp/x\")", "aten::save"),
    ("ops.aten.from_file(\"x\")", "aten::from_file"), ("f = torch.from_file", "aten::from_file"),
    ("rpc_async(\"worker\", f, (x,))", "prim::rpc_async"), ("ops.prim.PythonOp(x)", "prim::PythonOp"),
    ("torch . \\\n from_file(\"x\")", "aten::from_file"), ("(torch. # a comment\n save)(x)", "aten::save"),
    ("t = torch\n  t.save(x)", "torch"), ("getattr(torch, \"save\")(x)", "torch"), ("o = ops.aten\n", "ops.aten"),
  ])
  func operatorsThatReachOutAreDangerous(text: String, name: String) {
    #expect(judge("  y = 1\n  " + text).contains { $0.name == name && $0.verdict == .dangerous && $0.detail != nil })
  }

  @Test(arguments: [
    ("ops.mylib.run(x)", "mylib::run"), ("torch.no_such_operator(x)", "aten::no_such_operator"),
    ("launch(x)", "launch"),
    ("a : __torch__.torch.classes.mylib.Thing", "torch.classes.mylib.Thing"),
  ])
  func operatorsOfOthersAreUnknown(text: String, name: String) {
    #expect(judge(text).map(\.name) == [name] && judge(text)[0].verdict == .unknown)
  }

  @Test func manyHarmlessNamesHideNoDangerousOne() {
    let many = (0..<10_001).map { "  ops.mylib.run\($0)(x)\n" }.joined()
    #expect(judge(many + "  torch.save(x)").last?.name == "aten::save")
  }

  @Test func aStringWithoutAnEndHidesNothingBehindItsLine() {
    #expect(judge("x = \"abc\ny = torch.save(1)").contains { $0.name == "aten::save" })
    #expect(judge("x = 'a\\").isEmpty && judge("\"").isEmpty && judge("").isEmpty)
  }
}
