#!/usr/bin/env python3
"""Time one forward pass of a BERT on bertconv and on other engines, side by side; see README.md.

    encode.py [--model DIR] [--cases 1x16,1x128,…,mixed] [--peers ours-f32,torch,…] [--threads 2] [--json FILE]
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TF_CPP_MIN_LOG_LEVEL="3", USE_TF="0")
ROOT = pathlib.Path(__file__).resolve().parents[1]
CASES = "1x16,1x128,8x80,8x128,1x512,mixed"
PEERS = "ours-f32,torch,onnxruntime,openvino,ctranslate2,ours-bf16,openvino-bf16,ours-int8,openvino-int8,torch-int8,ctranslate2-int8"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, metavar="DIR", help="a folder of transformers (default: a random BERT-base)")
    parser.add_argument("--cases", default=CASES, help=f"default: {CASES}")
    parser.add_argument("--peers", default=PEERS, help=f"default: {PEERS}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--work", type=pathlib.Path, help="where to keep what is made (default: a folder that is removed)")
    parser.add_argument("--bertconv", type=pathlib.Path, default=ROOT / ".build/release/bertconv")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    return parser.parse_args()


def inputs(case, vocabulary, rng):
    """Ids, their mask, and how many tokens that is."""
    import numpy as np

    if case == "mixed":
        lengths = np.clip(rng.lognormal(4.0, 0.7, 32).astype(int), 8, 512)
    else:
        batch, length = map(int, case.split("x"))
        lengths = np.full(batch, length)
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    ids = rng.integers(5, vocabulary, mask.shape) * mask
    return ids, mask, int(lengths.sum())


class Engines:
    """Each method `engine_NAME` gives a function of ids and mask that returns the last hidden state."""

    def __init__(self, options, folder, model):
        self.options, self.folder, self.model, self.work = options, folder, model, options.work
        self.cache = {}

    def make(self, name):
        family, _, precision = name.partition("-")
        return getattr(self, f"engine_{family}")(precision or "f32")

    def engine_torch(self, precision):
        import torch

        model = self.model
        if precision == "int8":
            model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
        elif precision == "bf16":
            model = type(model).from_pretrained(self.folder, dtype=torch.bfloat16).eval()

        def run(ids, mask):
            with torch.inference_mode():
                out = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
            return out.last_hidden_state.float().numpy()

        return run

    def onnx(self):
        if "onnx" not in self.cache:
            import torch

            path = self.work / "model.onnx"
            plain = type(self.model).from_pretrained(self.folder, attn_implementation="eager").eval()

            class Wrapped(torch.nn.Module):
                def __init__(self):
                    super().__init__()
                    self.inner = plain

                def forward(self, ids, mask):
                    return self.inner(input_ids=ids, attention_mask=mask).last_hidden_state

            axes = {name: {0: "batch", 1: "length"} for name in ("ids", "mask", "hidden")}
            example = torch.ones((2, 8), dtype=torch.int64)
            torch.onnx.export(
                Wrapped(), (example, example), str(path), input_names=["ids", "mask"], output_names=["hidden"],
                dynamic_axes=axes, opset_version=17, dynamo=False,
            )  # fmt: skip
            self.cache["onnx"] = path
        return self.cache["onnx"]

    def engine_onnxruntime(self, precision):
        import onnxruntime
        from onnxruntime.transformers import optimizer

        config, path = self.model.config, self.work / "fused.onnx"
        if config.model_type != "bert":
            path = self.onnx()
        elif not path.exists():
            # What a user of ONNX Runtime runs on a BERT: attention, gelu and layer normalization as one node each.
            fused = optimizer.optimize_model(
                str(self.onnx()), model_type="bert", num_heads=config.num_attention_heads,
                hidden_size=config.hidden_size,
            )  # fmt: skip
            fused.save_model_to_file(str(path))
        if precision == "int8":
            from onnxruntime.quantization import QuantType, quantize_dynamic

            quantized = self.work / f"{path.stem}.int8.onnx"
            quantize_dynamic(str(path), str(quantized), weight_type=QuantType.QInt8, per_channel=True)
            path = quantized
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = self.options.threads
        settings.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        types = {one.name: "int32" if "int32" in one.type else "int64" for one in session.get_inputs()}
        names = list(types)
        return lambda ids, mask: session.run(
            None, {names[0]: ids.astype(types[names[0]]), names[1]: mask.astype(types[names[1]])}
        )[0]

    def engine_openvino(self, precision):
        import openvino

        core = openvino.Core()
        model = core.read_model(str(self.onnx()))
        if precision == "int8":
            import nncf
            import numpy as np

            rng = np.random.default_rng(1)
            samples = [
                {"ids": rng.integers(5, self.model.config.vocab_size, (1, 64)), "mask": np.ones((1, 64), np.int64)}
                for _ in range(32)
            ]
            model = nncf.quantize(
                model, nncf.Dataset(samples), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(samples)
            )
        settings = {
            "INFERENCE_NUM_THREADS": self.options.threads, "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }  # fmt: skip
        request = core.compile_model(model, "CPU", settings).create_infer_request()

        def run(ids, mask):
            request.infer([ids, mask])
            return request.get_output_tensor(0).data.copy()

        return run

    def engine_ctranslate2(self, precision):
        import ctranslate2
        import numpy as np
        import transformers
        from ctranslate2.converters import TransformersConverter

        folder = self.work / "ctranslate2"
        if not folder.exists():
            if not (self.folder / "vocab.txt").exists():
                words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
                words += [f"w{n}" for n in range(self.model.config.vocab_size - len(words))]
                (self.folder / "vocab.txt").write_text("\n".join(words) + "\n")
            transformers.BertTokenizer(str(self.folder / "vocab.txt")).save_pretrained(self.folder)
            TransformersConverter(str(self.folder)).convert(str(folder))
        encoder = ctranslate2.Encoder(
            str(folder), device="cpu", compute_type="int8_float32" if precision == "int8" else "float32",
            intra_threads=self.options.threads, inter_threads=1,
        )  # fmt: skip
        return lambda ids, mask: np.array(
            encoder.forward_batch([row[:n].tolist() for row, n in zip(ids, mask.sum(1))]).last_hidden_state
        )

    def engine_ours(self, precision):
        import numpy as np

        native, binary = self.work / "native.safetensors", self.options.bertconv
        if not native.exists():
            subprocess.run(
                [binary, "convert", "auto-to-native", self.folder, "-o", native], check=True, capture_output=True
            )
        source, target = self.work / "in.npz", self.work / "out.npz"

        def run(ids, mask):
            # The program times its own calls around the forward pass, as the others are timed here.
            np.savez(source, input_ids=ids, attention_mask=mask)
            done = subprocess.run(
                [binary, "run", native, "--inputs", source, "-o", target, "--force", "--outputs", "last_hidden_state",
                 "--precision", precision, "--threads", str(self.options.threads),
                 "--repeat", str(self.options.repeats + 2), "--json"],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            run.seconds = json.loads(done.stdout)["median_s"]
            return np.load(target)["last_hidden_state"]

        return run


def random_model(folder):
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    BertModel(BertConfig(), add_pooling_layer=False).save_pretrained(folder)


def time_engine(run, ids, mask, repeats):
    """The output, and the median of the seconds of a call."""
    output = run(ids, mask)
    if hasattr(run, "seconds"):
        return output, run.seconds
    run(ids, mask)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run(ids, mask)
        seconds.append(time.perf_counter() - start)
    return output, statistics.median(seconds)


def main():
    options = arguments()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    import numpy as np
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    torch.set_num_threads(options.threads)
    keep = options.work is not None
    temporary = None if keep else tempfile.TemporaryDirectory(prefix="bertconv-bench-")
    options.work = options.work or pathlib.Path(temporary.name)
    options.work.mkdir(parents=True, exist_ok=True)
    folder = options.model
    if folder is None:
        folder = options.work / "bert-base"
        if not folder.exists():
            random_model(folder)
    model = transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    engines = Engines(options, folder, model)
    ready = {}
    for name in options.peers.split(","):
        try:
            ready[name] = engines.make(name)
        except Exception as error:  # whatever a missing or unfit engine raises: the others are timed all the same
            print(f"{name}: left out: {str(error).splitlines()[0][:120] if str(error) else error!r}", file=sys.stderr)
    reference = engines.make("torch")
    rng = np.random.default_rng(0)
    rows = []
    for case in options.cases.split(","):
        ids, mask, tokens = inputs(case, model.config.vocab_size, rng)
        expected = reference(ids, mask)
        own = {}
        for name, run in ready.items():
            output, seconds = time_engine(run, ids, mask, options.repeats)
            error = float(np.abs(output - expected)[mask.astype(bool)].max())
            precision = name.partition("-")[2] or "f32"
            if name.startswith("ours"):
                own[precision] = seconds
            ratio = f"{seconds / own[precision]:6.2f}" if precision in own else "     -"
            row = dict(case=case, engine=name, tokens_per_second=tokens / seconds, seconds=seconds, max_error=error)
            rows.append(row)
            print(f"{case:7} {name:18} {tokens / seconds:8.0f} tokens/s  ours is {ratio} times as fast  error {error:.1e}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
