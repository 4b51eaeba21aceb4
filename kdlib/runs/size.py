"""How much a run asks of a machine."""

import math
from dataclasses import dataclass

from kdlib.data import manifest
from kdlib.runs.rehearsal import rehearse
from kdlib.runs.spec import DataSpec, RunSpec

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Size:
    """What all of a run asks of a machine: operations called, and multiply-accumulates."""

    calls: float
    macs: float


def size(spec: RunSpec) -> Size:
    """The size of a run: its trainings, looks, and evaluations of validation and test clips."""
    work, epochs = rehearse(spec), spec.recipe.epochs
    train, validation, test = (videos(spec.data, part) for part in PARTS)
    steps = epochs * max(work.trained * train // spec.recipe.batch_size, 1)
    evaluated = (epochs * validation + 2 * test) * spec.data.views
    batches = epochs * math.ceil(validation / 64) + 2 * math.ceil(test / 64)
    looked = epochs * work.looked
    return Size(
        steps * work.step.calls
        + looked * math.ceil(train / 64) * work.look.calls
        + batches * work.evaluation.calls,
        steps * spec.recipe.batch_size * spec.recipe.repeats * work.step.macs
        + looked * train * work.look.macs
        + evaluated * work.evaluation.macs,
    )


def videos(data: DataSpec, part: str) -> int:
    """Videos of a part of a data set: as many as asked for, or as the manifest says."""
    asked = getattr(data, part)
    if data.generated:
        return asked
    splits = manifest.load(data.name).splits
    counts = splits.get(data.split or next(iter(splits), ""), {})
    count = counts.get(part, 1000 if part == "train" else 0)  # type: ignore[call-overload]
    return min(asked or count, count)
