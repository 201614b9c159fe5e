import TensorIO

/// Names the library whose object a pickle is, where that is not a model that is converted.
enum PickledModels {
  private static let libraries: [(package: String, name: String)] = [
    ("sklearn", "scikit-learn"), ("xgboost", "XGBoost"), ("lightgbm", "LightGBM"), ("catboost", "CatBoost"),
    ("spacy", "spaCy"), ("nltk", "NLTK"), ("gensim", "Gensim"), ("tiktoken", "tiktoken"), ("tokenizers", "tokenizers"),
    ("pandas", "pandas"), ("polars", "polars"), ("scipy", "SciPy"), ("statsmodels", "statsmodels"), ("keras", "Keras"),
    ("tensorflow", "TensorFlow"), ("bertopic", "BERTopic"), ("setfit", "SetFit"), ("imblearn", "imbalanced-learn"),
    ("crepes", "crepes"), ("umap", "UMAP"), ("hdbscan", "HDBSCAN"), ("faiss", "Faiss"), ("paddle", "Paddle"),
  ]

  /// A sentence on the object that a pickle consists of, if it is one of these libraries'.
  static func title(_ root: PickleValue, _ machine: PickleMachine) -> String? {
    if machine.value("StructuredToParameterName@@", in: root) != nil {
      return "the pickle is a checkpoint of Paddle, whose dense weights are transposed and whose names no table knows"
    }
    guard let type = machine.object(root).flatMap({ machine.globalName($0.type) }),
      let package = type.split(separator: ".").first,
      let library = libraries.first(where: { $0.package == package })
    else { return nil }
    return
      "the pickle is an object of \(library.name) (\(withoutMiddle(type))): its arrays are listed, but it is not a BERT checkpoint"
  }
}
