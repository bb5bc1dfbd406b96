"""Reductions, cumulative scans, sorting."""

import jax
import jax.numpy as jnp
import numpy as np
import torch

from ops_cases import Cases

NAN, INF = float("nan"), float("inf")


def i32(x):
    return x.to(torch.int32)


def over_axes(function):
    """A reduction of one axis at a time as one of several axes (None: all)."""
    def call(x, axes, keepdims):
        axes = range(x.dim()) if axes is None else [a % x.dim() for a in axes]
        for axis in sorted(axes, reverse=True):
            x = function(x, axis)
            x = x.unsqueeze(axis) if keepdims else x
        return x
    return call


def norm(order):
    return lambda x, axes, keepdims: torch.linalg.vector_norm(x, order, axes, keepdims)


def variance(function, correction):
    return lambda x, axes, keepdims: function(x, axes, correction=correction, keepdim=keepdims)


REDUCTIONS = [
    ("sum", {}, over_axes(lambda x, a: x.sum(a))),
    ("mean", {}, lambda x, axes, k: x.mean(axes, keepdim=k)),
    ("prod", {}, over_axes(lambda x, a: x.prod(a))),
    ("max", {}, over_axes(lambda x, a: x.amax(a))),
    ("min", {}, over_axes(lambda x, a: x.amin(a))),
    ("variance", {"correction": 0}, variance(torch.var, 0)),
    ("variance", {"correction": 1}, variance(torch.var, 1)),
    ("standard_deviation", {"correction": 1}, variance(torch.std, 1)),
    ("logsumexp", {}, lambda x, axes, k: torch.logsumexp(x, axes or tuple(range(x.dim())), k)),
    ("norm", {"ord": 1}, norm(1)), ("norm", {"ord": 2}, norm(2)), ("norm", {"ord": "inf"}, norm(INF)),
]
AXES = [(None, False), ([1], False), ([0, 2], True), ([-1], True)]


def reductions(cases):
    for name, attributes, call in REDUCTIONS:
        x = cases.distinct(3, 4, 5, step=0.07)
        for axes, keepdims in AXES:
            options = attributes | {"axes": axes, "keepdims": keepdims}
            label = "/".join([name] + [str(v) for v in options.values()])
            cases.add(label, name, [x], lambda x: call(x, axes, keepdims), options)
    zero = torch.tensor([[2.0, 0.0, -3.0], [0.0, 0.0, 5.0], [1.5, 2.0, 4.0]], dtype=torch.float64)
    cases.add("prod/zeros", "prod", [zero], lambda x: x.prod(1), {"axes": [1], "keepdims": False})
    special = torch.tensor([[NAN, 1.0, 2.0], [INF, 1.0, 2.0], [-INF, 1.0, 2.0], [INF, -INF, 2.0],
                            [-INF, -INF, -INF], [INF, INF, INF], [1000.0, 1000.0, 999.0]],
                           dtype=torch.float64)
    empty = torch.zeros(0, 3, dtype=torch.float64)
    for name, attributes, call in REDUCTIONS:
        if "correction" not in attributes:
            options = attributes | {"axes": [1], "keepdims": False}
            label = "/".join([name, *map(str, attributes.values()), "special"])
            cases.add(label, name, [special], lambda x: call(x, [1], False), options,
                      gradients=False)
        if name in ("sum", "prod", "mean", "logsumexp"):
            cases.add(f"{name}/empty", name, [empty], lambda x: call(x, [0], False),
                      {"axes": [0], "keepdims": False}, gradients=False)
    flags = torch.tensor([[True, True, False], [True, True, True], [False, False, False]])
    for name in ("any", "all"):
        function = over_axes(getattr(torch, name))
        for axes, keepdims in ((None, False), ([0], True), ([1], False)):
            cases.add(f"{name}/{axes}/{keepdims}", name, [flags],
                      lambda x: function(x, axes, keepdims), {"axes": axes, "keepdims": keepdims})
        cases.add(f"{name}/empty", name, [flags[:0]], lambda x: function(x, [0], False),
                  {"axes": [0], "keepdims": False})
    ties = torch.tensor([[1.0, 3.0, 3.0, -1.0, -1.0], [NAN, 9.0, NAN, 0.0, -0.0],
                         [0.0, -0.0, 0.0, -0.0, -0.0], [INF, INF, -INF, -INF, 0.0]],
                        dtype=torch.float64)
    for name in ("argmax", "argmin"):
        function = getattr(torch, name)
        for axis in (0, 1, -1):
            cases.add(f"{name}/{axis}", name, [cases.distinct(4, 6)],
                      lambda x: i32(function(x, axis)), {"axis": axis, "keepdims": False})
        cases.add(f"{name}/ties", name, [ties],
                  lambda x: i32(torch.from_numpy(np.array(getattr(jnp, name)(x.numpy(), 1)))),
                  {"axis": 1, "keepdims": False}, gradients=False)


def scans(cases):
    calls = {"cumsum": torch.cumsum, "cumprod": torch.cumprod,
             "cummax": lambda x, a: torch.cummax(x, a).values,
             "cummin": lambda x, a: torch.cummin(x, a).values,
             "logcumsumexp": torch.logcumsumexp}
    special = torch.tensor([[1.0, NAN, 2.0, 3.0], [-INF, 1.0, INF, 2.0], [-INF, -INF, 700.0, 709.0],
                            [2.0, 0.0, -0.0, 5.0]], dtype=torch.float64)
    for name, call in calls.items():
        for shape, axis in (((7,), 0), ((3, 4, 2), 1), ((3, 4), -1)):
            x = cases.distinct(*shape, step=0.21)
            cases.add(f"{name}/{axis}/{len(shape)}", name, [x], lambda x: call(x, axis),
                      {"axis": axis, "reverse": False})
        x = cases.distinct(3, 5, step=0.21)
        cases.add(f"{name}/reverse", name, [x], lambda x: call(x.flip(1), 1).flip(1),
                  {"axis": 1, "reverse": True})
        cases.add(f"{name}/special", name, [special], lambda x: call(x, 1),
                  {"axis": 1, "reverse": False}, gradients=False)


def from_jax(*arrays):
    tensors = [torch.from_numpy(np.array(a)) for a in arrays]
    return [t if t.is_floating_point() or t.dtype == torch.bool else i32(t) for t in tensors]


def unique(x, size, fill):
    values, inverse, counts = jnp.unique(jnp.asarray(x), size=size, fill_value=fill,
                                         return_inverse=True, return_counts=True)
    found = len(np.unique(np.asarray(x)))
    values, inverse, counts = [torch.from_numpy(np.array(v)) for v in (values, inverse, counts)]
    return values, i32(inverse), i32(counts), torch.tensor(found, dtype=torch.int32)


def sorting(cases):
    for axis in (0, 1, -1):
        for descending in (False, True):
            x = cases.distinct(4, 3, 5)
            options = {"axis": axis, "descending": descending}
            cases.add(f"sort/{axis}/{descending}", "sort", [x],
                      lambda x: torch.sort(x, axis, descending).values, options)
            cases.add(f"argsort/{axis}/{descending}", "argsort", [x],
                      lambda x: i32(torch.argsort(x, axis, descending)), options)
    ties = torch.tensor([[2.0, 1.0, 2.0, 1.0, 3.0, 1.0], [0.0, -1.0, 0.0, INF, -INF, 0.0]],
                        dtype=torch.float64)
    not_numbers = torch.tensor([[NAN, 1.0, -INF, NAN, INF, 0.5]], dtype=torch.float64)
    for label, x, descending in (("ties", ties, False), ("ties_descending", ties, True),
                                 ("nan_last", not_numbers, False)):
        options = {"axis": -1, "descending": descending}
        order = lambda x: jnp.argsort(x.numpy(), axis=-1, stable=True, descending=descending)
        check = torch.sort(x, dim=-1, descending=descending, stable=True).indices
        assert (np.asarray(order(x)) == check.numpy()).all()
        cases.add(f"argsort/{label}", "argsort", [x], lambda x: from_jax(order(x)), options,
                  gradients=False)
        cases.add(f"sort/{label}", "sort", [x],
                  lambda x: torch.sort(x, dim=-1, descending=descending, stable=True).values, options,
                  gradients=False)
    for k in (1, 3):
        x = cases.distinct(2, 3, 6)
        cases.add(f"top_k/{k}", "top_k", [x], lambda x: (torch.topk(x, k).values,
                                                         i32(torch.topk(x, k).indices)), {"k": k})
    cases.add("top_k/ties", "top_k", [ties],
              lambda x: from_jax(*jax.lax.top_k(jnp.asarray(x.numpy()), 4)), {"k": 4},
              gradients=False)
    for label, x, size, fill in (
            ("padded", torch.tensor([3, 1, 3, 7, 1, 1], dtype=torch.int32), 5, -1),
            ("exact", torch.tensor([3, 1, 3, 7, 1, 1], dtype=torch.int32), 3, 0),
            ("float", torch.tensor([0.5, -1.0, 0.5, 2.0], dtype=torch.float64), 6, 9.0)):
        cases.add(f"unique/{label}", "unique", [x], lambda x: unique(x, size, fill),
                  {"size": size, "fill": fill, "outputs": ["values", "inverse", "counts",
                                                           "number of distinct values"]},
                  gradients=False)


def make(out):
    cases = Cases(out, "reductions")
    reductions(cases)
    scans(cases)
    sorting(cases)
    cases.write()
