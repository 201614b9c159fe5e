import TensorIO
import TestSupport
import Testing

/// Every program in the containers that its users have, each file by the real writer: it converts, and the model computes what the
/// program computed.
@Suite("Programs in their containers")
struct ProgramsTests {
  private static let cases: [String] = {
    let root = fixture("programs")
    let programs = ((try? FileSystem.names(inFolder: root)) ?? []).sorted()
    return programs.flatMap { program in
      ((try? FileSystem.names(inFolder: "\(root)/\(program)")) ?? []).sorted().map { "\(program)/\($0)" }
    }
  }()

  @Test func theFixturesAreThere() { #expect(Self.cases.count >= 30) }

  @Test(arguments: cases)
  func computesWhatTheProgramComputed(_ name: String) throws {
    let folder = TemporaryFolder()
    let source = fixture("programs/\(name)")
    let output = folder.file("model.safetensors")
    // Where a model is several files, users give the folder.
    let arguments =
      if name.hasPrefix("farm/") {
        [source]
      } else {
        ["\(source)/\(try Self.checkpoint(in: source))", "--config", "\(source)/config.json"]
      }
    let made = try Program.run(["convert", "auto-to-native"] + arguments + ["-o", output])
    #expect(made.status == 0, "\(made.both)")
    let verified = try Program.run("verify", output, "--fixtures", "\(source)/reference.npz", "--tolerance", "2e-5")
    #expect(verified.status == 0, "\(verified.both)")
    // A native file is a source in turn, whatever the family.
    let again = try Program.run("convert", "auto-to-native", output, "-o", folder.file("again.safetensors"))
    #expect(again.status == 0, "\(again.both)")
  }

  private static func checkpoint(in folder: String) throws -> String {
    try #require(
      try FileSystem.names(inFolder: folder).first { name in
        [".h5", ".keras", ".index", ".bin", ".cp"].contains { name.hasSuffix($0) }
      })
  }
}
