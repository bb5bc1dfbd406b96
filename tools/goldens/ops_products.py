"""Matrix products, einsum, convolutions, pooling."""

import torch
import torch.nn.functional as F

from ops_cases import Cases

MATMUL = [((5,), (5,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((7, 5), (5, 3)),
          ((1, 1), (1, 1)), ((3, 2, 4), (3, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((3,), (2, 3, 4)),
          ((2, 5, 3), (3,)), ((4, 3), (2, 3, 2))]
EINSUM = [("ij,jk->ik", (2, 3), (3, 4)), ("ij,kj->ik", (2, 3), (4, 3)), ("i,j->ij", (3,), (4,)),
          ("i,i->", (5,), (5,)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("ij->ji", (2, 3)),
          ("ii->i", (4, 4)), ("ii->", (4, 4)), ("ij->j", (3, 4)), ("ijk->ki", (2, 3, 4)),
          ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)), ("...ij,...jk->...ik", (2, 3, 4), (4, 2)),
          ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)), ("ij,jk", (2, 3), (3, 4)),
          ("bi,oij,bj->bo", (2, 3), (4, 3, 5), (2, 5)), ("ij,ij->i", (3, 4), (3, 4)),
          ("abc,cb->a", (2, 3, 4), (4, 3))]


def products(cases):
    for left, right in MATMUL:
        cases.add(f"matmul/{left}{right}".replace(" ", ""), "matmul",
                  [cases.normal(*left), cases.normal(*right)], torch.matmul)
    cases.add("matmul/empty_inner", "matmul", [cases.normal(2, 0), cases.normal(0, 3)],
              torch.matmul, gradients=False)
    special = torch.tensor([[float("inf"), 1.0], [float("nan"), 0.0]], dtype=torch.float64)
    cases.add("matmul/special", "matmul", [special, special.flip(1)], torch.matmul, gradients=False)
    for equation, *shapes in EINSUM:
        cases.add(f"einsum/{equation}", "einsum", [cases.normal(*s) for s in shapes],
                  lambda *x: torch.einsum(equation, *x), {"equation": equation})
    for left, right, axes in (((2, 3, 4), (4, 3), 1), ((2, 3, 4), (3, 4, 5), 2), ((2,), (3,), 0),
                              ((2, 3, 4), (4, 5, 2), [[0, 2], [2, 0]])):
        cases.add(f"tensordot/{axes}".replace(" ", ""), "tensordot",
                  [cases.normal(*left), cases.normal(*right)],
                  lambda x, y: torch.tensordot(x, y, axes), {"axes": axes})
    cases.add("outer", "outer", [cases.normal(3), cases.normal(4)], torch.outer)
    cases.add("dot", "dot", [cases.normal(7), cases.normal(7)], torch.dot)


# label, input, weight, bias, attributes
CONVOLUTIONS = [
    ("1d", (2, 3, 8), (4, 3, 3), True, {}),
    ("1d/options", (1, 4, 11), (6, 2, 3), True,
     {"stride": [2], "padding": [3], "dilation": [2], "groups": 2}),
    ("2d", (2, 2, 5, 6), (3, 2, 3, 2), True, {}),
    ("2d/1x1", (2, 3, 3, 2), (4, 3, 1, 1), False, {}),
    ("2d/stride", (1, 2, 7, 6), (3, 2, 3, 3), False, {"stride": [2, 1], "padding": [1, 1]}),
    ("2d/dilation", (1, 2, 7, 8), (2, 2, 3, 2), False, {"padding": [2, 1], "dilation": [2, 3]}),
    ("2d/depthwise", (1, 3, 5, 5), (6, 1, 3, 3), True, {"padding": [1, 1], "groups": 3}),
    ("2d/all", (2, 4, 9, 7), (4, 2, 2, 3), True,
     {"stride": [3, 2], "padding": [0, 2], "dilation": [1, 2], "groups": 2}),
    ("3d", (1, 2, 4, 3, 5), (3, 2, 2, 2, 3), True,
     {"stride": [1, 2, 1], "padding": [1, 0, 1]}),
]
TRANSPOSED = [
    ("1d", (2, 3, 5), (3, 4, 3), True, {}),
    ("1d/options", (1, 4, 5), (4, 3, 3), True,
     {"stride": [3], "padding": [1], "output_padding": [2], "dilation": [2], "groups": 2}),
    ("2d", (1, 2, 3, 4), (2, 3, 3, 2), True, {}),
    ("2d/stride", (2, 2, 3, 4), (2, 3, 3, 3), False,
     {"stride": [2, 2], "padding": [1, 1], "output_padding": [1, 1]}),
    ("2d/all", (1, 4, 3, 4), (4, 3, 2, 3), True,
     {"stride": [2, 3], "padding": [1, 2], "output_padding": [1, 0], "dilation": [2, 1],
      "groups": 2}),
]


def convolutions(cases):
    for table, prefix, name in ((CONVOLUTIONS, "conv", "convolution"),
                                (TRANSPOSED, "conv_transpose", "conv_transpose")):
        for label, x, w, bias, given in table:
            d = len(x) - 2
            options = {"stride": [1] * d, "padding": [0] * d, "dilation": [1] * d, "groups": 1}
            if name == "conv_transpose":
                options["output_padding"] = [0] * d
            options |= given
            inputs = [cases.normal(*x), cases.normal(*w)]
            if bias:
                out_channels = w[0] if name == "convolution" else w[1] * options["groups"]
                inputs.append(cases.normal(out_channels))
            function = getattr(F, f"{prefix}{d}d")
            cases.add(f"{name}/{label}", name, inputs, lambda *t: function(*t, **options), options,
                      roles=["x", "weight", "bias"][:len(inputs)])


def pooling(cases):
    for label, x, options in (
            ("1d", (2, 2, 7), {"kernel": [2], "stride": [2], "padding": [0]}),
            ("1d/overlap", (1, 2, 8), {"kernel": [3], "stride": [2], "padding": [1]}),
            ("2d", (1, 2, 5, 6), {"kernel": [2, 2], "stride": [2, 2], "padding": [0, 0]}),
            ("2d/overlap", (2, 1, 6, 5), {"kernel": [3, 2], "stride": [2, 1], "padding": [1, 1]})):
        d = len(x) - 2
        arguments = (options["kernel"], options["stride"], options["padding"])
        pool = getattr(F, f"max_pool{d}d")
        cases.add(f"max_pool/{label}", "max_pool", [cases.distinct(*x)],
                  lambda x: pool(x, *arguments), options)
        average = getattr(F, f"avg_pool{d}d")
        for include in (True, False):
            cases.add(f"avg_pool/{label}/{include}", "avg_pool", [cases.normal(*x)],
                      lambda x: average(x, *arguments, count_include_pad=include),
                      options | {"count_include_pad": include})
    cases.add("adaptive_avg_pool/1", "adaptive_avg_pool", [cases.normal(2, 3, 4, 5)],
              lambda x: F.adaptive_avg_pool2d(x, 1), {"output": [1, 1]})


def make(out):
    for stem, fill in (("products", products), ("convolutions", convolutions),
                       ("pooling", pooling)):
        cases = Cases(out, stem)
        fill(cases)
        cases.write()
