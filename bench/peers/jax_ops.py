"""JAX, jitted, beside `cairn bench ops`; see ops_peer.py."""

import os
import sys

import ops_peer

os.environ["JAX_PLATFORMS"] = "cpu"
try:
    with ops_peer.cores(ops_peer.threads()):
        import jax
        import jax.numpy as jnp
        jax.block_until_ready(jax.jit(lambda x: x @ x)(jnp.ones((256, 256))))  # starts its threads
except ImportError as error:
    ops_peer.say(absent=f"the Python of CAIRN_PEER_PYTHON has no JAX ({error})")
    sys.exit()

DTYPES = {"f32": jnp.float32, "bf16": jnp.bfloat16}


def random(t, *shape):
    return jax.random.uniform(jax.random.key(len(shape)), shape, jnp.float32, -1, 1).astype(t)


def with_backward(forward):
    def both(*inputs_and_cotangent):
        out, pullback = jax.vjp(forward, *inputs_and_cotangent[:-1])
        return out, pullback(inputs_and_cotangent[-1])
    return both


def cross_entropy(x, targets):
    return -jnp.take_along_axis(jax.nn.log_softmax(x), targets[:, None], 1).mean()


def layer_norm(x, weight, bias):
    return jax.nn.standardize(x, epsilon=1e-5) * weight + bias


def adamw(x, gradient, average, square):
    average = 0.9 * average + 0.1 * gradient
    square = 0.999 * square + 0.001 * gradient * gradient
    step = average / (1 - 0.9**10) / (jnp.sqrt(square / (1 - 0.999**10)) + 1e-8)
    return x * (1 - 1e-3 * 1e-2) - 1e-3 * step, average, square


def attention(q, k, v):
    return jax.nn.dot_product_attention(q, k, v, is_causal=True)


def convolution(sizes):
    _, _, _, _, kernel, stride, *groups = sizes
    pad = kernel // 2
    return lambda x, w: jax.lax.conv_general_dilated(x, w, (stride, stride), ((pad, pad), (pad, pad)),
                                                     feature_group_count=(groups or [1])[0])


def attention_inputs(t, heads, tokens, width):
    return [random(t, 1, tokens, heads, width) for _ in range(3)]  # its layout


def convolution_inputs(t, batch, channels, side, filters, kernel, stride, groups=1):
    return [random(t, batch, channels, side, side), random(t, filters, channels // groups, kernel, kernel)]


UNARY = {"exp": jnp.exp, "gelu": lambda x: jax.nn.gelu(x, approximate=False), "silu": jax.nn.silu,
         "softmax": jax.nn.softmax, "transpose": lambda x: x.T}


def function_and_inputs(op, t, s):
    if op == "matmul":
        return jnp.matmul, [random(t, s[0], s[1]), random(t, s[1], s[2])]
    if op == "matmul_nt":
        return lambda a, b: a @ b.T, [random(t, s[0], s[1]), random(t, s[2], s[1])]
    if op == "matmul_tn":
        return lambda a, b: a.T @ b, [random(t, s[1], s[0]), random(t, s[1], s[2])]
    if op == "matmul_bias_gelu":
        return (lambda a, b, bias: UNARY["gelu"](a @ b + bias),
                [random(t, s[0], s[1]), random(t, s[1], s[2]), random(t, s[2])])
    if op in UNARY:
        return UNARY[op], [random(t, *s)]
    if op == "add":
        return jnp.add, [random(t, *s), random(t, *s)]
    if op == "layer_norm":
        return layer_norm, [random(t, *s), random(t, s[-1]), random(t, s[-1])]
    if op == "cross_entropy":
        return cross_entropy, [random(t, *s), jnp.arange(s[0]) % s[1]]
    if op == "attention":
        return attention, attention_inputs(t, *s)
    if op == "conv2d":
        return convolution(s), convolution_inputs(t, *s)
    if op == "attention_grad":
        return with_backward(attention), attention_inputs(t, *s) + attention_inputs(t, *s)[:1]
    if op == "conv2d_grad":
        inputs = convolution_inputs(t, *s)
        return with_backward(convolution(s)), inputs + [random(t, *jax.eval_shape(convolution(s), *inputs).shape)]
    raise ops_peer.Cannot(f"no {op} in jax_ops.py")


def make(op, dtype, sizes):
    t = DTYPES[dtype]
    if op == "adamw":  # parameter and averages are donated, as ours
        step = jax.jit(adamw, donate_argnums=(0, 2, 3))
        state = [random(t, *sizes), jnp.zeros(sizes), jnp.zeros(sizes)]
        gradient = random(t, *sizes)

        def update():
            state[:] = jax.block_until_ready(step(state[0], gradient, state[1], state[2]))
        return update
    fn, inputs = function_and_inputs(op, t, sizes)
    jitted = jax.jit(fn)
    jax.block_until_ready(inputs)
    return lambda: jax.block_until_ready(jitted(*inputs))


ops_peer.serve(f"jax {jax.__version__}", make)
