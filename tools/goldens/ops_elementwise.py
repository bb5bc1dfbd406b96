"""Unary and binary functions, where, clamp. Special values are those that PyTorch and JAX agree on."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from jax import nn

from ops_cases import Cases, close, f32_exact

NAN, INF = float("nan"), float("inf")
SPECIAL = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 3.5, 1e-15,
           -1e-15, 1e5, -1e5, 0.75]

# name, PyTorch, JAX, range of the plain inputs, attributes
UNARY = [
    ("negate", torch.neg, jnp.negative, (-3, 3), {}),
    ("abs", torch.abs, jnp.abs, (-3, 3), {}),
    ("sign", torch.sign, jnp.sign, (-3, 3), {}),
    ("floor", torch.floor, jnp.floor, (-3, 3), {}),
    ("ceil", torch.ceil, jnp.ceil, (-3, 3), {}),
    ("round", torch.round, jnp.round, (-3, 3), {}),
    ("exp", torch.exp, jnp.exp, (-5, 5), {}),
    ("expm1", torch.expm1, jnp.expm1, (-2, 2), {}),
    ("log", torch.log, jnp.log, (0.01, 9), {}),
    ("log1p", torch.log1p, jnp.log1p, (-0.9, 3), {}),
    ("sin", torch.sin, jnp.sin, (-9, 9), {}),
    ("cos", torch.cos, jnp.cos, (-9, 9), {}),
    ("tan", torch.tan, jnp.tan, (-1.4, 1.4), {}),
    ("tanh", torch.tanh, jnp.tanh, (-4, 4), {}),
    ("sqrt", torch.sqrt, jnp.sqrt, (0.01, 9), {}),
    ("rsqrt", torch.rsqrt, jax.lax.rsqrt, (0.01, 9), {}),
    ("reciprocal", torch.reciprocal, jnp.reciprocal, (0.2, 5), {}),
    ("square", torch.square, jnp.square, (-3, 3), {}),
    ("erf", torch.erf, jax.scipy.special.erf, (-3, 3), {}),
    ("erfc", torch.erfc, jax.scipy.special.erfc, (-3, 5), {}),
    ("sigmoid", torch.sigmoid, nn.sigmoid, (-6, 6), {}),
    ("relu", torch.relu, nn.relu, (-3, 3), {}),
    # PyTorch's own 1 + erf cancels in the left tail
    ("gelu", lambda x: 0.5 * x * torch.erfc(-x * 0.5**0.5), lambda x: nn.gelu(x, approximate=False), (-4, 4), {"approximate": False}),
    ("gelu", lambda x: F.gelu(x, approximate="tanh"), nn.gelu, (-4, 4), {"approximate": True}),
    ("silu", F.silu, nn.silu, (-6, 6), {}),
    # PyTorch turns linear at 20 by default, which f64 sees
    ("softplus", lambda x: F.softplus(x, threshold=500), nn.softplus, (-9, 40), {}),
    ("elu", F.elu, nn.elu, (-4, 3), {"alpha": 1.0}),
    ("elu", lambda x: F.elu(x, 0.7), lambda x: nn.elu(x, 0.7), (-4, 3), {"alpha": 0.7}),
    ("leaky_relu", F.leaky_relu, nn.leaky_relu, (-3, 3), {"slope": 0.01}),
    ("leaky_relu", lambda x: F.leaky_relu(x, 0.2), lambda x: nn.leaky_relu(x, 0.2), (-3, 3),
     {"slope": 0.2}),
    ("selu", F.selu, nn.selu, (-4, 3), {}),
    ("hardswish", F.hardswish, nn.hard_swish, (-4, 4), {}),
    ("mish", F.mish, nn.mish, (-6, 6), {}),
    ("log_sigmoid", F.logsigmoid, nn.log_sigmoid, (-6, 6), {}),
    ("asin", torch.asin, jnp.arcsin, (-0.95, 0.95), {}),
    ("acos", torch.acos, jnp.arccos, (-0.95, 0.95), {}),
    ("atan", torch.atan, jnp.arctan, (-5, 5), {}),
    ("sinh", torch.sinh, jnp.sinh, (-4, 4), {}),
    ("cosh", torch.cosh, jnp.cosh, (-4, 4), {}),
    ("asinh", torch.asinh, jnp.arcsinh, (-5, 5), {}),
    ("acosh", torch.acosh, jnp.arccosh, (1.05, 9), {}),
    ("atanh", torch.atanh, jnp.arctanh, (-0.95, 0.95), {}),
    ("ndtri", torch.special.ndtri, jax.scipy.special.ndtri, (0.001, 0.999), {}),
    ("isnan", torch.isnan, jnp.isnan, (-3, 3), {}),
    ("isinf", torch.isinf, jnp.isinf, (-3, 3), {}),
    ("isfinite", torch.isfinite, jnp.isfinite, (-3, 3), {}),
]

BINARY = [
    ("add", torch.add, jnp.add), ("subtract", torch.sub, jnp.subtract),
    ("multiply", torch.mul, jnp.multiply), ("divide", torch.div, jnp.divide),
    ("remainder", torch.remainder, jnp.remainder), ("fmod", torch.fmod, jnp.fmod),
    ("power", torch.pow, jnp.power), ("maximum", torch.maximum, jnp.maximum),
    ("minimum", torch.minimum, jnp.minimum), ("atan2", torch.atan2, jnp.arctan2),
    ("hypot", torch.hypot, jnp.hypot), ("floor_divide", torch.floor_divide, jnp.floor_divide),
    ("equal", torch.eq, jnp.equal), ("not_equal", torch.ne, jnp.not_equal),
    ("less", torch.lt, jnp.less), ("less_equal", torch.le, jnp.less_equal),
    ("greater", torch.gt, jnp.greater), ("greater_equal", torch.ge, jnp.greater_equal),
]
NO_GRADIENT = {"sign", "floor", "ceil", "round", "floor_divide"}
SHAPES = [((3, 5), (3, 5)), ((2, 1, 4), (3, 1)), ((), (2, 3)), ((0, 3), (1, 3))]


def title(name, attributes):
    return "/".join([name] + [f"{k}={v}" for k, v in attributes.items()])


def agreed(torch_function, jax_function, *inputs):
    """The elements of 1-d inputs on which both give the same."""
    ours = torch_function(*[torch.from_numpy(i) for i in inputs]).numpy()
    theirs = jax_function(*[jnp.asarray(i) for i in inputs])
    keep = close(ours, np.asarray(theirs))
    return [torch.from_numpy(i[keep]) for i in inputs], [i[~keep] for i in inputs]


def unary(out):
    cases = Cases(out, "unary")
    special = np.array(SPECIAL).astype(np.float32).astype(np.float64)
    for name, torch_function, jax_function, (low, high), attributes in UNARY:
        case = title(name, attributes)
        x = cases.uniform(3, 7, low=low, high=high)
        assert np.allclose(torch_function(x), jax_function(jnp.asarray(x)), rtol=1e-13), name
        cases.add(case, name, [x], torch_function, attributes, gradients=name not in NO_GRADIENT)
        if name == "ndtri":
            special = np.array([0.0, 1.0, 0.5, -0.5, 1.5, NAN, 2.0**-30, 1 - 2.0**-20, 0.25, 0.75])
        (x,), (left_out,) = agreed(torch_function, jax_function, special)
        if len(left_out):
            print("left out:", case, left_out)
        cases.add(f"{case}/special", name, [x], torch_function, attributes, gradients=False)
    cases.add("logical_not", "logical_not", [torch.tensor([True, False])], torch.logical_not)
    # uniforms as random numbers make them: (k + 0.5) / 2^23
    k = np.array([0, 1, 2, 1000, 2**20, 2**22 - 1, 2**22, 2**23 - 2, 2**23 - 1])
    uniforms = torch.from_numpy(np.concatenate([(k + 0.5) / 2**23, np.arange(1, 32) / 32]))
    cases.add("ndtri/uniforms", "ndtri", [uniforms], torch.special.ndtri, gradients=False)
    cases.write()


def binary(out):
    cases = Cases(out, "binary")
    a, b = [v.ravel() for v in np.meshgrid(np.float32(SPECIAL).astype(np.float64),
                                           np.float32([NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 2.0,
                                                       -2.5, 0.5]).astype(np.float64))]
    for name, torch_function, jax_function in BINARY:
        for i, (left, right) in enumerate(SHAPES):
            x, y = cases.normal(*left), cases.normal(*right)
            if name in ("power", "divide", "remainder", "fmod", "floor_divide"):
                x, y = f32_exact(x.abs() + 0.2), f32_exact(y.abs() + 0.3)
            if name in ("remainder", "fmod", "floor_divide"):
                x, y = f32_exact(x * 3), f32_exact(y * torch.sign(cases.normal(*right)))
                x = f32_exact(x * torch.sign(cases.normal(*left)))
            cases.add(f"{name}/{i}", name, [x, y], torch_function,
                      gradients=name not in NO_GRADIENT and x.numel() > 0)
        (x, y), (left_out, _) = agreed(torch_function, jax_function, a, b)
        if len(left_out):
            print("left out:", name, len(left_out), "of", len(a))
        cases.add(f"{name}/special", name, [x, y], torch_function, gradients=False)
    x = torch.tensor([[True, False, True]])
    y = torch.tensor([[True], [False]])
    for name in ("logical_and", "logical_or", "logical_xor"):
        cases.add(name, name, [x, y], getattr(torch, name))

    condition = torch.tensor([[True], [False], [True]])
    cases.add("where", "where", [condition, cases.normal(3, 4), cases.normal(4)], torch.where)
    cases.add("where/nan", "where", [condition, torch.full((1, 2), NAN, dtype=torch.float64),
                                     cases.normal(3, 2)], torch.where, gradients=False)
    x = cases.normal(4, 5)
    for low, high in ((-0.5, 0.75), (None, 0.25), (-0.25, None)):
        cases.add(f"clamp/{low}/{high}", "clamp", [x],
                  lambda x: torch.clamp(x, low, high), {"min": low, "max": high})
    special = torch.tensor([NAN, INF, -INF, -0.5, 0.75, 0.125], dtype=torch.float64)
    cases.add("clamp/special", "clamp", [special], lambda x: torch.clamp(x, -0.5, 0.75),
              {"min": -0.5, "max": 0.75}, gradients=False)
    cases.write()


def make(out):
    unary(out)
    binary(out)
