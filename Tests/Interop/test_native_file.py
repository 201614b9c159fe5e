"""The native file: other readers open it, and it keeps what its profile promises."""

import json
import unittest

import numpy as np
import safetensors
import safetensors.torch
import torch
from support import WithModel


class NativeFile(WithModel):
    def setUp(self):
        super().setUp()
        self.output, _ = self.convert(self.prefix, name="profile")
        content = self.output.read_bytes()
        self.start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : self.start])
        self.metadata = header.pop("__metadata__")
        self.spans = {name: entry["data_offsets"] for name, entry in header.items()}

    def test_safetensors_opens_it_and_reads_each_tensor(self):
        with safetensors.safe_open(self.output, framework="np") as file:
            self.assertEqual(set(file.keys()), set(self.saved))
            self.assertEqual(file.metadata()["format"], "pt")
            for name in file.keys():
                np.testing.assert_array_equal(file.get_tensor(name), self.saved[name], name)
            name = "bert.embeddings.word_embeddings.weight"
            np.testing.assert_array_equal(file.get_slice(name)[3:7], self.saved[name][3:7])

    def test_safetensors_of_torch_opens_it(self):
        state = safetensors.torch.load_file(self.output)
        missing, unexpected = self.model.load_state_dict(state, strict=False)
        self.assertEqual(unexpected, [])
        self.assertLessEqual(set(missing), {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"})

    def test_its_metadata(self):
        for key in ("bertconv.profile", "bertconv.config", "bertconv.checksums", "bertconv.source"):
            self.assertIn(key, self.metadata)
        self.assertEqual(self.metadata["bertconv.profile"], "1")
        config = json.loads(self.metadata["bertconv.config"])
        for key in ("hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size", "vocab_size"):
            self.assertEqual(config[key], getattr(self.config, key), key)

    def test_its_data_starts_on_a_page(self):
        self.assertEqual(self.start % 4096, 0)

    def test_tensors_of_whole_lines_start_on_one_and_the_others_follow(self):
        whole = [span for span in self.spans.values() if (span[1] - span[0]) % 64 == 0]
        rest = [span for span in self.spans.values() if (span[1] - span[0]) % 64 != 0]
        for begin, _ in whole:
            self.assertEqual((self.start + begin) % 64, 0)
        for begin, _ in rest:
            self.assertEqual((self.start + begin) % 4, 0)
        if whole and rest:
            self.assertLessEqual(max(end for _, end in whole), min(begin for begin, _ in rest))

    def test_query_key_and_value_are_one_matrix(self):
        for layer in range(self.config.num_hidden_layers):
            for part in ("weight", "bias"):
                attention = f"bert.encoder.layer.{layer}.attention.self"
                query, key, value = (self.spans[f"{attention}.{name}.{part}"] for name in ("query", "key", "value"))
                self.assertEqual((query[1], key[1]), (key[0], value[0]), f"{part} of layer {layer}")

    def test_a_vocabulary_is_kept(self):
        text = "".join(f"token{number}é\n" for number in range(self.config.vocab_size))
        path = self.folder / "words.txt"
        path.write_text(text, encoding="utf-8")
        output, _ = self.convert(self.prefix, "--vocab", path)
        with safetensors.safe_open(output, framework="np") as file:
            self.assertIn("token3é", file.metadata()["bertconv.vocab"])


class ReducedStorage(WithModel):
    def test_half_precision_rounds_as_torch_does(self):
        for option, dtype in (("f16", torch.float16), ("bf16", torch.bfloat16)):
            with self.subTest(dtype=option):
                output, _ = self.convert(self.prefix, "--dtype", option)
                found = safetensors.torch.load_file(output)
                self.assertEqual(set(found), set(self.saved))
                for name, tensor in found.items():
                    expected = torch.from_numpy(self.saved[name])
                    if tensor.dtype != torch.float32:  # small vectors may stay as they are
                        self.assertEqual(tensor.dtype, dtype, name)
                        expected = expected.to(dtype)
                    self.assertTrue(torch.equal(tensor, expected), name)
                matrices = [name for name in found if found[name].dim() == 2]
                self.assertEqual({found[name].dtype for name in matrices}, {dtype})


if __name__ == "__main__":
    unittest.main()
