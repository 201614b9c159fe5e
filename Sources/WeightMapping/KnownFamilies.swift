import ModelFamilies
import TensorIO

/// A family that is recognized by a few names, so that an error can name it even where no table converts it.
struct KnownFamily: Sendable {
  let family: String
  let description: String
  let signatures: [FamilySignature]
  /// What to do with such a file; `nil` where there is nothing to be done.
  var advice: FormatError.Advice?

  /// The families of `known-families.yaml`, which have no table.
  static func builtIn() throws(FormatError) -> [KnownFamily] {
    if let index = TableIndex.builtIn { index.knownFamilies } else { try parsedBuiltIn() }
  }

  static func parsedBuiltIn() throws(FormatError) -> [KnownFamily] {
    let root = try YAMLValue.parse(PackageResources.known_families_yaml, file: "known-families.yaml")
    var result: [KnownFamily] = []
    for item in try root.require("families", in: try root.fields("the file", ["families"])).list("families") {
      let fields = try item.fields("a family", ["family", "description", "signatures", "advice"])
      result.append(
        KnownFamily(
          family: try item.require("family", in: fields).string("family"),
          description: try item.require("description", in: fields).string("description"),
          signatures: try FamilySignature.parseAll(try item.require("signatures", in: fields)),
          advice: try fields["advice"].map { (value) throws(FormatError) in
            let text = try value.string("advice")
            return text == "give_base_model" ? .giveBaseModel : .sentence(text)
          }))
    }
    return result
  }
}
