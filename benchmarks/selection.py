"""Selection by quality and diversity: seconds, memory and objective at the sizes of data sets.

    python -m benchmarks.selection [--kinetics] [--dense]

Features (N, 512) of random directions whose scale falls off, as pooled features' does; a tenth of N
is selected, by one thread. --kinetics adds N = 234,619 (minutes); --dense adds greedy selection on
the whole N x N kernel at N = 10,000, which the exact picks are held against.
"""

import argparse
import gc
import math
import time
from collections.abc import Callable

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from kdlib.methods.adaptive.selection import EPS, greedy_map, objective, stochastic_map
from kdlib.training.memory import peak_memory, reset_peak_memory

SIZE, DIVERSITY = 512, 0.5


def draw(count: int, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """Unit features (N, D) and qualities (N,)."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(count, SIZE, generator=generator, dtype=kind)
    features *= torch.arange(1, SIZE + 1, dtype=kind) ** -0.5
    return F.normalize(features, dim=1), torch.rand(count, generator=generator, dtype=kind)


def dense_greedy(features: Tensor, quality: Tensor, k: int) -> Tensor:
    """On the whole kernel, by incremental Cholesky (Chen et al. 2018)."""
    kernel = features @ features.T
    kernel.diagonal().add_(EPS)
    variance, rows = kernel.diagonal().clone(), torch.empty(k, len(kernel), dtype=kernel.dtype)
    value, chosen = (1 - DIVERSITY) * quality, []
    for step in range(k):
        best = int((value + DIVERSITY * variance.clamp_min(EPS).log()).argmax())
        row = kernel[best] - rows[:step, best] @ rows[:step]
        rows[step] = row / variance[best].sqrt()
        variance -= rows[step].square()
        value[best] = -math.inf
        chosen.append(best)
    return torch.tensor(chosen)


def timed(function: Callable[[], Tensor]) -> tuple[float, int, Tensor]:
    """Seconds, the most memory of the process meanwhile in bytes, and what was found."""
    gc.collect()
    reset_peak_memory("cpu")
    started = time.perf_counter()
    found = function()
    return time.perf_counter() - started, peak_memory("cpu"), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinetics", action="store_true")
    parser.add_argument("--dense", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sizes = [(10_000, torch.float64), (10_000, torch.float32), (50_000, torch.float32)]
    rows = []
    for count, kind in [*sizes, *[(234_619, torch.float32)] * options.kinetics]:
        features, quality = draw(count, kind)
        k = count // 10

        def exact(features=features, quality=quality, k=k) -> Tensor:
            return greedy_map(features, quality, k, diversity=DIVERSITY)

        def stochastic(features=features, quality=quality, k=k) -> Tensor:
            return stochastic_map(features, quality, k, diversity=DIVERSITY)

        def by_chance(count=count, k=k) -> Tensor:
            return torch.randperm(count)[:k]

        methods = {"stochastic": stochastic, "by chance": by_chance, "exact": exact}
        if options.dense and count == 10_000:
            methods["dense"] = lambda f=features, q=quality, k=k: dense_greedy(f, q, k)
        picks = {}
        for name, method in methods.items():
            took, peak, picks[name] = timed(method)
            rows.append(
                {
                    "N": f"{count:,}",
                    "k": f"{k:,}",
                    "type": str(kind).removeprefix("torch."),
                    "selection": name,
                    "s": round(took, 2),
                    "objective": round(
                        objective(features, quality, picks[name], diversity=DIVERSITY), 1
                    ),
                    "peak MB": peak // 1_000_000,
                }
            )
        if "dense" in picks:
            same = torch.equal(picks["dense"], picks["exact"])
            print(f"{kind}: exact picks equal dense ones in order: {same}")
    print(pd.DataFrame(rows).to_markdown(index=False))


if __name__ == "__main__":
    main()
