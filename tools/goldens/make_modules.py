"""Modules of PyTorch beside those of cairn/nn: results, gradients and running state, in f64.

Each case names cairn's module and its options; parameters have cairn's field paths. Attention is
torch.nn.MultiheadAttention and, with grouped and rotary heads, the parts of transformers' Llama.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaMLP, apply_rotary_pos_emb

import common

torch.manual_seed(5)


def draw(*shape, scale=1.0, shift=0.0):
    """Normal numbers that f32 holds."""
    return (torch.randn(*shape) * scale + shift).float().double()


class Cases:
    def __init__(self):
        self.tensors, self.list = {}, []

    def store(self, case, role, values):
        names = {}
        for path, value in values.items():
            names[path] = f"{case}.{role}.{path}"
            self.tensors[names[path]] = value
        return names

    def add(self, name, module, options, call, parameters, inputs, state=None):
        """call(*inputs) → result; `parameters` and `state`: tensors by field path. State is stored
        as it was before the call and as it is after it."""
        before = {path: value.clone() for path, value in (state or {}).items()}
        leaves = list(parameters.values()) + [x for x in inputs.values() if x.is_floating_point()]
        for leaf in leaves:
            leaf.requires_grad_(True)
        result = call(*inputs.values())
        cotangent = draw(*result.shape)
        gradients = torch.autograd.grad((result * cotangent).sum(), leaves)
        named = list(parameters) + [n for n, x in inputs.items() if x.is_floating_point()]
        self.list.append({
            "name": name, "module": module, "options": options,
            "parameters": self.store(name, "parameter", parameters),
            "inputs": self.store(name, "input", inputs),
            "output": self.store(name, "output", {"y": result})["y"],
            "cotangent": self.store(name, "cotangent", {"y": cotangent})["y"],
            "gradients": self.store(name, "gradient", dict(zip(named, gradients))),
            "state": self.store(name, "state", before),
            "state_after": self.store(name, "state_after", state or {})})


def randomise(module, scale=0.4):
    module.double()
    with torch.no_grad():
        for name, p in module.named_parameters():
            is_norm_weight = p.dim() == 1 and name.endswith("weight")
            p.copy_(draw(*p.shape, scale=scale, shift=1.0 if is_norm_weight else 0.0))
    return module


def plain(cases, name, ours, options, module, *inputs, state=False):
    randomise(module)
    if state:
        with torch.no_grad():
            module.running_mean.copy_(draw(*module.running_mean.shape))
            module.running_var.copy_(draw(*module.running_var.shape).abs() + 0.5)
    running = {n: b for n, b in module.named_buffers() if n.startswith("running") and state}
    cases.add(name, ours, options, module, dict(module.named_parameters()),
              {f"x{i}" if i else "x": x for i, x in enumerate(inputs)}, running)


def layers(cases):
    plain(cases, "linear", "linear", {"in": 5, "out": 4}, nn.Linear(5, 4), draw(2, 3, 5))
    plain(cases, "linear/no_bias", "linear", {"in": 5, "out": 4, "bias": False},
          nn.Linear(5, 4, bias=False), draw(3, 5))
    plain(cases, "embedding", "embedding", {"rows": 7, "width": 3}, nn.Embedding(7, 3),
          torch.tensor([[0, 6, 2], [2, 2, 5]], dtype=torch.int32))
    plain(cases, "layer_norm", "layer_norm", {"width": 6, "epsilon": 1e-5}, nn.LayerNorm(6),
          draw(2, 3, 6, shift=0.5))
    plain(cases, "layer_norm/no_bias", "layer_norm",
          {"width": 6, "epsilon": 1e-3, "bias": False}, nn.LayerNorm(6, eps=1e-3, bias=False),
          draw(4, 6))
    plain(cases, "rms_norm", "rms_norm", {"width": 6, "epsilon": 1e-6}, nn.RMSNorm(6, eps=1e-6),
          draw(2, 3, 6))
    plain(cases, "group_norm", "group_norm", {"groups": 2, "channels": 6, "epsilon": 1e-5},
          nn.GroupNorm(2, 6), draw(2, 6, 3, 2))
    plain(cases, "instance_norm", "group_norm", {"groups": 4, "channels": 4, "epsilon": 1e-5},
          nn.InstanceNorm2d(4, affine=True), draw(2, 4, 3, 3))
    for dimensions, shape in ((1, (6, 3)), (1, (4, 3, 5)), (2, (2, 3, 4, 3))):
        for training in (True, False):
            module = getattr(nn, f"BatchNorm{dimensions}d")(3).train(training)
            plain(cases, f"batch_norm/{len(shape)}/{training}", "batch_norm",
                  {"channels": 3, "epsilon": 1e-5, "training": training}, module,
                  draw(*shape, scale=2.0, shift=0.5), state=True)


def convolutions(cases):
    for name, spatial, sizes, options in (
            ("plain", 2, (5, 6), {}),
            ("options", 2, (6, 5), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}),
            ("plain", 1, (7,), {"padding": 1}),
            ("options", 1, (9,), {"stride": 3, "dilation": 2, "groups": 4})):
        attributes = {"in": 4, "out": 8, "kernel": 3, "spatial": spatial} | options
        plain(cases, f"conv{spatial}d/{name}", "conv", attributes,
              getattr(nn, f"Conv{spatial}d")(4, 8, 3, **options), draw(2, 4, *sizes))
    for name, spatial, sizes, options in (
            ("plain", 2, (3, 4), {}),
            ("options", 2, (3, 2), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}),
            ("options", 1, (4,), {"stride": 2, "dilation": 2})):
        attributes = {"in": 4, "out": 6, "kernel": 3, "spatial": spatial} | options
        plain(cases, f"conv_transpose{spatial}d/{name}", "conv_transpose", attributes,
              getattr(nn, f"ConvTranspose{spatial}d")(4, 6, 3, **options), draw(2, 4, *sizes))


def feed_forward(cases):
    for activation, layer in (("relu", nn.ReLU()), ("gelu", nn.GELU()),
                              ("gelu_tanh", nn.GELU("tanh")), ("tanh", nn.Tanh())):
        mlp = randomise(nn.Sequential(nn.Linear(4, 7), layer, nn.Linear(7, 3)))
        paths = {"0.weight": "up.weight", "0.bias": "up.bias", "2.weight": "down.weight",
                 "2.bias": "down.bias"}
        cases.add(f"mlp/{activation}", "mlp",
                  {"in": 4, "hidden": 7, "out": 3, "activation": activation}, mlp,
                  {paths[n]: p for n, p in mlp.named_parameters()}, {"x": draw(2, 3, 4)})
    swiglu = randomise(LlamaMLP(LlamaConfig(hidden_size=4, intermediate_size=6,
                                            num_attention_heads=1)))
    cases.add("swiglu", "swiglu", {"width": 4, "hidden": 6}, swiglu,
              {n.replace("_proj", ""): p for n, p in swiglu.named_parameters()},
              {"x": draw(2, 3, 4)})


def multi_head(cases):
    """torch.nn.MultiheadAttention, its joined projection taken apart."""
    for name, causal in (("plain", False), ("causal", True)):
        module = nn.MultiheadAttention(6, 3, batch_first=True).double()
        parts = {}
        for part in ("query", "key", "value", "output"):
            parts[f"{part}.weight"] = draw(6, 6, scale=0.6)
            parts[f"{part}.bias"] = draw(6, scale=0.4)

        def call(x):
            given = {"in_proj_weight": torch.cat([parts[f"{p}.weight"] for p in ("query", "key",
                                                                                 "value")]),
                     "in_proj_bias": torch.cat([parts[f"{p}.bias"] for p in ("query", "key",
                                                                             "value")]),
                     "out_proj.weight": parts["output.weight"],
                     "out_proj.bias": parts["output.bias"]}
            mask = nn.Transformer.generate_square_subsequent_mask(
                x.shape[1], dtype=torch.float64) if causal else None
            return torch.func.functional_call(module, given, (x, x, x),
                                              {"need_weights": False, "attn_mask": mask})[0]

        cases.add(f"attention/{name}", "attention",
                  {"width": 6, "heads": 3, "kv_heads": 3, "causal": causal}, call, parts,
                  {"x": draw(2, 5, 6)})


def grouped_rotary(cases):
    """Grouped heads with rotary positions, as transformers' Llama turns them (first half against
    second half), and pairs of neighbours, as llama2.c does."""
    width, heads, kv_heads, head_width, theta = 8, 4, 2, 4, 100.0
    for name, interleaved in (("rotary", False), ("rotary_interleaved", True)):
        rows = {"query": heads, "key": kv_heads, "value": kv_heads}
        parts = {f"{p}.weight": draw(n * head_width, width, scale=0.6) for p, n in rows.items()}
        parts["output.weight"] = draw(width, heads * head_width, scale=0.6)

        def rotate(q, k):
            frequencies = theta ** (-torch.arange(0, head_width, 2, dtype=torch.float64)
                                    / head_width)
            angles = torch.arange(q.shape[2], dtype=torch.float64)[:, None] * frequencies
            if not interleaved:
                both = torch.cat([angles, angles], -1)[None]
                return apply_rotary_pos_emb(q, k, both.cos(), both.sin())
            turn = torch.polar(torch.ones_like(angles), angles)  # complex numbers, as Meta's Llama

            def turned(t):
                pairs = torch.view_as_complex(t.reshape(*t.shape[:-1], -1, 2).contiguous())
                return torch.view_as_real(pairs * turn).flatten(-2)
            return turned(q), turned(k)

        def call(x):
            def split(part, n):
                return F.linear(x, parts[f"{part}.weight"]).view(
                    *x.shape[:2], n, head_width).transpose(1, 2)
            q, k = rotate(split("query", heads), split("key", kv_heads))
            mixed = F.scaled_dot_product_attention(q, k, split("value", kv_heads), is_causal=True,
                                                   enable_gqa=True)
            return F.linear(mixed.transpose(1, 2).flatten(2), parts["output.weight"])

        cases.add(f"attention/{name}", "attention",
                  {"width": width, "heads": heads, "kv_heads": kv_heads, "bias": False,
                   "causal": True, "theta": theta, "interleaved": interleaved}, call, parts,
                  {"x": draw(2, 6, width)})


def main():
    out = common.out_folder(__doc__)
    cases = Cases()
    for make in (layers, convolutions, feed_forward, multi_head, grouped_rotary):
        make(cases)
    common.save(out, "modules", cases.tensors,
                {"versions": common.versions("torch", "transformers"), "cases": cases.list})


main()
