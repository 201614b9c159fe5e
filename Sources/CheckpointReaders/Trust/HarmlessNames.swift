import TensorIO

/// What is allowed in a pickle: what the programs that write checkpoints need, and plain data, each with its reason.
///
/// All names are those of Python 3, with `numpy.core` for NumPy 2's `numpy._core`.
enum HarmlessNames {
  /// The words of a list. The lists are thousands of ASCII words: going by characters took a third of the time of
  /// opening a small pickle.
  static func words(_ text: String) -> Set<String> {
    let words = text.utf8.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
    return Set(words.map { String(Substring($0)) })
  }

  // MARK: What checkpoints are made of

  /// What `torch.load(weights_only=True)` allows (torch/_weights_only_unpickler.py), and what NumPy's arrays are pickled
  /// with (`numpy/_core/multiarray.py`).
  private static let ofCheckpoints: Set<String> = [
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
    "numpy.ndarray", "numpy.dtype", "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar",
    "numpy.core.numeric._frombuffer",
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

  /// Whether a name is one of those that most checkpoints need.
  static func isOfCheckpoints(_ name: String) -> Bool {
    let name = withoutPrivateCore(name)
    if ofCheckpoints.contains(name) { return true }
    guard name.hasPrefix("torch.") else { return false }
    var rest = name.dropFirst("torch.".count)
    if dataTypes.contains(String(rest)) { return true }
    if rest.hasPrefix("cuda.") { rest = rest.dropFirst("cuda.".count) }
    if rest.hasSuffix("Storage") { return kinds.contains(String(rest.dropLast("Storage".count))) }
    if rest.hasPrefix("sparse.") { rest = rest.dropFirst("sparse.".count) }
    return rest.hasSuffix("Tensor") && kinds.contains(String(rest.dropLast("Tensor".count)))
  }

  /// NumPy 2 renamed its core.
  private static func withoutPrivateCore(_ name: String) -> String {
    name.hasPrefix("numpy._core.") ? "numpy.core." + name.dropFirst("numpy._core.".count) : name
  }

  // MARK: Plain data

  /// Whether a name of the standard library, torch or NumPy makes or is plain data.
  static func isData(_ name: String) -> Bool {
    let name = withoutPrivateCore(name)
    if standardLibrary.contains(name) || frameworks.contains(name) { return true }
    if let rest = name.dropping("numpy.") { return numpyNames.contains(rest) }
    guard let rest = name.dropping("torch.") else { return false }
    if torchClasses.contains(rest) { return true }
    // Functions that a module keeps as its activation.
    for space in [
      "nn.functional.", "_C._nn.", "_C._VariableFunctions.", "_C._VariableFunctionsClass.", "_C._special.", "",
    ] {
      if let function = rest.dropping(space) { return isTorchFunction(function) }
    }
    return false
  }

  /// Whether a name looks like a type of numbers that a later torch may have: `torch.WordStorage`, `torch.float6_e3m2`.
  static func isNewType(_ name: String) -> Bool {
    guard let rest = name.dropping("torch."), rest.utf8.allSatisfy({ $0 < 0x80 && $0 != UInt8(ascii: ".") }) else {
      return false
    }
    if rest.first?.isUppercase == true { return rest.hasSuffix("Storage") || rest.hasSuffix("Tensor") }
    return ["float", "bfloat", "int", "uint", "bits", "complex", "qint", "quint"].contains { kind in
      rest.dropping(kind)?.first?.isNumber == true
    }
  }

  private static let standardLibrary = words(
    // Numbers, texts and containers of Python itself; `object` and `_reconstructor` make an object of a class that is
    // judged by its own name, as protocols 0 and 1 do; `__newobj__` is that of protocol 2.
    """
    builtins.object builtins.bool builtins.int builtins.long builtins.float builtins.str builtins.unicode
    builtins.basestring builtins.bytes builtins.list builtins.tuple builtins.dict builtins.frozenset builtins.slice
    builtins.range builtins.xrange builtins.Ellipsis builtins.NotImplemented builtins.NoneType types.NoneType
    copyreg._reconstructor copyreg.__newobj__ copyreg.__newobj_ex__
    """
      // Exceptions, which losses and callbacks keep: they hold a text.
      + """
       builtins.Exception builtins.BaseException builtins.ValueError builtins.TypeError builtins.KeyError
      builtins.RuntimeError builtins.IndexError builtins.AttributeError builtins.KeyboardInterrupt
      builtins.ArithmeticError builtins.AssertionError builtins.BufferError builtins.EOFError
      builtins.EnvironmentError builtins.FileExistsError builtins.FileNotFoundError builtins.FloatingPointError
      builtins.GeneratorExit builtins.IOError builtins.ImportError builtins.LookupError builtins.MemoryError
      builtins.ModuleNotFoundError builtins.NameError builtins.NotImplementedError builtins.OSError
      builtins.OverflowError builtins.PermissionError builtins.RecursionError builtins.ReferenceError
      builtins.StandardError builtins.StopIteration builtins.SystemError builtins.SystemExit builtins.TimeoutError
      builtins.UnicodeDecodeError builtins.UnicodeEncodeError builtins.UnicodeError builtins.Warning
      builtins.UserWarning builtins.DeprecationWarning builtins.FutureWarning builtins.RuntimeWarning
      builtins.ZeroDivisionError
      """
      // Containers.
      + " collections.defaultdict collections.deque collections.ChainMap collections.UserDict collections.UserList "
      + " collections.IterableUserDict collections.UserString array.array array._array_reconstructor "
      // Settings: attributes and nothing else.
      + " argparse.Namespace optparse.Values types.SimpleNamespace types.MappingProxyType "
      // Dates and times.
      + " datetime.date datetime.datetime datetime.time datetime.timedelta datetime.timezone time.struct_time "
      // A time zone, looked up by its name among those of the system: the name is checked to be no path.
      + " zoneinfo.ZoneInfo zoneinfo.ZoneInfo._unpickle zoneinfo._zoneinfo.ZoneInfo "
      + " zoneinfo._zoneinfo.ZoneInfo._unpickle "
      // Paths: a text with its parts. Nothing is opened by making one.
      + " pathlib.Path pathlib.PosixPath pathlib.WindowsPath pathlib.PurePath pathlib.PurePosixPath "
      + " pathlib.PureWindowsPath pathlib._local.Path pathlib._local.PosixPath pathlib._local.WindowsPath "
      + " pathlib._local.PurePath pathlib._local.PurePosixPath pathlib._local.PureWindowsPath "
      // Numbers.
      + " decimal.Decimal fractions.Fraction "
      // Enumerations: the members are those of a class that is judged by its own name.
      + " enum.Enum enum.IntEnum enum.Flag enum.IntFlag enum.StrEnum http.HTTPStatus logging.Logger "
      // A logger, looked up by its name: handlers, which open files, are not in it.
      + " logging.getLogger logging.RootLogger logging.PlaceHolder "
      // Identifiers: the class alone. uuid has functions that run programs.
      + " uuid.UUID uuid.SafeUUID ipaddress.IPv4Address ipaddress.IPv6Address ipaddress.IPv4Network "
      + " ipaddress.IPv6Network "
      // A regular expression is compiled again from its text; that matches, and runs nothing.
      + " re._compile re.compile re.RegexFlag sre_compile.compile "
      // The state of a random number generator.
      + " random.Random random.SystemRandom _random.Random "
      // A function with some of its arguments: it is not called, and is judged by its own name.
      + " functools.partial _functools.partial "
      // Bytes and text in memory.
      + " io.BytesIO io.StringIO _io.BytesIO _io.StringIO string.Template "
      // Words for types, which settings and data classes keep.
      + " typing.Any typing.Union typing.Optional typing.List typing.Dict typing.Tuple typing.Callable typing.Set "
      + " typing.Type typing.Literal typing.Generic typing.Sequence typing.Mapping typing.Iterable typing.Text "
      + " inspect._empty dataclasses._MISSING_TYPE dataclasses._FIELD dataclasses.Field dataclasses.InitVar "
      // Functions of numbers and of lengths, and clocks, which schedules and timers keep.
      + " math.exp math.log math.sqrt math.cos math.sin math.tanh math.floor math.ceil math.pow builtins.len builtins.abs "
      + " builtins.round time.time time.perf_counter time.monotonic operator.add operator.sub operator.mul "
      + " operator.truediv operator.eq operator.ne operator.lt operator.le operator.gt operator.ge _operator.add "
      + " _operator.sub _operator.mul _operator.truediv _operator.eq _operator.ne _operator.lt _operator.le "
      + " _operator.gt _operator.ge types.GenericAlias "
      // What iterates over a container.
      + " itertools.count itertools.chain itertools.cycle itertools.repeat builtins.iter builtins.reversed "
      + " builtins.enumerate builtins.zip")

  private static let frameworks = words(
    // Descriptions of tensors.
    """
    torch.dtype torch.layout torch.memory_format torch.strided torch.sparse_coo torch.contiguous_format
    torch.channels_last torch.preserve_format torch.Generator torch.nn.parameter.Buffer
    torch.nn.parameter.UninitializedParameter torch.nn.parameter.UninitializedBuffer torch.nn.Parameter
    torch.autograd.variable.Variable torch._tensor.Tensor torch._tensor._rebuild_from_type
    torch._utils._rebuild_xla_tensor torch.nn.utils.rnn.PackedSequence
    """
      // Objects of C++ in a module, given as tensors: packed weights.
      + " torch.ScriptObject torch._C.ScriptObject torch._C.qscheme torch._C._VariableFunctions "
      + " torch._C._VariableFunctionsClass "
      // What TorchScript writes for lists of one type, and for a value of a declared one.
      + " torch.jit._pickle.build_intlist torch.jit._pickle.build_tensorlist torch.jit._pickle.build_doublelist "
      + " torch.jit._pickle.build_boollist torch.jit._pickle.build_tensor_from_id torch.jit._pickle.restore_type_tag "
      // Modules of former versions, and settings of quantization.
      + " torch.nn.modules.linear._LinearWithBias torch.nn.backends.thnn._get_thnn_function_backend "
      + " torch.nn.backends.thnn.THNNFunctionBackend torch.nn.utils.weight_norm.WeightNorm "
      + " torch.nn.utils.spectral_norm.SpectralNorm torch.nn.modules.batchnorm.BatchNorm "
      + " torch.ao.quantization.qconfig.QConfig torch.quantization.qconfig.QConfig torch.utils.hooks.RemovableHandle "
      + " torch.optim.lr_scheduler._enable_get_lr_call torch.optim.lr_scheduler.EPOCH_DEPRECATION_WARNING "
      + " torch.cuda.amp.grad_scaler.GradScaler torch.amp.grad_scaler.GradScaler torch.amp.grad_scaler.OptState "
      // What lies where in a distributed checkpoint.
      + " torch.distributed.checkpoint.metadata.Metadata torch.distributed.checkpoint.metadata.MetadataIndex "
      + " torch.distributed.checkpoint.metadata.TensorStorageMetadata torch.distributed.checkpoint.metadata.StorageMeta "
      + " torch.distributed.checkpoint.metadata.BytesStorageMetadata "
      + " torch.distributed.checkpoint.metadata.ChunkStorageMetadata "
      + " torch.distributed.checkpoint.metadata.TensorProperties "
      + " torch.distributed.checkpoint.metadata._MEM_FORMAT_ENCODING "
      + " torch.distributed.checkpoint.filesystem._StorageInfo torch.distributed.checkpoint.filesystem._StoragePrefix "
      // A tensor's part on one rank, and how it is parted.
      + " torch.distributed.tensor.DTensor torch.distributed._tensor.DTensor torch.distributed._tensor.api.DTensor "
      + " torch.distributed.tensor._api.DTensor torch.distributed._tensor.placement_types.DTensorSpec "
      + " torch.distributed.tensor._dtensor_spec.DTensorSpec torch.distributed.tensor._dtensor_spec.TensorMeta "
      + " torch.distributed.tensor.placement_types.Shard torch.distributed.tensor.placement_types.Replicate "
      + " torch.distributed.tensor.placement_types.Partial torch.distributed._tensor.placement_types.Shard "
      + " torch.distributed._tensor.placement_types.Replicate torch.distributed._tensor.placement_types._Partial "
      + " torch.distributed._tensor.placement_types.Partial torch.distributed._tensor.placement_types.TensorMeta "
      + " torch.distributed.tensor.placement_types._StridedShard torch.distributed.device_mesh.DeviceMesh "
      + " torch.distributed._tensor.device_mesh.DeviceMesh torch.distributed._mesh_layout._MeshLayout "
      + " torch.distributed._mesh_layout._FlatLayout torch.distributed.tensor._dtensor_spec.ShardOrderEntry "
      + " torch.distributed._shard.sharded_tensor.api.ShardedTensor.ProcessGroupState "
      + " torch._C._distributed.Shard torch._C._distributed.Replicate torch._C._distributed.Partial "
      + " torch._C._distributed.StridedShard torch.distributed._shard.sharded_tensor.api.ShardedTensor "
      + " torch.distributed._shard.sharded_tensor.shard.Shard torch.distributed._shard.metadata.ShardMetadata "
      + " torch.distributed._shard.sharded_tensor.metadata.ShardedTensorMetadata "
      + " torch.distributed._shard.sharded_tensor.metadata.TensorProperties "
      + " torch.distributed._shard.sharded_tensor.metadata.MEM_FORMAT_ENCODING "
      + " torch.distributed._shard.sharding_spec.chunk_sharding_spec.ChunkShardingSpec "
      + " torch.distributed._shard.sharding_spec.api.EnumerableShardingSpec "
      + " torch.distributed.remote_device._remote_device "
      // NumPy's other arrays, and the states of its random number generators.
      + " numpy.matrix numpy.matrixlib.defmatrix.matrix numpy.recarray numpy.rec.recarray numpy.core.records.recarray "
      + " numpy.ma.core.MaskedArray numpy.ma.core._mareconstruct numpy.ma.MaskedArray numpy.nan numpy.inf "
      + " numpy.random._pickle.__randomstate_ctor numpy.random._pickle.__generator_ctor "
      + " numpy.random._pickle.__bit_generator_ctor numpy.random.__RandomState_ctor numpy.random.mtrand.RandomState "
      + " numpy.random._mt19937.MT19937 numpy.random._pcg64.PCG64 numpy.random._pcg64.PCG64DXSM "
      + " numpy.random._philox.Philox numpy.random._sfc64.SFC64 numpy.random.bit_generator.SeedSequence "
      + " numpy.random.bit_generator.__pyx_unpickle_SeedSequence numpy.random._generator.Generator "
      + " numpy.polynomial.polynomial.Polynomial numpy.lib.polynomial.poly1d")

  private static let torchClasses = words(GeneratedNames.torchClasses)
  private static let numpyNames = words(GeneratedNames.numpyNames)

  /// What joblib writes an array with: its shape and type, whose bytes follow.
  static let joblibWrappers: Set<String> = [
    "joblib.numpy_pickle.NumpyArrayWrapper", "joblib.numpy_pickle.NDArrayWrapper",
    "joblib.numpy_pickle_compat.NDArrayWrapper", "joblib.numpy_pickle_compat.ZNDArrayWrapper",
    "sklearn.externals.joblib.numpy_pickle.NumpyArrayWrapper", "sklearn.externals.joblib.numpy_pickle.NDArrayWrapper",
    "sklearn.externals.joblib.numpy_pickle_compat.NDArrayWrapper",
    "sklearn.externals.joblib.numpy_pickle_compat.ZNDArrayWrapper",
  ]

  // MARK: Operators of torch

  private static let operators = GeneratedNames.operators.mapValues(words)

  /// Whether an operator computes on its arguments and does nothing else.
  static func isOperator(_ space: String, _ name: String) -> Bool { operators[space]?.contains(name) == true }

  /// Functions of torch that are named otherwise than the operator that they are.
  private static let otherFunctions: Set<String> = [
    "tanhshrink", "softsign", "gumbel_softmax", "cosine_similarity", "pairwise_distance", "cross_entropy", "mse_loss",
    "normalize", "interpolate", "multi_head_attention_forward", "unfold", "fold", "logsigmoid", "hardsigmoid", "swish",
  ]

  private static func isTorchFunction(_ name: String) -> Bool {
    // Modules, and what is private.
    if ["cuda", "cpu", "random", "grad"].contains(name) || name.hasPrefix("_") { return false }
    return isOperator("aten", name) || otherFunctions.contains(name)
  }
}

extension String {
  /// What follows `prefix`; `nil` for a text without it.
  fileprivate func dropping(_ prefix: String) -> String? { hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil }
}
