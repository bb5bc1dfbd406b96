"""Runs files that cairn writes in llama.cpp, through llama-cpp-python, and compares what both compute.

    python tools/compare_with_llama.py MODEL --text TEXT [--cairn build/release/bin/cairn]

MODEL is what `cairn convert` takes. It becomes a GGUF file in F32, F16, BF16 and each of `cairn quantize`'s
recipes and types; llama.cpp loads every one of them. Of the F32 file the ids of TEXT and greedy tokens
must be the same; of the others, logits over some 2,000 tokens of TEXT, in windows of the model's context,
must stay within BOUNDS. Exits 1 where one does not.

Takes llama-cpp-python and numpy. LLAMA_CPP_LIB_PATH names a folder with another build of its library; it must be
of the llama.cpp that the package was made for.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import llama_cpp
import numpy as np

# Least share of equal first choices and largest mean KL(llama.cpp || cairn), in nats.
# F32: only the order of sums differs; a logit is a few thousand roundings of 2^-24.
# F16, BF16: llama.cpp rounds what it multiplies with weights to the weights' type, by 2^-12 and 2^-9; cairn
# does not. A KL grows with the square of the error.
# Blocks: both round what they multiply to 8 bits, cairn by 32 and llama.cpp by 32 or, for K-quants, by 256
# numbers, so that errors of about 2^-8 of the largest in a group come from both sides: as for BF16, but from two
# sides. From its F16 file a model moves by 5e-3 with Q4_K and by 0.1 with Q2_K (docs/benchmarks.md), so that
# a wrong scale, order or offset shows.
BOUNDS = {"F32": (0.999, 1e-8), "F16": (0.995, 1e-5), "BF16": (0.98, 1e-3), "blocks": (0.97, 2e-3)}
FLOATS = ("F32", "F16", "BF16")
TYPES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS",
         "MXFP4", "Q2_K_S", "Q2_K_M", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M")


def run(*command):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout


def log_softmax(x):
    x = x.astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


class Peer:
    """llama.cpp with its cache in f32, as cairn's is by default."""

    def __init__(self, path, context):
        f32 = llama_cpp.GGML_TYPE_F32
        self.model = llama_cpp.Llama(str(path), n_ctx=context, n_batch=context, n_ubatch=context, logits_all=True,
                                     type_k=f32, type_v=f32, n_threads=1, verbose=False)

    def logits(self, ids):
        self.model.reset()
        self.model.eval(ids)
        return self.model.scores[:len(ids)].copy()

    def greedy(self, prompt, count):
        tokens = []
        for token in self.model.generate(prompt, temp=0.0):
            tokens.append(token)
            if len(tokens) == count:
                return tokens


class Comparison:
    def __init__(self, options, folder):
        self.cairn, self.folder, self.problems = options.cairn, folder, []
        text = Path(options.text).read_bytes().decode(errors="ignore")
        self.text = text[:8 * options.tokens]

    def make(self, source, kind):
        out = self.folder / f"{kind}.gguf"
        if kind in FLOATS:
            run(self.cairn, "convert", source, out, "--dtype", kind.lower(), "--quiet")
        else:
            run(self.cairn, "quantize", source, out, "--type", kind, "--quiet", "--json")
        return out

    def expect(self, holds, what):
        if not holds:
            self.problems.append(what)

    def cairn_logits(self, path, ids):
        out = self.folder / "logits.npy"
        (self.folder / "ids.json").write_text(json.dumps(ids))
        run(self.cairn, "eval", "logits", "--model", path, "--ids", f"@{self.folder}/ids.json", "--out", out, "--quiet")
        return np.load(out)

    def ids(self, path, peer):
        (self.folder / "text.txt").write_text(self.text)
        ids = json.loads(run(self.cairn, "tokenize", "--model", path, "--file", self.folder / "text.txt",
                             "--add-special", "--json"))["ids"]
        theirs = peer.model.tokenize(self.text.encode(), add_bos=True, special=False)
        self.expect(ids == theirs, f"{path.name}: the ids of the text differ from token "
                    f"{next((i for i, (a, b) in enumerate(zip(ids, theirs)) if a != b), min(len(ids), len(theirs)))} on")
        print(f"ids of {len(self.text)} characters: {len(ids)}, {'equal' if ids == theirs else 'DIFFERENT'}")
        return ids

    def greedy(self, path, peer, prompt, count):
        ours = json.loads(run(self.cairn, "generate", "--model", path, "--ids", ",".join(map(str, prompt)),
                              "--max-tokens", count, "--temperature", 0, "--ignore-eos", "--json"))
        theirs = peer.greedy(prompt, count)
        text = peer.model.detokenize(theirs).decode(errors="replace")
        # Where the model begins a new text, llama.cpp keeps the blank that SentencePiece puts before it.
        same = ours["ids"] == theirs
        if peer.model.token_bos() not in theirs:
            same = same and ours["text"].strip() == text.strip()
        self.expect(same, f"{path.name}: greedy tokens differ: {ours['text']!r}, and llama.cpp has {text!r}")
        print(f"{path.name}: {count} greedy tokens behind {len(prompt)}, {'equal' if same else 'DIFFERENT'}", flush=True)

    def logits(self, kind, path, peer, windows):
        least, largest = BOUNDS.get(kind, BOUNDS["blocks"])
        kl = agree = count = 0
        for window in windows:
            theirs, ours = log_softmax(peer.logits(window)), log_softmax(self.cairn_logits(path, window))
            kl += (np.exp(theirs) * (theirs - ours)).sum()
            agree += (theirs.argmax(axis=1) == ours.argmax(axis=1)).sum()
            count += len(window)
        kl, agree = kl / count, agree / count
        holds = agree >= least and kl <= largest
        self.expect(holds, f"{path.name}: first choices agree in {agree:.4f}, expected {least}; KL is {kl:.3g}, at most {largest}")
        print(f"{kind:8} {path.stat().st_size:10} bytes  first choice {agree:.4f} (at least {least})  KL {kl:.2e} "
              f"(at most {largest:.0e}){'' if holds else '  BEYOND'}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--text", required=True, help="what the model may know something of")
    parser.add_argument("--cairn", default="build/release/bin/cairn", help="the program")
    parser.add_argument("--tokens", type=int, default=2000, help="how many tokens of the text to compare")
    parser.add_argument("--greedy", type=int, default=200, help="how many greedy tokens to compare")
    parser.add_argument("--types", nargs="+", default=[*FLOATS, *TYPES])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        comparison = Comparison(options, Path(name))
        f32 = comparison.make(options.model, "F32")
        family = json.loads(run(options.cairn, "inspect", f32, "--json"))["metadata"]
        context = min(512, family[f"{family['general.architecture']}.context_length"])
        peer = Peer(f32, context)
        ids = comparison.ids(f32, peer)[:options.tokens]
        windows = [ids[i:i + context] for i in range(0, len(ids), context)]
        for start in range(0, 4):
            prompt = windows[start % len(windows)][:8]
            comparison.greedy(f32, peer, prompt, min(options.greedy, context - len(prompt)))
        for kind in options.types:
            path = f32 if kind == "F32" else comparison.make(f32, kind)
            comparison.logits(kind, path, Peer(path, context), windows)
            if path != f32:
                path.unlink()
    for problem in comparison.problems:
        print(problem, file=sys.stderr)
    return 1 if comparison.problems else 0


if __name__ == "__main__":
    sys.exit(main())
