"""CKA of about 90 x 140 layers by kdlib, torch-cka and, where it is given, pytorch-cka.

    python -m benchmarks.cka [--pytorch-cka FOLDER] [--rounds 3]

FOLDER is what `pip install --no-deps --target FOLDER pytorch-cka==1.1.3` filled. Clips are 8 x 32 x
32, 32 of them, on one thread. Two pairs of networks: R(2+1)D and 3-D ShuffleNet, all modules that
run (Figure 1 of the pretext paper; their maps lie channel last), and plain chains of convolution,
batch norm and ReLU in torch's own layout. No ReLU works in place, and every module that is asked
for runs: otherwise the peers' values are wrong, or they stop.

CPU seconds; the methods take turns, and ratios are medians over rounds. Metric: what a method takes
beyond the two forward passes. Memory: the most that a process of its own grew by beyond a forward
pass. Error: against the formula in float64 on the same features, and that of estimates above 0
alone, for pytorch-cka sets the others to 0.
"""

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from kdlib import models
from kdlib.analysis.cka import cka_map
from kdlib.training.memory import peak_memory, reset_peak_memory

Networks = tuple[nn.Module, nn.Module]
Names = tuple[list[str], list[str]]


def figure_1() -> Networks:
    return models.build("r2plus1d", 101), models.build("shufflenet3d", 101, pool=False)


def plain() -> Networks:
    return chain(90), chain(140)


def chain(layers: int) -> nn.Module:
    """So many modules, of 8, 16, 32 and 64 channels."""
    parts, inside = [], 3
    for block in range(-(-layers // 3)):
        stage = min(block // 8, 3)
        stride = 2 if block in (8, 16, 24) else 1
        convolution = nn.Conv3d(inside, 8 << stage, 3, stride, padding=1, bias=False)
        parts += [convolution, nn.BatchNorm3d(8 << stage), nn.ReLU()]
        inside = 8 << stage
    return nn.Sequential(*parts[:layers])


PAIRS = {"R(2+1)D x ShuffleNet": figure_1, "plain chains": plain}


def prepare(pair: str) -> tuple[Networks, Tensor, Names]:
    """Networks whose batch norms know the clips' statistics, the clips, all layers that run."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    networks, clips = PAIRS[pair](), torch.randn(32, 3, 8, 32, 32)
    for network in networks:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.momentum = 1.0
        with torch.no_grad():
            network(clips)
        network.eval()
    names = cka_map(*networks, [clips[:4]]).names
    return networks, clips, tuple([name for name in each if name] for each in names)  # type: ignore[return-value]


def forward(networks: Networks, clips: Tensor, names: Names) -> np.ndarray:
    with torch.inference_mode():
        for network in networks:
            network(clips)
    return np.zeros(0)


def kdlib(networks: Networks, clips: Tensor, names: Names) -> np.ndarray:
    return cka_map(*networks, [clips], layers=names[0], other_layers=names[1]).values


def pytorch_cka(networks: Networks, clips: Tensor, names: Names) -> np.ndarray:
    import cka

    found = cka.compute_cka(
        *networks, [[clips]], layers=names[0], model2_layers=names[1], device="cpu", progress=False
    )
    return found[0].numpy()


def torch_cka(networks: Networks, clips: Tensor, names: Names) -> np.ndarray:
    from torch_cka import CKA

    found = CKA(*networks, model1_layers=names[0], model2_layers=names[1])
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
        found.compare(DataLoader(TensorDataset(clips), batch_size=len(clips)))
    for module in (*networks[0].modules(), *networks[1].modules()):
        module._forward_hooks.clear()  # it leaves them
    # Its rows are in the order in which modules are first done, whatever its labels say.
    rows, columns = ([*found.model1_features].index, [*found.model2_features].index)
    places = np.ix_([rows(name) for name in names[0]], [columns(name) for name in names[1]])
    return found.hsic_matrix.detach().numpy()[places]


METHODS = {m.__name__: m for m in (forward, kdlib, pytorch_cka, torch_cka)}


def reference(networks: Networks, clips: Tensor, names: Names) -> np.ndarray:
    """The formula, pair by pair in float64."""

    def terms(network: nn.Module, layers: list[str]) -> tuple[np.ndarray, np.ndarray]:
        found: dict[str, np.ndarray] = {}

        def keep(name: str) -> Callable[..., None]:
            def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
                rows = output.flatten(1).double()
                found[name] = (rows @ rows.T).fill_diagonal_(0).numpy()

            return hook

        parts = dict(network.named_modules())
        hooks = [parts[name].register_forward_hook(keep(name)) for name in layers]
        with torch.no_grad():
            network(clips)
        for hook in hooks:
            hook.remove()
        grams = np.stack([found[name] for name in layers])
        return grams, grams.sum(-1)

    def hsic(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
        n = len(clips)
        trace = np.einsum("ij,ji", one[0], other[0])
        sums = one[1].sum() * other[1].sum() / ((n - 1) * (n - 2))
        return (trace + sums - 2 / (n - 2) * one[1] @ other[1]) / (n * (n - 3))

    one, other = (
        list(zip(*terms(network, layers), strict=True))
        for network, layers in zip(networks, names, strict=True)
    )
    cross = np.array([[hsic(k, m) for m in other] for k in one])
    own = [np.array([hsic(k, k) for k in each]) for each in (one, other)]
    return cross / np.sqrt(np.outer(*own))


def growth(pair: str, method: str, path: list[str]) -> int:
    """Bytes by which a process grows beyond a forward pass."""
    sys.path[:] = path
    given = prepare(pair)
    forward(*given)
    METHODS[method](given[0], given[1][:4], (given[2][0][:2], given[2][1][:2]))  # its imports
    reset_peak_memory("cpu")
    forward(*given)
    before = peak_memory("cpu")
    reset_peak_memory("cpu")
    METHODS[method](*given)
    return peak_memory("cpu") - before


def measure(pair: str, methods: list[str], rounds: int) -> pd.DataFrame:
    given = prepare(pair)
    true = reference(*given)
    took: dict[str, list[float]] = {name: [] for name in ["forward", *methods]}
    errors = {}
    for number in range(rounds + 1):
        for name in took:
            started = time.process_time()
            values = METHODS[name](*given)
            if number:  # the first one warms up
                took[name].append(time.process_time() - started)
            if name in methods:
                wrong = np.abs(values - true)
                errors[name] = f"{wrong.max():.0e}", f"{wrong[true > 0].max():.0e}"
    table = pd.DataFrame(took)
    rows = []
    for name in methods:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            grown = process.submit(growth, pair, name, sys.path).result()
        metric = table[name] - table["forward"]
        rows.append(
            {
                "networks": f"{pair}, {len(given[2][0])} x {len(given[2][1])}",
                "by": name,
                "whole s": table[name].median(),
                "  x kdlib": (table[name] / table["kdlib"]).median(),
                "metric s": metric.median(),
                "  x kdlib's": (metric / (table["kdlib"] - table["forward"])).median(),
                "memory MB": grown / 1e6,
                "error": errors[name][0],
                "  above 0": errors[name][1],
            }
        )
    negative = f"{(true < 0).sum()} of {true.size} estimates are negative"
    print(f"{pair}: two forward passes {table['forward'].median():.2f} s; {negative}")
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pytorch-cka", metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    methods = ["kdlib", "torch_cka"]
    if options.pytorch_cka:
        sys.path.append(options.pytorch_cka)
        methods.insert(1, "pytorch_cka")
    tables = [measure(pair, methods, options.rounds) for pair in PAIRS]
    print(pd.concat(tables).to_markdown(index=False, floatfmt=".3g"))


if __name__ == "__main__":
    main()
