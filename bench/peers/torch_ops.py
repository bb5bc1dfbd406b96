"""PyTorch, eager, beside `cairn bench ops`; see ops_peer.py."""

import sys

import ops_peer

THREADS = ops_peer.threads()
try:
    import torch
    import torch.nn.functional as F
except ImportError as error:
    ops_peer.say(absent=f"the Python of CAIRN_PEER_PYTHON has no PyTorch ({error})")
    sys.exit()


def random(dtype, *shape):
    return torch.rand(shape, dtype=torch.float32).mul_(2).sub_(1).to(dtype)


def with_backward(forward, *inputs):
    for x in inputs:
        x.requires_grad_()
    cotangent = random(inputs[0].dtype, *forward(*inputs).shape)

    def call():
        torch.autograd.grad(forward(*inputs), inputs, cotangent)
    return call


def without_gradient(call):
    def quiet():
        with torch.inference_mode():
            call()
    return quiet


def matmul(t, m, k, n):
    a, b = random(t, m, k), random(t, k, n)
    return lambda: a @ b


def matmul_nt(t, m, k, n):
    a, b = random(t, m, k), random(t, n, k)
    return lambda: a @ b.t()


def matmul_tn(t, m, k, n):
    a, b = random(t, k, m), random(t, k, n)
    return lambda: a.t() @ b


def linear(t, m, k, n):
    """Weights in the order that oneDNN wants, as torch.compile puts them when they are frozen."""
    if t is torch.int8:
        a = torch.randint(-128, 128, (m, k), dtype=t)
        b = torch.randint(-128, 128, (n, k), dtype=t)
        return lambda: torch._int_mm(a, b.t())
    a, b = random(t, m, k), random(t, n, k)
    packed = torch.ops.mkldnn._reorder_linear_weight(b, m)
    return lambda: torch.ops.mkldnn._linear_pointwise(a, packed, None, "none", [], "")


def matmul_bias_gelu(t, m, k, n):
    a, b, bias = random(t, m, k), random(t, k, n), random(t, n)
    return lambda: F.gelu(torch.addmm(bias, a, b))


def unary(fn):
    def make(t, *shape):
        x = random(t, *shape)
        return lambda: fn(x)
    return make


def add(t, *shape):
    x, y = random(t, *shape), random(t, *shape)
    return lambda: x + y


def layer_norm(t, *shape):
    x, weight, bias = random(t, *shape), random(t, shape[-1]), random(t, shape[-1])
    return lambda: F.layer_norm(x, shape[-1:], weight, bias)


def cross_entropy(t, rows, classes):
    x, targets = random(t, rows, classes), torch.randint(classes, (rows,))
    return lambda: F.cross_entropy(x, targets)


def adamw(t, n):
    x = random(t, n).requires_grad_()
    x.grad = random(t, n)
    return torch.optim.AdamW([x], fused=True).step  # the fastest of its three


def attention_inputs(t, heads, tokens, width):
    return [random(t, 1, heads, tokens, width) for _ in range(3)]


def causal(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def attention(t, *sizes):
    inputs = attention_inputs(t, *sizes)
    return lambda: causal(*inputs)


def attention_grad(t, *sizes):
    return with_backward(causal, *attention_inputs(t, *sizes))


def convolution(t, batch, channels, side, filters, kernel, stride, groups=1):
    x, w = random(t, batch, channels, side, side), random(t, filters, channels // groups, kernel, kernel)
    return (lambda x, w: F.conv2d(x, w, stride=stride, padding=kernel // 2, groups=groups)), x, w


def conv2d(t, *sizes):
    fn, x, w = convolution(t, *sizes)
    return lambda: fn(x, w)


def conv2d_grad(t, *sizes):
    return with_backward(*convolution(t, *sizes))


FORWARD = {"matmul": matmul, "matmul_nt": matmul_nt, "matmul_tn": matmul_tn, "linear": linear,
           "matmul_bias_gelu": matmul_bias_gelu,
           "attention": attention, "conv2d": conv2d, "add": add, "exp": unary(torch.exp), "gelu": unary(F.gelu),
           "silu": unary(F.silu), "softmax": unary(lambda x: torch.softmax(x, -1)), "layer_norm": layer_norm,
           "cross_entropy": cross_entropy, "transpose": unary(lambda x: x.t().contiguous())}
TRAINING = {"attention_grad": attention_grad, "conv2d_grad": conv2d_grad, "adamw": adamw}
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "i8": torch.int8}


def make(op, dtype, sizes):
    if op in FORWARD:
        return without_gradient(FORWARD[op](DTYPES[dtype], *sizes))
    if op in TRAINING:
        return TRAINING[op](DTYPES[dtype], *sizes)
    raise ops_peer.Cannot(f"no {op} in torch_ops.py")


torch.set_num_threads(THREADS)
ops_peer.serve(f"torch {torch.__version__}", make)
