"""Errors of ggml's encoders on fixed data, which cairn's may exceed by 1 % at most (tests/quant).

    python tools/goldens/make_encoder_errors.py --ggml .../libggml-base.so --out tests/golden/blocks

Needs gguf, numpy, safetensors and a built llama.cpp (its library ggml-base alone). encoders.safetensors holds the
data, f32 (rows, elements) by name, and `importance`, f32 (elements); encoders.json the errors: for every data set and
format, the sum over all elements of (x - y)^2 and, encoded with the importance matrix, of importance (x - y)^2.
"""

import argparse
import ctypes
import json
from pathlib import Path

import gguf
import numpy as np
import safetensors.numpy
from gguf import GGMLQuantizationType as Type

FORMATS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4")
SHAPE = (8, 512)


def data_sets():
    random = np.random.default_rng(3)
    rows = 0.02 * np.exp(0.3 * random.normal(size=(SHAPE[0], 1)))
    outliers = np.where(random.random(SHAPE) < 0.005, 12.0, 1.0)
    sets = {
        "normal": rows * random.normal(size=SHAPE),
        "heavy": rows * random.standard_t(4, size=SHAPE),
        "shifted": rows * (random.normal(size=SHAPE) + 0.7),
        "outliers": rows * random.normal(size=SHAPE) * outliers,
        "uniform": random.uniform(-1, 1, SHAPE),
        "positive": np.abs(random.normal(size=SHAPE)) + 1,
        "sparse": np.where(random.random(SHAPE) < 0.2, random.normal(size=SHAPE), 0),
        "small": 1e-4 * random.normal(size=SHAPE),
    }
    return {name: x.astype(np.float32) for name, x in sets.items()}, np.exp(1.5 * random.normal(size=SHAPE[1])).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ggml", required=True, help="libggml-base.so")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    arguments = parser.parse_args()
    ggml = ctypes.CDLL(arguments.ggml)
    floats = ctypes.POINTER(ctypes.c_float)
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, floats, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
                                         ctypes.c_int64, floats]
    sets, importance = data_sets()
    errors = []
    for name, x in sets.items():
        for kind in FORMATS:
            ggml.ggml_quantize_init(int(Type[kind]))
            result = {"data": name, "format": kind.lower()}
            for key, weights in (("error", None), ("error_with_importance", importance)):
                block, size = gguf.GGML_QUANT_SIZES[Type[kind]]
                out = np.zeros((SHAPE[0], SHAPE[1] // block * size), np.uint8)
                pointer = weights.ctypes.data_as(floats) if weights is not None else None
                ggml.ggml_quantize_chunk(int(Type[kind]), x.ctypes.data_as(floats), out.ctypes.data, 0, *SHAPE, pointer)
                difference = x.astype(np.float64) - gguf.dequantize(out, Type[kind])
                result[key] = float((difference**2 * (1 if weights is None else weights)).sum())
            errors.append(result)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "encoders.safetensors").write_bytes(safetensors.numpy.save({**sets, "importance": importance}))
    lines = ",\n  ".join(json.dumps(e) for e in errors)
    (arguments.out / "encoders.json").write_text(f'{{"errors": [\n  {lines}\n]}}\n')


if __name__ == "__main__":
    main()
