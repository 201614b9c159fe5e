"""Checkpoints that TensorFlow wrote, against what transformers saves of the same model."""

import json
import unittest

import numpy as np
import safetensors.numpy
import torch
import transformers
from support import (
    DENIED, DONE, INPUTS, UNUSABLE, InteropTest, WithModel, google_layout, random_bert, saved_tensors, write_google,
)  # fmt: skip

tf = google_layout.import_tensorflow()


class PlainCheckpoint(WithModel):
    def test_every_tensor_is_the_one_that_transformers_saves(self):
        output, _ = self.convert(self.prefix)
        self.assertHolds(output, self.saved)

    def test_a_source_can_be_given_in_every_form(self):
        for source in (
            self.prefix.with_suffix(".ckpt.index"),
            f"{self.prefix}.data-00000-of-00001",
            self.prefix.parent,
        ):
            with self.subTest(source=source):
                output, _ = self.convert(source)
                self.assertHolds(output, self.saved)

    def test_the_same_input_gives_the_same_bytes(self):
        first, _ = self.convert(self.prefix)
        second, _ = self.convert(self.prefix)
        self.assertEqual(first.read_bytes(), second.read_bytes())

    def test_it_verifies_against_the_reference_and_against_its_source(self):
        output, _ = self.convert(self.prefix)
        self.bertconv("verify", output, "--fixtures", self.fixture)
        self.bertconv("verify", output, "--against", self.prefix)
        self.bertconv("verify", output)

    def test_transformers_loads_it_and_computes_the_same(self):
        output, _ = self.convert(self.prefix)
        folder = self.folder / "loaded"
        folder.mkdir()
        (folder / "model.safetensors").symlink_to(output)
        (folder / "config.json").symlink_to(self.folder / "saved" / "config.json")
        model, report = transformers.BertForPreTraining.from_pretrained(
            folder, output_loading_info=True, attn_implementation="eager"
        )
        self.assertEqual((set(report["missing_keys"]), set(report["unexpected_keys"])), (set(), set()))
        with torch.no_grad():
            found = model.eval()(**{name: torch.from_numpy(self.reference[name]) for name in INPUTS})
        np.testing.assert_array_equal(found.prediction_logits.numpy(), self.reference["prediction_logits"])
        np.testing.assert_array_equal(found.seq_relationship_logits.numpy(), self.reference["seq_relationship_logits"])

    def test_an_existing_output_is_kept_unless_forced(self):
        output = self.folder / "kept.safetensors"
        output.write_bytes(b"precious")
        self.bertconv("convert", "tf-to-native", self.prefix, "-o", output, status=UNUSABLE)
        self.assertEqual(output.read_bytes(), b"precious")
        self.bertconv("convert", "tf-to-native", self.prefix, "-o", output, "--force")
        self.assertHolds(output, self.saved)


class OtherForms(WithModel):
    """The same model, stored in other ways."""

    def test_two_to_five_shards(self):
        names = list(self.tensors)
        self.rng.shuffle(names)
        count = int(self.rng.integers(2, 6))
        parts = [{name: self.tensors[name] for name in names[start::count]} for start in range(count)]
        prefix = self.folder / "sharded" / "bert_model.ckpt"
        google_layout.write_sharded_bundle(prefix, parts)
        google_layout.write_google_config(self.config, prefix.parent)
        self.assertEqual(len(list(prefix.parent.glob("*.data-*"))), count)
        output, _ = self.convert(prefix)
        self.assertHolds(output, self.saved)

    def test_partitioned_variables(self):
        """Every matrix is cut at random, along its rows or its columns."""
        whole, slices = {}, []
        for name, array in self.tensors.items():
            axis = int(self.rng.integers(0, max(1, array.ndim)))
            if array.ndim != 2 or array.shape[axis] < 3:
                whole[name] = array
                continue
            cuts = sorted(self.rng.choice(np.arange(1, array.shape[axis]), int(self.rng.integers(1, 3)), replace=False))
            bounds = [0, *map(int, cuts), array.shape[axis]]
            for start, end in zip(bounds, bounds[1:]):
                part = f"{start},{end - start}"
                where = ["-", "-"]
                where[axis] = part
                part = np.ascontiguousarray(array[start:end] if axis == 0 else array[:, start:end])
                slices.append((name, f"{array.shape[0]} {array.shape[1]} {':'.join(where)}", part))
        self.rng.shuffle(slices)
        prefix = write_google(self.folder / "partitioned", whole, self.config, slices=slices)
        output, _ = self.convert(prefix)
        self.assertHolds(output, self.saved)

    def test_names_in_a_scope(self):
        for scope in ("module/", "model/"):
            with self.subTest(scope=scope):
                scoped = {scope + name: value for name, value in self.tensors.items()}
                prefix = write_google(self.folder / scope.strip("/"), scoped, self.config)
                output, _ = self.convert(prefix)
                self.assertHolds(output, self.saved)

    def test_moving_averages_are_not_taken_for_weights(self):
        averages = {f"{name}/ExponentialMovingAverage": value * np.float32(0.5) for name, value in self.tensors.items()}
        prefix = write_google(self.folder / "averaged", self.tensors | averages, self.config)
        output, _ = self.convert(prefix)
        self.assertHolds(output, self.saved)

    def test_without_a_configuration_it_infers_and_reports_it_or_refuses(self):
        prefix = write_google(self.folder / "bare", self.tensors)
        output = self.folder / "bare.safetensors"
        result = self.bertconv("convert", "tf-to-native", prefix, "-o", output, status=(DONE, UNUSABLE))
        if result.status == UNUSABLE:
            self.assertIn("config", result.printed)
        else:
            self.assertIn("attention_heads", result.printed)
            self.assertHolds(output, self.saved)

    def test_the_configuration_can_be_given(self):
        prefix = write_google(self.folder / "apart", self.tensors)
        output, _ = self.convert(prefix, "--config", self.prefix.parent / "bert_config.json")
        self.assertHolds(output, self.saved)
        self.bertconv("verify", output, "--fixtures", self.fixture)


class FineTuned(InteropTest):
    """Checkpoints with a head, and with what an optimizer leaves."""

    def slots(self, style, tensors):
        """What each optimizer leaves: Adam its two moments, Adafactor a matrix's rows and columns apart."""
        slots = {"global_step": np.int64(self.rng.integers(1, 10**6))}
        for name, value in tensors.items():
            zeros = np.zeros_like(value)
            if style == "adam_m and adam_v":
                slots |= {f"{name}/adam_m": zeros, f"{name}/adam_v": zeros}
            elif style == "AdamWeightDecayOptimizer":
                slots |= {f"{name}/AdamWeightDecayOptimizer": zeros, f"{name}/AdamWeightDecayOptimizer_1": zeros}
            elif value.ndim == 2:
                slots |= {f"{name}_slot_vr": zeros[:, 0], f"{name}_slot_vc": zeros[0]}
            else:
                slots[f"{name}_slot_v"] = zeros
        if style != "adam_m and adam_v":
            slots |= {"beta1_power": np.float32(0.9), "loss_scale": np.float32(32768)}
        return slots

    def test_a_classifier_out_of_its_training_folder(self):
        for style in ("adam_m and adam_v", "AdamWeightDecayOptimizer", "Adafactor"):
            with self.subTest(optimizer=style):
                model = random_bert("BertForSequenceClassification", self.rng, num_labels=int(self.rng.integers(2, 7)))
                tensors = google_layout.google_tensors(model.state_dict())
                folder = self.folder / style.replace(" ", "-")
                write_google(folder, tensors | self.slots(style, tensors), model.config, prefix="model.ckpt-77")
                (folder / "checkpoint").write_text(
                    'model_checkpoint_path: "model.ckpt-77"\nall_model_checkpoint_paths: "model.ckpt-77"\n'
                )
                output, _ = self.convert(folder)
                self.assertHolds(output, saved_tensors(model, folder / "saved"))

    def test_the_state_file_decides_between_two_checkpoints(self):
        model = random_bert("BertForSequenceClassification", self.rng, num_labels=2)
        tensors = google_layout.google_tensors(model.state_dict())
        folder = self.folder / "two"
        write_google(folder, tensors, model.config, prefix="model.ckpt-100")
        write_google(folder, {name: value * 2 for name, value in tensors.items()}, prefix="model.ckpt-200")
        (folder / "checkpoint").write_text(
            'model_checkpoint_path: "model.ckpt-100"\n'
            'all_model_checkpoint_paths: "model.ckpt-100"\nall_model_checkpoint_paths: "model.ckpt-200"\n'
        )
        output, _ = self.convert(folder)
        self.assertHolds(output, saved_tensors(model, folder / "saved"))

    def test_question_answering(self):
        model = random_bert("BertForQuestionAnswering", self.rng)
        # google-research/bert has a pooler there too.
        model.bert.pooler = random_bert("BertModel", self.rng, **{
            key: getattr(model.config, key)
            for key in ("hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size", "vocab_size")
        }).pooler  # fmt: skip
        prefix = write_google(self.folder / "squad", google_layout.google_tensors(model.state_dict()), model.config)
        output, _ = self.convert(prefix)
        self.assertHolds(output, saved_tensors(model, self.folder / "squad-saved"))


class Unmappable(WithModel):
    """What does not fit is refused by name, and nothing is written."""

    def test_an_unexpected_tensor(self):
        extra = self.tensors | {"answer_type_output_bias": np.zeros(5, np.float32)}
        prefix = write_google(self.folder / "extra", extra, self.config)
        _, result = self.convert(prefix, status=UNUSABLE)
        self.assertIn("answer_type_output_bias", result.printed)
        output, _ = self.convert(prefix, "--allow-unexpected", "answer_type_*")
        self.assertHolds(output, self.saved)

    def test_a_misspelt_tensor_is_named_with_the_nearest_known_name(self):
        right = "bert/encoder/layer_0/attention/self/query/kernel"
        wrong = "bert/encoder/layer_0/attention/self/querry/kernel"
        bent = {wrong if name == right else name: value for name, value in self.tensors.items()}
        _, result = self.convert(write_google(self.folder / "misspelt", bent, self.config), status=UNUSABLE)
        self.assertIn(wrong, result.printed)
        self.assertRegex(result.printed, r"attention.self.query.(kernel|weight)")

    def test_a_missing_tensor(self):
        names = [name for name in self.tensors if name.startswith("bert/encoder/")]
        gone = names[int(self.rng.integers(len(names)))]
        rest = {name: value for name, value in self.tensors.items() if name != gone}
        _, result = self.convert(write_google(self.folder / "missing", rest, self.config), status=UNUSABLE)
        named = result.printed.replace(".", "/").replace("layer/", "layer_")
        self.assertIn(gone.rsplit("/", 1)[0], named, f"{gone} is missing\n{result}")

    def test_a_tensor_of_another_shape(self):
        name = "bert/encoder/layer_0/output/dense/kernel"
        bent = self.tensors | {name: self.tensors[name][:-1]}
        _, result = self.convert(write_google(self.folder / "misshapen", bent, self.config), status=UNUSABLE)
        self.assertRegex(result.printed, r"layer[_.]0.output.dense")

    def test_a_configuration_that_does_not_fit(self):
        values = google_layout.google_config(self.config)
        values["hidden_size"] += 4 * values["num_attention_heads"]
        path = self.folder / "other.json"
        path.write_text(json.dumps(values))
        _, result = self.convert(self.prefix, "--config", path, status=UNUSABLE)
        self.assertIn(str(values["hidden_size"]), result.printed)
        self.assertIn(str(self.config.hidden_size), result.printed)

    def test_another_model_is_not_the_source(self):
        output, _ = self.convert(self.prefix)
        name = "bert/encoder/layer_0/intermediate/dense/kernel"
        array = self.tensors[name].copy()
        array.flat[int(self.rng.integers(array.size))] += np.float32(1e-6)
        prefix = write_google(self.folder / "another", self.tensors | {name: array}, self.config)
        result = self.bertconv("verify", output, "--against", prefix, status=DENIED)
        self.assertRegex(result.printed, r"layer[_.]0.intermediate.dense")


class ForeignReaders(WithModel):
    """The round trip through TensorFlow itself: it reads what the native file contains."""

    def test_each_tensor_as_tensorflow_reads_it(self):
        output, _ = self.convert(self.prefix)
        native = safetensors.numpy.load_file(output)
        reader = tf.train.load_checkpoint(str(self.prefix))
        unseen = set(native)
        for name in native:
            stored, transposed = google_layout.google_name(name)
            array = reader.get_tensor(stored)
            np.testing.assert_array_equal(array.T if transposed else array, native[name], name)
            unseen.discard(name)
        self.assertEqual(unseen, set())
        self.assertEqual(len(native), len(reader.get_variable_to_shape_map()))


if __name__ == "__main__":
    unittest.main()
