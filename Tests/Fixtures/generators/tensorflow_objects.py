"""TensorFlow 2 checkpoints of objects: tf.train.Checkpoint and SavedModel."""

import google_layout
import numpy as np

from . import dtype_name, fixture, write_json

tf = google_layout.import_tensorflow()


class Dense(tf.Module):
    def __init__(self, inputs, outputs, rng, name):
        super().__init__(name=name)
        with self.name_scope:
            self.kernel = tf.Variable(rng.normal(size=(inputs, outputs)).astype(np.float32), name="kernel")
            self.bias = tf.Variable(rng.normal(size=outputs).astype(np.float32), name="bias")


class Network(tf.Module):
    """Modules in a list and in a dictionary, a constant of strings, a name with a slash in it."""

    def __init__(self, seed):
        super().__init__(name="network")
        rng = np.random.default_rng(seed)
        self.layers = [Dense(4, 5, rng, "first"), Dense(5, 3, rng, "second")]
        self.heads = {"logits/main": Dense(3, 2, rng, "head")}
        self.words = tf.Variable(["a", "", "bé", "世界"], name="words", trainable=False)
        self.counts = tf.Variable(np.arange(6, dtype=np.int64).reshape(2, 3), name="counts", trainable=False)


def object_graph_entries(prefix):
    """[key, full name, type, shape] of each tensor, by TensorFlow's own reader and the graph in the checkpoint."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    reader = tf.train.load_checkpoint(str(prefix))
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    graph.ParseFromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    full_names = {one.checkpoint_key: one.full_name for node in graph.nodes for one in node.attributes}
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    return [[key, full_names.get(key), dtype_name(types[key].name), list(shapes[key])] for key in sorted(shapes)]


@fixture("tensorflow/object-graph")
def object_graph(folder):
    network = Network(seed=14)
    optimizer = tf.compat.v1.train.AdamOptimizer(0.1)
    first, second = network.layers

    def loss():
        hidden = tf.tanh(tf.matmul(tf.ones([1, 4]), first.kernel) + first.bias)
        return tf.reduce_sum(tf.matmul(hidden, second.kernel) ** 2)

    optimizer.minimize(loss, var_list=[first.kernel, first.bias, second.kernel])
    step = tf.Variable(7, dtype=tf.int64, name="step")
    tf.train.Checkpoint(model=network, optimizer=optimizer, step=step).write(str(folder / "ckpt-7"))
    write_json(folder / "expected.json", object_graph_entries(folder / "ckpt-7"))


@fixture("tensorflow/saved-model", alone=True)
def saved_model(folder):
    tf.saved_model.save(Network(seed=15), str(folder))
    # Every writing gives it a number of its own, and nothing reads it.
    (folder / "fingerprint.pb").unlink()
    (folder / "assets").rmdir()
    write_json(folder / "expected.json", object_graph_entries(folder / "variables" / "variables"))
