"""Checkpoints of programs whose names no other fixture has: each program in a container that its users have, with what it computes.

The Keras classes of transformers need tf-keras, TF Garden tf-models-official, and KerasHub and bert4keras keras-hub and bert4keras:
`Tests/Interop/test_garden.py` and `test_keras_models.py` describe how they are installed. A program that cannot be imported is left out.
"""

import json
import os
import shutil
from typing import NamedTuple

import numpy as np

from . import fixture

SIZES = {"vocab_size": 31, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12,
         "max_position_embeddings": 12, "type_vocab_size": 2}  # fmt: skip
IDS = np.array([[2, 7, 9, 11, 3, 0, 0], [2, 8, 10, 12, 13, 14, 3]])
TYPES = np.array([[0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1]])
OUTPUTS = ["last_hidden_state", "pooler_output", "logits", "prediction_logits", "seq_relationship_logits", "sop_logits",
           "start_logits", "end_logits"]  # fmt: skip


def randomize(model, rng):
    """Large weights, so that a mistake shows; normalizations near 1 and 0."""
    made = []
    for value, variable in zip(model.get_weights(), model.weights):
        name = getattr(variable, "path", variable.name).lower()
        scale = 0.1 if "norm" in name else 0.3
        made.append((value * ("norm" in name) + rng.normal(0, scale, value.shape)).astype("f4"))
    model.set_weights(made)


def inputs(padding=0, types=True):
    ids = np.where(IDS == 0, padding, IDS)
    mask = (IDS != 0).astype("i8")
    return {"input_ids": ids, "attention_mask": mask} | ({"token_type_ids": TYPES} if types else {})


def write(folder, config, given, outputs):
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    arrays = {name: np.asarray(value) for name, value in (given | outputs).items()}
    np.savez(folder / "reference.npz", **arrays)


SIZES_OF_OTHERS = {
    "Albert": {"embedding_size": 6},
    "Electra": {"embedding_size": 6},
    "Roberta": {"type_vocab_size": 1, "pad_token_id": 1, "max_position_embeddings": 14},
    "MPNet": {"pad_token_id": 1},
    "DistilBert": {"dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 12},
    "MobileBert": {"embedding_size": 4, "intra_bottleneck_size": 4, "true_hidden_size": 4, "num_feedforward_networks": 2},
}
SIZES_OF_OTHERS |= {"XLMRoberta": SIZES_OF_OTHERS["Roberta"], "Camembert": SIZES_OF_OTHERS["Roberta"]}


def keras_class(name, seed, **changes):
    """A Keras model of transformers, its config, an input and what it computes of that; two labels, or three where it classifies."""
    import transformers

    family = name.split("For")[0]
    sizes = {**SIZES, **SIZES_OF_OTHERS.get(family, {}), **changes}
    config = getattr(transformers, family + "Config")(**sizes, num_labels=3 if "Classification" in name else 2)
    model = getattr(transformers, "TF" + name)(config)
    given = inputs(config.pad_token_id or 0, "oberta" not in family and family not in ("MPNet", "DistilBert", "Camembert"))
    # The axis of the choices.
    own = {key: value[:, None] for key, value in given.items()} if "MultipleChoice" in name else given
    model(own)
    randomize(model, np.random.default_rng(seed))
    outputs = model(own)
    found = {key: getattr(outputs, key) for key in OUTPUTS if getattr(outputs, key, None) is not None}
    return model, {**config.to_diff_dict(), "architectures": [name]}, given, found


@fixture("programs/transformers", alone=True)
def transformers_classes(folder):
    os.environ["TF_USE_LEGACY_KERAS"] = os.environ["USE_TF"] = "1"
    import tensorflow as tf

    forms = {"BertForPreTraining": "h5", "AlbertForPreTraining": "h5", "RobertaForSequenceClassification": "checkpoint",
             "ElectraForMaskedLM": "checkpoint", "DistilBertForQuestionAnswering": "checkpoint", "MobileBertForMaskedLM": "checkpoint",
             "MPNetForTokenClassification": "checkpoint", "BertForTokenClassification": "training"}  # fmt: skip
    for seed, (name, form) in enumerate(forms.items()):
        model, config, given, found = keras_class(name, 900 + seed)
        target = folder / f"{form}-{name}"
        target.mkdir()
        write(target, config, given, found)
        if form == "h5":
            model.save_weights(target / "tf_model.h5")
        elif form == "checkpoint":
            model.save_weights(str(target / "weights"), save_format="tf")
        else:
            optimizer = tf.keras.optimizers.legacy.Adam(1e-9)
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(model(given).logits)
            optimizer.apply_gradients(
                (g, v) for g, v in zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables) if g is not None
            )
            tf.train.Checkpoint(model=model, optimizer=optimizer).write(str(target / "ckpt-1"))
            write(target, config, given, {"logits": model(given).logits})
        (target / "checkpoint").unlink(missing_ok=True)


@fixture("programs/transformers-paths", alone=True)
def transformers_classes_by_paths(folder):
    """The same classes in the forms of Keras 3, which tf-keras writes since 2.13 when the name ends in `.weights.h5` or `.keras`."""
    os.environ["TF_USE_LEGACY_KERAS"] = os.environ["USE_TF"] = "1"
    names = ["BertForPreTraining", "BertForQuestionAnswering", "RobertaForMaskedLM", "XLMRobertaForSequenceClassification",
             "CamembertForTokenClassification", "ElectraForMaskedLM", "ElectraForSequenceClassification", "DistilBertForMaskedLM",
             "AlbertForPreTraining", "MobileBertForPreTraining", "MobileBertForSequenceClassification", "MPNetForMaskedLM"]  # fmt: skip
    for seed, name in enumerate(names):
        # Two layers: only the second has a number.
        layers = {"n_layers": 2} if name.startswith("DistilBert") else {"num_hidden_layers": 2}
        model, config, given, found = keras_class(name, 960 + seed, **layers)
        target = folder / f"weights-{name}"
        target.mkdir()
        write(target, config, given, found)
        model.save_weights(target / "model.weights.h5")
    # With the state of an optimizer.
    model, config, given, found = keras_class("BertForSequenceClassification", 990, num_hidden_layers=2)
    model.compile(optimizer="adam", loss=lambda labels, logits: logits)
    model.fit(given, np.zeros(len(IDS)), epochs=1, verbose=0)
    outputs = model(given)
    target = folder / "keras-BertForSequenceClassification"
    target.mkdir()
    write(target, config, given, {"logits": outputs.logits})
    model.save(target / "model.keras")


@fixture("programs/garden", alone=True)
def garden(folder):
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf
    from official.nlp.modeling import networks

    sizes = {"vocab_size": 31, "hidden_size": 8, "num_attention_heads": 2, "max_sequence_length": 12, "type_vocab_size": 2}
    config = {key: value for key, value in SIZES.items()} | {"hidden_act": "gelu"}
    given = inputs()
    words = {"input_word_ids": given["input_ids"], "input_mask": given["attention_mask"], "input_type_ids": TYPES}
    bert = networks.BertEncoder(**sizes, num_layers=1, intermediate_size=12, dropout_rate=0.0, attention_dropout_rate=0.0)
    randomize(bert, np.random.default_rng(931))
    hidden, pooled = bert([words["input_word_ids"], words["input_mask"], words["input_type_ids"]])
    target = folder / "h5-bert"
    target.mkdir()
    bert.save_weights(target / "bert.h5")
    write(target, config, given, {"last_hidden_state": hidden, "pooler_output": pooled})
    albert = networks.AlbertEncoder(**sizes, embedding_width=6, num_layers=3, intermediate_size=12, dropout_rate=0.0, attention_dropout_rate=0.0)
    randomize(albert, np.random.default_rng(932))
    hidden, pooled = albert([words["input_word_ids"], words["input_mask"], words["input_type_ids"]])
    target = folder / "checkpoint-albert"
    target.mkdir()
    tf.train.Checkpoint(encoder=albert).write(str(target / "bert_model.ckpt-1"))
    albert_config = config | {"num_hidden_layers": 3, "embedding_size": 6, "num_hidden_groups": 1, "inner_group_num": 1}
    write(target, albert_config, given, {"last_hidden_state": hidden, "pooler_output": pooled})


@fixture("programs/keras-hub", alone=True)
def keras_hub_backbones(folder):
    os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        import keras_hub
        from keras_hub.src.models.electra.electra_backbone import ElectraBackbone
    except ImportError:
        return
    models = keras_hub.models
    sizes = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 12, "dropout": 0.0, "max_sequence_length": 12}
    kinds = [
        ("h5-bert", models.BertBackbone, {"vocabulary_size": 31}),
        ("weights-albert", models.AlbertBackbone, {"vocabulary_size": 31, "embedding_dim": 6, "num_layers": 3}),
        ("h5-electra", ElectraBackbone, {"vocab_size": 31, "embedding_dim": 6}),
        ("weights-electra", ElectraBackbone, {"vocab_size": 31, "embedding_dim": 6}),
        ("weights-distilbert", models.DistilBertBackbone, {"vocabulary_size": 31}),
        ("weights-roberta", models.RobertaBackbone, {"vocabulary_size": 31}),
        ("h5-roberta", models.RobertaBackbone, {"vocabulary_size": 31}),
    ]
    import keras

    for seed, (name, kind, more) in enumerate(kinds):
        keras.utils.clear_session()
        model = kind(**{**sizes, **more})
        randomize(model, np.random.default_rng(940 + seed))
        has_types = "roberta" not in name and "distilbert" not in name
        given = inputs(types=has_types)
        words = {"token_ids": given["input_ids"], "padding_mask": given["attention_mask"]}
        outputs = model(words | ({"segment_ids": TYPES} if has_types else {}))
        found = {"last_hidden_state": outputs["sequence_output"] if isinstance(outputs, dict) else outputs}
        if name.endswith("bert") and isinstance(outputs, dict):
            found["pooler_output"] = outputs["pooled_output"]
        target = folder / name
        target.mkdir()
        write(target, keras.saving.serialize_keras_object(model), given, found)
        if name.startswith("h5"):
            # What keras-hub's users have: the weights alone.
            model.save(target / "whole.h5")
            shutil.move(target / "whole.h5", target / "model.h5")
        else:
            model.save_weights(target / "model.weights.h5")


@fixture("programs/bert4keras", alone=True)
def bert4keras_models(folder):
    os.environ["TF_KERAS"] = os.environ["TF_USE_LEGACY_KERAS"] = "1"
    try:
        import tensorflow as tf
        import tf_keras

        # It asks for the version there.
        tf.keras.__version__ = tf_keras.__version__
        from bert4keras.models import build_transformer_model
    except ImportError:
        return
    config = SIZES | {"hidden_act": "gelu", "hidden_dropout_prob": 0.1, "initializer_range": 0.02}
    target = folder / "h5-mlm"
    target.mkdir()
    (target / "config.json").write_text(json.dumps(config))
    model = build_transformer_model(str(target / "config.json"), with_mlm=True, with_pool=True)
    randomize(model, np.random.default_rng(960))
    model.save_weights(target / "best_model.h5")
    # Without padding, which it masks by a special id.
    ids, types = IDS[1:], TYPES[1:]
    outputs = model.predict([ids, types])
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types}
    write(target, config, given, {} if not isinstance(outputs, list) else {"pooler_output": outputs[0]})


@fixture("programs/uer", alone=True)
def uer_models(folder):
    """UER-py is no package: its folder must be the current one and on the path."""
    try:
        from uer.embeddings import Embedding, str2embedding
        from uer.encoders import str2encoder
        from uer.models.model import Model
        from uer.targets import Target, str2target
    except (ImportError, FileNotFoundError):
        return
    import types

    import torch

    config = {"emb_size": 8, "hidden_size": 8, "feedforward_size": 12, "hidden_act": "gelu", "heads_num": 2, "layers_num": 2,
              "max_seq_length": 12, "dropout": 0.0, "mask": "fully_visible", "embedding": ["word", "pos", "seg"],
              "encoder": "transformer", "target": ["mlm", "sp"], "tie_weights": True}  # fmt: skip
    usual = {"parameter_sharing": False, "factorized_embedding_parameterization": False, "layernorm_positioning": "post",
             "relative_position_embedding": False, "has_residual_attention": False, "remove_transformer_bias": False,
             "remove_attention_scale": False, "remove_embedding_layernorm": False, "feed_forward": "dense", "layernorm": "normal"}  # fmt: skip
    arguments = types.SimpleNamespace(**config, **usual)
    torch.manual_seed(970)
    embedding, target = Embedding(arguments), Target()
    for name in arguments.embedding:
        embedding.update(str2embedding[name](arguments, 31), name)
    for name in arguments.target:
        target.update(str2target[name](arguments, 31), name)
    model = Model(arguments, embedding, str2encoder["transformer"](arguments), None, None, target).eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, 1.0 if "gamma" in name else 0.0, 0.1 if "norm" in name else 0.3)
    segments = np.where(IDS == 0, 0, TYPES + 1)
    with torch.no_grad():
        seg = torch.tensor(segments)
        hidden = model.encoder(model.embedding(torch.tensor(IDS), seg), seg)
        mlm, sp = model.target.mlm, model.target.sp
        words = mlm.linear_2(mlm.layer_norm(mlm.act(mlm.linear_1(hidden))))
        pooled = torch.tanh(sp.linear_1(hidden[:, 0]))
        pairs = sp.linear_2(pooled)
    here = folder / "torch-mlm-sp"
    here.mkdir()
    torch.save(model.state_dict(), here / "model.bin")
    given = {"input_ids": IDS, "attention_mask": (IDS != 0).astype("i8"), "token_type_ids": segments}
    outputs = {"last_hidden_state": hidden, "pooler_output": pooled, "prediction_logits": words, "seq_relationship_logits": pairs}
    write(here, config, given, outputs)


class CheckpointState(NamedTuple):
    """As in facebookresearch/DPR dpr/utils/model_utils.py; the trainers save its `_asdict()`."""

    model_dict: dict
    optimizer_dict: dict
    scheduler_dict: dict
    offset: int
    epoch: int
    encoder_params: dict


@fixture("programs/dpr")
def dpr_models(folder):
    """The classes of transformers, and both forms of DPR's own .cp, whose modules are transformers' BERT with its pooler."""
    import torch
    import transformers
    from torch import nn
    from transformers import BertConfig, BertModel, DPRConfig

    def state(model, epoch):
        optimizer = torch.optim.AdamW([next(model.parameters())])
        sum(p.sum() for p in optimizer.param_groups[0]["params"]).backward()
        optimizer.step()
        params = {"encoder_model_type": "hf_bert", "sequence_length": 12}
        return CheckpointState(model.state_dict(), optimizer.state_dict(), {"last_epoch": epoch}, 0, epoch, params)._asdict()

    def randomize_torch(model):
        for name, parameter in model.named_parameters():
            is_norm = "LayerNorm" in name
            nn.init.normal_(parameter, 1.0 if is_norm and name.endswith("weight") else 0.0, 0.1 if is_norm else 0.3)
        return model.eval()

    given = inputs()
    tensors = {key: torch.tensor(value) for key, value in given.items()}
    for seed, name in enumerate(["DPRQuestionEncoder", "DPRContextEncoder", "DPRReader"]):
        torch.manual_seed(980 + seed)
        config = DPRConfig(**SIZES, hidden_act="gelu")
        model = randomize_torch(getattr(transformers, name)(config))
        arguments = dict(tensors)
        if name == "DPRReader":
            # It has no token types.
            del arguments["token_type_ids"]
        with torch.no_grad():
            found = model(**arguments)
        target = folder / f"transformers-{name}"
        model.save_pretrained(target, safe_serialization=False)
        keys = [*OUTPUTS, "relevance_logits"]
        outputs = {key: found[key] for key in keys if key in found}
        write(target, json.loads((target / "config.json").read_text()), {key: given[key] for key in arguments}, outputs)

    config = BertConfig(**SIZES)
    torch.manual_seed(990)
    pair = randomize_torch(nn.ModuleDict({name: BertModel(config) for name in ["question_model", "ctx_model"]}))
    reader = nn.Module()
    reader.encoder, reader.qa_outputs, reader.qa_classifier = BertModel(config), nn.Linear(8, 2), nn.Linear(8, 1)
    reader = randomize_torch(reader)
    states = {name: state(model, epoch) for epoch, (name, model) in enumerate([("pair", pair), ("reader", reader)])}
    with torch.no_grad():
        for kind, model in [("Question", pair["question_model"]), ("Context", pair["ctx_model"])]:
            target = folder / f"cp-{kind.lower()}"
            target.mkdir()
            torch.save(states["pair"], target / "dpr_biencoder.cp")
            hidden = model(**tensors).last_hidden_state
            settings = config.to_diff_dict() | {"model_type": "dpr", "architectures": [f"DPR{kind}Encoder"]}
            write(target, settings, given, {"last_hidden_state": hidden, "pooler_output": hidden[:, 0]})
        target = folder / "cp-reader"
        target.mkdir()
        torch.save(states["reader"], target / "dpr_reader.cp")
        hidden = reader.encoder(**tensors).last_hidden_state
        start, end = reader.qa_outputs(hidden).split(1, dim=-1)
        outputs = {"last_hidden_state": hidden, "start_logits": start.squeeze(-1), "end_logits": end.squeeze(-1),
                   "relevance_logits": reader.qa_classifier(hidden[:, 0]).squeeze(-1)}  # fmt: skip
        write(target, config.to_diff_dict() | {"model_type": "dpr", "architectures": ["DPRReader"]}, given, outputs)


@fixture("programs/farm", alone=True)
def farm_models(folder):
    """Encoders of transformers with heads of FARM 0.8.0, as `AdaptiveModel.save` writes them, and what FARM computes with them.

    FARM must be on the path (`pip install --no-deps farm==0.8.0`). Its packages for training are old: what the heads import of them
    and do not use is replaced by mocks.
    """
    import sys
    from unittest import mock

    import torch
    import transformers

    unused = ["mlflow", "dotmap", "pandas", "sklearn", "sklearn.cluster", "sklearn.decomposition", "sklearn.metrics", "seqeval",
              "seqeval.metrics", "scipy", "scipy.stats", "dill", "farm.utils", "farm.modeling.predictions"]  # fmt: skip
    mocks = {name: mock.MagicMock() for name in unused} | {"farm.data_handler.utils": mock.MagicMock(is_json=is_json)}
    import torch._dynamo  # which looks at the modules that are there
    import transformers.models.bert.modeling_bert

    with mock.patch.dict(sys.modules, mocks):
        from farm.modeling import prediction_head

    kinds = {
        "Bert": ["QuestionAnsweringHead", "TextClassificationHead", "TokenClassificationHead", "BertLMHead"],
        "Roberta": ["TextClassificationHead", "TokenClassificationHead"],
        "XLMRoberta": ["QuestionAnsweringHead"],
        "Albert": ["TextClassificationHead"],
        "DistilBert": ["TokenClassificationHead"],
    }
    for number, (name, kind) in enumerate((name, kind) for name, all_kinds in kinds.items() for kind in all_kinds):
        torch.manual_seed(1010 + number)
        sizes = SIZES | SIZES_OF_OTHERS.get(name, {})
        config = getattr(transformers, name + "Config")(**sizes, architectures=[name + "ForMaskedLM"])
        encoder = getattr(transformers, name + "Model")(config)
        labels = ["O", "B-X", "I-X"]
        if kind == "BertLMHead":
            # With the other head of pretraining: FARM saves both.
            heads = [prediction_head.BertLMHead(8, SIZES["vocab_size"]), prediction_head.NextSentenceHead(layer_dims=[8, 2])]
            heads[0].decoder.weight = encoder.embeddings.word_embeddings.weight
        elif kind == "QuestionAnsweringHead":
            heads = [prediction_head.QuestionAnsweringHead(layer_dims=[8, 2])]
        elif kind == "TextClassificationHead":
            heads = [prediction_head.TextClassificationHead(layer_dims=[8, 3], class_weights=[0.5, 1.0, 2.0], label_list=labels)]
        else:
            heads = [prediction_head.TokenClassificationHead(layer_dims=[8, 3])]
            heads[0].label_list = labels
        for module in [encoder, *heads]:
            for parameter_name, parameter in module.named_parameters():
                if parameter_name in ("loss_fct.weight", "temperature_for_confidence"):
                    continue
                is_norm = "norm" in parameter_name.lower()
                torch.nn.init.normal_(parameter, 1.0 if is_norm and "weight" in parameter_name else 0.0, 0.1 if is_norm else 0.3)
            module.eval()
        target = folder / f"torch-{name}-{kind}"
        target.mkdir()
        # LanguageModel.save and save_config.
        torch.save(encoder.state_dict(), target / "language_model.bin")
        config.name, config.language = name, "english"
        (target / "language_model_config.json").write_text(config.to_json_string())
        for index, head in enumerate(heads):
            head.save(target, index)
        given = inputs(config.pad_token_id or 0, name in ("Bert", "Albert"))
        tensors = {key: torch.tensor(value) for key, value in given.items()}
        with torch.no_grad():
            found = encoder(**tensors)
            outputs = {"last_hidden_state": found.last_hidden_state}
            if kind == "BertLMHead":
                outputs["prediction_logits"] = heads[0](found.last_hidden_state)
                outputs["seq_relationship_logits"] = heads[1](found.pooler_output)
            elif kind == "QuestionAnsweringHead":
                start, end = heads[0](found.last_hidden_state).split(1, dim=-1)
                outputs |= {"start_logits": start.squeeze(-1), "end_logits": end.squeeze(-1)}
            else:
                outputs["logits"] = heads[0](found.pooler_output if kind == "TextClassificationHead" else found.last_hidden_state)
        arrays = {key: np.asarray(value) for key, value in (given | outputs).items()}
        np.savez(target / "reference.npz", **arrays)


def is_json(value):
    """As FARM has it: whether a value of a head goes into its config."""
    try:
        json.dumps(value)
        return True
    except TypeError:
        return False


@fixture("programs/albert-zh", alone=True)
def albert_zh_model(folder):
    """albert_zh is no package: its folder must be on the path. Its modeling.py is for TensorFlow 1, whose names are put in place."""
    import sys
    import types

    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow

    tf = tensorflow.compat.v1
    tf.disable_eager_execution()

    def layer_norm(inputs, begin_norm_axis, begin_params_axis, scope):
        """tf.contrib.layers.layer_norm, which TensorFlow 2 lacks: its epsilon is 1e-12."""
        with tf.variable_scope(scope, "LayerNorm"):
            beta = tf.get_variable("beta", inputs.shape[-1:], initializer=tf.zeros_initializer())
            gamma = tf.get_variable("gamma", inputs.shape[-1:], initializer=tf.ones_initializer())
        mean, variance = tf.nn.moments(inputs, [-1], keepdims=True)
        return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, 1e-12)

    tf.contrib = types.SimpleNamespace(layers=types.SimpleNamespace(layer_norm=layer_norm))
    sys.modules["tensorflow"] = tf
    try:
        import modeling
    except ImportError:
        return
    finally:
        sys.modules["tensorflow"] = tensorflow
    settings = {**SIZES, "num_hidden_layers": 3, "embedding_size": 6, "hidden_act": "gelu", "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0, "ln_type": "postln"}  # fmt: skip
    config = modeling.BertConfig.from_dict(settings)
    given = inputs()
    ids, mask, types_ = (tf.constant(given[key], tf.int32) for key in ["input_ids", "attention_mask", "token_type_ids"])
    model = modeling.BertModel(config, False, ids, mask, types_, use_one_hot_embeddings=False)
    # run_pretraining.py, get_masked_lm_output and get_next_sentence_output, for all positions
    with tf.variable_scope("cls/predictions"):
        with tf.variable_scope("transform"):
            words = tf.layers.dense(model.get_sequence_output(), 8, activation=modeling.get_activation("gelu"))
            words = modeling.layer_norm(words)
        bias = tf.get_variable("output_bias", [31])
        words = tf.tensordot(words, tf.transpose(model.get_embedding_table_2()), 1)
        words = tf.tensordot(words, tf.transpose(model.get_embedding_table()), 1) + bias
    with tf.variable_scope("cls/seq_relationship"):
        weights, bias = tf.get_variable("output_weights", [2, 8]), tf.get_variable("output_bias", [2])
        pairs = tf.matmul(model.get_pooled_output(), weights, transpose_b=True) + bias
    here = folder / "tf1-pretraining"
    here.mkdir()
    rng = np.random.default_rng(995)
    with tf.Session() as session:
        for variable in tf.global_variables():
            is_norm, shape = "LayerNorm" in variable.name, variable.shape.as_list()
            value = rng.normal(1.0 if "gamma" in variable.name else 0.0, 0.1 if is_norm else 0.3, shape)
            variable.load(value.astype("f4"), session)
        tf.train.Saver().save(session, str(here / "albert_model.ckpt"), write_meta_graph=False, write_state=False)
        keys = ["last_hidden_state", "pooler_output", "prediction_logits", "seq_relationship_logits"]
        found = session.run([model.get_sequence_output(), model.get_pooled_output(), words, pairs])
    write(here, settings, given, dict(zip(keys, found)))
