import TensorIO

/// Families with what identifies them. Those that are built in are parsed when they are first used.
package struct FamilyCatalog: Sendable {
  package struct Entry: Sendable {
    package let identity: FamilyIdentity
    private let deferredFamily: Deferred<ModelFamily>

    package init(_ family: ModelFamily) { self.init(family.identity, .made(family)) }

    fileprivate init(_ identity: FamilyIdentity, _ family: Deferred<ModelFamily>) {
      self.identity = identity
      deferredFamily = family
    }

    package var family: ModelFamily { deferredFamily.value }
  }

  package let entries: [Entry]
  fileprivate let keysOfSettings: [ConfigSetting: [String]]

  package init(_ families: [ModelFamily]) {
    entries = families.map { Entry($0) }
    var keys: [ConfigSetting: [String]] = [:]
    for key in families.flatMap(\.configKeys) {
      guard let setting = key.setting else { continue }
      for name in [key.name] + key.otherNames where keys[setting]?.contains(name) != true {
        keys[setting, default: []].append(name)
      }
    }
    keysOfSettings = keys
  }

  fileprivate init(_ entries: [Entry], _ keysOfSettings: [ConfigSetting: [String]]) {
    self.entries = entries
    self.keysOfSettings = keysOfSettings
  }

  /// The keys under which configs of any of the families give a setting, those of the first families first.
  package func keys(of setting: ConfigSetting) -> [String] { keysOfSettings[setting] ?? [] }

  package subscript(name: String) -> ModelFamily? { entries.first { $0.identity.name == name }?.family }

  /// The families that are built into the program, in the order in which they are tried.
  package static func builtIn() throws(FormatError) -> FamilyCatalog { try loaded.get() }

  private static let loaded = Result { () throws(FormatError) -> FamilyCatalog in
    if let indexed = try? FamilyIndex.catalog() { return indexed }
    // The index does not match the files: somebody is working on them.
    return FamilyCatalog(try parsed())
  }

  /// The families parsed from all files, without the index.
  package static func parsed() throws(FormatError) -> [ModelFamily] {
    var families: [ModelFamily] = []
    for (file, content) in files { families.append(try parse(file, content)) }
    return families
  }

  fileprivate static func parse(_ file: String, _ content: [UInt8]) throws(FormatError) -> ModelFamily {
    try FamilyParser.parse(try YAMLValue.parse(content, file: file))
  }

  /// In the order in which they are tried; one whose names another has as well comes before it. A new family is one line
  /// here and its file.
  fileprivate static let files: [(name: String, content: [UInt8])] = [
    ("bert.yaml", PackageResources.bert_yaml), ("distilbert.yaml", PackageResources.distilbert_yaml),
    ("xlm-roberta-xl.yaml", PackageResources.xlm_roberta_xl_yaml),
    ("roberta.yaml", PackageResources.roberta_yaml), ("data2vec-text.yaml", PackageResources.data2vec_text_yaml),
    ("electra.yaml", PackageResources.electra_yaml), ("albert.yaml", PackageResources.albert_yaml),
    ("megatron-bert.yaml", PackageResources.megatron_bert_yaml),
    ("mobilebert.yaml", PackageResources.mobilebert_yaml), ("openai-gpt.yaml", PackageResources.openai_gpt_yaml),
    ("bert-pytorch.yaml", PackageResources.bert_pytorch_yaml), ("ulmfit.yaml", PackageResources.ulmfit_yaml),
    ("mpnet.yaml", PackageResources.mpnet_yaml), ("ernie.yaml", PackageResources.ernie_yaml),
    ("uer.yaml", PackageResources.uer_yaml), ("dpr.yaml", PackageResources.dpr_yaml),
    ("albert-zh.yaml", PackageResources.albert_zh_yaml),
  ]
}

/// The identities of the built-in families as a file, `CIndex/families.index`: parsing all families takes longer than what most
/// commands do.
///
///     the files' checksum | identities, in the order of the files, without a count | settings with their keys
///
/// `make index` writes it, and a test compares it with the families. One that does not match the files is not used.
package enum FamilyIndex {
  /// Raised where the same files give another index: with its form, or with the code that reads the files.
  private static let version: UInt32 = 2

  /// The checksum of the files that the index is made of.
  package static let fingerprint: UInt32 = {
    var sum = CRC32C(version)
    sum.update(PackageResources.shared_yaml)
    for (name, content) in FamilyCatalog.files {
      sum.update(Array(name.utf8))
      sum.update(content)
    }
    return sum.value
  }()

  package static func encoded(_ catalog: FamilyCatalog) -> [UInt8] {
    var encoder = IndexEncoder()
    encoder.add(Int(fingerprint))
    for entry in catalog.entries { encoder.add(entry.identity) }
    encoder.add(ConfigSetting.allCases.filter { catalog.keysOfSettings[$0] != nil }) { encoder, setting in
      encoder.add(setting.rawValue)
      encoder.add(catalog.keysOfSettings[setting] ?? [])
    }
    return encoder.bytes
  }

  package static func catalog() throws(FormatError) -> FamilyCatalog {
    var decoder = IndexDecoder(BuiltInIndex.families)
    guard try decoder.number() == Int(fingerprint) else { throw decoder.mismatch }
    var entries: [FamilyCatalog.Entry] = []
    for file in FamilyCatalog.files {
      entries.append(FamilyCatalog.Entry(try decoder.identity(), .lazy(Lazy { parsed(file.name, file.content) })))
    }
    var keysOfSettings: [ConfigSetting: [String]] = [:]
    for _ in 0..<(try decoder.count()) {
      guard let setting = ConfigSetting(rawValue: try decoder.text()) else { throw decoder.mismatch }
      keysOfSettings[setting] = try decoder.texts()
    }
    guard decoder.isAtEnd else { throw decoder.mismatch }
    return FamilyCatalog(entries, keysOfSettings)
  }

  private static func parsed(_ file: String, _ content: [UInt8]) -> ModelFamily {
    do {
      return try FamilyCatalog.parse(file, content)
    } catch {
      fatalError("a built-in family does not parse: \(error)")
    }
  }
}

extension ModelFamily {
  /// The families that are built into the program.
  public static func builtIn() throws(FormatError) -> [ModelFamily] {
    try FamilyCatalog.builtIn().entries.map(\.family)
  }

  /// The keys under which configs of any of the built-in families give a setting, those of the first families first.
  public static func keys(of setting: ConfigSetting) -> [String] {
    (try? FamilyCatalog.builtIn())?.keys(of: setting) ?? []
  }
}

// MARK: Identities in an index

extension IndexEncoder {
  fileprivate mutating func add(_ identity: FamilyIdentity) {
    add(identity.name)
    add(identity.description)
    add(identity.modelTypes)
    add(identity.architectures)
    add(identity.signatures)
    add(identity.possibleSignatures)
    add(identity.sizeKeys)
  }
}

extension IndexDecoder {
  fileprivate mutating func identity() throws(FormatError) -> FamilyIdentity {
    FamilyIdentity(
      name: try text(), description: try text(), modelTypes: try texts(), architectures: try texts(),
      signatures: try signatures(), possibleSignatures: try signatures(), sizeKeys: try texts())
  }
}
