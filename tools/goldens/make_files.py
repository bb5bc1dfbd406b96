"""Small files as NumPy, safetensors, Pillow and Python's own tarfile write them, for the tests of cairn/io.

    python tools/goldens/make_files.py --out tests/golden/files [--pngsuite pngsuite.tar]

Needs numpy, safetensors, pillow, ml_dtypes and pypng. Element k of every array is (7k mod 23) - 11 (without the -11
where the type is unsigned; k mod 3 == 0 where it is bool), so that a test knows it without reading a second file.
"""

import argparse
import io
import tarfile
import zlib
from pathlib import Path

import ml_dtypes
import numpy as np
import png
import safetensors.numpy
from PIL import Image

SHAPE = (3, 4, 5)


def values(dtype, shape=SHAPE):
    k = np.arange(int(np.prod(shape))).reshape(shape)
    if dtype == np.bool_:
        return k % 3 == 0
    offset = 0 if np.dtype(dtype).kind == "u" else 11
    return np.asarray(k * 7 % 23 - offset, dtype=dtype)


def make_safetensors(out):
    kinds = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn,
             "F8_E5M2": ml_dtypes.float8_e5m2, "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1", "U8": "u1",
             "U32": "u4", "BOOL": "?"}
    tensors = {f"all.{kind}": values(np.dtype(dtype)) for kind, dtype in kinds.items()}
    tensors["scalar"] = values(np.float32, ())
    tensors["empty"] = values(np.int32, (0, 3))
    tensors['quoted "name"\n\u00e9'] = values(np.uint8, (5,))
    (out / "every_dtype.safetensors").write_bytes(safetensors.numpy.save(tensors, {"format": "pt"}))
    foreign = {"u16": values(np.uint16), "u64": values(np.uint64), "known": values(np.float32)}
    (out / "foreign_dtypes.safetensors").write_bytes(safetensors.numpy.save(foreign))


def make_numpy(out):
    for dtype in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "u4", "?", "u2", "c8"):
        for order in "<>":
            if order == ">" and np.dtype(dtype).itemsize == 1:
                continue
            name = {"?": "bool"}.get(dtype, dtype) + ("_big" if order == ">" else "")
            np.save(out / f"{name}.npy", values(np.dtype(order + dtype)))
    np.save(out / "fortran.npy", np.asfortranarray(values(np.float32)))
    np.save(out / "fortran_big.npy", np.asfortranarray(values(np.dtype(">i2"))))
    np.save(out / "scalar.npy", values(np.float64, ()))
    np.save(out / "empty.npy", values(np.float32, (0, 3)))
    np.save(out / "strings.npy", np.array(["a", "bc"]))
    for version in ((2, 0), (3, 0)):
        with open(out / f"version{version[0]}.npy", "wb") as file:
            np.lib.format.write_array(file, values(np.float32), version=version)
    arrays = {"a": values(np.float32), "b/c": values(np.int64, (2, 2)), "flag": values(np.bool_, (1000,))}
    np.savez(out / "stored.npz", **arrays)
    np.savez_compressed(out / "deflated.npz", **arrays)


def make_images(out):
    y, x = np.mgrid[0:24, 0:40]
    plane = lambda a, b: ((a * x + b * y) % 256).astype(np.uint8)
    cmyk = Image.fromarray(np.stack([plane(6, 0), plane(0, 10), plane(3, 5), plane(1, 2) // 2], axis=-1), "CMYK")
    for name, options in (("cmyk", {"quality": 95}), ("cmyk_progressive", {"quality": 80, "progressive": True})):
        cmyk.save(out / f"{name}.jpg", **options)
        np.save(out / f"{name}.npy", np.asarray(Image.open(out / f"{name}.jpg").convert("RGB")))
    gray = Image.fromarray(plane(6, 10))
    gray.save(out / "gray.jpg", quality=90)
    np.save(out / "gray.npy", np.asarray(Image.open(out / "gray.jpg")))


def make_tars(out):
    for name, kind in (("pax", tarfile.PAX_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("ustar", tarfile.USTAR_FORMAT)):
        with tarfile.open(out / f"{name}.tar", "w", format=kind) as tar:
            def add(path, text):
                info = tarfile.TarInfo(path)
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text))
            folder = tarfile.TarInfo("folder")
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
            add("folder/short.txt", b"short")
            add("/".join(["long" * 10] * 4) + "/name.txt", b"a name of 172 characters")
            if kind != tarfile.USTAR_FORMAT:
                add("x" * 300 + "\u00e9", b"a name of 302 bytes")
            add("empty", b"")
            link = tarfile.TarInfo("link")
            link.type = tarfile.SYMTYPE
            link.linkname = "empty"
            tar.addfile(link)


def make_pngsuite(out, archive):
    """Per picture of PngSuite, as pypng decodes it: name, height, width, channels, CRC-32 of its pixels scaled to 8
    bits and, where it has 16, of the pixels as little-endian u16 (else -)."""
    lines = []
    with tarfile.open(archive) as tar:
        for member in sorted(tar.getmembers(), key=lambda m: m.name):
            if not member.name.endswith(".png"):
                continue
            reader = png.Reader(bytes=tar.extractfile(member).read())
            width, height, rows, info = reader.read()
            depth, planes = info["bitdepth"], info["planes"]
            pixels = np.array([list(row) for row in rows], np.int64).reshape(height, width, planes)
            if "palette" in info:
                pixels = np.array(info["palette"], np.int64)[pixels[:, :, 0]]
                depth = 8
            elif "transparent" in info:
                key = np.atleast_1d(info["transparent"])
                alpha = np.where((pixels == key).all(axis=-1), 0, 2**depth - 1)
                pixels = np.concatenate([pixels, alpha[:, :, None]], axis=-1)
            eight = pixels // 257 + (pixels % 257 > 128) if depth == 16 else pixels * (255 // (2**depth - 1))
            wide = f"{zlib.crc32(pixels.astype('<u2').tobytes()):08x}" if depth == 16 else "-"
            lines.append(f"{member.name} {height} {width} {pixels.shape[-1]} "
                         f"{zlib.crc32(eight.astype(np.uint8).tobytes()):08x} {wide}")
    (out / "pngsuite.txt").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--pngsuite", type=Path, help="pngsuite.tar of the test data, to make pngsuite.txt again")
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    make_safetensors(out)
    make_numpy(out)
    make_images(out)
    make_tars(out)
    if arguments.pngsuite:
        make_pngsuite(out, arguments.pngsuite)


if __name__ == "__main__":
    main()
