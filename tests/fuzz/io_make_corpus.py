#!/usr/bin/env python3
"""Makes the seeds of the io_* fuzz targets: small files of each format, from tests/golden/files and by hand.

    python3 tests/fuzz/io_make_corpus.py        writes tests/fuzz/corpus/io_*/
"""

import gzip
import shutil
import struct
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden" / "files"


def put(target, name, data):
    folder = HERE / "corpus" / f"io_{target}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def copy(target, *names):
    for name in names:
        put(target, name, (GOLDEN / name).read_bytes())


def png(width, height, depth, colour, raw, interlace=0, extra=()):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    chunks = [chunk(b"IHDR", header), *[chunk(*e) for e in extra], chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tar(*entries):
    out = b""
    for name, kind, data in entries:
        header = bytearray(512)
        header[0:len(name)] = name
        header[100:108] = b"0000644\0"
        header[124:136] = b"%011o\0" % len(data)
        header[136:148] = b"00000000000\0"
        header[148:156] = b" " * 8
        header[156:157] = kind
        header[257:265] = b"ustar\x0000"
        header[148:155] = b"%06o\0" % sum(header)
        out += bytes(header) + data + b"\0" * (-len(data) % 512)
    return out + b"\0" * 512


def safetensors(header, data=b""):
    return struct.pack("<Q", len(header)) + header + data


def main():
    for folder in (HERE / "corpus").glob("io_*"):
        shutil.rmtree(folder)

    copy("safetensors", "every_dtype.safetensors", "foreign_dtypes.safetensors")
    put("safetensors", "none", safetensors(b"{}      "))
    put("safetensors", "nested", safetensors(
        b'{"__metadata__":{"a":"b"},"x":{"dtype":"U8","more":[1,{"y":[]}],"shape":[2],"data_offsets":[0,2]}}', b"ab"))

    copy("gguf", "every_kind.gguf", "big.gguf", "split-00001-of-00002.gguf")
    for version, length in ((1, "<I"), (2, "<Q")):
        text = lambda word: struct.pack(length, len(word)) + word
        put("gguf", f"version{version}", b"GGUF" + struct.pack("<I", version) + struct.pack(length, 1) + struct.pack(length, 1) + text(b"k")
            + struct.pack("<II", 9, 8) + struct.pack(length, 2) + text(b"a") + text(b"") + text(b"x") + struct.pack("<I", 1)
            + struct.pack(length, 2) + struct.pack("<IQ", 25, 0) + b"\0" * 64)

    entry = lambda name, *values: struct.pack("<i", len(name)) + name + struct.pack(f"<ii{len(values)}f", 2, len(values), *values)
    put("imatrix", "older", struct.pack("<i", 2) + entry(b"a.weight", 1, 2, 3) + entry(b"b.weight", 0))
    tensor = lambda name, size, offset: (struct.pack("<Q", len(name)) + name + struct.pack("<IQIQ", 1, size, 0, offset))
    header = b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + tensor(b"a.in_sum2", 2, 0) + tensor(b"a.counts", 1, 32)
    put("imatrix", "gguf", header + b"\0" * (-len(header) % 32) + struct.pack("<2f24xf", 1, 2, 2))

    copy("npy", "f4.npy", "f8_big.npy", "bool.npy", "fortran.npy", "version2.npy", "scalar.npy", "empty.npy", "u2.npy")
    copy("npz", "stored.npz", "deflated.npz")

    for code, data in ((8, b"ab"), (9, b"ab"), (0xB, b"abcd"), (0xC, b"abcdefgh"), (0xD, b"abcdefgh"), (0xE, b"a" * 16)):
        put("idx", f"type{code:x}", bytes([0, 0, code, 2]) + struct.pack(">II", 2, 1) + data)

    put("gzip", "text", gzip.compress(b"some text, some text, some text", mtime=0))
    put("gzip", "members", gzip.compress(b"one", mtime=0) + gzip.compress(b"", mtime=0) + gzip.compress(b"two", mtime=0) + b"\0\0")
    put("gzip", "zeros", gzip.compress(bytes(100_000), mtime=0))

    for vocabulary in (5, -5):
        floats = 20 + 8 + 2 * 48 + 8 + 72 + 4 + 12 + (20 if vocabulary < 0 else 0)
        put("llama2c", f"vocabulary{vocabulary}", struct.pack("<7i", 4, 3, 2, 2, 1, vocabulary, 6) + struct.pack(f"<{floats}f", *range(floats)))

    put("png", "gray", png(3, 2, 8, 0, b"\0abc\1def"))
    put("png", "gray1", png(9, 2, 1, 0, b"\0ab\2cd"))
    put("png", "rgb16", png(2, 2, 16, 2, bytes(range(26)).replace(b"\x0d", b"\3")))
    put("png", "rgba_interlaced", png(5, 5, 8, 6, bytes(4 * 25 + 11), interlace=1))
    put("png", "palette", png(3, 2, 4, 3, b"\0\x01\x20\4\x12\0", extra=[(b"PLTE", b"abcdefghi"), (b"tRNS", b"\x10\x80")]))
    put("png", "text", png(1, 1, 8, 0, b"\0a", extra=[(b"tRNS", b"\0a"), (b"gAMA", struct.pack(">I", 45455)), (b"zTXt", b"k\0\0" + zlib.compress(b"text"))]))
    copy("jpeg", "cmyk.jpg", "cmyk_progressive.jpg", "gray.jpg")

    put("pnm", "p2", b"P2\n# comment\n3 2 7\n1 2 3\n4 5 6\n")
    put("pnm", "p3", b"P3 1 2 255 1 2 3 4 5 6")
    put("pnm", "p5", b"P5 2 2 255\nabcd")
    put("pnm", "p6_16", b"P6 1 2 65535\nabcdefghijkl")

    put("csv", "numbers", b"x,y\n1,2.5\n-3,1e3\n")
    put("csv", "quotes", b'a,"b ""c"""\r\n"1\r\n2",\r\n\r\n,3')
    put("jsonl", "lines", b'{"text":"a\\u00e9\\ud83d\\ude00","label":"b","n":[1,{"text":2}]}\n\n{"label":"","text":"c"}\n{"text":1}\n[]\n')
    put("jsonl", "gzip", gzip.compress(b'{"text":"a","label":"b"}\n' * 5, mtime=0))

    put("tar", "ustar", tar((b"a/b", b"0", b"text"), (b"folder", b"5", b""), (b"c", b"0", b"")))
    put("tar", "pax", tar((b"x", b"x", b"18 path=long/name\n10 size=4\n"[:28]), (b"a", b"0", b"text")))
    put("tar", "gnu", tar((b"././@LongLink", b"L", b"n" * 120 + b"\0"), (b"n", b"0", b"text"), (b"l", b"2", b"")))

    for target in ("safetensors", "npz", "idx", "gzip", "llama2c", "png", "jpeg", "pnm", "jsonl", "tar"):
        first = sorted((HERE / "corpus" / f"io_{target}").iterdir())[0]
        put("probe", f"{target}", first.read_bytes())
    put("probe", "toml", b"# c\n[model]\nlayers = 2\n")
    put("probe", "graph", b"// c\ngraph @f(%x: f32[]) -> f32[] {\n")


if __name__ == "__main__":
    main()
