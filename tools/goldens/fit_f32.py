"""The coefficients of the f32 functions in cairn/tile/math_*.h: minimax polynomials that f32 holds.

    python -m venv venv && venv/bin/pip install numpy mpmath
    venv/bin/python tools/goldens/fit_f32.py

Each fit is f(x) ~ head(x) + tail(x) * (c0 + c1 t + c2 t^2 + ...), t = variable(x), with the smallest
largest error relative to weight(x), on a dense grid of values with 80 digits. The
coefficients are then rounded to f32 one by one, lowest power first, and those that are left are fitted
again each time, which costs less than rounding them all at once. What is printed is the error of the
rounded polynomial in exact arithmetic and the coefficients, lowest power first.
"""

import mpmath
import numpy

mpmath.mp.dps = 80
PI = float(mpmath.pi)
LN2 = mpmath.log(2)


def minimax(basis, target, rounds=400):
    """c with the smallest max |target - basis c| over the rows (which carry their weights): Lawson's
    iteration, least squares whose weights grow where the error is large. It reaches a few percent of
    the optimum, for any basis."""
    q, r = numpy.linalg.qr(basis)
    weights = numpy.full(len(target), 1.0)
    best, best_error = None, numpy.inf
    for _ in range(rounds):
        root = numpy.sqrt(weights)[:, None]
        c = numpy.linalg.lstsq(q * root, target * root[:, 0], rcond=None)[0]
        error = numpy.abs(target - q @ c)
        if error.max() < best_error:
            best, best_error = c, error.max()
        weights = weights * error
        weights /= weights.mean()
    return numpy.linalg.solve(r, best)


def fit(name, f, low, high, count, head=lambda x: 0, tail=lambda x: 1, variable=lambda x: x,
        weight=None, fixed=(), points=1000):
    weight = weight or f
    angle = numpy.linspace(0, numpy.pi, points)
    grid = [mpmath.mpf(float(v)) for v in (low + high) / 2 - (high - low) / 2 * numpy.cos(angle)]
    grid = [x for x in grid if weight(x) != 0]
    scale = [tail(x) / weight(x) for x in grid]
    rest = [(f(x) - head(x)) / weight(x) for x in grid]
    t = [variable(x) for x in grid]
    known = [mpmath.mpf(float(c)) for c in fixed]
    while True:
        left = [r - s * mpmath.polyval(known[::-1], v) if known else r
                for r, s, v in zip(rest, scale, t)]
        if len(known) == count:
            break
        basis = numpy.array([[float(s * v**i) for i in range(len(known), count)]
                             for s, v in zip(scale, t)])
        c = minimax(basis, numpy.array([float(v) for v in left]))
        known.append(mpmath.mpf(float(numpy.float32(c[0]))))
    error = max(abs(v) for v in left)
    print(f"{name}: 2^{float(mpmath.log(error, 2)):.1f}")
    print("   ", ", ".join(f"{float(c):.9g}f" for c in known))
    return known


def fit_tail(name, f, high, limit, first, degree, points=1000):
    """f(x) ~ limit D / (x D + N) from 0 to high, D = first + d1 x + ... of `degree`, N = limit first
    + n1 x + ... of one less, relative to f and rounded as in fit(): d1, n1, d2, n2... Where x is
    large the roundings of D cancel."""
    angle = numpy.linspace(0, numpy.pi, points)
    grid = [mpmath.mpf(float(high * v)) for v in ((1 - numpy.cos(angle)) / 2)**1.5]
    value = [f(x) / limit for x in grid]
    head = [1 - v * x for x, v in zip(grid, value)]
    last = float(numpy.float32(limit * first))
    columns = []
    for i in range(1, degree + 1):
        columns.append([x**i * h for x, h in zip(grid, head)])
        columns.append([-v * x**i for x, v in zip(grid, value)])
    columns.pop()
    # D - f / limit (x D + N) = 0, over f / limit times the denominator of the fit before.
    known, guess = [], [(1 + x)**(degree + 1) for x in grid]
    while True:
        for _ in range(8 if not known else 2):
            scale = [1 / (v * q) for v, q in zip(value, guess)]
            left = [-s * (first * h - last * v + sum(k * c[j] for k, c in zip(known, columns)))
                    for j, (s, h, v) in enumerate(zip(scale, head, value))]
            if len(known) == len(columns):
                break
            basis = numpy.array([[float(s * v) for s, v in zip(scale, c)]
                                 for c in columns[len(known):]]).T
            size = numpy.abs(basis).max(axis=0)
            rest = minimax(basis / size, numpy.array([float(v) for v in left]), 100) / size
            found = known + [mpmath.mpf(float(c)) for c in rest]
            d, n = [first] + found[::2], [last] + found[1::2]
            guess = [x * mpmath.polyval(d[::-1], x) + mpmath.polyval(n[::-1], x) for x in grid]
        if len(known) == len(columns):
            break
        known.append(mpmath.mpf(float(numpy.float32(rest[0]))))
    print(f"{name}: 2^{float(mpmath.log(max(abs(v) for v in left), 2)):.1f}")
    print("    D:", ", ".join(f"{float(c):.9g}f" for c in [first] + known[::2]))
    print("    N:", ", ".join(f"{float(c):.9g}f" for c in [last] + known[1::2]))


def parts(name, value, count):
    """`value` as a sum of f32 numbers."""
    out = []
    for _ in range(count):
        part = float(numpy.float32(float(value)))
        out.append(part.hex().replace("0000000p", "p") + "f")
        value -= mpmath.mpf(part)
    print(f"{name}:", " + ".join(out), f"(rest {float(value):.1g})")


def main():
    parts("ln 2", LN2, 2)
    parts("pi/2", mpmath.pi / 2, 3)
    parts("pi", mpmath.pi, 2)
    parts("2/ln 2", 2 / LN2, 2)
    parts("2/(3 ln 2)", 2 / LN2 / 3, 2)
    turn = 1 / (2 * mpmath.pi)
    words = [int(mpmath.floor(turn * 2 ** (32 * i))) & 0xffffffff for i in range(1, 7)]
    print("1/(2 pi):", ", ".join(f"0x{w:08x}u" for w in words))

    square = lambda x: x * x
    cube = lambda x: x**3
    half = float(LN2) / 2 * 1.0005
    fit("exp_tail", mpmath.exp, -half, half, 5, lambda x: 1 + x, square)
    fit("exp2_of_rest", lambda x: mpmath.mpf(2) ** x, -0.5003, 0.5003, 6, lambda x: 1, lambda x: x)
    fit("tanh, e^2r", lambda r: mpmath.exp(2 * r), -half / 2, half / 2, 6, lambda r: 1,
        lambda r: r, fixed=[2.0])
    fit("tanh", mpmath.tanh, 0, 0.55, 4, lambda x: x, cube, square)
    fit("log_sum", mpmath.log1p, -0.33334, 0.33334, 9, lambda x: x, square, fixed=[-0.5])
    fit("log2_pair", lambda s: mpmath.log((1 + s) / (1 - s), 2), 0, 0.17158, 3,
        lambda s: 2 * s / LN2 * (1 + s * s / 3), lambda s: s**5, square)
    fit("sin_kernel", mpmath.sin, 0, PI / 4 * 1.001, 3, lambda x: x, cube, square)
    fit("cos_kernel", mpmath.cos, 0, PI / 4 * 1.001, 3, lambda x: 1 - x * x / 2, lambda x: x**4,
        square)
    fit("atan2", mpmath.atan, 0, 1, 8, lambda x: x, cube, square)
    fit("erf, small", mpmath.erf, 0, 0.95, 6, lambda x: x, lambda x: x, square)
    fit("erf, large", lambda a: mpmath.log(mpmath.erfc(a), 2), 0.92, 4, 7,
        weight=lambda a: mpmath.erf(a) / mpmath.erfc(a) / LN2)
    fit_tail("erfc", lambda a: mpmath.exp(a * a) * mpmath.erfc(a), 10.1,
             float(numpy.float32(float(1 / mpmath.sqrt(mpmath.pi)))), 25, 4)

    def erf_inv(w):  # of x = sqrt(1 - e^-w), over x
        x = mpmath.sqrt(-mpmath.expm1(-w))
        return mpmath.erfinv(x) / x if w > 0 else mpmath.sqrt(mpmath.pi) / 2

    fit("erf_inv, w <= 5", erf_inv, 0, 5, 10)
    fit("erf_inv, w >= 5", lambda v: erf_inv(v * v), 5**0.5, 4.08, 9, variable=lambda v: v - 3)


if __name__ == "__main__":
    main()
