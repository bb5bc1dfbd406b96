"""Random GPT-2 and Llama models as Hugging Face folders, with what they must compute.

The weights are f32 in model.safetensors; everything in reference.safetensors comes from the same
weights in f64. Hugging Face's Llama computes its norms, its softmax and its angles in f32 whatever
the model's type, so those are replaced here, and the result is checked against the plain f32 model.
"""

import json

import safetensors.torch
import torch
import transformers
from transformers.models.llama import modeling_llama

import common

IDS_SHAPE = (2, 16)
PROMPT, NEW = 8, 8
ADAMW = {"learning_rate": 1e-2, "betas": [0.9, 0.99], "epsilon": 1e-8, "weight_decay": 0.1}


def rms_norm_f64(self, x):
    return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon)


def rotary_f64(self, x, position_ids):
    width, theta = self.config.hidden_size // self.config.num_attention_heads, 10000.0
    frequencies = theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = position_ids[..., None].double() * frequencies
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def randomise(model, seed):
    """Matrices and biases normal(0, 0.3), norm weights normal(1, 0.3): large, so mistakes show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            norm = name.endswith("weight") and p.dim() == 1
            p.copy_(torch.randn(p.shape, generator=generator) * 0.3 + (1.0 if norm else 0.0))


def loss_of(model, ids):
    logits = model(ids).logits
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def greedy(model, prompt):
    """New ids one by one without a cache, and the smallest gap between first and second choice."""
    ids, margin = prompt, float("inf")
    for _ in range(NEW):
        top = model(ids).logits[:, -1].topk(2).values
        margin = min(margin, (top[:, 0] - top[:, 1]).min().item())
        ids = torch.cat([ids, model(ids).logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    return ids[:, prompt.shape[1]:], margin


def loss_curve(model, ids, steps=10):
    """Losses before steps 1..n and after step n; decay on tensors of two dimensions only."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": ADAMW["weight_decay"]},
         {"params": vectors, "weight_decay": 0.0}],
        lr=ADAMW["learning_rate"], betas=tuple(ADAMW["betas"]), eps=ADAMW["epsilon"],
        foreach=False, fused=False)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(model, ids)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses + [loss_of(model, ids).item()]


def make(out, name, model, seed):
    folder = out / name
    randomise(model, seed)
    model.eval().save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    generator = torch.Generator().manual_seed(seed + 1)
    ids = torch.randint(0, model.config.vocab_size, IDS_SHAPE, generator=generator)
    with torch.no_grad():
        logits_f32 = model(ids).logits

    model.double()
    for module in model.modules():
        if isinstance(module, modeling_llama.LlamaRMSNorm):
            module.forward = rms_norm_f64.__get__(module)
        if isinstance(module, modeling_llama.LlamaRotaryEmbedding):
            module.forward = rotary_f64.__get__(module)
    output = model(ids, output_hidden_states=True)
    loss = loss_of(model, ids)
    loss.backward()
    assert output.logits.dtype == torch.float64
    assert (output.logits - logits_f32).abs().max() < 2e-5 * output.logits.abs().max()
    with torch.no_grad():
        generated, margin = greedy(model, ids[:, :PROMPT])
    tensors = {"ids": ids, "logits": output.logits, "hidden": output.hidden_states[-1],
               "loss": loss, "generated": generated}
    tensors |= {f"grad.{n}": p.grad for n, p in model.named_parameters()}
    tensors["loss_curve"] = torch.tensor(loss_curve(model, ids), dtype=torch.float64)
    common.save(folder, "reference", tensors, {
        "versions": common.versions("torch", "transformers"), "seed": seed,
        "tensors": {
            "ids": "i64 [2,16] input", "logits": "f64 [2,16,97]",
            "hidden": "f64 [2,16,32] after the final norm",
            "loss": "f64 [] mean cross-entropy of ids[:,1:] given logits[:,:-1]",
            "grad.NAME": "f64 gradient of loss by the parameter NAME of model.safetensors",
            "generated": f"i64 [2,{NEW}] greedy continuation of ids[:,:{PROMPT}]",
            "loss_curve": "f64 [11] losses before AdamW steps 1..10 and after step 10, same ids"},
        "generated_margin": margin,
        "adamw": ADAMW | {"weight_decay_on": "parameters of two dimensions, embeddings included"}})


def check_folder(folder):
    """The folder as a stranger loads it computes the stored logits."""
    reference = safetensors.torch.load_file(folder / "reference.safetensors")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        difference = (model(reference["ids"]).logits - reference["logits"]).abs().max()
    assert difference < 2e-5 * reference["logits"].abs().max(), (folder, difference)


def main():
    out = common.out_folder(__doc__)
    make(out, "gpt2", transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=97, n_positions=24, n_embd=32, n_layer=2, n_head=4, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0)), 1)
    for name, tied, seed in (("llama", False, 3), ("llama-tied", True, 5)):
        make(out, name, transformers.LlamaForCausalLM(transformers.LlamaConfig(
            vocab_size=97, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=24,
            rms_norm_eps=1e-5, tie_word_embeddings=tied, bos_token_id=1, eos_token_id=2)), seed)
    # The tied one gets its config as older versions wrote it and as most published models have it.
    path = out / "llama-tied" / "config.json"
    config = json.loads(path.read_text())
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    config["torch_dtype"] = config.pop("dtype")
    config["rope_scaling"] = None
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    for name in ("gpt2", "llama", "llama-tied"):
        check_folder(out / name)


main()
