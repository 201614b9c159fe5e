"""One folder for each head of each family, as `save_pretrained` of transformers writes it, with reference outputs."""

from . import fixture, micro_bert, micro_model, write_reference

HEADS = {
    "BertModel": dict(hidden_act="relu"),
    "BertForMaskedLM": dict(hidden_act="gelu_new", layer_norm_eps=1e-5),
    "BertForNextSentencePrediction": {},
    "BertForSequenceClassification": dict(num_labels=4),
    "BertForTokenClassification": dict(num_labels=5),
    "BertForQuestionAnswering": {},
    "BertForMultipleChoice": {},
}

OTHER_HEADS = {
    "DistilBert": dict(
        ForMaskedLM={}, ForSequenceClassification=dict(num_labels=3), ForTokenClassification=dict(num_labels=5),
        ForQuestionAnswering={}, ForMultipleChoice={},
    ),
    "Roberta": dict(
        Model={}, ForMaskedLM=dict(layer_norm_eps=1e-5, hidden_act="relu"),
        ForSequenceClassification=dict(num_labels=3), ForTokenClassification=dict(num_labels=5),
        ForQuestionAnswering={}, ForMultipleChoice={},
    ),
    "Electra": dict(
        ForMaskedLM=dict(hidden_act="relu"), ForPreTraining=dict(embedding_size=16),
        ForSequenceClassification=dict(num_labels=3), ForTokenClassification=dict(num_labels=5),
        ForQuestionAnswering={}, ForMultipleChoice={},
    ),
    "Albert": dict(
        Model=dict(num_hidden_layers=4, num_hidden_groups=2, inner_group_num=2), ForMaskedLM={}, ForPreTraining={},
        ForSequenceClassification=dict(num_labels=3), ForTokenClassification=dict(num_labels=5),
        ForQuestionAnswering={}, ForMultipleChoice={},
    ),
    "MegatronBert": dict(
        Model=dict(num_hidden_layers=3, layer_norm_eps=1e-5), ForMaskedLM=dict(hidden_act="relu"), ForPreTraining={},
        ForNextSentencePrediction={}, ForSequenceClassification=dict(num_labels=3),
        ForTokenClassification=dict(num_labels=5), ForQuestionAnswering={}, ForMultipleChoice={},
    ),
    # Each head with another of the forms that a MobileBERT can have; ForPreTraining is as the released model.
    "MobileBert": dict(
        Model=dict(normalization_type="layer_norm", layer_norm_eps=1e-2, num_feedforward_networks=2),
        ForPreTraining=dict(classifier_activation=False),
        ForMaskedLM=dict(trigram_input=False, embedding_size=16, use_bottleneck_attention=True),
        ForNextSentencePrediction=dict(trigram_input=False, num_feedforward_networks=1),
        ForSequenceClassification=dict(
            num_labels=3, use_bottleneck=False, num_feedforward_networks=1, classifier_activation=False,
        ),
        ForTokenClassification=dict(num_labels=5, key_query_shared_bottleneck=False, intra_bottleneck_size=16),
        ForQuestionAnswering=dict(
            normalization_type="layer_norm", layer_norm_eps=1e-2, use_bottleneck_attention=True,
            key_query_shared_bottleneck=False, hidden_act="gelu",
        ),
        ForMultipleChoice=dict(normalization_type="layer_norm", use_bottleneck=False, num_feedforward_networks=3),
    ),
    "MPNet": dict(
        Model=dict(num_hidden_layers=3), ForMaskedLM=dict(hidden_act="relu"),
        ForSequenceClassification=dict(num_labels=3, layer_norm_eps=1e-5), ForTokenClassification=dict(num_labels=5),
        ForQuestionAnswering={}, ForMultipleChoice={},
    ),
    "Data2VecText": dict(
        Model={}, ForMaskedLM={}, ForSequenceClassification=dict(num_labels=3), ForTokenClassification=dict(num_labels=5),
        ForQuestionAnswering={}, ForMultipleChoice={},
    ),
    "Ernie": dict(
        Model=dict(use_task_id=True), ForPreTraining=dict(use_task_id=True), ForMaskedLM={},
        ForNextSentencePrediction={}, ForSequenceClassification=dict(num_labels=3),
        ForTokenClassification=dict(num_labels=5), ForQuestionAnswering={}, ForMultipleChoice={},
    ),
    "XLMRobertaXL": dict(
        Model={}, ForMaskedLM=dict(hidden_act="relu"), ForSequenceClassification=dict(num_labels=3),
        ForTokenClassification=dict(num_labels=5), ForQuestionAnswering={}, ForMultipleChoice={},
    ),
}  # fmt: skip


def register(class_name, make, settings, seed):
    @fixture(f"heads/{class_name}")
    def write(folder):
        model = make(class_name, seed, **(dict(num_hidden_layers=2) | settings))
        model.save_pretrained(folder)
        write_reference(model, folder / "reference.npz", batch=3, length=14, seed=seed + 1)


for number, (class_name, settings) in enumerate(HEADS.items()):
    register(class_name, micro_bert, settings, seed=100 + 2 * number)

others = [(family + head, settings) for family, heads in OTHER_HEADS.items() for head, settings in heads.items()]
for number, (class_name, settings) in enumerate(others):
    register(class_name, micro_model, settings, seed=200 + 2 * number)
