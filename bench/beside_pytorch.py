#!/usr/bin/env python3
"""cairn beside PyTorch on this machine, in one run: the same work in turns, medians, ratios.

    bench/beside_pytorch.py [--rounds 3] [--threads 2] [--only gpt] [--json]

Needs build/release (`./run --version`), the benchmark programs (`ninja -C build/release graph_bench`), the Python with
PyTorch that CAIRN_PEER_PYTHON names, and MNIST below CAIRN_TEST_DATA. Peers' programs are bench/peers/torch_*.py.
Times leave loading, planning, compiling and evaluation out on both sides, except XOR's, where cairn's is the whole process.
Memory is the peak of the process, code and all.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / "build/release/bin"
DATA = Path(os.environ.get("CAIRN_TEST_DATA", ROOT.parent / "shared/data")).resolve()
EPOCH = 60000  # pictures


def gpt(layers, heads, width, context, tokenizer, batch, steps):
    return f"""
[model]
family = "gpt"
layers = {layers}
heads = {heads}
width = {width}
context = {context}
[data]
text = ["{DATA}/text/tinyshakespeare.txt"]
tokenizer = "{tokenizer}"
validation = 0
[train]
steps = {steps}
batch = {batch}
log_every = {max(1, steps // 6)}
learning_rate = 1e-3
weight_decay = 0.1
betas = [0.9, 0.99]
clip = 1.0
"""


MNIST = f"""
[data]
images = "{DATA}/vision/mnist/train-images-idx3-ubyte.gz"
labels = "{DATA}/vision/mnist/train-labels-idx1-ubyte.gz"
[train]
batch = 128
learning_rate = 1e-3
weight_decay = 0.01
schedule = "constant"
"""
MLP = '[model]\nfamily = "mlp"\nhidden = [256]\n' + MNIST + "epochs = 1\n"
CONV = ('[model]\nfamily = "convnet"\nchannels = [16, 32]\nhidden = [128]\ndropout = 0.25\n' + MNIST +
        "steps = 100\n")


def run(command):
    """What the program printed, and its peak of resident memory in bytes."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen([str(c) for c in command], stdout=out, stderr=err)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        if child.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))} failed:\n{err.read()[-2000:]}")
        return out.read(), usage.ru_maxrss * 1024


def train(config, rate, per_unit, *options):
    """Seconds for `per_unit` tokens or samples, from the median rate of the lines after the first."""
    def measure(threads):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "config.toml"
            file.write_text(config)
            out, peak = run([BIN / "cairn", "train", file, "--out", Path(folder) / "out", "--json",
                             "--threads", threads, *options])
        rates = [m[rate] for m in map(json.loads, out.splitlines()) if rate in m]
        return per_unit / statistics.median(rates[1:] or rates), peak
    return measure


def process(*command):
    def measure(threads):
        begin = time.perf_counter()
        _, peak = run(command)
        return time.perf_counter() - begin, peak
    return measure


def peer(script, *options):
    def measure(threads):
        out, peak = run([os.environ["CAIRN_PEER_PYTHON"], ROOT / "bench/peers" / script, "--threads", threads,
                         *options])
        return json.loads(out.splitlines()[-1])["seconds"], peak
    return measure


def gpt_work(what, symbols, batch, layers, heads, width, context, tokenizer, steps, bf16=False):
    """A training step beside PyTorch's, eager and compiled."""
    tokens = batch * context
    config = gpt(layers, heads, width, context, tokenizer, batch, steps)
    shape = ["--layers", layers, "--heads", heads, "--width", width, "--symbols", symbols, "--context", context,
             "--batch", batch, "--steps", steps] + ["--bf16"] * bf16
    ours = train(config, "tokens_per_s", tokens, *["--precision", "bf16"] * bf16)
    return (f"GPT {what}{' bf16' * bf16}, a step of {batch} x {context} tokens", ours,
            {"eager": peer("torch_gpt.py", *shape), "compiled": peer("torch_gpt.py", *shape, "--compile")}, False)


SMALL = ("0.8 M", 65, 12, 4, 4, 128, 64, "char", 60)
MEDIUM = ("12.3 M", 4096, 4, 6, 6, 384, 256, "bpe:4096", 12)
LARGE = ("124 M", 50257, 1, 12, 12, 768, 256, f"{DATA}/tokenizers/gpt2/tokenizer.json", 6)
WORKS = {  # name: (what, cairn, PyTorch in its ways, one thread only)
    "xor": ("XOR 2-8-1, 10,000 epochs, a call a step", process(BIN / "examples/xor", "--hidden", "8"),
            {"eager": peer("torch_xor.py")}, True),
    "xor_loop": ("XOR 2-8-1, 10,000 epochs, one call", process(BIN / "examples/xor", "--hidden", "8", "--loop"),
                 {"eager": peer("torch_xor.py")}, True),
    "gpt": gpt_work(*SMALL),
    "gpt12": gpt_work(*MEDIUM),
    "gpt12_bf16": gpt_work(*MEDIUM, bf16=True),
    "gpt124": gpt_work(*LARGE),
    "gpt124_bf16": gpt_work(*LARGE, bf16=True),
    "mlp": ("MNIST MLP 784-256-10, an epoch", train(MLP, "samples_per_s", EPOCH),
            {"eager": peer("torch_mnist_mlp.py", "--epochs", "1")}, False),
    "conv": ("MNIST convnet 16-32-128, 100 steps", train(CONV, "samples_per_s", 100 * 128),
             {"eager": peer("torch_mnist_conv.py", "--steps", "100")}, False),
}


def graph_figures(threads):
    """Costs of one node, in ns, of both: {name: ns}."""
    ours = json.loads(run([BIN / "graph_bench", "--json"])[0])
    out, _ = run([os.environ["CAIRN_PEER_PYTHON"], ROOT / "bench/peers/torch_graph.py", "--threads", threads])
    return ours, json.loads(out.splitlines()[-1])["nanoseconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", choices=[*WORKS, "graph"], nargs="+")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if "CAIRN_PEER_PYTHON" not in os.environ:
        sys.exit("set CAIRN_PEER_PYTHON to a Python that has PyTorch")
    if not options.json:
        print(f"{'work':44} {'threads':>7} {'cairn':>10} {'memory':>9}   PyTorch, its memory and its time / cairn's")
    for name, (what, ours, theirs, single) in WORKS.items():
        if options.only and name not in options.only:
            continue
        threads = 1 if single else options.threads
        ways = {"cairn": ours, **theirs}
        rounds = [{way: measure(threads) for way, measure in ways.items()} for _ in range(options.rounds)]
        seconds = {way: statistics.median(r[way][0] for r in rounds) for way in ways}
        peak = {way: max(r[way][1] for r in rounds) for way in ways}
        if options.json:
            print(json.dumps({"work": name, "threads": threads, "seconds": seconds, "peak_bytes": peak}), flush=True)
            continue
        peers = ", ".join(f"{way} {seconds[way]:.4g}s {peak[way] / 1e6:.0f} MB {seconds[way] / seconds['cairn']:.3g}"
                          for way in theirs)
        print(f"{what:44} {threads:7} {seconds['cairn']:9.4g}s {peak['cairn'] / 1e6:6.0f} MB   {peers}", flush=True)
    if not options.only or "graph" in options.only:
        ours, theirs = graph_figures(1)
        print(json.dumps({"work": "graph", "cairn_ns": ours, "torch_ns": theirs}))


if __name__ == "__main__":
    main()
