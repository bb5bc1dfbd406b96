"""Softmax, norms, attention, rotary embedding, losses."""

import torch
import torch.nn.functional as F

from ops_cases import Cases, f32_exact

INF = float("inf")


def softmaxes(cases):
    special = torch.tensor([[1000.0, 999.0, -1000.0], [-INF, 0.0, 1.0], [-INF, -INF, 2.0],
                            [float("nan"), 0.0, 1.0]], dtype=torch.float64)
    for name in ("softmax", "log_softmax"):
        call = getattr(F, name)
        for axis in (0, 1, -1):
            cases.add(f"{name}/{axis}", name, [cases.normal(3, 4, 2)], lambda x: call(x, axis),
                      {"axis": axis})
        cases.add(f"{name}/special", name, [special], lambda x: call(x, 1), {"axis": 1},
                  gradients=False)


def norms(cases):
    w, b = lambda *s: cases.normal(*s, scale=0.5, shift=1.0), cases.normal
    for axes, shape in ((1, (5,)), (2, (4, 5))):
        for eps in (1e-5, 0.1):
            cases.add(f"layer_norm/{axes}/{eps}", "layer_norm",
                      [cases.normal(3, 4, 5), w(*shape), b(*shape)],
                      lambda x, w, b: F.layer_norm(x, shape, w, b, eps),
                      {"last_axes": axes, "eps": eps}, roles=["x", "weight", "bias"])
    cases.add("layer_norm/plain", "layer_norm", [cases.normal(2, 6)],
              lambda x: F.layer_norm(x, (6,), eps=1e-5), {"last_axes": 1, "eps": 1e-5}, roles=["x"])
    cases.add("rms_norm", "rms_norm", [cases.normal(3, 4, 6), w(6)],
              lambda x, w: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * w,
              {"last_axes": 1, "eps": 1e-5}, roles=["x", "weight"])
    for groups in (1, 2, 6):
        cases.add(f"group_norm/{groups}", "group_norm", [cases.normal(2, 6, 3, 2), w(6), b(6)],
                  lambda x, w, b: F.group_norm(x, groups, w, b, 1e-5),
                  {"groups": groups, "eps": 1e-5}, roles=["x", "weight", "bias"])
    for shape in ((6, 3), (4, 3, 5), (2, 3, 3, 2)):
        mean, variance = cases.normal(3), cases.uniform(3, low=0.5, high=2.0)

        def train(x, w, b, mean, variance):
            mean, variance = mean.detach().clone(), variance.detach().clone()
            return F.batch_norm(x, mean, variance, w, b, True, 0.1, 1e-5), mean, variance

        roles = ["x", "weight", "bias", "running_mean", "running_variance"]
        inputs = [cases.normal(*shape, scale=2.0, shift=0.5), w(3), b(3), mean, variance]
        options = {"eps": 1e-5, "momentum": 0.1}
        cases.add(f"batch_norm/training/{len(shape)}d", "batch_norm", inputs, train,
                  options | {"training": True, "outputs": ["y", "new running_mean",
                                                           "new running_variance (unbiased)"]},
                  roles=roles)
        cases.add(f"batch_norm/inference/{len(shape)}d", "batch_norm", inputs,
                  lambda x, w, b, m, v: F.batch_norm(x, m.detach(), v.detach(), w, b, False, 0.1,
                                                     1e-5),
                  options | {"training": False}, roles=roles)


def attend(q, k, v, mask=None, causal=False, scale=None, soft_cap=None):
    """The definition, with key and value heads shared by groups of query heads."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if soft_cap is not None:
        scores = soft_cap * torch.tanh(scores / soft_cap)
    if causal:
        allowed = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()
        scores = scores.masked_fill(~allowed, -INF)
    if mask is not None:
        scores = scores.masked_fill(~mask, -INF) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1) @ v, torch.logsumexp(scores, -1)


def attention(cases):
    def boolean(*shape):
        mask = cases.uniform(*shape) < 0.6
        mask[..., 0] = True  # every query sees some key
        return mask

    for label, (b, h, kv, t, s, d, e), mask, options in (
            ("plain", (2, 2, 2, 3, 5, 4, 4), None, {}),
            ("causal", (1, 2, 2, 5, 5, 4, 4), None, {"causal": True}),
            ("grouped", (2, 4, 2, 4, 4, 3, 3), None, {"causal": True}),
            ("one_kv_head", (1, 3, 1, 2, 6, 4, 4), None, {"scale": 0.3}),
            ("value_width", (1, 2, 2, 3, 4, 4, 6), None, {}),
            ("mask", (2, 2, 2, 4, 6, 4, 4), boolean(2, 1, 4, 6), {}),
            ("mask_added", (1, 2, 1, 4, 6, 4, 4), cases.normal(1, 2, 4, 6), {"scale": 1.0}),
            ("causal_mask", (2, 2, 2, 5, 5, 4, 4), boolean(2, 1, 1, 5), {"causal": True}),
            ("soft_cap", (1, 2, 2, 4, 4, 4, 4), None, {"causal": True, "soft_cap": 2.0}),
            ("long", (1, 1, 1, 3, 70, 4, 4), None, {"scale": 2.0})):
        options = {"causal": False, "scale": None, "soft_cap": None} | options
        q, k, v = cases.normal(b, h, t, d), cases.normal(b, kv, s, d), cases.normal(b, kv, s, e)
        given = [] if mask is None else [mask]
        if options["soft_cap"] is None:
            groups = h // kv
            expected = F.scaled_dot_product_attention(
                q, k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1),
                attn_mask=mask if not (options["causal"] and mask is not None) else
                mask & torch.ones(t, s, dtype=torch.bool).tril(),
                is_causal=options["causal"] and mask is None, scale=options["scale"])
            assert torch.allclose(attend(q, k, v, *given, **options)[0], expected, atol=1e-13)
        cases.add(f"attention/{label}", "attention", [q, k, v, *given],
                  lambda *t: attend(*t, **options),
                  options | {"outputs": ["out", "logsumexp of the scores"]},
                  roles=["q [B,H,T,D]", "k [B,Hkv,S,D]", "v [B,Hkv,S,E]", "mask"][:3 + len(given)])


def rotate(x, positions, theta, interleaved, width):
    """x [B, H, T, D]: rotates the first `width` of D, pairs (i, i + width/2) or (2i, 2i + 1)."""
    frequencies = theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = positions[:, None].double() * frequencies  # (T, width/2)
    sin, cos = angles.sin(), angles.cos()
    turned, rest = x[..., :width], x[..., width:]
    if interleaved:
        a, b = turned[..., 0::2], turned[..., 1::2]
        turned = torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)
    else:
        a, b = turned.chunk(2, -1)
        turned = torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
    return torch.cat([turned, rest], -1)


def rotary(cases):
    for interleaved in (False, True):
        for theta, positions, width in ((10000.0, [0, 1, 2, 3, 4], 8), (500000.0, [7, 100, 3], 8),
                                        (100.0, [5, 6], 4)):
            x = cases.normal(2, 2, len(positions), 8)
            cases.add(f"rotary/{interleaved}/{theta:g}", "rotary_embedding",
                      [x, torch.tensor(positions, dtype=torch.int32)],
                      lambda x, p: rotate(x, p, theta, interleaved, width),
                      {"theta": theta, "interleaved": interleaved, "width": width},
                      roles=["x [B,H,T,D]", "positions [T]"])


def losses(cases):
    x, y = cases.normal(4, 3, scale=1.5), cases.normal(4, 3)
    for reduction in ("mean", "sum", "none"):
        r = {"reduction": reduction}
        cases.add(f"mse/{reduction}", "mse_loss", [x, y], lambda x, y: F.mse_loss(x, y, **r), r)
        cases.add(f"l1/{reduction}", "l1_loss", [x, y], lambda x, y: F.l1_loss(x, y, **r), r)
        for delta in (1.0, 0.4):
            cases.add(f"huber/{delta}/{reduction}", "huber_loss", [x, y],
                      lambda x, y: F.huber_loss(x, y, delta=delta, **r), r | {"delta": delta})
            cases.add(f"smooth_l1/{delta}/{reduction}", "smooth_l1_loss", [x, y],
                      lambda x, y: F.smooth_l1_loss(x, y, beta=delta, **r), r | {"beta": delta})
        target = cases.uniform(4, 3)
        cases.add(f"bce_with_logits/{reduction}", "bce_with_logits", [x, target],
                  lambda x, t: F.binary_cross_entropy_with_logits(x, t, **r), r)
        logits = cases.normal(6, 5, scale=2.0)
        labels = torch.tensor([4, 0, -100, 2, 2, 1], dtype=torch.int32)
        for smoothing in (0.0, 0.2):
            cases.add(f"cross_entropy/{smoothing}/{reduction}", "cross_entropy", [logits, labels],
                      lambda x, t: F.cross_entropy(x, t.long(), label_smoothing=smoothing, **r),
                      r | {"ignore_index": -100, "label_smoothing": smoothing})
        cases.add(f"cross_entropy/ignore_2/{reduction}", "cross_entropy",
                  [logits, labels.clamp(min=0)],
                  lambda x, t: F.cross_entropy(x, t.long(), ignore_index=2, **r),
                  r | {"ignore_index": 2, "label_smoothing": 0.0})
        log_p = f32_exact(F.log_softmax(cases.normal(4, 5), -1))
        cases.add(f"nll/{reduction}", "nll_loss", [logits, labels],
                  lambda x, t: F.nll_loss(x, t.long(), **r), r | {"ignore_index": -100})
    p = f32_exact(F.softmax(cases.normal(4, 5), -1))
    for reduction in ("mean", "sum", "none", "batchmean"):
        for log_target in (False, True):
            t = f32_exact(p.log()) if log_target else p
            cases.add(f"kl_div/{log_target}/{reduction}", "kl_div", [log_p, t],
                      lambda x, t: F.kl_div(x, t, reduction=reduction, log_target=log_target),
                      {"reduction": reduction, "log_target": log_target},
                      roles=["input (log)", "target"])
    big = torch.tensor([1000.0, -1000.0, 0.0, 30.0], dtype=torch.float64)
    hard = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    cases.add("bce_with_logits/large", "bce_with_logits", [big, hard],
              lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="none"),
              {"reduction": "none"})
    for axis in (1, -1):
        cases.add(f"cosine_similarity/{axis}", "cosine_similarity",
                  [cases.normal(3, 4, 2), cases.normal(3, 4, 2)],
                  lambda x, y: F.cosine_similarity(x, y, axis), {"axis": axis, "eps": 1e-8})


def make(out):
    cases = Cases(out, "nn")
    for fill in (softmaxes, norms, attention, rotary):
        fill(cases)
    cases.write()
    cases = Cases(out, "losses")
    losses(cases)
    cases.write()
