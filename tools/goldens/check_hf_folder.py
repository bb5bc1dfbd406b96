"""Loads a folder that `cairn train` wrote with transformers and compares what both compute.

    cairn eval logits --model DIR --ids 1,2,3 --out logits.npy
    cairn generate --model DIR --ids 1,2,3 --max-tokens 32 --temperature 0 --ignore-eos --json > new.json
    cairn tokenize --model DIR --text "To be" --json > text.json
    python tools/goldens/check_hf_folder.py DIR --ids 1,2,3 --logits logits.npy --generated @new.json \\
        --text "To be" --text-ids @text.json

Ids are 1,2,3 or @FILE with a JSON list or an object that has "ids". Prints OK or the differences; exits 1
where something differs. Logits may differ by 1e-4 of the largest: f32 products of a few hundred terms in
some tens of layers stay an order of magnitude below it, a wrong formula does not.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def ids_of(text):
    if not text.startswith("@"):
        return [int(i) for i in text.split(",")]
    value = json.loads(Path(text[1:]).read_text())
    return value["ids"] if isinstance(value, dict) else value


def compare(what, theirs, path, problems):
    ours = np.load(path)
    if ours.shape != theirs.shape:
        problems.append(f"{what}: shape {ours.shape}, transformers has {theirs.shape}")
        return
    difference, limit = np.abs(ours - theirs).max(), 1e-4 * np.abs(theirs).max()
    print(f"{what}: largest difference {difference:.3g}, limit {limit:.3g}")
    if not difference <= limit:
        row = np.unravel_index(np.argmax(np.abs(ours - theirs)), ours.shape)[0]
        problems.append(f"{what}: {difference:.3g} apart, most in token {row}")


def compare_greedy(model, prompt, ours, problems):
    inputs = torch.tensor([prompt])
    theirs = model.generate(inputs, attention_mask=torch.ones_like(inputs), do_sample=False,
                            max_new_tokens=len(ours), eos_token_id=None, pad_token_id=0)
    theirs = theirs[0, len(prompt):].tolist()
    if ours == theirs:
        print(f"greedy: {len(ours)} tokens equal")
        return
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    with torch.no_grad():
        top = model(torch.tensor([prompt + theirs[:at]])).logits[0, -1].topk(2)
    problems.append(f"greedy: token {at} is {ours[at:at + 1]}, transformers has {theirs[at:at + 1]}; its "
                    f"first two {top.indices.tolist()} are {top.values[0] - top.values[1]:.3g} apart")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--ids", type=ids_of, help="prompt of --logits, --hidden and --generated")
    parser.add_argument("--logits", help=".npy (tokens, vocabulary)")
    parser.add_argument("--hidden", help=".npy (tokens, width) after the final norm")
    parser.add_argument("--generated", type=ids_of, help="new tokens of a greedy run that ignored EOS")
    parser.add_argument("--text")
    parser.add_argument("--text-ids", type=ids_of, help="ids of --text without special tokens")
    options = parser.parse_args()
    problems = []
    torch.set_num_threads(1)
    model, info = AutoModelForCausalLM.from_pretrained(options.folder, dtype=torch.float32,
                                                       output_loading_info=True)
    model.eval()
    print(f"{type(model).__name__}: {sum(p.numel() for p in model.parameters())} parameters")
    problems += [f"{k}: {sorted(map(str, v))}" for k, v in info.items() if v]

    if options.logits or options.hidden:
        with torch.no_grad():
            output = model(torch.tensor([options.ids]), output_hidden_states=True)
        if options.logits:
            compare("logits", output.logits[0].numpy(), options.logits, problems)
        if options.hidden:
            compare("hidden", output.hidden_states[-1][0].numpy(), options.hidden, problems)
    if options.generated:
        compare_greedy(model, options.ids, options.generated, problems)
    if options.text is not None:
        tokenizer = AutoTokenizer.from_pretrained(options.folder)
        theirs = tokenizer(options.text, add_special_tokens=False)["input_ids"]
        if options.text_ids is not None and theirs != options.text_ids:
            problems.append(f"text ids: {options.text_ids}, transformers has {theirs}")
        back = tokenizer.decode(theirs, clean_up_tokenization_spaces=False)
        if back != options.text:
            problems.append(f"text comes back as {back!r}")
    print("\n".join(problems) if problems else "OK")
    sys.exit(1 if problems else 0)


main()
