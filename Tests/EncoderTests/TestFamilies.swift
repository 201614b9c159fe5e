import ModelFamilies
import TensorIO
import Testing

/// The families of the program, and one that is there for what none of those has together.
enum TestFamilies {
  static func named(_ name: String) -> ModelFamily {
    guard let family = all.first(where: { $0.name == name }) else { preconditionFailure("no family '\(name)'") }
    return family
  }

  static let all: [ModelFamily] = {
    do {
      return try ModelFamily.builtIn() + own.map { try FamilyParser.parse(try YAMLValue.parse($0, file: nil)) }
    } catch {
      preconditionFailure("\(error)")
    }
  }()

  private static let settings = """
      vocab_size:
      hidden_size:
      num_hidden_layers:
      intermediate_size:
      hidden_act:
      max_position_embeddings:
      layer_norm_eps:
      pad_token_id: {default: 1}
    """

  private static let layers = """
      - group: layers
        required: true
        take: [bert-attention, bert-attention-norm, bert-feed-forward, bert-feed-forward-norm]
      - {group: pooler, take: pooler}
      - {group: mlm, take: roberta-mlm}
    """

  private static let own = [
    // Task types, pre-norm with norms before the first and after the last layer.
    """
    family: tasks
    base: base.
    config:
    \(settings)
      num_attention_heads:
      type_vocab_size:
      task_type_vocab_size: {infer: dimension}
      use_task_id: {default: true}
    computation: {norm: before_block}
    tensors:
      - group: embeddings
        required: true
        take: bert-embeddings
        sizes: {embedding_size: hidden_size}
        tensors:
          .embeddings.tasks: {role: embeddings.task_type.weight, shape: [task_type_vocab_size, hidden_size]}
    \(layers)
      - group: final_norm
        required: true
        tensors:
          .last.norm.weight: {role: encoder.norm.weight, shape: [hidden_size]}
          .last.norm.bias: {role: encoder.norm.bias, shape: [hidden_size]}
    """
  ]
}
