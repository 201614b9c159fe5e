#!/usr/bin/env python3
"""Make a reference fixture from a model folder of `transformers`, for `bertconv verify --fixtures`.

    make_fixture.py MODEL_DIR -o fixture.npz                         random ids, four sequences
    make_fixture.py MODEL_DIR -o fixture.npz --batch 8 --length 64   more and longer ones
    make_fixture.py MODEL_DIR -o fixture.npz --text lines.txt        real text, with the folder's tokenizer

The model runs in float32, in evaluation mode, with the plain ("eager") attention, on the CPU. The fixture holds the
inputs `input_ids`, `attention_mask` and `token_type_ids` (int64, [batch, sequence]) and every output of the model, in
float32 and named as `transformers` names it: `hidden_states.0` (the embeddings) to `hidden_states.L`,
`last_hidden_state`, `pooler_output`, and the head's `prediction_logits`, `seq_relationship_logits`, `logits`,
`start_logits`, `end_logits`. Outputs that need weights which the folder does not contain are left out and listed. A folder
with a `modules.json` gives the `sentence_embedding` of sentence-transformers as well.

Needs torch and transformers, and sentence-transformers for its folders; nothing is downloaded, and no code from the
folder is run.
"""

import argparse
import inspect
import os
import pathlib
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("USE_TF", "0")

import numpy as np

INPUTS = ("input_ids", "attention_mask", "token_type_ids")

# These count positions from pad_token_id + 1, over the tokens that are not padding.
POSITIONS_AFTER_PADDING = {
    "camembert", "data2vec-text", "ibert", "longformer", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta",
    "xlm-roberta-xl", "xmod",
}  # fmt: skip


class FixtureError(Exception):
    """An error that the user can fix; the message explains how."""


def load_model(folder, class_name="auto"):
    """The model of a `transformers` folder in float32 and evaluation mode, and the names of weights it did not find."""
    import transformers

    folder = pathlib.Path(folder)
    if not (folder / "config.json").is_file():
        raise FixtureError(f"{folder} holds no config.json: give a model folder as transformers saves it")
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except ValueError as error:
        raise FixtureError(f"{folder}/config.json: {error}") from None
    if getattr(config, "is_encoder_decoder", False):
        raise FixtureError(f"{folder} is an encoder-decoder ({config.model_type}): fixtures are for encoders")
    if class_name == "auto":
        if not config.architectures:
            raise FixtureError(f"{folder}/config.json names no architecture: give one, such as --class BertModel")
        class_name = config.architectures[0]
    architecture = getattr(transformers, class_name, None)
    if not hasattr(architecture, "from_pretrained"):
        raise FixtureError(f"transformers {transformers.__version__} has no model class '{class_name}'")
    try:
        model, report = architecture.from_pretrained(
            folder, config=config, local_files_only=True, attn_implementation="eager", output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise FixtureError(f"{folder} does not load as {class_name}: {error}") from None
    return model.float().eval(), sorted(report["missing_keys"])


def position_limit(config):
    """How many tokens a sequence may have."""
    limit = getattr(config, "max_position_embeddings", None) or 512
    if config.model_type in POSITIONS_AFTER_PADDING:
        limit -= (config.pad_token_id or 0) + 1
    return limit


def _accepts(model, name):
    return name in inspect.signature(model.forward).parameters


def _padding_id(config):
    return 0 if config.pad_token_id is None else config.pad_token_id


def random_inputs(model, batch, length, rng):
    """Random ids in `batch` sequences of different lengths, padded to `length`: the first is whole, the last is short.

    No id under the mask is the padding id: the RoBERTa family finds its positions by it.
    """
    config = model.config
    padding = _padding_id(config)
    lengths = rng.integers(1, length + 1, batch)
    lengths[-1] = max(1, length // 4)
    lengths[0] = length
    attention_mask = (np.arange(length) < lengths[:, None]).astype(np.int64)
    input_ids = rng.integers(0, config.vocab_size - 1, (batch, length), dtype=np.int64)
    input_ids += input_ids >= padding
    input_ids[attention_mask == 0] = padding
    token_type_ids = np.zeros_like(input_ids)
    if _accepts(model, "token_type_ids") and getattr(config, "type_vocab_size", 0) > 1:
        token_type_ids[:] = np.arange(length) >= np.maximum(1, lengths * 2 // 3)[:, None]
        token_type_ids[attention_mask == 0] = 0
    return {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}


def text_inputs(tokenizer, lines, model, length=None):
    """The lines as a padded batch; a tab in a line parts a pair of sentences."""
    limit = min(length or position_limit(model.config), position_limit(model.config))
    first = [line.split("\t")[0] for line in lines]
    second = [line.split("\t")[1] if "\t" in line else None for line in lines]
    if tokenizer.pad_token is None:
        raise FixtureError("the tokenizer has no padding token: use --batch and --length instead of --text")
    encoded = [
        tokenizer(a, b, truncation=True, max_length=limit, return_token_type_ids=True) for a, b in zip(first, second)
    ]
    widest = max(len(one["input_ids"]) for one in encoded)

    def padded(key, filler):
        return np.array([one[key] + [filler] * (widest - len(one[key])) for one in encoded], np.int64)

    inputs = {
        "input_ids": padded("input_ids", _padding_id(model.config)),
        "attention_mask": padded("attention_mask", 0),
        "token_type_ids": padded("token_type_ids", 0),
    }
    if not _accepts(model, "token_type_ids") or getattr(model.config, "type_vocab_size", 0) <= 1:
        inputs["token_type_ids"][:] = 0
    return inputs


def reference(model, inputs, missing=()):
    """The inputs and all outputs of the model on them, as a fixture: {name: array}.

    The encoder's own outputs are read where it returns them, since most heads hide `pooler_output` and
    `last_hidden_state`. A multiple-choice head sees each sequence as one choice, so its `logits` are [batch, 1].
    """
    import torch

    tensors = {key: torch.from_numpy(inputs[key]) for key in INPUTS if _accepts(model, key)}
    if type(model).__name__.endswith("ForMultipleChoice"):
        tensors = {key: value.unsqueeze(1) for key, value in tensors.items()}
    more = {"use_cache": False} if _accepts(model, "use_cache") else {}

    seen = {}
    hook = model.base_model.register_forward_hook(lambda module, arguments, output: seen.update(output))
    try:
        with torch.no_grad():
            output = model(**tensors, **more, output_hidden_states=True, return_dict=True)
    finally:
        hook.remove()

    fixture = {key: inputs[key] for key in INPUTS}
    fixture.update({f"hidden_states.{i}": state for i, state in enumerate(output.hidden_states)})
    for name, value in {**seen, **output}.items():
        if torch.is_tensor(value) and name != "loss":
            fixture[name] = value
    if any("pooler." in name for name in missing):
        fixture.pop("pooler_output", None)
    return {name: np.asarray(value, order="C") for name, value in fixture.items()}


def sentence_reference(model, inputs):
    """What a SentenceTransformer makes of the inputs: its `sentence_embedding`, as {name: array}."""
    import torch

    accepted = set(inspect.signature(model[0].auto_model.forward).parameters)
    features = {key: torch.from_numpy(inputs[key]) for key in INPUTS if key in accepted}
    with torch.no_grad():
        return {"sentence_embedding": model(features)["sentence_embedding"].float().numpy()}


def load_sentence_model(folder):
    """The SentenceTransformer of a folder, in float32; `None` where the folder is not one."""
    folder = pathlib.Path(folder)
    if not (folder / "modules.json").is_file():
        return None
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise FixtureError(f"{folder} is a folder of sentence-transformers, which is not installed") from None
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True, trust_remote_code=False).float().eval()


def write_fixture(path, fixture):
    """Write a fixture as `.npz` or `.safetensors`, by the suffix of `path`."""
    path = pathlib.Path(path)
    if path.suffix == ".npz":
        np.savez(path, **fixture)
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(value) for name, value in fixture.items()}, path)
    else:
        raise FixtureError(f"{path}: a fixture is an .npz or a .safetensors file")


def _arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("model", metavar="MODEL_DIR", help="a folder as transformers saves it: config.json and weights")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the fixture, .npz or .safetensors")
    parser.add_argument("--text", metavar="FILE", help="a sequence a line, a tab between the sentences of a pair")
    parser.add_argument("--batch", type=int, default=4, metavar="N", help="how many random sequences (default: 4)")
    parser.add_argument(
        "--length", type=int, metavar="N", help="tokens of the longest sequence (default: 32, with --text what fits)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="for the random ids (default: 0)")
    parser.add_argument(
        "--class", dest="class_name", default="auto", metavar="NAME",
        help="the class of transformers, as BertForPreTraining (default: auto, the one that config.json names)",
    )  # fmt: skip
    return parser.parse_args()


def _make(options):
    if pathlib.Path(options.output).suffix not in (".npz", ".safetensors"):
        raise FixtureError(f"{options.output}: a fixture is an .npz or a .safetensors file")
    model, missing = load_model(options.model, options.class_name)
    random_weights = [name for name in missing if "pooler." not in name]
    if random_weights:
        raise FixtureError(
            f"{options.model} holds no weights for {', '.join(random_weights[:4])}"
            f"{' and more' if len(random_weights) > 4 else ''}: {type(model).__name__} would answer at random."
            " Choose the class that the weights are for with --class"
        )
    limit = position_limit(model.config)
    if options.text:
        import transformers

        lines = pathlib.Path(options.text).read_text(encoding="utf-8").splitlines()
        lines = [line for line in lines if line.strip()]
        if not lines:
            raise FixtureError(f"{options.text} holds no text")
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(options.model, local_files_only=True)
        except (OSError, ValueError) as error:
            raise FixtureError(f"{options.model} has no tokenizer that loads: {error}") from None
        inputs = text_inputs(tokenizer, lines, model, options.length)
    else:
        length = options.length or min(32, limit)
        if options.batch < 1 or not 1 <= length <= limit:
            raise FixtureError(f"--batch must be at least 1, and --length from 1 to {limit} for this model")
        inputs = random_inputs(model, options.batch, length, np.random.default_rng(options.seed))
    fixture = reference(model, inputs, missing)
    sentences = load_sentence_model(options.model)
    if sentences is not None:
        fixture |= sentence_reference(sentences, inputs)
    write_fixture(options.output, fixture)

    print(f"{options.output}: {type(model).__name__}, {inputs['attention_mask'].sum()} tokens in")
    for name, value in fixture.items():
        print(f"  {name:<26} {value.dtype!s:<8} {list(value.shape)}")
    if missing:
        print(f"  no pooler_output: the folder holds no {missing[0]}", file=sys.stderr)


def main():
    try:
        _make(_arguments())
    except (FixtureError, OSError) as error:
        sys.exit(f"make_fixture.py: {error}")


if __name__ == "__main__":
    main()
