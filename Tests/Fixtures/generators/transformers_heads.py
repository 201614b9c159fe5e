"""One folder for each head of BERT, as `save_pretrained` of transformers writes it, with reference outputs."""

from . import fixture, micro_bert, write_reference

HEADS = {
    "BertModel": dict(hidden_act="relu"),
    "BertForMaskedLM": dict(hidden_act="gelu_new", layer_norm_eps=1e-5),
    "BertForNextSentencePrediction": {},
    "BertForSequenceClassification": dict(num_labels=4),
    "BertForTokenClassification": dict(num_labels=5),
    "BertForQuestionAnswering": {},
    "BertForMultipleChoice": {},
}


def register(class_name, settings, seed):
    @fixture(f"heads/{class_name}")
    def write(folder):
        model = micro_bert(class_name, seed, num_hidden_layers=2, **settings)
        model.save_pretrained(folder)
        write_reference(model, folder / "reference.npz", batch=3, length=14, seed=seed + 1)


for number, (class_name, settings) in enumerate(HEADS.items()):
    register(class_name, settings, seed=100 + 2 * number)
