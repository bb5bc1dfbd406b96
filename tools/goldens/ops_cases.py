"""Collects cases of public functions: inputs, attributes, outputs, cotangents, gradients.

Floating inputs are f64 numbers that f32 holds exactly, so that a test can run a case in either type;
outputs are computed in f64. Gradients are of sum(output * cotangent) over all outputs that have a
cotangent. Equal tensors are stored once, under the name of their first use.
"""

import jax
import numpy as np
import torch

import common

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")

DTYPES = {"float64": "f64", "float32": "f32", "float16": "f16", "int64": "i64", "int32": "i32",
          "int16": "i16", "int8": "i8", "uint8": "u8", "uint32": "u32", "bool": "bool"}


def f32_exact(tensor):
    return tensor.float().double()


def close(a, b):
    """Elementwise: both NaN, or equal with the sign of zero, or 1e-12 apart relatively."""
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind != "f":
        return a == b
    with np.errstate(invalid="ignore"):
        near = np.abs(a - b) <= 1e-12 * np.abs(b)
        equal = (a == b) & (np.signbit(a) == np.signbit(b))
    return (np.isnan(a) & np.isnan(b)) | equal | (near & (b != 0))


class Cases:
    def __init__(self, out, stem):
        self.out, self.stem = out, stem
        self.tensors, self.cases, self.stored = {}, [], {}
        self.generator = torch.Generator().manual_seed(sum(map(ord, stem)))

    def normal(self, *shape, scale=1.0, shift=0.0):
        draw = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        return f32_exact(draw * scale + shift)

    def uniform(self, *shape, low=0.0, high=1.0):
        draw = torch.rand(shape, generator=self.generator, dtype=torch.float64)
        return f32_exact(draw * (high - low) + low)

    def integers(self, *shape, low, high):
        return torch.randint(low, high, shape, generator=self.generator)

    def distinct(self, *shape, step=0.37):
        """Values without ties in random order."""
        n = int(np.prod(shape))
        order = torch.randperm(n, generator=self.generator).double()
        return f32_exact((order - n / 2) * step + 0.05).reshape(shape)

    def store(self, name, value):
        array = common.to_numpy(value)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.stored:
            self.stored[key] = name
            self.tensors[name] = array
        return self.stored[key]

    def add(self, name, function, inputs, call, attributes=None, gradients=True, roles=None):
        """call(*inputs) gives a tensor or a tuple; inputs are torch or NumPy arrays."""
        assert name not in {c["name"] for c in self.cases}, name
        leaves = [i.clone().requires_grad_(gradients) if
                  isinstance(i, torch.Tensor) and i.is_floating_point() else i for i in inputs]
        outputs = call(*leaves)
        outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
        case = {"name": name, "function": function, "dtype": "f64", "attributes": attributes or {},
                "inputs": [self.store(f"{name}.input.{i}", x) for i, x in enumerate(inputs)],
                "outputs": [self.store(f"{name}.output.{i}", y) for i, y in enumerate(outputs)]}
        if inputs:
            case["dtype"] = DTYPES[str(common.to_numpy(inputs[0]).dtype)]
        if roles:
            case["roles"] = roles
        wanted = [x for x in leaves if isinstance(x, torch.Tensor) and x.requires_grad]
        total, cotangents = 0.0, []
        for i, y in enumerate(outputs):
            smooth = isinstance(y, torch.Tensor) and y.requires_grad
            if smooth:
                c = self.normal(*y.shape)
                total = total + (y * c).sum()
            cotangents.append(self.store(f"{name}.cotangent.{i}", c) if smooth else None)
        if any(cotangents):
            grads = torch.autograd.grad(total, wanted, allow_unused=True)
            case["cotangents"] = cotangents
            case["gradients"] = {}
            for i, x in enumerate(leaves):
                position = next((n for n, w in enumerate(wanted) if w is x), None)
                if position is not None and grads[position] is not None:
                    assert torch.isfinite(grads[position]).all(), name
                    case["gradients"][str(i)] = self.store(f"{name}.gradient.{i}", grads[position])
        self.cases.append(case)

    def write(self):
        common.save(self.out, self.stem, self.tensors, {
            "versions": common.versions("torch", "jax", "numpy"),
            "form": "inputs, outputs, cotangents: tensor names by position (null: no cotangent); "
                    "gradients: input position -> tensor; floats that JSON lacks are strings "
                    "(inf, -inf, nan); f64 inputs are exactly f32",
            "cases": self.cases})
