"""Which runs are wanted, which are missing, in which order, and how long they may take."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import torch

from kdlib import methods, models
from kdlib.data import manifest
from kdlib.models.cost import macs
from kdlib.runs.execute import check
from kdlib.runs.spec import DataSpec, ModelSpec, RunSpec
from kdlib.runs.store import RunStore, run_key

# What one worker does a second before any run of this machine has been timed.
DEFAULT_RATE = {"cpu": 8e9, "cuda": 5e12}
OVERHEAD_SECONDS = 1.0


@dataclass(frozen=True)
class Planned:
    """A run to do: its key, the keys of `spec.needs`, and its work in multiply-accumulates."""

    spec: RunSpec
    key: str
    needs: tuple[str, ...]
    work: float


def plan(
    specs: Iterable[RunSpec], store: RunStore, device: str, data_keys: Mapping[str, str]
) -> tuple[list[Planned], int]:
    """The runs these specs still need, each after what it needs, and how many are in the store.

    A teacher or a start is wanted only where a missing run needs it. Every missing spec is checked
    first, so that an impossible one is refused before anything trains.
    """
    missing: dict[str, Planned] = {}
    found: set[str] = set()

    def visit(spec: RunSpec) -> str:
        key = run_key(spec, device, data_keys)
        if key in missing or key in found:
            return key
        if store.find(key) is not None:
            found.add(key)
            return key
        check(spec)
        needs = tuple(visit(needed) for needed in spec.needs)
        missing[key] = Planned(spec, key, needs, work(spec))
        return key

    wanted = {visit(spec) for spec in specs}
    return list(missing.values()), len(found & wanted)


def work(spec: RunSpec) -> float:
    """Multiply-accumulates of a training: a backward pass costs twice its forward pass."""
    pixels = spec.method.options.get("resolution") or spec.data.size
    student = _forward(spec.model, spec.data.frames, int(pixels))
    teachers = sum(
        _forward(teacher.model, spec.data.frames, spec.data.size)
        for teacher in spec.method.teachers
    )
    clips = spec.recipe.epochs * training_videos(spec.data)
    trained, looked_at = methods.passes(spec.method.name, spec.method.options)
    return clips * (trained * (3.0 * student + teachers) + looked_at * (student + teachers))


def training_videos(data: DataSpec) -> int:
    """Training videos of a data set: as many as asked for, or as the manifest says."""
    if data.name.startswith("generated/"):
        return data.train
    splits = manifest.load(data.name).splits
    counts = splits.get(data.split or next(iter(splits), ""), {})
    count = counts.get("train", 1000)
    return min(data.train or count, count)


@cache
def _forward_of(
    model: str, options: tuple[tuple[str, object], ...], frames: int, pixels: int
) -> int:
    with torch.device("meta"):
        network = models.build(model, 2, **dict(options)).eval()
        return macs(network, (3, frames, pixels, pixels))


def _forward(model: ModelSpec, frames: int, pixels: int) -> int:
    return _forward_of(model.name, tuple(sorted(model.options.items())), frames, pixels)


def estimate_seconds(runs: Iterable[Planned], store: RunStore, device: str, jobs: int) -> float:
    """Wall seconds of these runs, at the rate that the store's finished runs show."""
    rate = measured_rate(store, device) or DEFAULT_RATE[device.split(":")[0]]
    runs = list(runs)
    return sum(OVERHEAD_SECONDS + run.work / rate for run in runs) / max(min(jobs, len(runs)), 1)


def measured_rate(store: RunStore, device: str) -> float | None:
    """Multiply-accumulates a second over the newest finished runs on this device, or None."""
    paths = sorted((store.root / "runs").glob("*"), key=lambda path: path.stat().st_mtime)[-20:]
    records = [record for path in paths if (record := store.find(path.name)) is not None]
    records = [r for r in records if r.environment["device_type"] == device.split(":")[0]]
    seconds = sum(record.result["cost"]["seconds"] for record in records)
    return sum(work(record.spec) for record in records) / seconds if seconds else None
