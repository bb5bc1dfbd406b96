"""OpenVINO on a Llama of TinyLlama's shape with random weights: prefill and one token.

The other side of `cairn bench llm --quantize int8`. The model is one graph without a cache of keys
and values; NNCF compresses its weights to 8 bits with a scale for each output, and the CPU plugin
quantizes activations on the way, in groups. Only the last token's logits are computed.

    python3 bench/peers/openvino_llama.py [--groups 32,64,128] [--threads 2] [--save FOLDER]

Takes openvino and nncf. `--save` keeps the compressed model, and finds it there the next time.
Prints a JSON line for each size of groups.
"""

import argparse
import json
import os
import statistics
import time

import nncf
import numpy as np
import openvino as ov
from openvino import opset13 as op


class Weights:
    """Random ones in f16, as files have them."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def matrix(self, rows, columns):
        values = self.random.standard_normal((rows, columns), dtype=np.float32) / np.float32(columns**0.5)
        return op.convert(op.constant(values.astype(np.float16)), "f32")

    def linear(self, x, rows, columns):
        return op.matmul(x, self.matrix(rows, columns), False, True)


def rms_norm(x, width):
    square = op.reduce_mean(op.multiply(x, x), op.constant(np.array([2])), True)
    root = op.sqrt(op.add(square, op.constant(np.float32(1e-5))))
    return op.multiply(op.divide(x, root), op.constant(np.ones((1, 1, width), np.float32)))


def rotated(x, cosines, sines):
    low, high = op.split(x, op.constant(3), 2).outputs()
    turned = op.concat([op.multiply(high, op.constant(np.float32(-1))), low], 3)
    return op.add(op.multiply(x, cosines), op.multiply(turned, sines))


def attention(x, w, o, cosines, sines):
    head = o.width // o.heads

    def heads(t, count):
        split = op.reshape(t, op.constant(np.array([0, 0, count, head])), True)
        return op.transpose(split, op.constant(np.array([0, 2, 1, 3])))

    q = rotated(heads(w.linear(x, o.width, o.width), o.heads), cosines, sines)
    k = rotated(heads(w.linear(x, o.kv_heads * head, o.width), o.kv_heads), cosines, sines)
    v = heads(w.linear(x, o.kv_heads * head, o.width), o.kv_heads)
    shared = o.heads // o.kv_heads

    def repeated(t):
        wide = op.unsqueeze(t, op.constant(2))
        shape = op.constant(np.array([1, 1, shared, 1, 1]))
        return op.reshape(op.broadcast(wide, shape, broadcast_spec="BIDIRECTIONAL"),
                          op.constant(np.array([1, o.heads, -1, head])), False)

    mixed = op.scaled_dot_product_attention(q, repeated(k), repeated(v), causal=True)
    joined = op.reshape(op.transpose(mixed, op.constant(np.array([0, 2, 1, 3]))),
                        op.constant(np.array([0, 0, -1])), True)
    return w.linear(joined, o.width, o.width)


def build(o):
    w = Weights(o.seed)
    head = o.width // o.heads
    ids = op.parameter([1, -1], np.int64, name="ids")
    x = op.gather(w.matrix(o.vocabulary, o.width), ids, op.constant(0))
    length = op.gather(op.shape_of(ids), op.constant(1), op.constant(0))
    positions = op.convert(op.range(op.constant(0, np.int64), length, op.constant(1, np.int64), "i64"), "f32")
    rates = 10000.0 ** (-np.arange(0, head, 2, dtype=np.float32) / head)
    angles = op.multiply(op.reshape(positions, op.constant(np.array([1, 1, -1, 1])), False),
                         op.constant(np.concatenate([rates, rates]).reshape(1, 1, 1, head)))
    cosines, sines = op.cos(angles), op.sin(angles)
    for _ in range(o.layers):
        x = op.add(x, attention(rms_norm(x, o.width), w, o, cosines, sines))
        h = rms_norm(x, o.width)
        gate = op.swish(w.linear(h, o.hidden, o.width))
        x = op.add(x, w.linear(op.multiply(gate, w.linear(h, o.hidden, o.width)), o.width, o.hidden))
    last = op.gather(rms_norm(x, o.width), op.constant(np.array([-1])), op.constant(1))
    return ov.Model([w.linear(last, o.vocabulary, o.width)], [ids], "llama")


def compressed(o):
    path = os.path.join(o.save, "llama-int8.xml") if o.save else None
    if path and os.path.exists(path):
        return ov.Core().read_model(path)
    model = nncf.compress_weights(build(o), mode=nncf.CompressWeightsMode.INT8_SYM)
    if path:
        os.makedirs(o.save, exist_ok=True)
        ov.save_model(model, path, compress_to_fp16=False)
    return model


def seconds(request, ids, repeat):
    request.infer({0: ids})
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        request.infer({0: ids})
        times.append(time.perf_counter() - start)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", default="32,64,128")
    parser.add_argument("--save")
    for name, value in {"threads": 2, "prompt": 512, "repeat": 3, "layers": 22, "width": 2048, "heads": 32,
                        "kv-heads": 4, "hidden": 5632, "vocabulary": 32000, "seed": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default: {value}")
    o = parser.parse_args()
    model = compressed(o)
    random = np.random.default_rng(o.seed)
    for group in [int(g) for g in o.groups.split(",")]:
        compiled = ov.Core().compile_model(model, "CPU", {
            "INFERENCE_NUM_THREADS": o.threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": group, "PERFORMANCE_HINT": "LATENCY"})
        request = compiled.create_infer_request()
        prefill = seconds(request, random.integers(0, o.vocabulary, (1, o.prompt)), o.repeat)
        token = seconds(request, random.integers(0, o.vocabulary, (1, 1)), 5 * o.repeat)
        print(json.dumps({
            "peer": "openvino " + ov.get_version().split("-")[0], "threads": o.threads, "group": group,
            "prefill_tokens_per_s": {"median": o.prompt / statistics.median(prefill), "max": o.prompt / min(prefill)},
            "tokens_per_s": {"median": 1 / statistics.median(token), "max": 1 / min(token)}}), flush=True)
        del request, compiled


if __name__ == "__main__":
    main()
