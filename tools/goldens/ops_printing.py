"""Arrays as NumPy prints them: what to_string(Tensor) must give."""

import json

import numpy as np

NAN, INF = float("nan"), float("inf")


def arrays():
    r = np.random.default_rng(1)
    f = {"f16": np.float16, "f32": np.float32, "f64": np.float64}
    rows = ([1, 2, 3], [1.5, -2.25, 100], [0.1, 0.2, 1 / 3], [1e-5, 1, 2], [1e8, 1], [999999, 1], [1e6, 1e5],
            [0.001, 1.001], [0.00099, 1], [NAN, 1, -INF], [INF, 2.5], [NAN], [-INF, INF], [-0.0, 0], [-1e-10, 1e10],
            [123456.789, 0.5], [1e-4, 1e-3], [1e300, 1e-300], [2.0**-24, 1], [12345678.9, 0.125], [1e-45, 1],
            [0.1 + 0.2, 1], [16777217, 3], [NAN, 1e-9], [-INF, 1e-9], [INF, 123.5])
    for kind, dtype in f.items():
        with np.errstate(over="ignore"):
            for row in rows:
                yield kind, np.array(row, dtype)
            for value in (0, -0.0, 1, 0.1, 1e-4, 1e-5, 123456789, 1e6, 999999.5, 1e15, 1e16, 65504, 1 / 3, NAN, INF,
                          -INF, 2.0**-149, 12345.678):
                yield kind, np.array(value, dtype)
        for shape in ((7,), (3, 4), (2, 3, 2), (1, 1), (2, 1, 2, 2), (30,), (2, 11)):
            yield kind, r.standard_normal(shape).astype(dtype)
            yield kind, (r.standard_normal(shape) * 10.0 ** r.integers(-3, 4, shape)).astype(dtype)
    for kind, dtype in {"i64": np.int64, "i32": np.int32, "i8": np.int8, "u8": np.uint8, "u32": np.uint32}.items():
        info = np.iinfo(dtype)
        yield kind, np.array([info.min, 0, info.max], dtype)
        yield kind, np.array(info.max, dtype)
        yield kind, r.integers(0, 100, (3, 30)).astype(dtype)
        yield kind, r.integers(0, 100, (2, 2, 3)).astype(dtype)
    yield "bool", np.array([True, False])
    yield "bool", np.array(True)
    yield "bool", np.arange(40).reshape(2, 20) % 3 == 0
    for shape in ((0,), (2, 0), (0, 3)):
        yield "f32", np.zeros(shape, np.float32)
    for shape in ((1001,), (1000,), (2, 501), (500, 3), (12, 10, 10), (1001, 1), (3, 400), (7, 7, 7, 7)):
        yield "i32", np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    yield "f32", (np.arange(2000) / 7).astype(np.float32).reshape(40, 50)


def make(out):
    """Values are strings (Python's repr), or absent where element k is k (or k / 7 of f32)."""
    cases = []
    for kind, array in arrays():
        case = {"dtype": kind, "shape": list(array.shape), "text": str(array)}
        if array.size < 1000:
            case["values"] = [repr(float(v)) if kind[0] == "f" else str(int(v)) for v in array.ravel()]
        cases.append(case)
    lines = ",\n".join(map(json.dumps, cases))
    (out / "printing.json").write_text(
        f'{{"versions": {{"numpy": "{np.__version__}"}}, "cases": [\n{lines}\n]}}\n')
