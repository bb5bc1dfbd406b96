#!/usr/bin/env python3
"""Makes the seeds of the train_* fuzz targets.

    python3 tests/fuzz/train_make_corpus.py        writes tests/fuzz/corpus/train_*/
"""

import json
import shutil
import struct
from pathlib import Path

HERE = Path(__file__).resolve().parent

LANGUAGE = """[model]
family = "gpt"            # a comment
layers = 4
heads = 4
width = 128
context = 64
dropout = 0.0
hidden = 512
[data]
text = ["tinyshakespeare.txt", 'b.jsonl']
tokenizer = "bpe:1024"
separator = "<|endoftext|>"
validation = 0.1
[train]
steps = 2000
batch = 12
optimizer = "adamw"
learning_rate = 1e-3
schedule = "cosine"
warmup_steps = 1_00
betas = [0.9, 0.99]
clip = 1.0
evaluate_every = 250
seed = 0x539
"""
GROUPS = """[train]
schedule = "plateau"
patience = 3
milestones = [10, 20]
decay_all = true
[[train.group]]
match = "*.bias"
weight_decay = 0
[[train.group]]
match = ["*norm*", "a.?"]
learning_rate_scale = 0.5
"""
IMAGES = """model.family = "convnet"
model.channels = [8, 16]
[data]
images = "a.gz"
labels = "b.gz"
tokenizer = "dir/tokenizer.json"
[train]
epochs = 1.5
ema = 0.999
"""


def put(target, name, data):
    folder = HERE / "corpus" / f"train_{target}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def safetensors(tensors):
    header, data = {}, b""
    for name, (dtype, shape, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def checkpoint(run, lines, tensors):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    return json.dumps(run).encode() + b"\0" + text.encode() + b"\0" + safetensors(tensors)


def main():
    for folder in (HERE / "corpus").glob("train_*"):
        shutil.rmtree(folder)
    put("config", "language", LANGUAGE.encode())
    put("config", "groups", GROUPS.encode())
    put("config", "images", IMAGES.encode())
    put("config", "set", b"[train]\nbatch = 3\n\0train.steps=100\nmodel.family=llama\ntrain.betas=[0.9,1]\n"
                         b'data.text=["a","b"]\ntrain.group=[{match="*"}]\ntrain.seed=9223372036854775807')
    w = struct.pack("<4f", 1, 2, 3, 4)
    put("checkpoint", "plain", checkpoint(
        {"step": 7, "checksum": "0123456789abcdef", "metrics_bytes": 61, "config": LANGUAGE},
        [{"step": 3, "loss": 2.5, "lr": 1e-3, "grad_norm": 1.5, "tokens": 30, "tokens_per_s": 9.5, "seconds": 1.5},
         {"step": 6, "loss": 2.25, "val_loss": 2.5, "val_accuracy": 0.5, "samples": 3}],
        {"ema.w": ("F32", [2, 2], w), "model.w": ("F32", [2, 2], w)}))
    put("checkpoint", "plateau", checkpoint(
        {"step": 0, "checksum": "", "metrics_bytes": 0, "config": GROUPS, "validation_loss": 1.5,
         "plateau": {"rate": 1e-3, "bad": 2, "cooling": 0, "best": 2.5}},
        [], {"ema.w": ("I64", [1], w[:8]), "model.w": ("F32", [2, 2], w)}))


if __name__ == "__main__":
    main()
