"""Clips a second of the clip generator on one core.

    python benchmarks/generator.py --tasks mix12 actors --sizes 32 48 64 --frames 8 16

CPU seconds of this process count, so other work on the machine disturbs little.
"""

import argparse
import time

import numpy as np
import torch

from kdlib.data.generated import TASKS, GeneratedSpec, render


def clips_per_second(spec: GeneratedSpec, truth: bool, seconds: float) -> float:
    """Median over rounds that together take about `seconds` of CPU time."""
    count = max(24, 256 * 1024 * 8 // (spec.size**2 * spec.frames))
    render(spec, "train", np.arange(count), truth=truth)
    rates: list[float] = []
    spent = 0.0
    while spent < seconds:
        start = time.process_time()
        render(spec, "train", np.arange(count) + len(rates) * count, truth=truth)
        taken = time.process_time() - start
        spent += taken
        rates.append(count / taken)
    return float(np.median(rates))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=sorted(TASKS), default=["mix12", "actors"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[32, 48, 64])
    parser.add_argument("--frames", nargs="+", type=int, default=[8, 16])
    parser.add_argument("--seconds", type=float, default=2.0, help="CPU seconds a row and column")
    args = parser.parse_args()
    torch.set_num_threads(1)

    print(f"{'task':>9} {'size':>5} {'frames':>7} {'clips/s':>9} {'with truth':>11}")
    for task in args.tasks:
        for size in args.sizes:
            for frames in args.frames if task != "image" else [1]:
                # Every factor on, so that every layer is painted.
                knobs = {"occlusion": 1.0, "distractor": 1.0}
                spec = GeneratedSpec(task, 0, frames=frames, size=size, **knobs)
                plain, full = (clips_per_second(spec, t, args.seconds) for t in (False, True))
                print(f"{task:>9} {size:>5} {frames:>7} {plain:>9.0f} {full:>11.0f}")


if __name__ == "__main__":
    main()
