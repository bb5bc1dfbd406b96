"""The PyTorch twin of the configuration in CLI.md: a character GPT on tiny Shakespeare.

4 layers, 4 heads, width 128, context 64, batch 12, 2000 steps; AdamW 1e-3, betas 0.9 0.99, decay 0.1 on
matrices, clip 1; 100 steps of warm-up, then cosine to 1e-4; no dropout; GPT-2's initialisation, head tied to
the token embedding (bench/peers/torch_gpt.py has the model). Training windows start anywhere in the first
90 % of the text; the validation loss is the mean over all non-overlapping windows of the last 10 %.
"""

import json
import math
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "peers"))
import peer
import torch
from torch_gpt import GPT, adamw, step

CONTEXT, BATCH, STEPS, WARMUP, RATE, LEAST = 64, 12, 2000, 100, 1e-3, 1e-4


def rate(i):
    """Of step i, counted from 0: (i + 1) / (warm-up + 1) of the rate, then half a cosine."""
    if i < WARMUP:
        return RATE * (i + 1) / (WARMUP + 1)
    return LEAST + 0.5 * (1 + math.cos(math.pi * (i - WARMUP) / (STEPS - WARMUP))) * (RATE - LEAST)


def validation_loss(model, text):
    windows = (len(text) - 1) // CONTEXT
    ids = text[:windows * CONTEXT].view(windows, CONTEXT)
    targets = text[1:windows * CONTEXT + 1].view(windows, CONTEXT)
    with torch.no_grad():
        total = sum(model.loss(i, t).item() * len(i) for i, t in zip(ids.split(100), targets.split(100)))
    return total / windows, windows


def main():
    parser = peer.parser(__doc__)
    options = parser.parse_args()
    peer.start(options)
    text = (peer.DATA / "text/tinyshakespeare.txt").read_text()
    symbols = sorted(set(text))
    place = {c: i for i, c in enumerate(symbols)}
    ids = torch.tensor([place[c] for c in text])
    cut = int(0.9 * len(ids))
    train, held_back = ids[:cut], ids[cut:]
    model = GPT(len(symbols), CONTEXT)
    optimizer = adamw(model)
    begin = time.perf_counter()
    for i in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = rate(i)
        starts = torch.randint(0, len(train) - CONTEXT, (BATCH,))
        windows = train[starts[:, None] + torch.arange(CONTEXT + 1)]
        loss = step(model, optimizer, windows[:, :-1], windows[:, 1:])
        if (i + 1) % 250 == 0:
            value, _ = validation_loss(model, held_back)
            print(json.dumps({"step": i + 1, "loss": loss.item(), "val_loss": value,
                              "seconds": time.perf_counter() - begin}), flush=True)
    value, count = validation_loss(model, held_back)
    print(json.dumps({"val_loss": value, "windows": count, "seed": options.seed,
                      "parameters": sum(p.numel() for p in model.parameters()),
                      "seconds": time.perf_counter() - begin}))


main()
