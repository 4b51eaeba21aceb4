"""Accuracies by class, and which classes motion alone tells apart."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from kdlib.errors import UserError
from kdlib.runs.store import RunRecord
from kdlib.study import tables

Kind = Literal["motion", "appearance"]
KINDS: tuple[Kind, ...] = ("motion", "appearance")
# Of each task the classes that motion alone tells from some other class: a disk going right and one
# that grows look alike in any frame.
BY_MOTION = {
    "generated/colour12": (),
    "generated/colmot12": tuple(range(6)),
    "generated/motion12": tuple(range(12)),
}
UNCHANGED = 0.1  # points: a smaller difference counts as none, as in Figure 3


def by_class(record: RunRecord) -> pd.Series:
    """The accuracy of each class in per cent, by its label; of those that have test videos."""
    hits = pd.Series(tables.hits(record)).groupby(record.traces["labels"])
    return 100 * hits.mean()


def mean_by_class(group: Sequence[RunRecord]) -> pd.Series:
    """The mean over seeds of `by_class`."""
    return pd.concat([by_class(record) for record in group], axis=1).mean(axis=1)


def change(ours: Sequence[RunRecord], theirs: Sequence[RunRecord]) -> pd.Series:
    """By class, what one training gains over another: the mean over seeds, in points."""
    return mean_by_class(ours) - mean_by_class(theirs)


def counts(changes: pd.Series) -> tuple[int, int, int]:
    """How many classes improve, degrade, and stay within `UNCHANGED`."""
    improved, degraded = int((changes > UNCHANGED).sum()), int((changes < -UNCHANGED).sum())
    return improved, degraded, len(changes) - improved - degraded


def kinds(record: RunRecord) -> dict[Kind, list[int]]:
    """The classes of each kind that a run's task has; empty where it is not known."""
    by_motion = BY_MOTION.get(record.spec.data.name)
    if by_motion is None:
        return {}
    labels = np.arange(12)
    of_motion = np.isin(labels, by_motion)
    found = {"motion": labels[of_motion].tolist(), "appearance": labels[~of_motion].tolist()}
    return {kind: found[kind] for kind in KINDS if found[kind]}


def of_kind(record: RunRecord, kind: Kind) -> float:
    """The mean accuracy of the classes of a kind, in per cent; UserError where it is not known."""
    found = kinds(record)
    if kind not in found:
        raise UserError(f"{record.spec.data.name}: which classes {kind} tells apart is not known")
    return float(by_class(record)[found[kind]].mean())
