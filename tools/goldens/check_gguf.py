"""Checks that cairn and the gguf package read the same in a GGUF file, bit for bit.

    python tools/goldens/check_gguf.py --cairn build/release/bin/cairn FILE.gguf ...

For files that people have and for those that `cairn quantize` and `cairn convert` wrote, of version 2 or 3 and one part
(the package reads no others). Needs gguf and numpy. Compares keys and values of the metadata, names, shapes and types of
the tensors, and every number of up to --tensors of them.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import gguf
import numpy as np

ADDED = {"gguf.version", "gguf.big_endian", "gguf.parts"}


def check_metadata(path, said, reader):
    keys = {key for key in reader.fields if not key.startswith("GGUF.")}
    assert keys == set(said) - ADDED, f"{path}: keys differ: {keys ^ (set(said) - ADDED)}"
    for key in keys:
        value, shown = reader.fields[key].contents(), said[key]
        if isinstance(shown, dict) and "first" in shown:
            assert shown["count"] == len(value), f"{path}: {key} has {len(value)} elements"
            value, shown = value[:len(shown["first"])], shown["first"]
        assert value == shown, f"{path}: {key} is {value!r}, and cairn says {shown!r}"


def check_tensors(cairn, path, said, reader, limit):
    assert len(said) == len(reader.tensors)
    numbers = 0
    for shown, tensor in zip(said, reader.tensors):
        shape = [int(size) for size in reversed(tensor.shape)]
        for what, expected in (("name", tensor.name), ("shape", shape), ("dtype", tensor.tensor_type.name.lower()),
                               ("bytes", int(tensor.n_bytes))):
            assert shown[what] == expected, f"{path}: {tensor.name}: {what} is {expected}, and cairn says {shown[what]}"
    for tensor in reader.tensors[:limit]:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "t.npy"
            subprocess.run([cairn, "inspect", path, "--tensor", tensor.name, "--out", out, "--quiet"], check=True)
            values = np.load(out)
        with np.errstate(all="ignore"):
            expected = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(values.shape)
        assert np.array_equal(values, expected, equal_nan=True), f"{path}: {tensor.name} decodes to other numbers"
        numbers += values.size
    return numbers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cairn", required=True, help="the program")
    parser.add_argument("--tensors", type=int, default=1000, help="how many tensors to decode")
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    for path in arguments.files:
        shown = json.loads(subprocess.run([arguments.cairn, "inspect", path, "--json"], check=True, capture_output=True).stdout)
        reader = gguf.GGUFReader(path)
        check_metadata(path, shown["metadata"], reader)
        numbers = check_tensors(arguments.cairn, path, shown["tensors"], reader, arguments.tensors)
        print(f"{path}: {len(shown['metadata'])} keys, {len(shown['tensors'])} tensors, {numbers} numbers the same")


if __name__ == "__main__":
    main()
