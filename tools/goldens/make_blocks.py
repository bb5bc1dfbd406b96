"""Blocks of every block format and what the gguf package decodes them to, for the tests of cairn/core.

    python tools/goldens/make_blocks.py --out tests/golden/blocks

Needs gguf, numpy and safetensors. Writes decoded.safetensors: per format `NAME.bytes`, u8 (blocks, bytes of a block),
and `NAME.values`, f32 (blocks, elements of a block). Every byte is random but the scales and minimums, which take
random numbers in the first four blocks and extreme ones in the others; one block is zeros, one has all bits set.
"""

import argparse
from pathlib import Path

import gguf
import numpy as np
import safetensors.numpy
from gguf import GGMLQuantizationType as Type

# Where the f16 scale and, where there is one, the f16 minimum stand. mxfp4: a byte.
SCALES = {"Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,), "Q2_K": (80, 82), "Q3_K": (108,),
          "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "IQ4_NL": (0,), "IQ4_XS": (0,), "MXFP4": (0,)}
# (scale, minimum) as f16: the largest, the smallest of both kinds, infinities, negative ones.
EXTREMES = [(65504, -65504), (-65504, 65504), (2**-24, 2**-24), (2**-14, -(2**-24)), (-0.0, 0.0), (np.inf, 1),
            (-np.inf, -1), (1, np.inf)]


def blocks_of(name, random):
    _, size = gguf.GGML_QUANT_SIZES[Type[name]]
    count = 4 + len(EXTREMES) + 2
    blocks = random.integers(0, 256, (count, size), np.uint8)
    blocks[-2], blocks[-1] = 0, 255
    for i, block in enumerate(blocks):
        if name == "MXFP4":
            exponents = [120, 130, 100, 127, 0, 1, 2, 3, 252, 253, 254, 255]
            if i < len(exponents):
                block[0] = exponents[i]
            continue
        numbers = random.normal(size=2) * 0.01 if i < 4 else EXTREMES[i - 4] if i < count - 2 else (0, 0)
        for where, number in zip(SCALES[name], numbers):
            if i == count - 1:
                number = 0.5
            block[where:where + 2] = np.frombuffer(np.float16(number).tobytes(), np.uint8)
    return blocks


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    tensors = {}
    with np.errstate(all="ignore"):
        for name in SCALES:
            blocks = blocks_of(name, random)
            tensors[f"{name.lower()}.bytes"] = blocks
            tensors[f"{name.lower()}.values"] = gguf.dequantize(blocks, Type[name])
    (out / "decoded.safetensors").write_bytes(safetensors.numpy.save(tensors))


if __name__ == "__main__":
    main()
