"""How long runs take: what a run, a step and a multiply-accumulate cost on this machine."""

from dataclasses import dataclass

from kdlib.clips.batches import batches_per_epoch
from kdlib.data import manifest
from kdlib.runs.rehearsal import rehearse
from kdlib.runs.spec import DataSpec, RunSpec
from kdlib.runs.store import RunStore


@dataclass(frozen=True)
class Pace:
    """Seconds of a run, of a batch that passes through it, and of a multiply-accumulate."""

    run: float
    batch: float
    mac: float

    def seconds(self, spec: RunSpec) -> float:
        """About how long a run takes."""
        batches, macs = size(spec)
        return self.run + self.batch * batches + self.mac * macs


def size(spec: RunSpec) -> tuple[float, float]:
    """How many batches pass through a run, and its multiply-accumulates."""
    work, videos, epochs = rehearse(spec), training_videos(spec.data), spec.recipe.epochs
    trained = epochs * batches_per_epoch(round(work.trained * videos), spec.recipe.batch_size)
    return trained, epochs * videos * work.epoch


def training_videos(data: DataSpec) -> int:
    """Training videos of a data set: as many as asked for, or as the manifest says."""
    if data.generated:
        return data.train
    splits = manifest.load(data.name).splits
    counts = splits.get(data.split or next(iter(splits), ""), {})
    count = counts.get("train", 1000)
    return min(data.train or count, count)


def pace(store: RunStore, device: str) -> Pace:
    """The pace of this machine."""
    return Pace(1.0, 0.005, 1 / 8e9)
