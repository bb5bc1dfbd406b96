"""Small random models of the families of decoders, as Hugging Face folders, with their logits.

The weights are bf16 in model.safetensors (one folder has shards); the logits of reference.safetensors
come from the same weights in f64. transformers computes norms, softmax and angles in f32 whatever
the model's type; here what asks for f32 gets f64. They are checked against the plain f32 model.
"""

import contextlib
import copy

import torch
import transformers as t

import common

IDS_SHAPE, VOCABULARY = (2, 24), 29
SMALL = {"vocab_size": VOCABULARY, "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2,
         "num_attention_heads": 3, "num_key_value_heads": 1, "max_position_embeddings": 64,
         "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
NARROW = SMALL | {"hidden_size": 16, "head_dim": 8, "num_attention_heads": 4, "num_key_value_heads": 2}  # heads that are wider than their share


def rope(kind, **more):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0} | more}


FACTORS = [1.0, 1.5, 2.0, 3.0]
FAMILIES = {
    "llama3": (t.LlamaConfig, NARROW | {"attention_bias": True, "mlp_bias": True} | rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=16)),
    "llama-linear": (t.LlamaConfig, NARROW | rope("linear", factor=4.0)),
    "llama-dynamic": (t.LlamaConfig, NARROW | {"max_position_embeddings": 12} | rope("dynamic", factor=3.0)),
    "llama-yarn": (t.LlamaConfig, NARROW | rope(
        "yarn", factor=4.0, original_max_position_embeddings=16)),
    "llama-yarn-mscale": (t.LlamaConfig, NARROW | rope(
        "yarn", factor=4.0, original_max_position_embeddings=16, mscale=0.7, mscale_all_dim=1.2,
        truncate=False, beta_fast=8.0, beta_slow=2.0)),
    "mistral": (t.MistralConfig, NARROW | {"sliding_window": 5}),
    "qwen2": (t.Qwen2Config, SMALL | {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}),
    "qwen3": (t.Qwen3Config, NARROW | {"tie_word_embeddings": True}),
    "gemma": (t.GemmaConfig, NARROW),
    "gemma2": (t.Gemma2Config, SMALL | {
        "head_dim": 8, "sliding_window": 6, "query_pre_attn_scalar": 12, "attn_logit_softcapping": 3.0,
        "final_logit_softcapping": 4.0}),
    "gemma3": (t.Gemma3TextConfig, SMALL | {
        "head_dim": 8, "num_hidden_layers": 4, "sliding_window": 6, "query_pre_attn_scalar": 12,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}}),
    "phi3-short": (t.Phi3Config, SMALL | {"original_max_position_embeddings": 32, "sliding_window": 9} | rope(
        "longrope", short_factor=FACTORS, long_factor=FACTORS[::-1])),
    "phi3-long": (t.Phi3Config, SMALL | {"original_max_position_embeddings": 16} | rope(
        "longrope", short_factor=FACTORS[:3], long_factor=[2.0, 4.0, 8.0], partial_rotary_factor=0.75)),
    "olmo2": (t.Olmo2Config, SMALL),
    "granite": (t.GraniteConfig, SMALL | {
        "embedding_multiplier": 3.0, "attention_multiplier": 0.2, "residual_multiplier": 0.6,
        "logits_scaling": 2.5}),
    "stablelm": (t.StableLmConfig, SMALL | {"use_qkv_bias": True}),
    "stablelm-parallel": (t.StableLmConfig, SMALL | {
        "qk_layernorm": True, "use_parallel_residual": True, "partial_rotary_factor": 0.5}),
}
SHARDED = ("qwen2",)


@contextlib.contextmanager
def f64_for_f32():
    """What is converted to f32, or made in it, is f64."""
    to, softmax = torch.Tensor.to, torch.nn.functional.softmax

    def wide(value):
        return torch.float64 if value is torch.float32 else value

    def to_wide(self, *args, **kwargs):
        return to(self, *map(wide, args), **{k: wide(v) for k, v in kwargs.items()})

    torch.Tensor.to, torch.Tensor.float = to_wide, torch.Tensor.double
    torch.nn.functional.softmax = lambda x, *a, dtype=None, **k: softmax(x, *a, dtype=wide(dtype), **k)
    try:
        yield
    finally:
        torch.Tensor.to, torch.nn.functional.softmax = to, softmax
        del torch.Tensor.float


def randomise(model, seed):
    """Matrices and biases normal(0, 0.3), norm weights 0.3 around what leaves values as they are."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            centre = p.mean() if "norm" in name and name.endswith("weight") else 0.0
            p.copy_((torch.randn(p.shape, generator=generator) * 0.3 + centre).bfloat16())


def make(out, name, seed):
    folder = out / name
    kind, settings = FAMILIES[name]
    config = kind(**settings)
    config._attn_implementation = "eager"
    model = t.AutoModelForCausalLM.from_config(config).eval()
    randomise(model, seed)
    # A copy: angles are kept in buffers, which would be rounded too.
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder, max_shard_size="5KB" if name in SHARDED else "1GB")
    (folder / "generation_config.json").unlink(missing_ok=True)
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)
    generator = torch.Generator().manual_seed(seed + 1)
    ids = torch.randint(3, VOCABULARY, IDS_SHAPE, generator=generator)
    with torch.no_grad():
        plain = model(ids).logits
        with f64_for_f32():
            logits = model.double()(ids).logits
    assert logits.dtype == torch.float64
    error = ((logits - plain).abs().max() / logits.abs().max()).item()
    assert error < 1e-5, (name, error)
    common.save(folder, "reference", {"ids": ids.to(torch.int32), "logits": logits.to(torch.float32)}, {
        "versions": common.versions("torch", "transformers"), "seed": seed,
        "tensors": {"ids": "i32 [2,24] input", "logits": "f32 [2,24,29], computed in f64"}})


def main():
    out = common.out_folder(__doc__)
    for seed, name in enumerate(FAMILIES):
        make(out, name, 11 + 2 * seed)


main()
