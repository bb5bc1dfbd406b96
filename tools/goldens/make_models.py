"""What the MNIST network of the test data computes, in f64. Needs CAIRN_TEST_DATA.

conv 1-8-16-24 (3x3, valid), ReLU after each, batch norm, flatten, linear 11616-32, ReLU, linear
32-10, batch norm, log-softmax; input (x/255 - 0.1307) / 0.3081; batch norms use their running means.
"""

import gzip
import os
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F

import common

DATA = Path(os.environ.get("CAIRN_TEST_DATA",
                           Path(__file__).resolve().parents[2].parent / "shared" / "data"))


def read_idx(path):
    raw = gzip.decompress(path.read_bytes())
    dims = raw[3]
    shape = np.frombuffer(raw, ">i4", dims, 4)
    return np.frombuffer(raw, np.uint8, -1, 4 + 4 * dims).reshape(shape)


def forward(w, images):
    def norm(x, name):
        return F.batch_norm(x, w[f"{name}.running_mean"], w[f"{name}.running_var"],
                            w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-5)

    x = (torch.from_numpy(images.copy()).double()[:, None] / 255 - 0.1307) / 0.3081
    for layer in ("conv1", "conv2", "conv3"):
        x = F.relu(F.conv2d(x, w[f"{layer}.weight"], w[f"{layer}.bias"]))
    x = F.relu(F.linear(norm(x, "norm1").flatten(1), w["fc1.weight"], w["fc1.bias"]))
    return norm(F.linear(x, w["fc2.weight"], w["fc2.bias"]), "norm2")


def main():
    out = common.out_folder(__doc__)
    weights = safetensors.torch.load_file(DATA / "checkpoints/mnist-burn/mnist.safetensors")
    weights = {k: v.double() for k, v in weights.items()}
    images = read_idx(DATA / "vision/mnist/t10k-images-idx3-ubyte.gz")
    labels = read_idx(DATA / "vision/mnist/t10k-labels-idx1-ubyte.gz")
    correct = 0
    with torch.no_grad():
        for i in range(0, len(images), 500):
            guesses = forward(weights, images[i:i + 500]).argmax(1).numpy()
            correct += int((guesses == labels[i:i + 500]).sum())
        logits = forward(weights, images[:4])
    common.save(out, "mnist-burn", {"logits": logits, "log_softmax": F.log_softmax(logits, 1)}, {
        "versions": common.versions("torch"),
        "tensors": {"logits": "f64 [4,10] after the last batch norm, first 4 test images",
                    "log_softmax": "f64 [4,10]"},
        "labels": labels[:4].tolist(), "correct": correct, "total": len(images)})


main()
