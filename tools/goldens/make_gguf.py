"""Small GGUF files as the gguf package writes them, for the tests of cairn/io.

    python tools/goldens/make_gguf.py --out tests/golden/files

Needs gguf and numpy. every_kind.gguf has metadata of every kind and a tensor of every type, plain ones with the values
of make_files.py, blocks with random bytes; big.gguf has the plain part in big-endian order; split-*.gguf is a model in
two parts.
"""

import argparse
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFEndian, GGUFValueType as Kind
from make_files import values

BLOCKS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4", "IQ2_XXS")


def add_metadata(writer):
    numbers = {"u8": (Kind.UINT8, 200), "i8": (Kind.INT8, -100), "u16": (Kind.UINT16, 60000), "i16": (Kind.INT16, -30000),
               "u32": (Kind.UINT32, 4000000000), "i32": (Kind.INT32, -2000000000), "f32": (Kind.FLOAT32, 0.5),
               "u64": (Kind.UINT64, 2**63 + 1), "i64": (Kind.INT64, -(2**62)), "f64": (Kind.FLOAT64, 1e300)}
    for name, (kind, value) in numbers.items():
        writer.add_key_value(f"one.{name}", value, kind)
    writer.add_bool("one.bool", True)
    writer.add_string("one.text", "caf\u00e9\n")
    for name, (kind, value) in numbers.items():
        writer.add_key_value(f"some.{name}", [value, 1, 0], Kind.ARRAY, sub_type=kind)
    writer.add_array("some.bool", [True, False, True])
    writer.add_array("some.text", ["a", "", "b\u00e9c"])


def add_plain(writer):
    for name in ("f4", "f2", "f8", "i1", "i2", "i4", "i8"):
        writer.add_tensor(f"plain.{name}", values(np.dtype(name)))
    writer.add_tensor("vector", values(np.float32, (5,)))


def add_blocks(writer):
    bf16 = (values(np.float32).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    writer.add_tensor("plain.bf16", bf16, raw_dtype=Type.BF16)
    random = np.random.default_rng(11)
    for name in BLOCKS:
        _, size = gguf.GGML_QUANT_SIZES[Type[name]]
        writer.add_tensor(f"block.{name}", random.integers(0, 256, (2, size), np.uint8), raw_dtype=Type[name])


def write(path, endian, parts):
    writer = gguf.GGUFWriter(path, "test", endianess=endian)
    for part in parts:
        part(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def part(number):
    def add(writer):
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 2)
        writer.add_int32("split.tensors.count", 3)
        for name in (("a", "b"), ("c",))[number]:
            writer.add_tensor(name, values(np.float32, (2, 3 + ord(name) - ord("a"))))
    return add


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    write(out / "every_kind.gguf", GGUFEndian.LITTLE, (add_metadata, add_plain, add_blocks))
    write(out / "big.gguf", GGUFEndian.BIG, (add_metadata, add_plain))
    for number in range(2):
        write(out / f"split-{number + 1:05}-of-00002.gguf", GGUFEndian.LITTLE, (part(number),))


if __name__ == "__main__":
    main()
