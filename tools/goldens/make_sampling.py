#!/usr/bin/env python3
"""Goldens of sampling: probabilities after transformers' logits processors, in llama.cpp's order.

    python tools/goldens/make_sampling.py --out tests/golden/sampling

`cases` of cases.json name options as cairn's SamplingOptions does; tensors: `logits` (R, V), `before`
(T) and one `probabilities.N` (R, V) per case, 0 where a token is not kept. Frequency and presence
penalties, which transformers lacks, are OpenAI's formula.
"""

import math

import common
import torch
from transformers import (MinPLogitsWarper, RepetitionPenaltyLogitsProcessor,
                          TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper,
                          TypicalLogitsWarper)

ROWS, VOCABULARY, TOKENS = 4, 80, 40

CASES = [
    {"temperature": 1.0},
    {"temperature": 0.7},
    {"temperature": 1.8},
    {"top_k": 1}, {"top_k": 7}, {"top_k": 79}, {"top_k": 500},
    {"top_p": 0.1}, {"top_p": 0.5}, {"top_p": 0.95}, {"top_p": 0.999},
    {"min_p": 0.01}, {"min_p": 0.1}, {"min_p": 0.9}, {"min_p": 1.0},
    {"typical_p": 0.2}, {"typical_p": 0.5}, {"typical_p": 0.95},
    {"repeat_penalty": 1.3}, {"repeat_penalty": 0.8},
    {"frequency_penalty": 0.7}, {"presence_penalty": 1.5}, {"presence_penalty": -0.5},
    {"repeat_penalty": 1.2, "frequency_penalty": 0.3, "presence_penalty": 0.4},
    {"repeat_penalty": 1.3, "repeat_last_n": 5}, {"repeat_penalty": 1.3, "repeat_last_n": 0},
    {"repeat_penalty": 1.1, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "temperature": 0.8},
    {"typical_p": 0.9, "top_p": 0.8, "temperature": 1.3},
    {"top_k": 20, "typical_p": 0.7, "min_p": 0.02, "temperature": 0.6},
    {"logit_bias": [[3, 4.0], [7, -2.5], [11, -math.inf]], "top_k": 10},
]


def probabilities(case, logits, before):
    scores = logits.clone()
    for token, bias in case.get("logit_bias", []):
        scores[:, token] += bias
    last = case.get("repeat_last_n", -1)
    recent = before if last < 0 else before[len(before) - last:]
    ids = recent.unsqueeze(0).expand(ROWS, -1)
    if case.get("repeat_penalty", 1) != 1 and len(recent):
        scores = RepetitionPenaltyLogitsProcessor(case["repeat_penalty"])(ids, scores)
    counts = torch.bincount(recent, minlength=VOCABULARY)
    scores = (scores - counts * case.get("frequency_penalty", 0)
              - (counts > 0) * case.get("presence_penalty", 0))
    for option, warper in (("top_k", TopKLogitsWarper), ("typical_p", TypicalLogitsWarper),
                           ("top_p", TopPLogitsWarper), ("min_p", MinPLogitsWarper),
                           ("temperature", TemperatureLogitsWarper)):
        if option in case and not (option == "temperature" and case[option] == 1):
            scores = warper(case[option])(ids, scores)
    return torch.softmax(scores.double(), -1).float()


def main():
    out = common.out_folder(__doc__.splitlines()[0])
    torch.manual_seed(20)
    logits = torch.randn(ROWS, VOCABULARY) * torch.tensor([[0.5], [1.5], [3.0], [6.0]])
    before = torch.randint(0, VOCABULARY // 3, (TOKENS,))
    tensors = {"logits": logits, "before": before.to(torch.int32)}
    for i, case in enumerate(CASES):
        tensors[f"probabilities.{i}"] = probabilities(case, logits, before)
    cases = [{**c, "logit_bias": [[t, str(b)] for t, b in c["logit_bias"]]}
             if "logit_bias" in c else c for c in CASES]
    common.save(out, "cases", tensors,
                {"versions": common.versions("torch", "transformers"), "cases": cases})


if __name__ == "__main__":
    main()
