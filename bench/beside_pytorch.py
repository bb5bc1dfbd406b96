#!/usr/bin/env python3
"""cairn beside PyTorch on this machine, in one run: the same work in turns, medians, ratios.

    bench/beside_pytorch.py [--rounds 3] [--threads 2] [--only gpt] [--json]

Needs build/release (`./run --version`), the benchmark programs (`ninja -C build/release graph_bench`), the Python with
PyTorch that CAIRN_PEER_PYTHON names, and MNIST below CAIRN_TEST_DATA. Peers' programs are bench/peers/torch_*.py.
Times leave loading, planning and evaluation out on both sides, except XOR's, where cairn's is the whole process.
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

GPT = f"""
[model]
family = "gpt"
layers = 4
heads = 4
width = 128
context = 64
[data]
text = ["{DATA}/text/tinyshakespeare.txt"]
tokenizer = "char"
[train]
steps = 60
batch = 12
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


def run(command, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def train(config, rate, per_unit):
    """Seconds for `per_unit` tokens or samples, from the median rate of the lines after the first."""
    def measure(threads):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "config.toml"
            file.write_text(config)
            lines = run([BIN / "cairn", "train", file, "--out", Path(folder) / "out", "--json",
                         "--threads", threads]).splitlines()
        rates = [m[rate] for m in map(json.loads, lines) if rate in m]
        return per_unit / statistics.median(rates[1:] or rates)
    return measure


def process(*command):
    def measure(threads):
        begin = time.perf_counter()
        run(command)
        return time.perf_counter() - begin
    return measure


def peer(script, *options):
    def measure(threads):
        out = run([os.environ["CAIRN_PEER_PYTHON"], ROOT / "bench/peers" / script, "--threads", threads, *options])
        return json.loads(out.splitlines()[-1])["seconds"]
    return measure


WORKS = {  # name: (what, cairn, PyTorch, one thread only)
    "xor": ("XOR 2-8-1, 10,000 epochs, a call a step", process(BIN / "examples/xor", "--hidden", "8"),
            peer("torch_xor.py"), True),
    "xor_loop": ("XOR 2-8-1, 10,000 epochs, one call", process(BIN / "examples/xor", "--hidden", "8", "--loop"),
                 peer("torch_xor.py"), True),
    "gpt": ("GPT 0.8 M, a step of 12 x 64 tokens", train(GPT, "tokens_per_s", 12 * 64),
            peer("torch_gpt.py"), False),
    "mlp": ("MNIST MLP 784-256-10, an epoch", train(MLP, "samples_per_s", EPOCH),
            peer("torch_mnist_mlp.py", "--epochs", "1"), False),
    "conv": ("MNIST convnet 16-32-128, 100 steps", train(CONV, "samples_per_s", 100 * 128),
             peer("torch_mnist_conv.py", "--steps", "100"), False),
}


def graph_figures(threads):
    """Costs of one node, in ns, of both: {name: ns}."""
    ours = json.loads(run([BIN / "graph_bench", "--json"]))
    out = run([os.environ["CAIRN_PEER_PYTHON"], ROOT / "bench/peers/torch_graph.py", "--threads", threads])
    return ours, json.loads(out.splitlines()[-1])["nanoseconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", choices=[*WORKS, "graph"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if "CAIRN_PEER_PYTHON" not in os.environ:
        sys.exit("set CAIRN_PEER_PYTHON to a Python that has PyTorch")
    if not options.json:
        print(f"{'work':44} {'threads':>7} {'cairn':>10} {'PyTorch':>10}  PyTorch / cairn")
    for name, (what, ours, theirs, single) in WORKS.items():
        if options.only not in (None, name):
            continue
        threads = 1 if single else options.threads
        times = [(ours(threads), theirs(threads)) for _ in range(options.rounds)]
        cairn, torch = (statistics.median(column) for column in zip(*times))
        if options.json:
            print(json.dumps({"work": name, "threads": threads, "cairn_seconds": cairn, "torch_seconds": torch}))
        else:
            print(f"{what:44} {threads:7} {cairn:9.4g}s {torch:9.4g}s  {torch / cairn:.3g}", flush=True)
    if options.only in (None, "graph"):
        ours, theirs = graph_figures(1)
        print(json.dumps({"work": "graph", "cairn_ns": ours, "torch_ns": theirs}))


if __name__ == "__main__":
    main()
