"""Gather, scatter and movement. Slices of indices are i32, as JAX's are."""

import numpy as np
import torch
import torch.nn.functional as F

from ops_cases import Cases


def indices(*rows):
    return torch.tensor(rows if len(rows) > 1 else rows[0], dtype=torch.int32)


def gathers(cases):
    x = cases.distinct(4, 3, 5)
    for axis, where in ((0, indices([3, 0, 0])), (1, indices([2, 1], [0, 2])), (-1, indices(4))):
        def take(x, i):
            flat = torch.index_select(x, axis, i.long().reshape(-1))
            a = axis % x.dim()
            return flat.reshape(*x.shape[:a], *i.shape, *x.shape[a + 1:])
        cases.add(f"take/{axis}", "take", [x, where], take, {"axis": axis})
    for axis, shape in ((0, (2, 3, 5)), (1, (4, 4, 5)), (-1, (4, 3, 1))):
        where = cases.integers(*shape, low=0, high=x.shape[axis]).int()
        cases.add(f"take_along_axis/{axis}", "take_along_axis", [x, where],
                  lambda x, i: torch.gather(x, axis, i.long()), {"axis": axis})
    cases.add("embedding", "take", [cases.normal(7, 3), indices([6, 0, 6], [2, 1, 6])],
              lambda x, i: F.embedding(i.long(), x), {"axis": 0})


def scatters(cases):
    """index_update along an axis with a 1-d index; scatter_along_axis with an index per element."""
    x = cases.distinct(4, 3)
    for axis, where, shape in ((0, indices([2, 0]), (2, 3)), (1, indices([2, 0]), (4, 2))):
        cases.add(f"index_update/set/{axis}", "index_update", [x, where, cases.normal(*shape)],
                  lambda x, i, u: x.index_copy(axis, i.long(), u), {"axis": axis, "mode": "set"})
    for axis, where, shape in ((0, indices([2, 0, 2, 2]), (4, 3)), (1, indices([1, 1]), (4, 2))):
        updates = cases.distinct(*shape, step=0.41)
        cases.add(f"index_update/add/{axis}", "index_update", [x, where, updates],
                  lambda x, i, u: x.index_add(axis, i.long(), u), {"axis": axis, "mode": "add"})
        for mode, torch_mode in (("max", "amax"), ("min", "amin"), ("prod", "prod")):
            cases.add(f"index_update/{mode}/{axis}", "index_update", [x, where, updates],
                      lambda x, i, u: x.index_reduce(axis, i.long(), u, torch_mode),
                      {"axis": axis, "mode": mode})
    where = indices([0, 3, 1], [0, 2, 1])
    distinct = indices([0, 3, 1], [2, 1, 0])
    updates = cases.distinct(2, 3, step=0.41)
    cases.add("scatter_along_axis/set", "scatter_along_axis", [x, distinct, updates],
              lambda x, i, u: x.scatter(0, i.long(), u), {"axis": 0, "mode": "set"})
    cases.add("scatter_along_axis/add", "scatter_along_axis", [x, where, updates],
              lambda x, i, u: x.scatter_add(0, i.long(), u), {"axis": 0, "mode": "add"})
    cases.add("scatter_along_axis/max", "scatter_along_axis", [x, where, updates],
              lambda x, i, u: x.scatter_reduce(0, i.long(), u, "amax"), {"axis": 0, "mode": "max"})


def joins(cases):
    a, b, c = cases.normal(2, 3), cases.normal(4, 3), cases.normal(0, 3)
    cases.add("concatenate/0", "concatenate", [a, b, c], lambda *x: torch.cat(x, 0), {"axis": 0})
    cases.add("concatenate/-1", "concatenate", [a, cases.normal(2, 1)],
              lambda *x: torch.cat(x, -1), {"axis": -1})
    for axis in (0, 1, -1):
        cases.add(f"stack/{axis}", "stack", [a, cases.normal(2, 3)],
                  lambda *x: torch.stack(x, axis), {"axis": axis})
    x = cases.normal(5, 6)
    for axis, sizes in ((0, [1, 0, 4]), (1, [2, 2, 2])):
        cases.add(f"split/{axis}", "split", [x], lambda x: torch.split(x, sizes, axis),
                  {"axis": axis, "sizes": sizes})


def torch_pad(x, widths, mode, value=0.0):
    """numpy.pad of all axes by torch.cat and indexing, so that every mode has a gradient."""
    for axis, (low, high) in enumerate(widths):
        n = x.shape[axis]
        if mode == "constant":
            edge = lambda k: x.new_full((*x.shape[:axis], k, *x.shape[axis + 1:]), value)
            x = torch.cat([edge(low), x, edge(high)], axis)
        else:
            i = np.pad(np.arange(n), (low, high), mode=mode)
            x = x.index_select(axis, torch.from_numpy(i))
    return x


def arrangements(cases):
    x = cases.normal(3, 4)
    for mode, widths in (("constant", [[1, 0], [2, 3]]), ("reflect", [[1, 2], [0, 3]]),
                         ("edge", [[2, 0], [1, 4]])):
        options = {"widths": widths, "mode": mode} | ({"value": 1.5} if mode == "constant" else {})
        numpy_options = {"constant_values": 1.5} if mode == "constant" else {}
        assert (torch_pad(x, widths, mode, 1.5).numpy() ==
                np.pad(x.numpy(), widths, mode=mode, **numpy_options)).all()
        cases.add(f"pad/{mode}", "pad", [x], lambda x: torch_pad(x, widths, mode, 1.5), options)
    for shift, axis in (([1], [0]), ([-3], [1]), ([2, -5], [0, 1])):
        cases.add(f"roll/{shift}", "roll", [x], lambda x: torch.roll(x, shift, axis),
                  {"shift": shift, "axes": axis})
    for axes in ([0], [1], [0, 1]):
        cases.add(f"flip/{axes}", "flip", [x], lambda x: torch.flip(x, axes), {"axes": axes})
    for k in (-2, 0, 1):
        for name in ("tril", "triu"):
            cases.add(f"{name}/{k}", name, [cases.normal(2, 3, 4)],
                      lambda x: getattr(torch, name)(x, k), {"k": k})
        cases.add(f"diag/{k}/matrix", "diag", [x], lambda x: torch.diag(x, k), {"k": k})
        cases.add(f"diag/{k}/vector", "diag", [cases.normal(3)], lambda x: torch.diag(x, k),
                  {"k": k})
        cases.add(f"trace/{k}", "trace", [x], lambda x: torch.diagonal(x, k).sum(), {"k": k})
    for repeats, axis in ((3, 0), (2, 1), ([1, 0, 2, 3], 1)):
        cases.add(f"repeat/{repeats}/{axis}".replace(" ", ""), "repeat", [x],
                  lambda x: torch.repeat_interleave(x, torch.tensor(repeats), axis),
                  {"repeats": repeats, "axis": axis})
    for repeats in ([2], [2, 1], [2, 1, 3]):
        cases.add(f"tile/{repeats}".replace(" ", ""), "tile", [x],
                  lambda x: torch.tile(x, repeats), {"repeats": repeats})
    labels = indices([2, 0], [3, 1])
    cases.add("one_hot", "one_hot", [labels], lambda i: F.one_hot(i.long(), 4).double(),
              {"classes": 4})


def constructors(cases):
    f64 = torch.float64
    for start, stop, n in ((0.0, 1.0, 5), (-2.0, 3.0, 7), (3.0, -1.0, 4), (2.0, 5.0, 1),
                           (0.0, 1.0, 0)):
        for endpoint in (True, False):
            cases.add(f"linspace/{start}/{stop}/{n}/{endpoint}", "linspace", [],
                      lambda: torch.from_numpy(np.linspace(start, stop, n, endpoint)),
                      {"start": start, "stop": stop, "count": n, "endpoint": endpoint})
    for start, stop, step in ((0, 5, 1), (2, 11, 3), (5, -3, -2), (3, 3, 1)):
        cases.add(f"arange/{start}/{stop}/{step}", "arange", [],
                  lambda: torch.arange(start, stop, step, dtype=torch.int32),
                  {"start": start, "stop": stop, "step": step, "dtype": "i32"})
    cases.add("arange/float", "arange", [], lambda: torch.arange(0.0, 1.0, 0.125, dtype=f64),
              {"start": 0.0, "stop": 1.0, "step": 0.125, "dtype": "f64"})
    for n, m, k in ((3, 3, 0), (2, 4, 1), (4, 2, -1)):
        cases.add(f"eye/{n}/{m}/{k}", "eye", [], lambda: torch.from_numpy(np.eye(n, m, k)),
                  {"rows": n, "columns": m, "k": k})


def make(out):
    cases = Cases(out, "movement")
    for fill in (gathers, scatters, joins, arrangements, constructors):
        fill(cases)
    cases.write()
