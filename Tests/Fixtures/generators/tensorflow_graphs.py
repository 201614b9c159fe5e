"""Graphs that compute a BERT, as TensorFlow 1 and 2 store them next to weights, and frozen ones with the weights inside.

The models are written out in the operators that google-research/bert (modeling.py) and the Keras models of `transformers`
leave in a graph; heads, epsilon and activation differ from what a converter would assume.
"""

import os
import pathlib

import google_layout
import numpy as np

from . import fixture

tf = google_layout.import_tensorflow()
v1 = tf.compat.v1

LAYERS, HIDDEN, INNER, VOCABULARY, POSITIONS = 2, 8, 12, 13, 10


def variable_of_session(rng):
    """Variables of TensorFlow 1, by name, each with random numbers that `feed` has for the session."""
    feed = {}

    def make(name, *shape):
        made = v1.get_variable(name, shape, initializer=v1.zeros_initializer(), use_resource=False)
        feed[made] = rng.normal(0, 0.3, shape).astype(np.float32)
        return made

    return make, feed


def gelu_tanh(x):
    return x * 0.5 * (1.0 + tf.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * tf.pow(x, 3))))


def gelu_erf(x):
    return x * 0.5 * (1.0 + tf.math.erf(x / tf.sqrt(2.0)))


def bert(variable, ids, heads, epsilon, activation, scope="bert"):
    """google-research/bert without dropout and mask; the batch is known only when it is run."""
    size = HIDDEN // heads
    batch, length = tf.shape(ids)[0], tf.shape(ids)[1]

    def dense(x, name, inputs, outputs):
        x = tf.matmul(tf.reshape(x, [-1, inputs]), variable(f"{name}/kernel", inputs, outputs))
        return tf.nn.bias_add(x, variable(f"{name}/bias", outputs))

    def norm(x, name):
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        beta, gamma = variable(f"{name}/beta", HIDDEN), variable(f"{name}/gamma", HIDDEN)
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)

    def split(x):
        return tf.transpose(tf.reshape(x, [batch, length, heads, size]), [0, 2, 1, 3])

    x = tf.gather(variable(f"{scope}/embeddings/word_embeddings", VOCABULARY, HIDDEN), ids)
    x += tf.gather(variable(f"{scope}/embeddings/token_type_embeddings", 2, HIDDEN), tf.zeros_like(ids))
    x += variable(f"{scope}/embeddings/position_embeddings", POSITIONS, HIDDEN)[:length]
    x = tf.reshape(norm(x, f"{scope}/embeddings/LayerNorm"), [-1, HIDDEN])
    for layer in range(LAYERS):
        name = f"{scope}/encoder/layer_{layer}"
        q, k, v = (split(dense(x, f"{name}/attention/self/{part}", HIDDEN, HIDDEN)) for part in ("query", "key", "value"))
        scores = tf.matmul(q, k, transpose_b=True) * (1.0 / np.sqrt(size))
        context = tf.reshape(tf.transpose(tf.matmul(tf.nn.softmax(scores), v), [0, 2, 1, 3]), [-1, HIDDEN])
        x = norm(x + dense(context, f"{name}/attention/output/dense", HIDDEN, HIDDEN), f"{name}/attention/output/LayerNorm")
        inner = activation(dense(x, f"{name}/intermediate/dense", HIDDEN, INNER))
        x = norm(x + dense(inner, f"{name}/output/dense", INNER, HIDDEN), f"{name}/output/LayerNorm")
    first = tf.reshape(x, [batch, length, HIDDEN])[:, 0]
    return tf.tanh(dense(first, f"{scope}/pooler/dense", HIDDEN, HIDDEN), name="pooled")


@fixture("tensorflow/graph-v1", alone=True)
def graph_v1(folder):
    """`model.ckpt.meta` with 4 heads of 2, the tanh form of gelu and epsilon 1e-5; and the same graph frozen."""
    with tf.Graph().as_default() as graph, v1.Session() as session:
        variable, feed = variable_of_session(np.random.default_rng(1))
        ids = v1.placeholder(tf.int32, [None, None], name="input_ids")
        pooled = bert(variable, ids, heads=4, epsilon=1e-5, activation=gelu_tanh)
        for made, value in feed.items():
            made.load(value, session)
        v1.train.Saver(save_relative_paths=True).save(session, str(folder / "model.ckpt"), write_state=False)
        frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), [pooled.op.name])
        # Equal numbers are stored once, in a typed field.
        node = frozen.node.add(name="ones", op="Const")
        node.attr["dtype"].type = tf.float32.as_datatype_enum
        node.attr["value"].tensor.dtype = tf.float32.as_datatype_enum
        node.attr["value"].tensor.tensor_shape.dim.add(size=3)
        node.attr["value"].tensor.tensor_shape.dim.add(size=2)
        node.attr["value"].tensor.float_val.extend([0.5, 1.0])
        (folder / "frozen.pb").write_bytes(frozen.SerializeToString(deterministic=True))


class Model(tf.Module):
    def __init__(self, heads, epsilon, activation, rng):
        super().__init__(name="model")
        self.heads, self.epsilon, self.activation = heads, epsilon, activation
        self.rng, self.made = rng, {}

    def variable(self, name, *shape):
        if name not in self.made:
            self.made[name] = tf.Variable(self.rng.normal(0, 0.3, shape).astype(np.float32), name=name)
        return self.made[name]

    def __call__(self, ids):
        return bert(self.variable, ids, self.heads, self.epsilon, self.activation)


def save(model, folder, call):
    signature = tf.TensorSpec([None, None], tf.int32, name="input_ids")
    model.serve = tf.function(call, input_signature=[signature])
    model.serve(tf.zeros([1, 4], tf.int32))
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})
    # It is different each time.
    os.remove(pathlib.Path(folder) / "fingerprint.pb")


@fixture("tensorflow/graph-v2", alone=True)
def graph_v2(folder):
    """A SavedModel whose graph is in functions: 2 heads of 4, gelu by the error function, epsilon 1e-3."""
    model = Model(2, 1e-3, gelu_erf, np.random.default_rng(2))
    save(model, folder, lambda ids: {"pooled": model(ids)})


@fixture("tensorflow/graph-code", alone=True)
def graph_code(folder):
    """A SavedModel whose function writes a file, prints into another and calls Python."""
    model = Model(2, 1e-3, gelu_erf, np.random.default_rng(3))

    def call(ids):
        tf.io.write_file("written.txt", "by the model")
        tf.print("printed", output_stream="file://printed.txt")
        # A saver of its own, with a path that nobody gives.
        tf.raw_ops.Save(filename="saved.txt", tensor_names=["ids"], data=[ids])
        (python,) = tf.numpy_function(lambda x: x, [ids], [tf.int32], stateful=True)
        return {"python": python}

    model.serve = tf.function(call, input_signature=[tf.TensorSpec([None, None], tf.int32)])
    model.weight = tf.Variable([1.0, 2.0], name="weight")
    tf.saved_model.save(model, str(folder), signatures=model.serve.get_concrete_function())
    os.remove(pathlib.Path(folder) / "fingerprint.pb")
