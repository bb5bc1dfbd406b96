"""A GGUF file of a Llama's shape with random weights, for measuring: no tokenizer, ids only.

The default is TinyLlama's shape of 1.1 billion parameters in F16. `cairn quantize` makes the other
types of it, so that all have the same numbers:

    python3 tools/make_llama_shape.py llama-f16.gguf
    cairn quantize llama-f16.gguf llama-q4_k_m.gguf --type Q4_K_M

The shape of llama2.c's stories15M:

    python3 tools/make_llama_shape.py llama-15m.gguf --layers 6 --width 288 --heads 6 --kv-heads 6 --hidden 768 --tied

Takes numpy and the gguf package.
"""

import argparse

import gguf
import numpy as np

TYPES = {"F32": gguf.GGMLQuantizationType.F32, "F16": gguf.GGMLQuantizationType.F16,
         "BF16": gguf.GGMLQuantizationType.BF16}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--type", choices=TYPES, default="F16")
    for name, value in {"layers": 22, "width": 2048, "heads": 32, "kv-heads": 4, "hidden": 5632,
                        "vocabulary": 32000, "context": 8192, "seed": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default: {value}")
    parser.add_argument("--tied", action="store_true", help="no output matrix: the embeddings serve as one")
    o = parser.parse_args()
    head = o.width // o.heads
    writer = gguf.GGUFWriter(o.out, "llama")
    writer.add_name(f"random {o.width} x {o.layers}")
    writer.add_block_count(o.layers)
    writer.add_context_length(o.context)
    writer.add_embedding_length(o.width)
    writer.add_feed_forward_length(o.hidden)
    writer.add_head_count(o.heads)
    writer.add_head_count_kv(o.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(head)
    writer.add_vocab_size(o.vocabulary)
    writer.add_file_type({"F32": 0, "F16": 1, "BF16": 32}[o.type])
    writer.add_tokenizer_model("none")
    shapes = {"token_embd.weight": (o.vocabulary, o.width)}
    for i in range(o.layers):
        shapes |= {f"blk.{i}.attn_norm.weight": (o.width,), f"blk.{i}.attn_q.weight": (o.width, o.width),
                   f"blk.{i}.attn_k.weight": (o.kv_heads * head, o.width),
                   f"blk.{i}.attn_v.weight": (o.kv_heads * head, o.width),
                   f"blk.{i}.attn_output.weight": (o.width, o.width), f"blk.{i}.ffn_norm.weight": (o.width,),
                   f"blk.{i}.ffn_gate.weight": (o.hidden, o.width), f"blk.{i}.ffn_up.weight": (o.hidden, o.width),
                   f"blk.{i}.ffn_down.weight": (o.width, o.hidden)}
    shapes |= {"output_norm.weight": (o.width,)}
    if not o.tied:
        shapes |= {"output.weight": (o.vocabulary, o.width)}
    size = {"F32": 4, "F16": 2, "BF16": 2}
    kinds = {name: o.type if len(shape) == 2 else "F32" for name, shape in shapes.items()}
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        dtype = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}[kinds[name]]
        writer.add_tensor_info(name, shape, np.dtype(dtype), count * size[kinds[name]], TYPES[kinds[name]])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    random = np.random.default_rng(o.seed)
    for name, shape in shapes.items():
        # Norms keep what they get; what a product gives is about as large as what it takes.
        values = np.ones(shape, np.float32)
        if len(shape) == 2:
            values = random.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[1]))
        if kinds[name] == "F16":
            values = values.astype(np.float16)
        elif kinds[name] == "BF16":
            values = gguf.quants.quantize(values, TYPES["BF16"])
        writer.write_tensor_data(values)
    writer.close()


main()
