"""What the golden makers share: command line, seeds, files.

A golden is STEM.safetensors (named tensors) and STEM.json beside it (what is what, library versions).
Every maker is deterministic on one thread: the same versions give the same bytes.
"""

import argparse
import importlib
import json
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True, warn_only=True)


def out_folder(what):
    """Parses --out, makes the folder and returns its path."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    return out


def versions(*names):
    return {name: importlib.import_module(name).__version__ for name in names}


def to_numpy(value):
    if isinstance(value, torch.Tensor):
        value = value.detach().resolve_conj().cpu().numpy()
    # copy: safetensors writes the buffer as it lies in memory, views and transposes would be wrong
    return np.array(value, order="C", copy=True)


def save(out, stem, tensors, description):
    """Writes out/stem.safetensors and out/stem.json (one line per entry of its long lists)."""
    path = out / f"{stem}.safetensors"
    safetensors.numpy.save_file({name: to_numpy(value) for name, value in tensors.items()}, path)
    path.chmod(0o644)
    lines = []
    for key, value in description.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            body = ",\n  ".join(json.dumps(item) for item in value)
            lines.append(f"{json.dumps(key)}: [\n  {body}\n ]")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    (out / f"{stem}.json").write_text("{\n " + ",\n ".join(lines) + "\n}\n")
    size = path.stat().st_size + (out / f"{stem}.json").stat().st_size
    print(f"{out / stem}: {len(tensors)} tensors, {size} bytes")
