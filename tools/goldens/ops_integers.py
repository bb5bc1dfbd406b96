"""Casts, integer arithmetic and type promotion, from JAX on a CPU.

Only what JAX and the edge table of cairn agree on: the expected values are computed a second time
from the table's own words, and elements on which the two differ are left out (and printed).
"""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np

from ops_cases import DTYPES, Cases, close

INTEGERS = ["int8", "uint8", "int16", "int32", "uint32", "int64"]
FLOATS = ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
SHORT = DTYPES | {"bfloat16": "bf16", "float8_e4m3fn": "f8e4m3", "float8_e5m2": "f8e5m2"}


def range_of(dtype):
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def wrap(value, dtype):
    low, high = range_of(dtype)
    return (value - low) % (high - low + 1) + low


def saturate(value, dtype):
    if np.isnan(value):
        return 0
    low, high = range_of(dtype)
    return low if value <= low else high if value >= high else int(value)


def add_agreed(cases, name, function, inputs, ours, jax_function, attributes=None):
    """Leaves out what differs, then adds a case with JAX's result; f16, bf16, f8 go in as f32."""
    theirs = np.asarray(jax_function(*[jnp.asarray(i) for i in inputs]))
    keep = np.ones(len(inputs[0]), bool)
    if ours is not None:
        expected = np.array([ours(*[v.item() for v in row]) for row in zip(*inputs)])
        keep = close(expected, theirs)
        if not keep.all():
            print("left out:", name, [i[~keep].tolist() for i in inputs])
    if theirs.dtype.itemsize <= 2 and str(theirs.dtype) in FLOATS:
        theirs = theirs.astype(np.float32)
    cases.add(name, function, [i[keep] for i in inputs], lambda *_: theirs[keep], attributes)


def casts(cases):
    values = np.float32([np.nan, np.inf, -np.inf, 0.0, -0.0, 0.4, 0.5, 0.6, 1.5, -0.5, -0.9, -1.5,
                         127.0, 127.9, 128.0, 255.0, 255.5, 256.0, -128.0, -128.9, -129.0, 300.7,
                         -300.7, 32767.5, 65535.0, 2147483520.0, 2147483648.0, -2147483648.0,
                         -2147483904.0, 4294967040.0, 4294967296.0, 1e10, -1e10, 9.2e18,
                         9223372036854775808.0, -9223372036854775808.0, 1e30, -1e30])
    for source, target in itertools.product(["float32", "float64"], INTEGERS):
        add_agreed(cases, f"cast/{SHORT[source]}/{SHORT[target]}", "cast", [values.astype(source)],
                   lambda v: saturate(v, target), lambda x: jax.jit(lambda x: x.astype(target))(x),
                   {"to": SHORT[target]})
    for source in ("float32", "float64"):
        add_agreed(cases, f"cast/{SHORT[source]}/bool", "cast", [values.astype(source)],
                   lambda v: v != 0, lambda x: x.astype(bool), {"to": "bool"})
    for source, target in itertools.permutations(INTEGERS, 2):
        low, high = range_of(source)
        whole = np.array(sorted({v for v in (low, low + 1, -1, 0, 1, 100, 127, 128, 200, 255, 256,
                                             65535, 65536, 2**31, 2**32 - 1, 2**32, high - 1, high)
                                 if low <= v <= high}), source)
        add_agreed(cases, f"cast/{SHORT[source]}/{SHORT[target]}", "cast", [whole],
                   lambda v: wrap(v, target), lambda x: x.astype(target), {"to": SHORT[target]})
    whole = np.int64([0, 1, -1, 16777216, 16777217, 16777219, 33554433, 2**31 - 1, 2**53 + 1,
                      2**63 - 1, -2**63])
    for target in ("float32", "float64"):
        add_agreed(cases, f"cast/i64/{SHORT[target]}", "cast", [whole], None,
                   lambda x: x.astype(target), {"to": SHORT[target]})
    small = np.float32([0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1 + 2**-7, 1 + 2**-8,
                        1 + 3 * 2**-8, 1 + 2**-9, 1 + 2**-10, 1 + 2**-11, 1 + 3 * 2**-11, 0.1, 3.14,
                        1e-3, 2**-6, 2**-7, 2**-9, 2**-10, 3 * 2**-11, 2**-14, 2**-16, 2**-17,
                        2**-24, 2**-25, 3 * 2**-26, 17.0, 18.0, 19.0, 416.0, 440.0, 447.9])
    large = np.float32([448.0, 464.0, 464.1, 480.0, 500.0, -1e5, 57344.0, 61439.0, 61440.0, 65504.0,
                        65519.9, 65520.0, 1e6, 3.38e38, 3.39e38, 3.3961775e38, 3.4028235e38])
    for target in FLOATS[2:]:
        for label, x in (("", small), ("/large", large)):
            # float(...) of the narrow type: ml_dtypes rounds once, whatever XLA goes through
            rounded = lambda v: float(np.float32(v).astype(target))
            add_agreed(cases, f"cast/f32/{SHORT[target]}{label}", "cast", [x], rounded,
                       lambda x: x.astype(target), {"to": SHORT[target], "stored": "as f32"})


def truncated(a, b):
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def arithmetic(cases):
    lax = jax.lax
    for dtype in INTEGERS:
        low, high = range_of(dtype)
        points = [v for v in (low, low + 1, -7, -2, -1, 0, 1, 2, 3, 7, 100, high - 1, high)
                  if low <= v <= high]
        points = sorted(set(points))
        a, b = [np.array(v, dtype) for v in zip(*itertools.product(points, points))]
        short = SHORT[dtype]

        def both(name, ours, jax_function, x=a, y=b):
            add_agreed(cases, f"{name}/{short}", name, [x, y], ours, jax_function)

        both("add", lambda x, y: wrap(x + y, dtype), jnp.add)
        both("subtract", lambda x, y: wrap(x - y, dtype), jnp.subtract)
        both("multiply", lambda x, y: wrap(x * y, dtype), jnp.multiply)
        both("truncate_divide",
             lambda x, y: wrap(-1, dtype) if y == 0 else wrap(truncated(x, y), dtype), lax.div)
        both("fmod", lambda x, y: x if y == 0 else x - y * truncated(x, y), lax.rem)
        some = b != 0
        both("floor_divide", lambda x, y: wrap(x // y, dtype), jnp.floor_divide, a[some], b[some])
        both("remainder", lambda x, y: x % y, jnp.remainder, a[some], b[some])
        both("maximum", max, jnp.maximum)
        both("minimum", min, jnp.minimum)
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
            operation = {"and": int.__and__, "or": int.__or__, "xor": int.__xor__}[name[8:]]
            both(name, operation, getattr(jnp, name))
        for name, operation in (("equal", int.__eq__), ("not_equal", int.__ne__),
                                ("less", int.__lt__), ("less_equal", int.__le__),
                                ("greater", int.__gt__), ("greater_equal", int.__ge__)):
            both(name, operation, getattr(jnp, name))
        width = np.iinfo(dtype).bits
        shifts = [0, 1, 3, width - 1, width, width + 1, min(100, high)]
        x, s = [np.array(v, dtype) for v in zip(*itertools.product(points, shifts))]
        right = lax.shift_right_arithmetic if low < 0 else lax.shift_right_logical
        both("shift_left", lambda x, s: wrap(x << s, dtype) if s < width else 0, lax.shift_left,
             x, s)
        both("shift_right", lambda x, s: x >> s, right, x, s)
        one = np.array(points, dtype)
        for name, ours, jax_function in (
                ("negate", lambda x: wrap(-x, dtype), jnp.negative),
                ("abs", lambda x: wrap(abs(x), dtype), jnp.abs),
                ("sign", lambda x: (x > 0) - (x < 0), jnp.sign),
                ("bitwise_not", lambda x: wrap(~x, dtype), jnp.bitwise_not)):
            add_agreed(cases, f"{name}/{short}", name, [one], ours, jax_function)
    big = np.int32([2**30, 2**30, 2**30, 5])
    cases.add("sum/i32", "sum", [big], lambda x: np.asarray(jnp.sum(x, dtype=jnp.int32)),
              {"axes": None, "keepdims": False})
    cases.add("prod/i32", "prod", [big], lambda x: np.asarray(jnp.prod(x, dtype=jnp.int32)),
              {"axes": None, "keepdims": False})


def promotion(out):
    """{"binary": {a: {b: result}}, "weak_int": {a: result}, "weak_float": {a: result}}

    Weak numbers only where the result does not hang on JAX's default width (bool, or i32 with 1.5).
    """
    names = ["bool", *INTEGERS, "float16", "bfloat16", "float32", "float64"]
    short = lambda dtype: SHORT[str(np.dtype(dtype))]
    table = {
        "binary": {SHORT[a]: {SHORT[b]: short(jnp.promote_types(a, b)) for b in names}
                   for a in names},
        "weak_int": {SHORT[a]: short(jnp.result_type(a, int)) for a in names[1:]},
        "weak_float": {SHORT[a]: short(jnp.result_type(a, float)) for a in FLOATS[:4]}}
    (out / "promotion.json").write_text(json.dumps(table, indent=1) + "\n")


def make(out):
    for stem, fill in (("casts", casts), ("integers", arithmetic)):
        cases = Cases(out, stem)
        fill(cases)
        cases.write()
    promotion(out)
