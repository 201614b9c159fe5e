import TensorIO
import TestSupport
import Testing

/// Whatever the environment and the limits of the process are: right numbers, or exit status 2; never a wrong number, a
/// status that means something else, or a program that does not end.
@Suite("Environment and limits")
struct EnvironmentTests {
  private let folder = TemporaryFolder()
  private let reference = fixture("tensorflow/bert-tiny/reference.npz")

  private func model() throws -> String {
    let path = folder.file("m.safetensors")
    if !FileSystem.isFile(path) {
      let made = try Program.run("convert", "auto-to-native", fixture("tensorflow/bert-tiny"), "-o", path)
      try #require(made.status == 0, "\(made.both)")
    }
    return path
  }

  @Test(arguments: [
    "OMP_THREAD_LIMIT=1", "OMP_DYNAMIC=true", "OMP_MAX_ACTIVE_LEVELS=0", "OMP_NUM_THREADS=8 OMP_THREAD_LIMIT=4",
    "OMP_NUM_THREADS=3", "OMP_NUM_THREADS=100000", "OMP_NUM_THREADS=1", "OMP_NESTED=true", "OMP_PROC_BIND=true",
    "OMP_WAIT_POLICY=passive", "OPENBLAS_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=100000", "GOMP_CPU_AFFINITY=0",
    "ONEDNN_DEFAULT_FPMATH_MODE=BF16",
  ])
  func theNumbersAreRight(variables: String) throws {
    for options in [[], ["--threads", "1"], ["--threads", "5"]] {
      let verified = try Program.run(
        ["verify", try model(), "--fixtures", reference] + options, prefix: "\(variables) timeout 60")
      #expect(verified.status == 0, "\(options): \(verified.both)")
    }
  }

  @Test(arguments: [
    "DNNL_VERBOSE=1", "ONEDNN_VERBOSE=2", "DNNL_JIT_DUMP=1", "OPENBLAS_VERBOSE=2", "OMP_DISPLAY_ENV=true",
  ])
  func librariesPrintNothingToStandardOutput(variables: String) throws {
    let current = folder.file("current")
    folder.makeFolder("current")
    let verified = try Program.run(
      ["verify", try model(), "--fixtures", reference, "--json"], in: current, prefix: variables)
    #expect(verified.status == 0 && verified.output.hasPrefix("{"), "\(verified.both)")
    #expect(try JSON.parse(verified.output)["passed"] == .bool(true))
    #expect(try FileSystem.names(inFolder: current).isEmpty)
  }

  @Test(arguments: [60, 100, 150, 200, 300, 400, 500, 700, 1000])
  func aLimitOfMemoryIsReported(megabytes: Int) throws {
    let model = try model()
    let limit = "ulimit -v \(megabytes * 1000)"
    let output = folder.file("o.safetensors")
    for arguments in [
      ["verify", model, "--fixtures", reference], ["verify", model],
      ["run", model, "--inputs", reference, "-o", folder.file("o.npz"), "--force"],
      ["convert", "auto-to-native", fixture("tensorflow/bert-tiny"), "-o", output, "--force"],
    ] {
      let result = try Program.run(arguments, shell: limit, prefix: "timeout 30")
      // 127 and 1 are the loader's, which cannot even map the program's libraries.
      let isStarted = !result.errors.contains("error while loading shared libraries")
      #expect(!isStarted || [0, 2].contains(result.status), "\(arguments[0]): \(result.status) \(result.both)")
    }
  }

  /// Root may have as many processes as it likes, so another user runs the program.
  @Test(arguments: [1, 2, 3])
  func aLimitOfProcessesIsReported(count: Int) throws {
    let user = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    let (model, source) = (try model(), folder.file("source.safetensors"))
    _ = try folder.copy(model, as: "source.safetensors")
    let allowed = try Program.run(["verify", source], prefix: "chmod -R a+rwX '\(folder.path)' && timeout 60 \(user)")
    guard allowed.status == 0 else { try Test.cancel("no other user can run the program here: \(allowed.errors)") }
    for arguments in [
      ["verify", source, "--fixtures", reference],
      ["convert", "auto-to-native", source, "-o", folder.file("o.safetensors"), "--force"],
    ] {
      let result = try Program.run(
        arguments, prefix: "timeout 60 \(user) prlimit --nproc=\(count):\(count)")
      #expect([0, 2].contains(result.status), "\(arguments[0]): \(result.status) \(result.both)")
    }
  }

  @Test func withoutProc() throws {
    let bare = "unshare -m sh -c 'mount -t tmpfs none /proc && exec \"$0\" \"$@\"'"
    let possible = try Program.run(["--version"], prefix: bare)
    guard possible.status == 0 else { try Test.cancel("/proc cannot be hidden here: \(possible.errors)") }
    let missing = try Program.run(["verify", "/no-such-file"], prefix: bare)
    #expect(missing.status == 2 && missing.errors.contains("/no-such-file"), "\(missing.both)")
    let output = folder.file("o.safetensors")
    let made = try Program.run(
      ["convert", "auto-to-native", fixture("tensorflow/bert-tiny"), "-o", output], prefix: bare)
    #expect(made.status == 0, "\(made.both)")
    #expect(try Program.run("verify", output, "--fixtures", reference).status == 0)
    #expect(try FileSystem.names(inFolder: folder.path) == ["o.safetensors"])
  }

  /// A reader that goes away is no error, in any command; the help is long enough to fill no pipe, and a listing too.
  @Test(arguments: [
    ["inspect", "SOURCE", "--json"], ["diff", "SOURCE", "MODEL"], ["verify", "MODEL"], ["--help"],
    ["convert", "--help"],
    ["convert", "auto-to-native", "SOURCE", "-o", "OUTPUT", "--force"],
  ])
  func aReaderMayGoAway(arguments: [String]) throws {
    let names = [
      "SOURCE": fixture("tensorflow/bert-tiny"), "MODEL": try model(), "OUTPUT": folder.file("o.safetensors"),
    ]
    let words = arguments.map { "'\(names[$0] ?? $0)'" }.joined(separator: " ")
    let status = folder.file("status")
    let script = "{ '\(Program.path)' \(words) 2>/dev/null; echo $? > '\(status)'; } | true"
    _ = try folder.write(Array(script.utf8), "script")
    try #require(Program.shell("bash '\(folder.file("script"))'") == 0)
    let found = String(decoding: try contents(status), as: UTF8.self)
    #expect(["0\n"].contains(found), "\(arguments): \(found)")
  }
}
