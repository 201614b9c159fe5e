#!/usr/bin/env python3
"""Writes Tests/Fixtures/training-state: the names of what programs save next to a model's weights.

usage: Scripts/training_state_names.py [GROUP ...]        all groups, unless some are named

Each file describes one framework. It lists writers, and for each writer the tensors of its training state as bertconv's
readers name them. `{weight}` stands for the name of any weight, so that a test can insert the names of any model.

    {"framework": "tf1", "writers": [{
       "writer": "AdamOptimizer",                what made the state
       "program": "TensorFlow 1",                the program that saved it
       "source": "https://…",                    the code that chooses the names
       "observed": true,                         true: the writer was run for this list; false: read in its source
       "separate": true,                         only where the state is a file of its own, without weights
       "weight": "{weight}",                     the name of a weight in the same file
       "tensors": {"{weight}/Adam": ["F32", "weight"], "beta1_power": ["F32"]}}]}

A tensor is a list of its element type, as safetensors names it, and its dimensions. "weight" stands for all dimensions of the weight, "rows" and
"columns" for those of a matrix, and "elements" for the number of its elements.
"""

import json
import os
import pathlib
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "Tests/Fixtures/training-state"
ROWS, COLUMNS = 6, 4
TYPES = {
    "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64", "int8": "I8", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint32": "U32", "bool": "BOOL", "string": "STRING", "object": "STRING",
}  # fmt: skip

TENSORFLOW = "https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/python"
MODELS = "https://github.com/tensorflow/models/blob/v2.20.0/official/modeling/optimization"
NVIDIA = "https://github.com/NVIDIA/DeepLearningExamples/blob/master"
KERAS_2 = "https://github.com/keras-team/tf-keras/blob/v2.21.0/tf_keras"
KERAS_3 = "https://github.com/keras-team/keras/blob/master/keras/src"
TORCH = "https://github.com/pytorch/pytorch/blob/v2.13.0/torch"
GROUPS = {}


def group(name):
    def register(function):
        GROUPS[name] = function
        return function

    return register


def dimensions(shape):
    """A shape in symbols: of the weight [ROWS, COLUMNS] or of the bias [COLUMNS]."""
    shape = list(shape)
    if shape == [ROWS, COLUMNS]:
        return ["weight"]
    return [{ROWS: "rows", COLUMNS: "columns", ROWS * COLUMNS: "elements"}.get(one, one) for one in shape]


def tensor(dtype, shape):
    return [TYPES[str(dtype).removeprefix("torch.").removeprefix("<dtype: '").removesuffix("'>")], *dimensions(shape)]


F32 = ["F32"]
I64 = ["I64"]
I32 = ["I32"]
BYTES = ["U8", 5056]
WEIGHT = ["F32", "weight"]


def writer(name, program, source, tensors, *, observed, weight="{weight}", separate=False):
    entry = {"writer": name, "program": program, "source": source, "observed": observed}
    if separate:
        entry["separate"] = True
    return entry | {"weight": weight, "tensors": dict(sorted(tensors.items()))}


def per_weight(*suffixes, **others):
    """State with a tensor of the weight's shape for each of the suffixes."""
    return {"{weight}" + suffix: WEIGHT for suffix in suffixes} | others


# ------------------------------------------------------------------------------------------------- TensorFlow 1


def saved_names(prefix, weights):
    """The tensors of a TensorFlow checkpoint except the weights themselves; `weights` are the names of weights."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(prefix))
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    return {name: tensor(types[name].name, shapes[name]) for name in shapes if name not in weights}


def tensorflow_1(optimizer, averages=False, scope=None, times=1):
    """What tf.compat.v1.train.Saver saves for a weight that the optimizer has moved."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session, tempfile.TemporaryDirectory() as folder:
        weight = v1.get_variable("WEIGHT", [ROWS, COLUMNS], initializer=v1.ones_initializer())
        step = v1.train.get_or_create_global_step()
        loss = tf.reduce_sum(weight**2)
        with v1.variable_scope(scope) if scope else v1.variable_scope(v1.get_variable_scope()):
            for _ in range(times):
                optimizer(v1).minimize(loss, global_step=step, var_list=[weight])
            if averages:
                tf.train.ExponentialMovingAverage(0.9, num_updates=step).apply([weight])
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, folder + "/model.ckpt", write_meta_graph=False)
        names = saved_names(folder + "/model.ckpt", {"WEIGHT"})
    return {name.replace("WEIGHT", "{weight}"): value for name, value in names.items()}


@group("tf1")
def tf1():
    training = TENSORFLOW + "/training"
    optimizers = {
        "AdamOptimizer": ("adam.py", lambda v1: v1.train.AdamOptimizer(0.1)),
        "MomentumOptimizer": ("momentum.py", lambda v1: v1.train.MomentumOptimizer(0.1, 0.9)),
        "RMSPropOptimizer": ("rmsprop.py", lambda v1: v1.train.RMSPropOptimizer(0.1, momentum=0.9)),
        "RMSPropOptimizer, centered": ("rmsprop.py", lambda v1: v1.train.RMSPropOptimizer(0.1, centered=True)),
        "AdagradOptimizer": ("adagrad.py", lambda v1: v1.train.AdagradOptimizer(0.1)),
        "AdagradDAOptimizer": (
            "adagrad_da.py",
            lambda v1: v1.train.AdagradDAOptimizer(0.1, v1.train.get_or_create_global_step()),
        ),
        "AdadeltaOptimizer": ("adadelta.py", lambda v1: v1.train.AdadeltaOptimizer(0.1)),
        "FtrlOptimizer": ("ftrl.py", lambda v1: v1.train.FtrlOptimizer(0.1)),
        "GradientDescentOptimizer": ("gradient_descent.py", lambda v1: v1.train.GradientDescentOptimizer(0.1)),
        "ProximalAdagradOptimizer": ("proximal_adagrad.py", lambda v1: v1.train.ProximalAdagradOptimizer(0.1)),
        "AdamOptimizer in a mixed-precision rewrite": (
            "experimental/loss_scale_optimizer.py",
            lambda v1: v1.mixed_precision.MixedPrecisionLossScaleOptimizer(
                v1.train.AdamOptimizer(0.1), v1.mixed_precision.DynamicLossScale()
            ),
        ),
    }
    program = "TensorFlow 1, tf.train.Saver"
    lists = [
        writer(name, program, f"{training}/{file}", tensorflow_1(make), observed=True)
        for name, (file, make) in optimizers.items()
    ]
    adam = optimizers["AdamOptimizer"][1]
    lists += [
        writer("AdamOptimizer in a variable scope", program, training + "/slot_creator.py",
               tensorflow_1(adam, scope="training"), observed=True),
        writer("two AdamOptimizers", program, training + "/slot_creator.py", tensorflow_1(adam, times=2), observed=True),
        writer("ExponentialMovingAverage", program, training + "/moving_averages.py",
               tensorflow_1(adam, averages=True), observed=True),
    ]  # fmt: skip

    adam_m = per_weight("/adam_m", "/adam_v", global_step=I64)
    slots = per_weight
    powers = {"beta1_power": F32, "beta2_power": F32, "global_step": I64}
    contrib = "https://github.com/tensorflow/tensorflow/blob/v1.15.5/tensorflow/contrib"
    read = {
        "AdamWeightDecayOptimizer": (
            "google-research/bert, electra, albert; XLNet",
            "https://github.com/google-research/bert/blob/master/optimization.py",
            adam_m,
        ),
        "LAMBOptimizer of ALBERT": (
            "google-research/albert",
            "https://github.com/google-research/albert/blob/master/lamb_optimizer.py",
            adam_m,
        ),
        "LAMBOptimizer": (
            "ymcui/LAMB_Optimizer_TF, and NEZHA and RoBERTa-zh after it",
            "https://github.com/ymcui/LAMB_Optimizer_TF/blob/master/optimization.py",
            per_weight("/lamb_m", "/lamb_v", global_step=I64),
        ),
        "LAMBOptimizer with slots": (
            "NVIDIA Transformer-XL",
            NVIDIA + "/TensorFlow/LanguageModeling/Transformer-XL/tf/lamb.py",
            slots("/LAMB", "/LAMB_1") | powers,
        ),
        "LAMBOptimizer with slots of its class's name": (
            "forks of LAMB that keep the name of the class",
            "https://github.com/google-research/albert/blob/master/lamb_optimizer.py",
            slots("/LAMBOptimizer", "/LAMBOptimizer_1") | powers,
        ),
        "LARSOptimizer": (
            "TensorFlow 1, tf.contrib.opt",
            contrib + "/opt/python/training/lars_optimizer.py",
            slots("/LARSOptimizer", global_step=I64),
        ),
        "AdamWOptimizer": (
            "TensorFlow 1, tf.contrib.opt",
            contrib + "/opt/python/training/weight_decay_optimizers.py",
            slots("/AdamW", "/AdamW_1") | powers,
        ),
        "MomentumWOptimizer": (
            "TensorFlow 1, tf.contrib.opt",
            contrib + "/opt/python/training/weight_decay_optimizers.py",
            slots("/MomentumW", global_step=I64),
        ),
        "NadamOptimizer": (
            "TensorFlow 1, tf.contrib.opt",
            contrib + "/opt/python/training/nadam_optimizer.py",
            slots("/Nadam", "/Nadam_1") | powers,
        ),
        "AdaMaxOptimizer": (
            "TensorFlow 1, tf.contrib.opt",
            contrib + "/opt/python/training/adamax.py",
            slots("/AdaMax", "/AdaMax_1") | powers,
        ),
        "BERTAdam": (
            "BioBERT",
            "https://github.com/dmis-lab/biobert",
            slots("/BERTAdam", "/BERTAdam_1") | powers,
        ),
        "AdafactorOptimizer of Mesh TensorFlow": (
            "Mesh TensorFlow",
            "https://github.com/tensorflow/mesh/blob/master/mesh_tensorflow/optimize.py",
            {
                "{weight}_slot_vr": ["F32", "rows"],
                "{weight}_slot_vc": ["F32", "columns"],
                "{weight}_slot_v": WEIGHT,
                "{weight}_slot_m": WEIGHT,
                "global_step": I64,
            },
        ),
        "AdafactorOptimizer of Tensor2Tensor": (
            "Tensor2Tensor",
            "https://github.com/tensorflow/tensor2tensor/blob/master/tensor2tensor/utils/adafactor.py",
            {
                "{weight}/Adafactor": WEIGHT,
                "{weight}/Adafactor_1": ["F32", "rows"],
                "{weight}/Adafactor_2": ["F32", "columns"],
                "global_step": I64,
            },
        ),
        "AdafactorOptimizer of Grover": (
            "rowanz/grover",
            "https://github.com/rowanz/grover/blob/master/lm/optimization_adafactor.py",
            {
                "{weight}/adafactor_vr": ["F32", "rows"],
                "{weight}/adafactor_vc": ["F32", "columns"],
                "{weight}/adafactor_v": WEIGHT,
                "{weight}/adafactor_m": WEIGHT,
                "global_step": I64,
            },
        ),
        "loss scaling of tf.contrib": (
            "TensorFlow 1, tf.contrib.mixed_precision; NVIDIA BERT",
            contrib + "/mixed_precision/python/loss_scale_manager.py",
            adam_m | {"loss_scale": F32, "good_steps": I32, "bad_steps": I32},
        ),
        "loss scaling of TensorFlow 1.14": (
            "TensorFlow 1.14 and 1.15, enable_mixed_precision_graph_rewrite; NVIDIA BERT",
            "https://github.com/tensorflow/tensorflow/blob/v1.15.5/tensorflow/python/training/experimental/loss_scale.py",
            adam_m | {"current_loss_scale": F32, "good_steps": I64},
        ),
        "gradient accumulation and a copy in f32": (
            "NVIDIA BERT",
            NVIDIA + "/TensorFlow/LanguageModeling/BERT/optimization.py",
            adam_m | per_weight("/accum", "/shadow") | {"local_step": I32, "batch_finite": ["BOOL"]},
        ),
        "gradient accumulation of Tensorpack": (
            "Tensorpack, AccumGradOptimizer",
            "https://github.com/tensorpack/tensorpack/blob/master/tensorpack/tfutils/optimizer.py",
            slots("/AccumGrad") | {"AccumGrad/counter": I32, "global_step": I64},
        ),
        "gradient accumulation by hand": (
            "forks of BERT that accumulate gradients in variables",
            NVIDIA + "/TensorFlow/LanguageModeling/BERT/optimization.py",
            adam_m | per_weight("/accum_grad", "/accum_vars") | {"accum_step": I32, "local_step": I32},
        ),
        "Horovod's DistributedOptimizer": (
            "Horovod",
            "https://github.com/horovod/horovod/blob/master/horovod/tensorflow/gradient_aggregation.py",
            per_weight("/DistributedAdam_Optimizer", "/DistributedAdam_Optimizer_1", "/Adam", "/Adam_1")
            | powers
            | {
                "aggregation_variables/aggregation_counter": I32,
                "aggregation_variables/0": WEIGHT,
                "aggregation_variables_0/aggregation_counter": I32,
                "aggregation_variables_0/1": WEIGHT,
            },
        ),
    }
    return lists + [
        writer(name, program, source, tensors, observed=False) for name, (program, source, tensors) in read.items()
    ]


# ------------------------------------------------------------------------------------------------- TensorFlow 2

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def checkpoint(optimizer, **objects):
    """What tf.train.Checkpoint(model=, optimizer=, …) saves after a step."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        model = tf.Module()
        model.WEIGHT = tf.Variable(tf.ones([ROWS, COLUMNS]), name="WEIGHT")
        optimizer.apply_gradients([(tf.ones([ROWS, COLUMNS]), model.WEIGHT)])
        prefix = tf.train.Checkpoint(model=model, optimizer=optimizer, **objects).save(folder + "/ckpt")
        names = saved_names(prefix, {"model/WEIGHT" + VALUE})
    return {name.replace("model/WEIGHT", "{weight}"): value for name, value in names.items()}


@group("tf2")
def tf2():
    import keras
    import tensorflow as tf
    import tf_keras
    from official.modeling.optimization import ema_optimizer, lamb, lars, legacy_adamw

    legacy, keras_2 = tf_keras.optimizers.legacy, tf_keras.optimizers
    lists = []

    def add(name, program, source, optimizer, **objects):
        tensors = checkpoint(optimizer, **objects)
        lists.append(writer(name, program, source, tensors, observed=True, weight="{weight}" + VALUE))

    for name in ("Adam", "SGD", "RMSprop", "Adagrad", "Adadelta", "Adamax", "Nadam", "Ftrl"):
        options = {"SGD": {"momentum": 0.9}, "RMSprop": {"momentum": 0.9, "centered": True}, "Adam": {"amsgrad": True}}
        add(f"legacy {name}", "Keras 2 to 2.10, tf.train.Checkpoint", KERAS_2 + f"/optimizers/legacy/{name.lower()}.py",
            getattr(legacy, name)(0.1, **options.get(name, {})))  # fmt: skip
    names = ("Adam", "AdamW", "SGD", "RMSprop", "Adagrad", "Adadelta", "Adamax", "Nadam", "Ftrl", "Adafactor", "Lion")
    for name in names:
        options = {"SGD": {"momentum": 0.9}, "RMSprop": {"momentum": 0.9, "centered": True}, "Adam": {"amsgrad": True}}
        program = "Keras 2.11 and later, tf.train.Checkpoint"
        if hasattr(keras_2, name):
            add(name, program, KERAS_2 + f"/optimizers/{name.lower()}.py", getattr(keras_2, name)(0.1, **options.get(name, {})))
    add("AdamW with moving averages", "Keras 2.11 and later, tf.train.Checkpoint", KERAS_2 + "/optimizers/optimizer.py",
        keras_2.AdamW(0.1, use_ema=True))  # fmt: skip
    scaled = tf_keras.mixed_precision.LossScaleOptimizer
    source = KERAS_2 + "/mixed_precision/loss_scale_optimizer.py"
    add("LossScaleOptimizer of the legacy Adam", "Keras 2, tf.train.Checkpoint", source, scaled(legacy.Adam(0.1)))
    add("LossScaleOptimizer", "Keras 2, tf.train.Checkpoint", source, scaled(keras_2.Adam(0.1)))

    program = "TensorFlow Model Garden, tf.train.Checkpoint"
    step = {"global_step": tf.Variable(3, dtype=tf.int64)}
    add("AdamWeightDecay", program, MODELS + "/legacy_adamw.py", legacy_adamw.AdamWeightDecay(0.1), **step)
    add("LAMB", program, MODELS + "/lamb.py", lamb.LAMB(0.1), **step)
    add("LARS", program, MODELS + "/lars.py", lars.LARS(0.1), **step)
    averaged = ema_optimizer.ExponentialMovingAverage(legacy_adamw.AdamWeightDecay(0.1), trainable_weights_only=False)
    model = tf.Module()
    model.WEIGHT = tf.Variable(tf.ones([ROWS, COLUMNS]), name="WEIGHT")
    averaged.shadow_copy(model)
    with tempfile.TemporaryDirectory() as folder:
        averaged.apply_gradients([(tf.ones([ROWS, COLUMNS]), model.WEIGHT)])
        prefix = tf.train.Checkpoint(model=model, optimizer=averaged, **step).save(folder + "/ckpt")
        names = saved_names(prefix, {"model/WEIGHT" + VALUE})
    lists.append(
        writer("ExponentialMovingAverage of AdamWeightDecay", program, MODELS + "/ema_optimizer.py",
               {name.replace("model/WEIGHT", "{weight}"): value for name, value in names.items()},
               observed=True, weight="{weight}" + VALUE))  # fmt: skip

    program = "Keras 3 with TensorFlow, tf.train.Checkpoint"
    names = ("Adam", "AdamW", "SGD", "RMSprop", "Adagrad", "Adadelta", "Adamax", "Nadam", "Ftrl", "Adafactor", "Lion", "Lamb")
    for name in names:
        options = {"SGD": {"momentum": 0.9}, "RMSprop": {"momentum": 0.9, "centered": True}, "Adam": {"amsgrad": True}}
        lists.append(
            writer(name, program, KERAS_3 + f"/optimizers/{name.lower()}.py",
                   keras_3_checkpoint(getattr(keras.optimizers, name)(0.1, **options.get(name, {}))),
                   observed=True, weight="{weight}" + VALUE))  # fmt: skip
    others = {
        "AdamW with moving averages": keras.optimizers.AdamW(0.1, use_ema=True),
        "AdamW with accumulated gradients": keras.optimizers.AdamW(0.1, gradient_accumulation_steps=2),
        "LossScaleOptimizer": keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.1)),
    }
    for name, optimizer in others.items():
        lists.append(
            writer(name, program, KERAS_3 + "/optimizers/base_optimizer.py", keras_3_checkpoint(optimizer),
                   observed=True, weight="{weight}" + VALUE))  # fmt: skip

    for whole in (False, True):
        lists.append(
            writer("Model.save" if whole else "Model.save_weights", "Keras 2, the TensorFlow form", KERAS_2 + "/engine/training.py",
                   keras_2_model(whole), observed=True, weight="{weight}" + VALUE))  # fmt: skip
    electra = {"step": I32, "phase2": ["BOOL"], "save_counter": I64, "optimizer/iter": I64,
               "optimizer/loss_scale/current_loss_scale": F32, "optimizer/loss_scale/good_steps": I64,
               "optimizer/base_optimizer/iter": I64, "optimizer/base_optimizer/decay": F32,
               "train_iterator": ["STRING"], "world_size": I32, "rank": I32}  # fmt: skip
    lists.append(
        writer("checkpoint of the pretraining", "NVIDIA ELECTRA", NVIDIA + "/TensorFlow2/LanguageModeling/ELECTRA/run_pretraining.py",
               {name + VALUE: value for name, value in electra.items()}
               | {"{weight}/.OPTIMIZER_SLOT/optimizer/m" + VALUE: WEIGHT, "{weight}/.OPTIMIZER_SLOT/optimizer/v" + VALUE: WEIGHT,
                  "_CHECKPOINTABLE_OBJECT_GRAPH": ["STRING"]},
               observed=False, weight="{weight}" + VALUE))  # fmt: skip
    return lists


def keras_3_checkpoint(optimizer):
    """The same for an optimizer of Keras 3, whose slots do not mention the weight."""
    import keras
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        model = tf.Module()
        variable = keras.Variable(tf.ones([ROWS, COLUMNS]), name="WEIGHT")
        model.WEIGHT = variable.value
        optimizer.build([variable])
        optimizer.apply([tf.ones([ROWS, COLUMNS])])
        prefix = tf.train.Checkpoint(model=model, optimizer=optimizer).save(folder + "/ckpt")
        names = saved_names(prefix, {"model/WEIGHT" + VALUE})
    return {name.replace("model/WEIGHT", "{weight}"): value for name, value in names.items()}


def keras_2_model(whole):
    """What Keras 2 saves of a model in the TensorFlow form: a SavedModel, or the weights alone."""
    import tensorflow as tf
    import tf_keras

    with tempfile.TemporaryDirectory() as folder:
        model = tf_keras.Sequential([tf_keras.layers.Dense(COLUMNS, use_bias=False, input_shape=(ROWS,))])
        model.compile(tf_keras.optimizers.legacy.Adam(0.1), "mse", metrics=["accuracy"])
        model.fit(tf.ones([2, ROWS]), tf.ones([2, COLUMNS]), verbose=0)
        if whole:
            model.save(folder + "/model", save_format="tf")
            prefix = folder + "/model/variables/variables"
        else:
            prefix = folder + "/weights"
            model.save_weights(prefix, save_format="tf")
        names = saved_names(prefix, {"layer_with_weights-0/kernel" + VALUE})
    return {name.replace("layer_with_weights-0/kernel", "{weight}"): value for name, value in names.items()}


# ------------------------------------------------------------------------------------------------- Keras, HDF5


def datasets(path):
    """The datasets of an HDF5 file by their paths."""
    import h5py

    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = tensor(item.dtype.name, item.shape)

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


@group("keras")
def keras_files():
    import zipfile

    import keras
    import numpy as np
    import tf_keras

    lists = []
    data = np.ones([2, ROWS]), np.ones([2, COLUMNS])

    def trained(package, optimizer):
        package.backend.clear_session()  # The names of models are counted.
        model = package.Sequential([package.layers.Dense(COLUMNS, use_bias=False, name="dense")])
        model.compile(optimizer, "mse", metrics=["accuracy"])
        model.fit(*data, verbose=0)
        return model

    def add(name, program, source, model, suffix, weight):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/model{suffix}"
            model.save_weights(path) if suffix == ".weights.h5" else model.save(path)
            if suffix == ".keras":
                with zipfile.ZipFile(path) as archive:
                    path = archive.extract("model.weights.h5", folder)
            names = datasets(path)
        state = {one.replace("dense/kernel", "{weight}"): value for one, value in names.items() if one.startswith(("optimizer", "metrics"))}
        lists.append(writer(name, program, source, state, observed=True, weight=weight))

    for name in ("Adam", "SGD", "RMSprop", "Adadelta", "Nadam", "Ftrl"):
        options = {"SGD": {"momentum": 0.9}, "RMSprop": {"momentum": 0.9, "centered": True}}.get(name, {})
        source = KERAS_2 + "/saving/legacy/hdf5_format.py"
        old = getattr(tf_keras.optimizers.legacy, name)(0.1, **options)
        add(f"legacy {name}", "Keras 2 to 2.10, model.save(.h5)", source, trained(tf_keras, old), ".h5", "model_weights/{weight}")
        new = getattr(tf_keras.optimizers, name)(0.1, **options)
        add(name, "Keras 2.11 and later, model.save(.h5)", source, trained(tf_keras, new), ".h5", "model_weights/{weight}")
        source = KERAS_2 + "/saving/saving_lib.py"
        new = getattr(tf_keras.optimizers, name)(0.1, **options)
        add(name, "Keras 2.12 and later, model.save(.keras)", source, trained(tf_keras, new), ".keras", "{weight}")
    for name in ("Adam", "AdamW", "SGD", "Adafactor", "Lion", "Lamb"):
        options = {"SGD": {"momentum": 0.9}}.get(name, {})
        for suffix, weight in ((".h5", "model_weights/{weight}"), (".keras", "{weight}")):
            if name == "Adafactor" and suffix == ".h5":
                continue  # Keras gives two of its variables one name and cannot save them.
            model = trained(keras, getattr(keras.optimizers, name)(0.1, **options))
            add(name, f"Keras 3, model.save({suffix})", KERAS_3 + "/saving/saving_lib.py", model, suffix, weight)
    scaled = trained(keras, keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.1)))
    add("LossScaleOptimizer", "Keras 3, model.save(.keras)", KERAS_3 + "/saving/saving_lib.py", scaled, ".keras", "{weight}")

    names = ["Adam/iterations", "Adam/lr", "Adam/beta_1", "Adam/beta_2", "Adam/decay"]
    moments = ["training/Adam/Variable", "training/Adam/Variable_1"]
    lists.append(
        writer("Adam", "Keras 2.0 to 2.3 (keras-bert and others), model.save(.h5)",
               "https://github.com/keras-team/keras/blob/2.3.1/keras/engine/saving.py",
               {f"optimizer_weights/{name}:0": I64 if name == "Adam/iterations" else F32 for name in names}
               | {f"optimizer_weights/{name}:0": WEIGHT for name in moments}
               | {"optimizer_weights/training/AdamWarmup/{weight}/m:0": WEIGHT}, observed=False,
               weight="model_weights/{weight}"))  # fmt: skip
    return lists


# ------------------------------------------------------------------------------------------------- torch


def flattened(value, path=""):
    """The tensors of a tree of dictionaries and lists, under the keys joined with dots."""
    import torch

    if isinstance(value, torch.Tensor):
        return {path: tensor(value.dtype, value.shape)}
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    found = {}
    for key, child in pairs:
        found |= flattened(child, f"{path}.{key}" if path else str(key))
    return found


@group("torch")
def torch_files():
    import torch

    torch.manual_seed(0)
    lists = []

    def state(optimizer_class, **options):
        """The state of an optimizer after a step, of a bias and of the weight: parameters 0 and 3 of its list."""
        parameters = [torch.nn.Parameter(torch.ones(COLUMNS)) for _ in range(3)]
        parameters.append(torch.nn.Parameter(torch.ones(ROWS, COLUMNS)))
        if optimizer_class is getattr(torch.optim, "Muon", None):
            parameters = [torch.nn.Parameter(torch.ones(ROWS, COLUMNS)) for _ in range(4)]
        optimizer = optimizer_class(parameters, **options)

        @torch.enable_grad()
        def loss():
            optimizer.zero_grad()
            result = sum((parameter**2).sum() for parameter in parameters)
            result.backward()
            return result

        optimizer.step(loss)
        saved = optimizer.state_dict()
        return saved | {"state": {key: value for key, value in saved["state"].items() if key in (0, 3)}}

    optimizers = {
        "Adam": {"amsgrad": True}, "AdamW": {"amsgrad": True}, "SGD": {"lr": 0.1, "momentum": 0.9},
        "RMSprop": {"momentum": 0.9, "centered": True}, "Adagrad": {}, "Adadelta": {}, "Adamax": {}, "NAdam": {}, "RAdam": {},
        "Rprop": {}, "ASGD": {}, "LBFGS": {}, "Adafactor": {}, "Muon": {},
    }  # fmt: skip
    states = {name: state(getattr(torch.optim, name), **options) for name, options in optimizers.items()}
    for name, one in states.items():
        source = TORCH + f"/optim/{name.lower()}.py"
        lists.append(writer(name, "torch.save({'model': …, 'optimizer': …})", source,
                            flattened({"optimizer": one}), observed=True, weight="model.{weight}"))  # fmt: skip

    from transformers.optimization import Adafactor

    names = flattened({"optimizer": state(Adafactor)})
    lists.append(writer("Adafactor of transformers", "torch.save({'model': …, 'optimizer': …})",
                        "https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/optimization.py",
                        names, observed=True, weight="model.{weight}"))  # fmt: skip

    adam = state(torch.optim.AdamW)
    tutorials = "https://docs.pytorch.org/tutorials/beginner/saving_loading_models.html"
    for key, weight in (
        ("optimizer_state_dict", "model_state_dict.{weight}"), ("optim_state_dict", "model_state_dict.{weight}"),
        ("optimizer_state", "model_state.{weight}"), ("optim", "model.{weight}"), ("opt", "net.{weight}"),
        ("optim_dict", "state_dict.{weight}"), ("optimizers", "model.{weight}"),
    ):  # fmt: skip
        value = [adam] if key == "optimizers" else adam
        lists.append(writer(f"AdamW as '{key}'", "programs after the torch tutorial", tutorials, flattened({key: value}),
                            observed=True, weight=weight))  # fmt: skip

    scheduler = {"lr_lambdas": [None], "last_epoch": 3, "base_lrs": [0.1], "_last_lr": [torch.tensor(0.1)]}
    lists.append(
        writer("Trainer checkpoint", "PyTorch Lightning",
               "https://github.com/Lightning-AI/pytorch-lightning/blob/master/src/lightning/pytorch/trainer/connectors/checkpoint_connector.py",
               flattened({
                   "optimizer_states": [adam], "lr_schedulers": [scheduler],
                   "callbacks": {"ModelCheckpoint{'monitor': 'val_loss'}":
                                 {"best_model_score": torch.tensor(0.5), "current_score": torch.tensor(0.5),
                                  "best_k_models": {"epoch=1.ckpt": torch.tensor(0.5)}, "kth_value": torch.tensor(0.5)},
                                 "EarlyStopping{'monitor': 'val_loss'}": {"best_score": torch.tensor(0.5)}},
                   "loops": {"fit_loop": {"state_dict": {}, "epoch_loop.state_dict": {"_results": {"loss": torch.tensor(0.5)}}}},
                   "native_amp_scaling_state": {"scale": torch.tensor(1.0), "_growth_tracker": torch.tensor(0, dtype=torch.int32)},
                   "MixedPrecisionPlugin": {"scale": torch.tensor(1.0)}, "MixedPrecision": {"scale": torch.tensor(1.0)},
               }), observed=False, weight="state_dict.{weight}"))  # fmt: skip
    lists.append(
        writer("WeightAveraging", "PyTorch Lightning",
               "https://github.com/Lightning-AI/pytorch-lightning/blob/master/src/lightning/pytorch/callbacks/weight_averaging.py",
               {"averaging_state.n_averaged": I64, "current_model_state.{weight}": WEIGHT},
               observed=False, weight="state_dict.{weight}"))  # fmt: skip

    generator = torch.get_rng_state()
    lists += [
        writer("optimizer.pt", "transformers Trainer",
               "https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/trainer.py",
               flattened(adam), observed=True, separate=True),
        writer("rng_state.pth", "transformers Trainer",
               "https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/trainer.py",
               flattened({"cpu": generator, "cuda": [generator]}), observed=True, separate=True),
        writer("scheduler.pt", "transformers Trainer",
               "https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/trainer.py",
               flattened(scheduler), observed=False, separate=True),
        writer("random_states_0.pkl", "accelerate",
               "https://github.com/huggingface/accelerate/blob/main/src/accelerate/checkpointing.py",
               flattened({"torch_manual_seed": generator, "torch_cuda_manual_seed": [generator]}), observed=True, separate=True),
        writer("GradScaler and a scheduler", "programs that keep the scaler's and the scheduler's numbers as tensors",
               TORCH + "/amp/grad_scaler.py",
               {"scaler.scale": F32, "scaler.growth_tracker": I32, "scaler._growth_tracker": I32, "grad_scaler.scale": F32,
                "scaler_state_dict.scale": F32, "amp_scaler.scale": F32, "scheduler._last_lr.0": F32,
                "lr_scheduler._last_lr.0": F32, "scheduler_state_dict.last_epoch": I64, "lr_schedulers.0._last_lr.0": F32,
                "epoch": I64, "step": I64, "global_step": I64, "iteration": I64, "best_loss": F32, "best_score": F32,
                "loss": F32, "rng_state": BYTES, "torch_rng_state": BYTES, "cuda_rng_state": ["U8", 16],
                "cuda_rng_state.0": ["U8", 16], "cuda_rng_state_all.0": ["U8", 16]},
               observed=False, weight="model.{weight}"),
        writer("amp.state_dict()", "NVIDIA apex",
               "https://github.com/NVIDIA/apex/blob/master/apex/amp/frontend.py",
               {"amp.loss_scaler0.loss_scale": F32, "amp.loss_scaler0.unskipped": I64}
               | flattened({"optimizer": adam}), observed=False, weight="model.{weight}"),
        writer("FP16_Optimizer", "NVIDIA apex",
               "https://github.com/NVIDIA/apex/blob/master/apex/contrib/optimizers/fp16_optimizer.py",
               flattened({"optimizer": {"cur_scale": torch.tensor(1.0), "optimizer_state_dict": adam}})
               | {"optimizer.fp32_groups.0.0": WEIGHT, "optimizer.fp32_from_fp16.0.0": WEIGHT,
                  "optimizer.fp32_groups_flat.0": ["F32", "elements"]}, observed=False, weight="model.{weight}"),
        writer("pretraining checkpoint", "NVIDIA BERT for torch",
               NVIDIA + "/PyTorch/LanguageModeling/BERT/run_pretraining.py",
               flattened({"optimizer": adam}) | {"master params.0": WEIGHT, "grad_scaler.scale": F32}, observed=False,
               weight="model.{weight}"),
        writer("mp_rank_00_model_states.pt, FP16_Optimizer", "DeepSpeed",
               "https://github.com/microsoft/DeepSpeed/blob/master/deepspeed/runtime/fp16/fused_optimizer.py",
               flattened({"optimizer": {"optimizer_state_dict": adam}, "lr_scheduler": scheduler})
               | {"optimizer.fp32_groups_flat.0": ["F32", "elements"], "optimizer.fp32_groups.0.0": WEIGHT}, observed=False,
               weight="module.{weight}"),
        writer("mp_rank_00_model_states.pt, BF16_Optimizer", "DeepSpeed",
               "https://github.com/microsoft/DeepSpeed/blob/master/deepspeed/runtime/bf16_optimizer.py",
               flattened({"optimizer": {"base_optimizer_state": adam}})
               | {"optimizer.single_partition_of_fp32_groups.0": ["F32", "elements"]}, observed=False,
               weight="module.{weight}"),
        writer("zero_pp_rank_0_mp_rank_00_optim_states.pt, stages 1 and 2", "DeepSpeed",
               "https://github.com/microsoft/DeepSpeed/blob/master/deepspeed/runtime/zero/stage_1_and_2.py",
               flattened({"optimizer_state_dict": {"base_optimizer_state": adam, "loss_scaler": {"cur_scale": torch.tensor(1.0)}}})
               | {"optimizer_state_dict.single_partition_of_fp32_groups.0": ["F32", "elements"]}, observed=False, separate=True),
        writer("zero_pp_rank_0_mp_rank_00_optim_states.pt, stage 3", "DeepSpeed",
               "https://github.com/microsoft/DeepSpeed/blob/master/deepspeed/runtime/zero/stage3.py",
               flattened({"optimizer_state_dict": {"optimizer_state_dict": adam}})
               | {"optimizer_state_dict.fp32_flat_groups.0": ["F32", "elements"]}, observed=False, separate=True),
        writer("checkpoint", "fairseq",
               "https://github.com/facebookresearch/fairseq/blob/main/fairseq/trainer.py",
               flattened({"last_optimizer_state": adam | {"loss_scale": torch.tensor(1.0)},
                          "optimizer_history": [{"lr_scheduler_state": {"best": torch.tensor(0.5)}}],
                          "extra_state": {"best": torch.tensor(0.5), "metrics": {"train": [[0, "loss", {"val": torch.tensor(0.5)}]]}}})
               | {"extra_state.ema.{weight}": WEIGHT, "extra_state.ema_fp32_params.{weight}": WEIGHT}, observed=False,
               weight="model.{weight}"),
        writer("model_optim_rng.pt", "Megatron-LM",
               "https://github.com/NVIDIA/Megatron-LM/blob/main/megatron/training/checkpointing.py",
               flattened({"optimizer": {"optimizer": adam, "fp32_from_fp16_params": [[torch.ones(ROWS, COLUMNS)]],
                                        "grad_scaler": {"scale": torch.tensor([1.0]), "growth_tracker": torch.tensor(0),
                                                        "hysteresis_tracker": torch.tensor(2)}},
                          "rng_state": [{"torch_rng_state": generator, "cuda_rng_state": generator,
                                         "rng_tracker_states": {"model-parallel-rng": generator}}],
                          "opt_param_scheduler": {"max_lr": torch.tensor(0.1)}}), observed=False, weight="{weight}"),
        writer("model_optim_rng.pt of 2020", "Megatron-LM",
               "https://github.com/NVIDIA/Megatron-LM/blob/v2.0/megatron/checkpointing.py",
               flattened({"optimizer": {"optimizer_state_dict": adam, "fp32_from_fp16": [[torch.ones(ROWS, COLUMNS)]],
                                        "loss_scaler": {"cur_scale": torch.tensor(1.0)}},
                          "lr_scheduler": {"max_lr": torch.tensor(0.1)},
                          "torch_rng_state": generator, "cuda_rng_state": generator,
                          "rng_tracker_states": {"model-parallel-rng": generator}}), observed=False, weight="{weight}"),
        writer("model_ema", "torchvision's reference scripts",
               "https://github.com/pytorch/vision/blob/main/references/classification/train.py",
               flattened({"optimizer": adam, "lr_scheduler": scheduler})
               | {"model_ema.module.{weight}": WEIGHT, "model_ema.n_averaged": I64, "scaler.scale": F32}, observed=False,
               weight="model.{weight}"),
        writer("state_dict_ema", "timm",
               "https://github.com/huggingface/pytorch-image-models/blob/main/timm/utils/checkpoint_saver.py",
               flattened({"optimizer": adam}) | {"state_dict_ema.{weight}": WEIGHT, "amp_scaler.scale": F32}, observed=False,
               weight="state_dict.{weight}"),
        writer("ema", "programs with a moving average of the weights",
               TORCH + "/optim/swa_utils.py",
               {"ema.{weight}": WEIGHT, "ema_model.{weight}": WEIGHT, "model_ema.{weight}": WEIGHT, "ema_state_dict.{weight}": WEIGHT,
                "ema.shadow_params.0": WEIGHT, "ema.collected_params.0": WEIGHT}, observed=False, weight="model.{weight}"),
    ]  # fmt: skip
    return lists


# ------------------------------------------------------------------------------------------------- Flax


@group("flax")
def flax_files():
    import flax
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax
    from flax.training import train_state
    from flax.training.dynamic_scale import DynamicScale

    lists = []

    def leaves(value, path=""):
        if isinstance(value, dict):
            found = {}
            for key, child in value.items():
                found |= leaves(child, f"{path}/{key}" if path else str(key))
            return found
        return {path: tensor(value.dtype.name, value.shape)} if isinstance(value, (np.ndarray, jax.Array)) else {}

    def add(name, transform, state_class=train_state.TrainState, program="Flax, TrainState", source=None, **fields):
        state = state_class.create(
            apply_fn=None, params={"WEIGHT": jnp.ones([ROWS, COLUMNS])}, tx=transform, **fields
        )
        state = state.apply_gradients(grads={"WEIGHT": jnp.ones([ROWS, COLUMNS])})
        names = leaves(flax.serialization.to_state_dict(state))
        # A step that was read back from a checkpoint, or that lies on a device, is an array.
        names["step"] = ["I32"]
        names.pop("params/WEIGHT")
        names = {one.replace("WEIGHT", "{weight}"): value for one, value in names.items()}
        source = source or "https://github.com/google-deepmind/optax/tree/v0.2.8/optax"
        lists.append(writer(name, program, source, names, observed=True, weight="params/{weight}"))

    adamw = optax.adamw(0.1)
    schedule = optax.linear_schedule(0.1, 0.0, 10)
    for name, transform in {
        "adam": optax.adam(0.1), "adamw": adamw, "adamw with a schedule": optax.adamw(schedule),
        "adamw after clipping": optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule)),
        "sgd with momentum": optax.sgd(0.1, momentum=0.9), "lamb": optax.lamb(0.1), "lars": optax.lars(0.1),
        "adafactor": optax.adafactor(0.1, min_dim_size_to_factor=2), "lion": optax.lion(0.1), "adagrad": optax.adagrad(0.1),
        "rmsprop": optax.rmsprop(0.1, centered=True, momentum=0.9), "novograd": optax.novograd(0.1), "radam": optax.radam(0.1),
        "adamax": optax.adamax(0.1), "adabelief": optax.adabelief(0.1), "yogi": optax.yogi(0.1), "amsgrad": optax.amsgrad(0.1),
        "MultiSteps": optax.MultiSteps(adamw, 2), "masked": optax.masked(adamw, lambda tree: jax.tree.map(lambda _: True, tree)),
        "apply_if_finite": optax.apply_if_finite(adamw, 3), "lookahead's average": optax.chain(adamw, optax.ema(0.9)),
        "inject_hyperparams": optax.inject_hyperparams(optax.adamw)(learning_rate=0.1),
        "multi_transform": optax.multi_transform({"a": adamw}, lambda tree: jax.tree.map(lambda _: "a", tree)),
    }.items():  # fmt: skip
        add(name, transform)

    class WithKey(train_state.TrainState):
        dropout_rng: jax.Array

    class WithScale(train_state.TrainState):
        dynamic_scale: DynamicScale

    add("adamw with the key of dropout", adamw, WithKey, "transformers, examples/flax",
        "https://github.com/huggingface/transformers/blob/v4.57.6/examples/flax/question-answering/run_qa.py",
        dropout_rng=jax.random.PRNGKey(0))  # fmt: skip
    add("adamw with a dynamic loss scale", adamw, WithScale, "Flax, TrainState",
        "https://github.com/google/flax/blob/v0.12.8/flax/training/dynamic_scale.py",
        dynamic_scale=DynamicScale(fin_steps=jnp.int32(0), scale=jnp.float32(65536)))  # fmt: skip

    old = "https://github.com/google/flax/blob/v0.5.3/flax/optim"
    for name, file, state in (
        ("Adam of flax.optim", "adam.py", {"grad_ema": WEIGHT, "grad_sq_ema": WEIGHT}),
        ("Momentum of flax.optim", "momentum.py", {"momentum": WEIGHT}),
        ("LAMB of flax.optim", "lamb.py", {"grad_ema": WEIGHT, "grad_sq_ema": WEIGHT}),
        ("Adafactor of flax.optim", "adafactor.py",
         {"v": WEIGHT, "v_row": ["F32", "rows"], "v_col": ["F32", "columns"], "m": WEIGHT}),
    ):  # fmt: skip
        names = {"state/param_states/{weight}/" + key: value for key, value in state.items()} | {"state/step": I32}
        lists.append(writer(name, "Flax to 0.5", f"{old}/{file}", names, observed=False, weight="target/{weight}"))
    return lists


def text_of(framework, lists):
    """JSON with a tensor on each line."""
    parts = []
    for entry in lists:
        head = [f"   {json.dumps(key)}: {json.dumps(value)}" for key, value in entry.items() if key != "tensors"]
        tensors = [f"    {json.dumps(name)}: {json.dumps(value)}" for name, value in entry["tensors"].items()]
        parts.append("  {\n" + ",\n".join(head) + ',\n   "tensors": {\n' + ",\n".join(tensors) + "\n   }\n  }")
    return f'{{\n "framework": {json.dumps(framework)},\n "writers": [\n' + ",\n".join(parts) + "\n ]\n}\n"


def main(names):
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or GROUPS:
        lists = GROUPS[name]()
        (FOLDER / f"{name}.json").write_text(text_of(name, lists))
        print(f"{name}.json: {len(lists)} writers, {sum(len(one['tensors']) for one in lists)} tensors")


if __name__ == "__main__":
    if any(name.startswith("-") or name not in GROUPS for name in sys.argv[1:]):
        sys.exit(__doc__)
    main(sys.argv[1:])
