"""How long runs take: what a run, an operation and a multiply-accumulate cost on this machine."""

import time
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import torch

from kdlib import models
from kdlib.errors import UserError
from kdlib.runs.rehearsal import one_thread
from kdlib.runs.size import Size, size
from kdlib.runs.spec import RunSpec
from kdlib.runs.store import RunStore

# Of a run, of an operation and of a multiply-accumulate, in seconds.
# cpu: fitted to the 1,989 runs of the book at `smoke` and `laptop`, in processor seconds of the
# machine whose `reference_step` is as below.
# cuda: of the KD of ResNet56 -> ResNet20 and of a SlowFast 4x16 on an
# H100 (`benchmarks.gpu_step`).
_COSTS = {"cpu": (0.06, 2.64e-5, 3.8e-11), "cuda": (0.5, 3.5e-5, 8e-14)}
_REFERENCE_STEP = 0.0034
_ALIKE, _ENOUGH = 4.0, 3


@dataclass(frozen=True)
class Pace:
    """How fast a machine is: its finished runs, and what to say where none is like a planned one.

    device: "cpu" or "cuda". speed: seconds here for a second of the reference. records: of each
    finished run the model, the seconds on the reference, and the seconds it took.
    """

    device: str
    speed: float
    records: tuple[tuple[str, float, float], ...] = ()

    def seconds(self, spec: RunSpec) -> float:
        """About how long a run takes in one worker."""
        return self.expect(spec.model.name, size(spec))

    def expect(self, model: str, size: Size) -> float:
        """Seconds of a run of this size.

        By the median of finished runs of like size, of the same model if there are enough.
        """
        expected = on_reference(size, self.device)
        alike = [r for r in self.records if 1 / _ALIKE < r[1] / expected < _ALIKE]
        same = [r for r in alike if r[0] == model]
        chosen = next((group for group in (same, alike) if len(group) >= _ENOUGH), [])
        speed = median(took / planned for _, planned, took in chosen) if chosen else self.speed
        return expected * speed


def on_reference(size: Size, device: str) -> float:
    """Seconds on the reference machine."""
    run, call, mac = _COSTS[device]
    return run + call * size.calls + mac * size.macs


def pace(store: RunStore, device: str) -> Pace:
    """The pace of this machine, by the runs in its store and one small step done now."""
    kind, found = device.split(":")[0], []
    for path in (store.root / "runs").glob("*"):
        if record := store.find(path.name):
            with suppress(KeyError, TypeError, ValueError, UserError):  # of another version
                cost = record.result["cost"]
                took = cost["cpu_seconds" if kind == "cpu" else "seconds"]
                expected = on_reference(Size(cost["calls"], cost["macs"]), kind)
                if record.environment["device_type"] == kind and took > 0 and expected > 0:
                    found.append((record.spec.model.name, expected, took))
    return Pace(kind, reference_step() / _REFERENCE_STEP if kind == "cpu" else 1.0, tuple(found))


def reference_step(tries: int = 31) -> float:
    """Seconds of one training step of a small network on one thread, the shortest of a few."""
    with one_thread():
        with torch.random.fork_rng([]):
            network, clips = models.build("c3d", 12, width=16), torch.rand(8, 3, 4, 32, 32)
        taken = []
        for _ in range(tries):
            started = time.thread_time()
            network(clips).square().sum().backward()
            taken.append(time.thread_time() - started)
        return min(taken)
