"""From records to the rows of a table: accuracies with spread, differences with intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kdlib import tasks
from kdlib.analysis.metrics import correct, video_logits
from kdlib.analysis.statistics import (
    Interval,
    mean_interval,
    paired_bootstrap,
    paired_difference,
    proportion_interval,
)
from kdlib.runs.store import RunRecord
from kdlib.study.setting import ROOT


def published(chapter: str, name: str) -> pd.DataFrame:
    """A table of a chapter's paper as printed, `book/<chapter>/published/<name>.csv`: all text."""
    return pd.read_csv(ROOT / "book" / chapter / "published" / f"{name}.csv", dtype=str)


def accuracies(records: Sequence[RunRecord], rule: str = "last") -> np.ndarray:
    """The task's score of each record in per cent, (n,); rule: "last" or "chosen" epoch.

    It is top-1 by video where videos are classified.
    """
    return np.array([100 * record.result[rule]["score"] for record in records])


def accuracy(records: Sequence[RunRecord], rule: str = "last") -> Interval:
    """The mean score in per cent with a t interval over seeds.

    One seed of classified videos has the interval of its test set, another task's has none.
    """
    if len(records) > 1 or not classifies(records[0]):
        return mean_interval(accuracies(records, rule))
    right = hits(records[0], rule)
    return proportion_interval(int(right.sum()), len(right)).scaled(100)


def gain(
    records: Sequence[RunRecord], baseline: Sequence[RunRecord], rule: str = "last"
) -> Interval:
    """Difference of scores to a baseline in points, paired by seed, with an interval as `accuracy`.

    For one seed of classified videos they are paired by test scene.
    """
    if seeds(records) != seeds(baseline):
        raise ValueError("records and baseline must have the same seeds in the same order")
    if len(records) > 1 or not classifies(records[0]):
        return paired_difference(accuracies(records, rule), accuracies(baseline, rule))
    ours, theirs = records[0], baseline[0]
    return paired_bootstrap(
        hits(ours, rule), hits(theirs, rule), groups=ours.traces["groups"], seed=0
    ).scaled(100)


def classifies(record: RunRecord) -> bool:
    """Whether a run is judged by the one class of each video."""
    return record.spec.data.asked == "classification"


def seeds(records: Sequence[RunRecord]) -> list[int]:
    """The seed of each record."""
    return [record.spec.seed for record in records]


def hits(record: RunRecord, rule: str = "last") -> np.ndarray:
    """Whether each test video is classified rightly, bool (N,)."""
    scores = video_logits(record.traces[f"logits_{rule}"].astype(np.float32))
    return correct(scores, record.traces["labels"])


def bounds(interval: Interval, *, signed: bool = False, limits: bool = False) -> str:
    """An interval as table cells show it: "80.4 [73.5, 87.3]"; limits cuts it to 0..100.

    Where the data say nothing of the spread, the estimate stands alone.
    """
    low, high = interval.low, interval.high
    if limits:
        low, high = max(low, 0.0), min(high, 100.0)
    estimate = f"{interval.estimate:{'+' if signed else ''}.1f}"
    known = np.isfinite([interval.low, interval.high]).all()
    return f"{estimate} [{low:.1f}, {high:.1f}]" if known else estimate


def row(records: Sequence[RunRecord], baseline: Sequence[RunRecord] | None = None) -> dict:
    """The cells every results table has: accuracy by both rules, gain, n, and cost.

    Brackets hold 95% intervals: t over seeds for n > 1, else over the test videos (Wilson for an
    accuracy, paired bootstrap over scenes for a gain).
    """
    costs = pd.DataFrame([record.result["cost"] for record in records])
    difference = "–" if baseline is None else bounds(gain(records, baseline), signed=True)
    return {
        tasks.load(records[0].spec.data.asked).SCORE: bounds(accuracy(records), limits=True),
        "gain": difference,
        "n": len(records),
        "MMACs": round(float(costs.gmacs.mean() * 1e3), 2),
        "train s": round(float(costs.training_seconds.mean()), 1),
        "chosen %": round(float(accuracies(records, "chosen").mean()), 1),
    }
