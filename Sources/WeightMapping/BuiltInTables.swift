import ModelFamilies
import TensorIO

extension MappingTable {
  /// The tables that are built into the program: each family with the dialects that the files in `Tables` have for it.
  public static func builtIn() throws -> [MappingTable] { try loaded.get() }

  private static let loaded = Result { () throws(FormatError) -> [MappingTable] in
    // Where the index does not match the files, somebody is working on them.
    if let index = TableIndex.builtIn { index.tables } else { try parsedBuiltIn() }
  }

  /// The tables parsed from all files, without the indexes.
  static func parsedBuiltIn() throws(FormatError) -> [MappingTable] { try parsedWithFiles().map(\.table) }

  /// The same, and for each dialect the number of the file that has it.
  static func parsedWithFiles() throws(FormatError) -> [(table: MappingTable, files: [Int])] {
    let families = FamilyCatalog(try FamilyCatalog.parsed())
    let dropLists = try DropLists.parsedBuiltIn()
    var dialects: [String: [(dialect: Dialect, file: Int)]] = [:]
    for (number, file) in dialectFiles.enumerated() {
      var parser = try TableParser(file, families: families)
      parser.dropLists = dropLists
      for (family, own) in try parser.parseDialects() {
        for dialect in own {
          guard dialects[family]?.contains(where: { $0.dialect.name == dialect.name }) != true else {
            throw FormatError(.table, "\(family) has two dialects '\(dialect.name)'", file: file.name)
          }
          dialects[family, default: []].append((dialect, number))
        }
      }
    }
    return families.entries.compactMap { entry in
      dialects[entry.identity.name].map { own in
        (MappingTable(entry, dialects: own.map(\.dialect)), own.map(\.file))
      }
    }
  }

  /// A new dialect is its file and one line here. Of dialects that know equally many names the earlier one wins.
  static let dialectFiles: [(name: String, content: [UInt8])] = [
    ("bert.google-tf1.yaml", PackageResources.bert_google_tf1_yaml),
    ("bert.tf-garden.yaml", PackageResources.bert_tf_garden_yaml),
    ("albert.tf-garden.yaml", PackageResources.albert_tf_garden_yaml),
    ("bert.keras-bert.yaml", PackageResources.bert_keras_bert_yaml),
    ("bert.bert-for-tf2.yaml", PackageResources.bert_bert_for_tf2_yaml),
    ("bert.BERT-keras.yaml", PackageResources.bert_BERT_keras_yaml),
    ("bert.keras-hub.yaml", PackageResources.bert_keras_hub_yaml),
    ("albert.keras-hub.yaml", PackageResources.albert_keras_hub_yaml),
    ("electra.keras-hub.yaml", PackageResources.electra_keras_hub_yaml),
    ("distilbert.keras-hub.yaml", PackageResources.distilbert_keras_hub_yaml),
    ("roberta.keras-hub.yaml", PackageResources.roberta_keras_hub_yaml),
    ("bert.bert4keras.yaml", PackageResources.bert_bert4keras_yaml),
    ("electra.google-tf1.yaml", PackageResources.electra_google_tf1_yaml),
    ("albert.google-tf1.yaml", PackageResources.albert_google_tf1_yaml),
    ("albert-zh.google-tf1.yaml", PackageResources.albert_zh_google_tf1_yaml),
    ("mobilebert.google-tf1.yaml", PackageResources.mobilebert_google_tf1_yaml),
    ("bert.transformers.yaml", PackageResources.bert_transformers_yaml),
    ("transformers.yaml", PackageResources.transformers_yaml),
    ("bert.farm.yaml", PackageResources.bert_farm_yaml), ("farm.yaml", PackageResources.farm_yaml),
    ("roberta.farm.yaml", PackageResources.roberta_farm_yaml),
    ("flax.yaml", PackageResources.flax_yaml),
    ("transformers-tf.yaml", PackageResources.transformers_tf_yaml),
    ("mobilebert.transformers-tf.yaml", PackageResources.mobilebert_transformers_tf_yaml),
    ("albert.transformers-tf.yaml", PackageResources.albert_transformers_tf_yaml),
    ("bert.transformers-tf-paths.yaml", PackageResources.bert_transformers_tf_paths_yaml),
    ("roberta.transformers-tf-paths.yaml", PackageResources.roberta_transformers_tf_paths_yaml),
    ("distilbert.transformers-tf-paths.yaml", PackageResources.distilbert_transformers_tf_paths_yaml),
    ("electra.transformers-tf-paths.yaml", PackageResources.electra_transformers_tf_paths_yaml),
    ("mpnet.transformers-tf-paths.yaml", PackageResources.mpnet_transformers_tf_paths_yaml),
    ("albert.transformers-tf-paths.yaml", PackageResources.albert_transformers_tf_paths_yaml),
    ("mobilebert.transformers-tf-paths.yaml", PackageResources.mobilebert_transformers_tf_paths_yaml),
    ("roberta.fairseq.yaml", PackageResources.roberta_fairseq_yaml),
    ("megatron-bert.megatron-lm.yaml", PackageResources.megatron_bert_megatron_lm_yaml),
    ("gpt.openai.yaml", PackageResources.gpt_openai_yaml),
    ("codertimo.bert-pytorch.yaml", PackageResources.codertimo_bert_pytorch_yaml),
    ("uer.uer-py.yaml", PackageResources.uer_uer_py_yaml),
    ("dpr.facebook.yaml", PackageResources.dpr_facebook_yaml),
    ("dpr.transformers.yaml", PackageResources.dpr_transformers_yaml),
    ("ulmfit.fastai.yaml", PackageResources.ulmfit_fastai_yaml),
  ]
}

extension TableParser {
  init(_ file: (name: String, content: [UInt8]), families: FamilyCatalog?) throws(FormatError) {
    root = try YAMLValue.parse(file.content, file: file.name)
    self.families = families
  }
}
