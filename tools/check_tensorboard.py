#!/usr/bin/env python3
"""Reads the event file of a training run with TensorBoard and compares it with metrics.jsonl.

    pip install tensorboard
    cairn train CONFIG.toml --out RUN
    python tools/check_tensorboard.py RUN

Every scalar of every line must be there, at its step, as the nearest float. Exits 0 when it is.
"""
import json
import sys
from pathlib import Path

import numpy as np
import tensorboard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TAGS = ("loss", "val_loss", "val_accuracy", "lr", "grad_norm")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    run = Path(sys.argv[1])
    # 0: keep every point, where TensorBoard by itself draws a sample
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    wrong = 0
    for tag in TAGS:
        expected = [(line["step"], float(np.float32(line[tag])), line["time"])
                    for line in lines if tag in line]
        found = []
        if tag in events.Tags()["scalars"]:
            found = [(e.step, e.value, e.wall_time) for e in events.Scalars(tag)]
        same = found == expected
        wrong += not same
        print(f"{tag:<12} {len(found)} points in the events, {len(expected)} in metrics.jsonl: "
              f"{'equal' if same else 'DIFFERENT'}")
    print(f"tensorboard {tensorboard.__version__} read {run}")
    return 1 if wrong or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
