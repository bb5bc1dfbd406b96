"""A training step of a GPT: by default the 0.8 M one for characters, of 12 x 64 tokens.

GPT-2's block order and initialisation: normal(0, 0.02), residual projections divided by sqrt(2 * layers), biases
zero, tanh-GELU, the head tied to the token embedding. "seconds" is the median step: gradients, clipping, AdamW.
--bf16 computes under autocast, --compile with torch.compile, whose own time is left out.
"""

import contextlib
import math
import resource
import time

import peer
import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, w = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(b, t, w))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, symbols, context, layers=4, heads=4, width=128):
        super().__init__()
        self.token, self.position = nn.Embedding(symbols, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                residual = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * layers) if residual else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def forward(self, ids):  # (B, T) -> (B, T, symbols)
        x = self.token(ids) + self.position.weight[:ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.token.weight)

    def loss(self, ids, targets):
        return F.cross_entropy(self(ids).flatten(0, 1).float(), targets.flatten())


def adamw(model, learning_rate=1e-3, weight_decay=0.1, betas=(0.9, 0.99)):
    """Decay on matrices only, embeddings included."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": weight_decay},
                              {"params": vectors, "weight_decay": 0.0}], lr=learning_rate, betas=betas)


def step(loss_of, model, optimizer, ids, targets, autocast):
    optimizer.zero_grad()
    with autocast:
        loss = loss_of(ids, targets)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def main():
    parser = peer.parser(__doc__)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--symbols", type=int, default=65)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    peer.start(options)
    model = GPT(options.symbols, options.context, options.layers, options.heads, options.width)
    optimizer = adamw(model)
    loss_of = torch.compile(model.loss) if options.compile else model.loss
    autocast = torch.autocast("cpu", torch.bfloat16) if options.bf16 else contextlib.nullcontext()
    ids = torch.randint(0, options.symbols, (options.batch, options.context + 1))
    times = []
    for _ in range(options.steps + 3):
        begin = time.perf_counter()
        step(loss_of, model, optimizer, ids[:, :-1], ids[:, 1:], autocast)
        times.append(time.perf_counter() - begin)
    seconds = sorted(times[3:])[options.steps // 2]
    peer.report("gpt_step", options, seconds, parameters=sum(p.numel() for p in model.parameters()),
                tokens=options.batch * options.context,
                peak_bytes=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main()
