import CheckpointWriters
import TensorIO
import TestSupport
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// What a user may lose: the program is stopped, the disk is full, two programs write one file. Nothing half-written stays, and
/// what was there stays or is replaced as a whole.
@Suite("Faults", .serialized)
struct FaultTests {
  /// A folder with a model, `source.safetensors` and `config.json`. Its weights are zeros in a sparse file, which takes no
  /// time to make and no space on the disk; converting 512 MB takes long enough to be interrupted anywhere.
  private func folder(megabytes: Int = 26) throws -> TemporaryFolder {
    let folder = TemporaryFolder()
    let model = TinyBERT.maskedLM(vocabulary: megabytes * 1_000_000 / (4 * 32), hidden: 32)
    var offset = 0
    let entries = model.shapes().map { name, shape in
      let start = offset
      offset += 4 * shape.reduce(1, *)
      return JSON.Member(
        name, .object(["dtype": .string("F32"), "shape": .ints(shape), "data_offsets": .ints([start, offset])]))
    }
    let header = Array(JSON.object(entries).text().utf8)
    let path = try folder.write(littleEndianBytes(UInt64(header.count)) + header, "source.safetensors")
    try #require(unsafe truncate(path, 8 + header.count + offset) == 0)
    _ = try folder.write(Array(model.config.text().utf8), "config.json")
    return folder
  }

  /// The bytes that a conversion of 512 MB has written when it is interrupted: near the start, in the middle, near the end.
  private static let moments = [1, 100_000_000, 250_000_000, 400_000_000]
  private static let largeModel = 512

  private func startConversion(in folder: TemporaryFolder, _ options: String...) throws -> RunningProgram {
    try RunningProgram(
      ["convert", "auto-to-native", "source.safetensors", "-o", "out.safetensors"] + options, in: folder.path)
  }

  private func verify(in folder: TemporaryFolder) throws -> Bool {
    try Program.run(["verify", "out.safetensors"], in: folder.path).status == 0
  }

  /// Runs a shell script in `folder`, where `bertconv` is the program; gives its output.
  private func shell(_ script: String, in folder: TemporaryFolder) throws -> (status: Int32, text: String) {
    let path = try folder.write(Array(("bertconv() { '\(Program.path)' \"$@\"; }\n" + script).utf8), "script")
    let status = unsafe system("cd '\(folder.path)' && bash script > report 2>&1 < /dev/null")
    _ = unsafe unlink(path)
    return (status >> 8 & 0xFF, String(decoding: try contents(folder.file("report")), as: UTF8.self))
  }

  private func files(_ folder: TemporaryFolder) throws -> [String] {
    let own: Set = ["report", "printed", "source.safetensors", "config.json"]
    return try FileSystem.names(inFolder: folder.path).filter { !own.contains($0) }.sorted()
  }

  /// Each moment is an interruption: the program is stopped before its end, and only then gets the signal.
  @Test(.exhaustive, arguments: [SIGKILL, SIGTERM, SIGINT, SIGHUP], moments)
  func stoppedAtAnyMoment(signal: Int32, moment: Int) throws {
    let folder = try folder(megabytes: Self.largeModel)
    let program = try startConversion(in: folder)
    try program.stop(afterWriting: moment)
    program.send(signal)
    #expect(try program.wait() == .killed(by: signal), "\(program.printed)")
    // Nothing can be done against SIGKILL, but a file without a name needs nothing to be done.
    #expect(try files(folder).isEmpty)
  }

  @Test(arguments: [SIGKILL, SIGTERM])
  func whatIsReplacedStaysWhenItIsStopped(signal: Int32) throws {
    let folder = try folder(megabytes: Self.largeModel)
    _ = try folder.write(Array("mine".utf8), "out.safetensors")
    let program = try startConversion(in: folder, "--force")
    try program.stop(afterWriting: Self.moments[2])
    program.send(signal)
    #expect(try program.wait() == .killed(by: signal))
    #expect(try contents(folder.file("out.safetensors")) == Array("mine".utf8))
    #expect(try files(folder) == ["out.safetensors"])
  }

  @Test func aFullDiskIsReported() throws {
    let folder = try folder()
    let (status, report) = try shell(
      "ulimit -f 4000; bertconv convert auto-to-native source.safetensors -o out.safetensors", in: folder)
    #expect(status == 2 && report.contains("out.safetensors"), "\(report)")
    #expect(try files(folder).isEmpty)
    // What was there stays.
    _ = try folder.write(Array("mine".utf8), "out.safetensors")
    let (again, _) = try shell(
      "ulimit -f 4000; bertconv convert auto-to-native source.safetensors -o out.safetensors --force", in: folder)
    #expect(again == 2)
    #expect(try contents(folder.file("out.safetensors")) == Array("mine".utf8))
    #expect(try files(folder) == ["out.safetensors"])
  }

  @Test(arguments: [
    ("/dev/full", "/dev/full"), ("nowhere/out.safetensors", "nowhere"), (".", "."),
    ("source.safetensors/x", "source.safetensors"),
    ("/proc/out.safetensors", "/proc"),
  ])
  func placesThatCannotBeWritten(target: String, word: String) throws {
    let folder = try folder()
    let (status, report) = try shell(
      "bertconv convert auto-to-native source.safetensors -o \(target) --force", in: folder)
    #expect(status == 2 && report.contains("error: ") && report.contains(word), "\(report)")
    #expect(try files(folder).isEmpty)
  }

  /// What writes, each with an output of more than 100 kB. The program's own commands go through one writer of files;
  /// these are its users.
  private static let writers = [
    "convert auto-to-native source.safetensors -o disk/out", "convert native-to-tf native -o disk/out",
    "convert native-to-pytorch native -o disk/out",
    "run native --inputs inputs.npz --outputs hidden_states.0 -o disk/out.npz",
  ]

  /// Whether this user may mount a file system that only the test sees.
  private static let mayMount =
    unsafe system(
      "d=$(mktemp -d) && unshare -rm mount -t tmpfs none $d > /dev/null 2>&1; s=$?; rmdir $d; exit $s") == 0

  /// Runs a command with a file system of 100 kB at `disk`, after `preparation` of it.
  private func onSmallDisk(_ preparation: String, _ command: String) throws -> (status: Int32, text: String) {
    let folder = try folder(megabytes: 1)
    _ = try folder.write(try inputs(), "inputs.npz")
    return try shell(
      """
      bertconv convert auto-to-native source.safetensors -o native && mkdir disk || exit 99
      cat > inside <<'END'
      mount -t tmpfs -o size=100k none disk && echo mine > disk/mine && \(preparation) || exit 98
      '\(Program.path)' \(command)
      status=$?
      echo "LEFT $(ls -A disk | tr '\\n' ' ')"
      exit $status
      END
      unshare -rm bash inside
      """, in: folder)
  }

  /// Sixty-four sequences of 16 tokens.
  private func inputs() throws -> [UInt8] {
    let folder = TemporaryFolder()
    var source = MemorySource()
    source.add("input_ids", [64, 16], integers: Array(repeating: 7, count: 64 * 16))
    try source.write(to: NpzWriter(path: folder.file("inputs.npz"), overwrites: false))
    return try contents(folder.file("inputs.npz"))
  }

  @Test(.enabled(if: mayMount, "this user may not mount"), arguments: writers)
  func aSmallDiskIsReported(command: String) throws {
    let (status, report) = try onSmallDisk("true", command)
    #expect(status == 2 && report.contains("cannot be written: ") && report.contains("Free some space"), "\(report)")
    #expect(report.contains("LEFT mine "), "\(report)")
  }

  @Test(.enabled(if: mayMount, "this user may not mount"), arguments: writers)
  func aReadOnlyTargetIsReported(command: String) throws {
    let (status, report) = try onSmallDisk("mount -o remount,ro none disk", command)
    #expect(status == 2 && report.contains("Read-only file system"), "\(report)")
    #expect(report.contains("LEFT mine "), "\(report)")
  }

  /// A link is followed to the file that it names, also where that is not there yet.
  @Test(arguments: [true, false])
  func theOutputIsALink(exists: Bool) throws {
    let folder = try folder(megabytes: 1)
    let (status, report) = try shell(
      """
      mkdir elsewhere && ln -s elsewhere/real.safetensors out.safetensors
      \(exists ? "echo old > elsewhere/real.safetensors" : "")
      bertconv convert auto-to-native source.safetensors -o out.safetensors && echo WRITTEN
      bertconv convert auto-to-native source.safetensors -o out.safetensors --force || exit 1
      [ -L out.safetensors ] && bertconv verify elsewhere/real.safetensors && ls elsewhere
      """, in: folder)
    #expect(status == 0 && report.contains("WRITTEN") == !exists, "\(report)")
    #expect(report.hasSuffix("real.safetensors\n") && !report.contains(".partial"), "\(report)")
  }

  @Test func linksInARingAreReportedAndAFifoIsNotWaitedFor() throws {
    let folder = try folder(megabytes: 1)
    let (status, report) = try shell(
      """
      ln -s two one; ln -s one two; mkfifo pipe
      timeout 20 '\(Program.path)' convert auto-to-native source.safetensors -o one --force; echo "RING $?"
      timeout 20 '\(Program.path)' convert auto-to-native source.safetensors -o pipe --force; echo "PIPE $?"
      timeout 20 '\(Program.path)' inspect pipe; echo "SOURCE $?"
      timeout 20 '\(Program.path)' inspect one; echo "RINGED $?"
      """, in: folder)
    #expect(status == 0)
    for word in ["RING 2", "PIPE 2", "SOURCE 2", "RINGED 2"] { #expect(report.contains(word), "\(report)") }
  }

  @Test func theSourceIsTheOutput() throws {
    let folder = try folder()
    let before = try contents(folder.file("source.safetensors"))
    for target in ["source.safetensors", "./source.safetensors", "link.safetensors"] {
      let (status, report) = try shell(
        """
        ln -sf source.safetensors link.safetensors
        bertconv convert auto-to-native source.safetensors -o \(target) --force
        """, in: folder)
      #expect(status == 2 && report.contains("the output is one of the files that are read"), "\(report)")
      #expect(try contents(folder.file("source.safetensors")) == before)
      #expect(try files(folder) == ["link.safetensors"])
    }
  }

  /// The first is stopped in its middle until the second is done.
  @Test func twoProgramsForOneFile() throws {
    let folder = try folder(megabytes: 128)
    let first = try startConversion(in: folder, "--force")
    try first.stop(afterWriting: 1)
    let second = try Program.run(
      ["convert", "auto-to-native", "source.safetensors", "-o", "out.safetensors", "--force"], in: folder.path)
    #expect(second.status == 0, "\(second.both)")
    #expect(try verify(in: folder))
    first.resume()
    #expect(try first.wait() == .exited(0), "\(first.printed)")
    #expect(try verify(in: folder))
    #expect(try files(folder) == ["out.safetensors"])
  }

  /// What happens to the source while a conversion of it is stopped.
  enum Change: String, CaseIterable {
    case cutShort = "truncate -s 4096 source.safetensors"
    case overwritten = "cp config.json source.safetensors"
    case removed = "rm source.safetensors"
  }

  @Test(.exhaustive, arguments: Change.allCases, moments.dropLast())
  func aSourceThatChangesWhileItIsRead(change: Change, moment: Int) throws {
    let folder = try folder(megabytes: Self.largeModel)
    let program = try startConversion(in: folder)
    try program.stop(afterWriting: moment)
    #expect(try shell(change.rawValue, in: folder).status == 0)
    program.resume()
    #expect(try program.wait() == .exited(2), "\(program.printed)")
    #expect(program.printed.contains("error: source.safetensors"), "\(program.printed)")
    #expect(try files(folder).isEmpty)
  }
}
