"""GGUF twins of the families' golden models: model.gguf in each folder, by llama.cpp's converter.

The weights are those of model.safetensors: matrices bf16, vectors f32 (GPT-2's all f32). Left out is
what GGUF has no key for: dynamic rotary scaling, and yarn with a ramp between parts of pairs. The
models have no tokenizer, so none is written. Some get what the converter does not write although
llama.cpp or cairn reads it: Mistral's window, what Gemma scales its scores by.

--converter: a folder of llama.cpp with conversion/ and gguf-py/ (they come with the source package
of llama-cpp-python too); the versions are in tests/golden/families/gguf.json.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

LEFT_OUT = ("llama-dynamic", "llama-yarn-mscale")


def more_keys(writer, config):
    """What the converter leaves out, by config.json."""
    kind = config["model_type"]
    if kind == "mistral":
        writer.add_sliding_window(config["sliding_window"])
    if kind in ("gemma2", "gemma3_text"):
        writer.add_attention_scale(config["query_pre_attn_scalar"] ** -0.5)
    if kind == "gemma3_text":
        writer.add_sliding_window_pattern([t == "sliding_attention" for t in config["layer_types"]])
    if kind == "qwen2":
        writer.add_sliding_window(config["sliding_window"])
        writer.add_sliding_window_pattern([t == "sliding_attention" for t in config["layer_types"]])


def make(folder, ftype):
    import conversion
    config = conversion.ModelBase.load_hparams(folder, False)
    kind = conversion.get_model_class(conversion.get_model_architecture(config, conversion.ModelType.TEXT))
    # Gemma 3's converter cuts the embedding to the tokenizer's size.
    vocabulary = config["vocab_size"]

    def modify_tensors(self, data, name, bid):
        # StableLM's converter returns the generator that it means to yield from.
        more = yield from kind.modify_tensors(self, data, name, bid)
        yield from more or ()

    without = type(kind.__name__, (kind,), {
        "model_arch": kind.model_arch, "set_vocab": lambda self: None, "modify_tensors": modify_tensors,
        "_create_vocab_sentencepiece": lambda self: ([b""] * vocabulary, [], [])})
    path = folder / "model.gguf"
    # Their presence is what is asked for.
    stand_in = folder / "tokenizer.model"
    stand_in.write_bytes(b"")
    try:
        with torch.inference_mode():
            model = without(folder, ftype, path, eager=True)
            model.hparams.setdefault("n_ctx", config.get("n_positions"))
            more_keys(model.gguf_writer, json.loads((folder / "config.json").read_text()))
            model.write()
    finally:
        stand_in.unlink()
    print(f"{path}: {path.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--converter", type=Path, required=True)
    parser.add_argument("--golden", type=Path, required=True, help="the folder with families/ and twins/")
    options = parser.parse_args()
    sys.path[:0] = [str(options.converter), str(options.converter / "gguf-py")]
    import gguf
    made = []
    for config in sorted(options.golden.glob("families/*/config.json")):
        if config.parent.name not in LEFT_OUT:
            make(config.parent, gguf.LlamaFileType.MOSTLY_BF16)
            made.append(config.parent.name)
    make(options.golden / "twins/gpt2", gguf.LlamaFileType.ALL_F32)
    import transformers
    (options.golden / "families/gguf.json").write_text(json.dumps({
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "converter": "llama.cpp of llama-cpp-python 0.3.36", "files": made}) + "\n")


main()
