#!/usr/bin/env python3
"""Loads what `cairn convert` writes into the programs that it is for.

    pip install torch transformers gguf llama-cpp-python
    tools/goldens/check_conversions.py --cairn build/release/bin/cairn

Each family's golden folder becomes a GGUF file, which the gguf package reads, and a folder again, whose logits
in transformers equal the original's. A folder with a tokenizer (--model DIR, more than once) also goes into
llama-cpp-python: greedy tokens of both are compared. Packages that are missing are skipped, and it says so.
"""
import argparse
import importlib.util
import pathlib
import subprocess
import tempfile

GOLDEN = pathlib.Path(__file__).resolve().parent.parent.parent / "tests" / "golden"


def have(module):
    found = importlib.util.find_spec(module) is not None
    if not found:
        print(f"{module} is not installed; what needs it is skipped")
    return found


def convert(cairn, *arguments):
    subprocess.run([cairn, "convert", *map(str, arguments), "--quiet"], check=True, stdout=subprocess.DEVNULL)


def logits(folder, ids):
    import torch
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return model.eval()(torch.tensor([ids])).logits[0]


def check_folder(cairn, folder, parts):
    with tempfile.TemporaryDirectory() as scratch:
        file, again = pathlib.Path(scratch, "m.gguf"), pathlib.Path(scratch, "again")
        convert(cairn, folder, file)
        convert(cairn, file, again, "--to", "hf")
        if "gguf" in parts:
            from gguf import GGUFReader
            reader = GGUFReader(file)
            print(f"{folder.name}: {len(reader.tensors)} tensors, {len(reader.fields)} keys by the gguf package")
        if "transformers" in parts:
            ids = [1, 5, 3, 7, 2, 2, 9, 4, 0, 6]
            error = (logits(again, ids) - logits(folder, ids)).abs().max().item()
            print(f"{folder.name}: largest difference of logits {error:.3g}")
            assert error < 1e-4, folder


def check_text(cairn, folder):
    """Greedy tokens of llama.cpp on the file and of transformers on the folder."""
    import llama_cpp
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    text = "Once upon a time, there was"
    with tempfile.TemporaryDirectory() as scratch:
        file = pathlib.Path(scratch, "m.gguf")
        convert(cairn, folder, file, "--dtype", "f32")
        model = llama_cpp.Llama(str(file), n_ctx=128, verbose=False)
        ids = model.tokenize(text.encode())
        ours = []
        for token in model.generate(ids, temp=0.0, top_k=1):
            ours.append(token)
            if len(ours) == 24:
                break
    theirs = AutoTokenizer.from_pretrained(folder)(text).input_ids
    assert ids == theirs, (ids, theirs)
    hf = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    expected = hf.generate(torch.tensor([theirs]), max_new_tokens=24, do_sample=False)[0][len(theirs):].tolist()
    print(f"{folder.name}: prompt of {len(ids)} tokens, greedy tokens equal: {ours[:len(expected)] == expected}")
    assert ours[:len(expected)] == expected, (ours, expected)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cairn", required=True, help="the program")
    parser.add_argument("--model", type=pathlib.Path, action="append", default=[], help="a folder with a tokenizer")
    args = parser.parse_args()
    parts = {module for module in ("gguf", "transformers") if have(module)}
    folders = sorted(path.parent for path in GOLDEN.glob("families/*/model.gguf"))
    for folder in [*folders, GOLDEN / "twins" / "gpt2", *args.model]:
        check_folder(args.cairn, folder, parts)
    if args.model and have("llama_cpp") and "transformers" in parts:
        for folder in args.model:
            check_text(args.cairn, folder)
    print("everything is as it was")


if __name__ == "__main__":
    main()
