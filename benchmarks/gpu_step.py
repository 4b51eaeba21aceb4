"""How fast is a training step on this GPU, and what would make it faster?

    python -m benchmarks.gpu_step [--seconds 2] [--compile]

KD of ResNet56 -> ResNet20 on 32 x 32 images at batch 64, 128 and 512, and labels alone for a
SlowFast 4x16 of 224 pixels: a change after another, each on top of the one before, timed as the
median of repeated steps on data that are resident as uint8. A row: milliseconds a step, samples a
second, and the share of the GPU's bfloat16 rate, measured by a large matrix product, that the
operations of the networks make up.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from kdlib import methods, models
from kdlib.clips.augmentation import Augmentation
from kdlib.clips.batches import Batch
from kdlib.clips.view import draw_view
from kdlib.methods.base import Method
from kdlib.runs.rehearsal import rehearse
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec
from kdlib.training.recipe import Recipe

DEVICE = torch.device("cuda")
RECIPE = Recipe(epochs=1, learning_rate=0.05)


def kd() -> RunSpec:
    """ResNet56 -> ResNet20."""
    data = DataSpec("cifar100", frames=1, size=32)
    teacher = RunSpec(data, ModelSpec("resnet_cifar", {"depth": 56}), RECIPE)
    student = ModelSpec("resnet_cifar", {"depth": 20})
    return RunSpec(data, student, RECIPE, MethodSpec("kd", (teacher,)))


def slowfast() -> RunSpec:
    """A SlowFast of the published size."""
    return RunSpec(
        DataSpec("kinetics400", frames=32, size=224),
        ModelSpec("slowfast", {"backbone": "r50_4x16"}),
        RECIPE,
    )


def matrix_rate() -> float:
    """Operations a second of a bfloat16 matrix product."""
    a, b = (torch.randn(8192, 8192, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    return 2 * 8192**3 / median(lambda: a @ b, 0.5)


def median(step: Callable[[], object], seconds: float) -> float:
    """Seconds of a step: the median, after a warm-up."""
    for _ in range(5):
        step()
    torch.cuda.synchronize()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        started = time.perf_counter()
        step()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2]


class Step:
    """A training step of a spec on one resident batch."""

    def __init__(
        self, spec: RunSpec, batch: int, *, precision: torch.dtype, fused: bool, compiled: bool
    ) -> None:
        self.precision = precision
        self.method = self._method(spec, compiled).to(DEVICE)
        trained = [p for p in self.method.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(
            trained, 0.05, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=fused
        )
        size, frames = spec.data.size, spec.data.frames
        self.stored = torch.randint(256, (batch, frames, size, size, 3), device=DEVICE).byte()
        self.labels = torch.randint(100, (batch,), device=DEVICE)
        self.indices = torch.arange(batch)
        self.draw = torch.Generator(DEVICE).manual_seed(0)
        self.batch = self.clips()

    @staticmethod
    def _method(spec: RunSpec, compiled: bool) -> Method:
        student, *teachers = (
            models.build(s.model.name, 100, **s.model.options)
            for s in (spec, *spec.method.teachers)
        )
        method = methods.build(spec.method.name, student, teachers)
        if compiled:
            for network in (student, *teachers):
                network.backbone.compile()
        return method

    def clips(self) -> Batch:
        """The batch, augmented anew."""
        count, _, height, width, _ = self.stored.shape
        view = draw_view(
            Augmentation("shift", mirror=True), count, height, width, height, self.draw
        )
        return Batch(view.pixels(self.stored), self.labels, self.indices)

    def train(self, batch: Batch) -> Tensor:
        """Forward, backward and the optimiser."""
        with torch.autocast("cuda", self.precision, enabled=self.precision != torch.float32):
            loss = self.method.step(batch, 1).loss
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    def eager(self) -> None:
        """A step as the training loop does it."""
        self.train(self.clips())

    def graph(self) -> Callable[[], None]:
        """A step whose networks are replayed as one CUDA graph."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.train(self.batch)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.train(self.batch)

        def step() -> None:
            self.batch.clips.copy_(self.clips().clips)
            graph.replay()

        return step


def variants(compiled: bool) -> dict[str, dict[str, Any]]:
    """Each by its options; cuDNN takes TF32 for float32 unless told otherwise."""
    whole: dict[str, Any] = {"precision": torch.float32, "fused": False, "compiled": False}
    found = {
        "float32 (TF32)": whole,
        "bfloat16": whole | {"precision": torch.bfloat16},
        "float32, fused SGD": whole | {"fused": True},
        "float32, CUDA graph": whole | {"fused": True, "graph": True},
        "bfloat16, CUDA graph": whole | {"precision": torch.bfloat16, "fused": True, "graph": True},
    }
    if compiled:
        found["bfloat16, compiled"] = whole | {"precision": torch.bfloat16, "compiled": True}
        found["bfloat16, compiled, CUDA graph"] = found["bfloat16, CUDA graph"] | {"compiled": True}
    return found


def measured(
    spec: RunSpec, batch: int, peak: float, seconds: float, compiled: bool
) -> list[dict[str, Any]]:
    """A row a variant."""
    rows = []
    for name, options in variants(compiled).items():
        options = dict(options)
        graph = options.pop("graph", False)
        torch.cuda.reset_peak_memory_stats()
        try:
            step = Step(spec, batch, **options)
            took = median(step.graph() if graph else step.eager, seconds)
        except RuntimeError as error:
            rows.append({"batch": batch, "variant": f"{name}: {str(error).splitlines()[0][:90]}"})
            continue
        rate = 2 * rehearse(spec).step.macs * batch / took
        rows.append(
            {
                "batch": batch,
                "variant": name,
                "ms a step": 1e3 * took,
                "samples/s": batch / took,
                "of the peak": rate / peak,
                "GB": torch.cuda.max_memory_allocated() / 1e9,
            }
        )
        del step
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    peak = matrix_rate()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {peak / 1e12:.0f} TFLOP/s")
    for name, spec, batches in (
        ("KD, ResNet56 -> ResNet20", kd(), (64, 128, 512)),
        ("SlowFast 4x16, 224 px", slowfast(), (8, 32)),
    ):
        rows = [
            row
            for batch in batches
            for row in measured(spec, batch, peak, options.seconds, options.compile)
        ]
        print(f"\n{name}\n{pd.DataFrame(rows).round(3).to_string(index=False)}", flush=True)


if __name__ == "__main__":
    main()
