import CheckpointWriters
import TensorIO
import TestSupport
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// What a user may lose: the program is stopped, the disk is full, two want one place. Nothing half-written stays, and what
/// was there stays or is replaced as a whole.
@Suite("Faults", .serialized)
struct FaultTests {
  /// A folder with a model of 26 MB, `source.safetensors` and `config.json`: a conversion of it can be caught in the middle.
  private func folder(vocabularySize: Int = 200_000) throws -> TemporaryFolder {
    let folder = TemporaryFolder()
    let made = try TinyBERT.maskedLM(vocabulary: vocabularySize, hidden: 32).write(to: folder)
    try #require(unsafe rename(made, folder.file("source.safetensors")) == 0)
    return folder
  }

  /// Runs a shell script in `folder`, where `bertconv` is the program; gives its output.
  private func shell(_ script: String, in folder: TemporaryFolder) throws -> (status: Int32, text: String) {
    let path = try folder.write(Array(("bertconv() { '\(Program.path)' \"$@\"; }\n" + script).utf8), "script")
    let status = unsafe system("cd '\(folder.path)' && bash script > told 2>&1 < /dev/null")
    _ = unsafe unlink(path)
    return (status >> 8 & 0xFF, String(decoding: try contents(folder.file("told")), as: UTF8.self))
  }

  private func files(_ folder: TemporaryFolder) throws -> [String] {
    try FileSystem.names(inFolder: folder.path).filter { !["told", "source.safetensors", "config.json"].contains($0) }
      .sorted()
  }

  @Test(arguments: ["KILL", "TERM", "INT", "HUP"])
  func stoppedAtAnyMoment(signal: String) throws {
    let folder = try folder()
    for moment in ["0.01", "0.04", "0.08", "0.15", "0.3"] {
      let (_, told) = try shell(
        """
        rm -f out.safetensors .out*
        '\(Program.path)' convert auto-to-native source.safetensors -o out.safetensors > /dev/null 2>&1 &
        sleep \(moment); kill -\(signal) $! 2> /dev/null; wait $! 2> /dev/null
        if [ -e out.safetensors ]; then bertconv verify out.safetensors || echo PART; fi
        """, in: folder)
      #expect(!told.contains("PART"), "\(told)")
      // Nothing can be done against KILL: a part may stay under a name of its own, never under the output's.
      if signal != "KILL" { #expect(try files(folder).allSatisfy { $0 == "out.safetensors" }) }
    }
  }

  @Test func aFullDiskIsTold() throws {
    let folder = try folder()
    let (status, told) = try shell(
      "ulimit -f 4000; bertconv convert auto-to-native source.safetensors -o out.safetensors", in: folder)
    #expect(status == 2 && told.contains("out.safetensors"), "\(told)")
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
    let (status, told) = try shell(
      "bertconv convert auto-to-native source.safetensors -o \(target) --force", in: folder)
    #expect(status == 2 && told.contains("error: ") && told.contains(word), "\(told)")
    #expect(try files(folder).isEmpty)
  }

  /// What writes, each with an output of more than 100 kB. The program's own commands go through one writer of files;
  /// these are its users.
  private static let writers = [
    "convert auto-to-native source.safetensors -o place/out", "convert native-to-tf native -o place/out",
    "convert native-to-pytorch native -o place/out",
    "run native --inputs inputs.npz --outputs hidden_states.0 -o place/out.npz",
  ]

  /// A folder of a model with a file system of `kind` at `place`, which only the script sees; nil where that needs rights
  /// that the user lacks.
  private func mounted(_ options: String, _ command: String) throws -> (
    status: Int32, text: String, folder: TemporaryFolder
  )? {
    let folder = try folder(vocabularySize: 5000)
    let (status, _) = try shell("mkdir place && unshare -rm mount -t tmpfs none place", in: folder)
    guard status == 0 else { return nil }
    _ = try folder.write(try inputs(), "inputs.npz")
    let (ended, told) = try shell(
      """
      bertconv convert auto-to-native source.safetensors -o native || exit 99
      cat > inside <<'END'
      mount -t tmpfs -o size=100k none place && echo mine > place/mine && \(options) || exit 98
      '\(Program.path)' \(command)
      status=$?
      echo "LEFT $(ls -A place | tr '\\n' ' ')"
      exit $status
      END
      unshare -rm bash inside
      """, in: folder)
    return (ended, told, folder)
  }

  /// Sixty-four sequences of 16 tokens.
  private func inputs() throws -> [UInt8] {
    let folder = TemporaryFolder()
    var source = MemorySource()
    source.add("input_ids", [64, 16], integers: Array(repeating: 7, count: 64 * 16))
    try source.write(to: NpzWriter(path: folder.file("inputs.npz"), overwrites: false))
    return try contents(folder.file("inputs.npz"))
  }

  @Test(arguments: writers)
  func aSmallDiskIsTold(command: String) throws {
    guard let (status, told, _) = try mounted("true", command) else { return }
    #expect(status == 2 && told.contains("cannot be written: ") && told.contains("Free some space"), "\(told)")
    #expect(told.contains("LEFT mine "), "\(told)")
  }

  @Test(arguments: writers)
  func aTargetThatIsReadOnlyIsTold(command: String) throws {
    guard let (status, told, _) = try mounted("mount -o remount,ro none place", command) else { return }
    #expect(status == 2 && told.contains("Read-only file system"), "\(told)")
    #expect(told.contains("LEFT mine "), "\(told)")
  }

  /// A link is followed to the file that it names, also where that is not there yet.
  @Test(arguments: [true, false])
  func theOutputIsALink(exists: Bool) throws {
    let folder = try folder(vocabularySize: 5000)
    let (status, told) = try shell(
      """
      mkdir elsewhere && ln -s elsewhere/real.safetensors out.safetensors
      \(exists ? "echo old > elsewhere/real.safetensors" : "")
      bertconv convert auto-to-native source.safetensors -o out.safetensors && echo WRITTEN
      bertconv convert auto-to-native source.safetensors -o out.safetensors --force || exit 1
      [ -L out.safetensors ] && bertconv verify elsewhere/real.safetensors && ls elsewhere
      """, in: folder)
    #expect(status == 0 && told.contains("WRITTEN") == !exists, "\(told)")
    #expect(told.hasSuffix("real.safetensors\n") && !told.contains(".partial"), "\(told)")
  }

  @Test func linksInARingAreToldAndAFifoIsNotWaitedFor() throws {
    let folder = try folder(vocabularySize: 5000)
    let (status, told) = try shell(
      """
      ln -s two one; ln -s one two; mkfifo pipe
      timeout 20 '\(Program.path)' convert auto-to-native source.safetensors -o one --force; echo "RING $?"
      timeout 20 '\(Program.path)' convert auto-to-native source.safetensors -o pipe --force; echo "PIPE $?"
      timeout 20 '\(Program.path)' inspect pipe; echo "SOURCE $?"
      timeout 20 '\(Program.path)' inspect one; echo "RINGED $?"
      """, in: folder)
    #expect(status == 0)
    for word in ["RING 2", "PIPE 2", "SOURCE 2", "RINGED 2"] { #expect(told.contains(word), "\(told)") }
  }

  @Test func theSourceIsTheOutput() throws {
    let folder = try folder()
    let before = try contents(folder.file("source.safetensors"))
    for target in ["source.safetensors", "./source.safetensors", "link.safetensors"] {
      let (status, told) = try shell(
        """
        ln -sf source.safetensors link.safetensors
        bertconv convert auto-to-native source.safetensors -o \(target) --force
        """, in: folder)
      #expect(status == 2 && told.contains("the output is one of the source's files"), "\(told)")
      #expect(try contents(folder.file("source.safetensors")) == before)
      #expect(try files(folder) == ["link.safetensors"])
    }
  }

  @Test func twoAtOnceForOnePlace() throws {
    let folder = try folder()
    let (_, told) = try shell(
      """
      for i in 1 2 3; do
        '\(Program.path)' convert auto-to-native source.safetensors -o out.safetensors --force > one 2>&1 & a=$!
        '\(Program.path)' convert auto-to-native source.safetensors -o out.safetensors --force > two 2>&1 & b=$!
        wait $a; x=$?; wait $b; y=$?
        [ $x = 0 ] && [ $y = 0 ] || { echo "BAD $x $y"; cat one two; }
        bertconv verify out.safetensors || echo BAD
      done
      rm -f one two
      """, in: folder)
    #expect(!told.contains("BAD"), "\(told)")
    #expect(try files(folder) == ["out.safetensors"])
  }

  @Test(arguments: [
    "truncate -s 4096 source.safetensors", "cp config.json source.safetensors", "rm source.safetensors",
  ])
  func aSourceThatChangesWhileItIsRead(change: String) throws {
    let folder = try folder()
    let copy = try contents(folder.file("source.safetensors"))
    for moment in ["0.02", "0.06", "0.12"] {
      _ = unsafe unlink(folder.file("source.safetensors"))
      _ = try folder.write(copy, "source.safetensors")
      let (_, told) = try shell(
        """
        rm -f out.safetensors
        '\(Program.path)' convert auto-to-native source.safetensors -o out.safetensors > first 2>&1 & a=$!
        sleep \(moment); \(change)
        wait $a; status=$?
        case $status in
          0) bertconv verify out.safetensors || echo BAD ;;
          2) [ ! -e out.safetensors ] || echo "BAD out"; grep -q error first || echo "BAD silent" ;;
          *) echo "BAD status $status" ;;
        esac
        cat first; rm -f first
        """, in: folder)
      #expect(!told.contains("BAD"), "\(change) after \(moment): \(told)")
      #expect(try files(folder).allSatisfy { $0 == "out.safetensors" })
    }
  }
}
