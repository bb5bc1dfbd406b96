"""What the PyTorch peers share: options, threads, MNIST, one line of JSON on stdout.

Each torch_*.py trains what cairn trains and prints {"work","framework","threads","seconds",...}. They are
run with the Python of CAIRN_PEER_PYTHON and find data through CAIRN_TEST_DATA.
"""

import argparse
import gzip
import json
import os
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CAIRN_TEST_DATA", ROOT.parent / "shared" / "data"))


def parser(what):
    result = argparse.ArgumentParser(description=what,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--threads", type=int, default=torch.get_num_threads())
    result.add_argument("--seed", type=int, default=1337)
    return result


def start(options):
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)


def report(work, options, seconds, **more):
    print(json.dumps({"work": work, "framework": f"torch {torch.__version__}",
                      "threads": options.threads, "seconds": seconds} | more), flush=True)


def read_idx(path):
    raw = gzip.decompress(path.read_bytes())
    dims = raw[3]
    shape = np.frombuffer(raw, ">i4", dims, 4)
    return torch.from_numpy(np.frombuffer(raw, np.uint8, -1, 4 + 4 * dims).reshape(shape).copy())


def mnist(part):
    """Images f32 (N, 1, 28, 28), normalised, and labels i64 (N,); part is "train" or "t10k"."""
    images = read_idx(DATA / f"vision/mnist/{part}-images-idx3-ubyte.gz")
    labels = read_idx(DATA / f"vision/mnist/{part}-labels-idx1-ubyte.gz")
    return ((images.float() / 255 - 0.1307) / 0.3081)[:, None], labels.long()


def train_mnist(work, model, options, batch=128):
    """Epochs of AdamW (1e-3) over MNIST; "seconds" is the median epoch, without evaluation."""
    images, labels = mnist("train")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    times = []
    for _ in range(options.epochs):
        order = torch.randperm(len(images))
        begin = time.perf_counter()
        for i in range(0, min(len(order), options.steps * batch if options.steps else len(order)), batch):
            rows = order[i:i + batch]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
        times.append(time.perf_counter() - begin)
    test_images, test_labels = mnist("t10k")
    with torch.no_grad():
        correct = sum((model(x).argmax(1) == y).sum().item()
                      for x, y in zip(test_images.split(500), test_labels.split(500)))
    more = {"steps": options.steps} if options.steps else {}
    report(work, options, float(np.median(times)), epochs=options.epochs, correct=correct,
           total=len(test_labels), **more)


def mnist_options(what, epochs):
    result = parser(what)
    result.add_argument("--epochs", type=int, default=epochs)
    result.add_argument("--steps", type=int, default=0, help="only the first steps of each epoch")
    options = result.parse_args()
    start(options)
    return options
