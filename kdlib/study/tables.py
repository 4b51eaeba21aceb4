"""From records to the cells of a table, and to comparisons: paired by seed, with intervals."""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd

from kdlib import tasks
from kdlib.analysis.statistics import (
    Comparison,
    Interval,
    cluster_means,
    compare,
    compare_best,
    compare_range,
    mean_interval,
    sampling_error,
)
from kdlib.runs.store import RunRecord
from kdlib.study.published import published as published

Group = Sequence[RunRecord]
"""The records of one training, a seed each."""


def accuracies(records: Group, rule: str = "last") -> np.ndarray:
    """The task's score of each record in per cent, (n,); rule: "last" or "chosen" epoch.

    It is top-1 by video where videos are classified.
    """
    return np.array([100 * record.result[rule]["score"] for record in records])


def accuracy(records: Group, rule: str = "last") -> Interval:
    """The mean score in per cent with a t interval over seeds; one seed has none.

    The interval of a share of videos is cut to 0..100.
    """
    found = mean_interval(accuracies(records, rule))
    return found.clipped(0, 100) if classifies(records[0]) else found


def gain(records: Group, baseline: Group, rule: str = "last") -> Interval:
    """Difference of scores to a baseline in points, paired by seed, with its t interval."""
    return difference([records], [baseline], rule).effect


def difference(ours: Sequence[Group], theirs: Sequence[Group], rule: str = "last") -> Comparison:
    """Scores of `ours` less those of `theirs` in points, group by group, over independent seeds.

    Groups of one seed share its test clips, and often its teacher: their differences are averaged
    within it. No standard error is below that of the test sets (`sampling_error`), where videos are
    classified. Raises ValueError unless all groups have the same seeds.
    """
    differences, floor = _differences(ours, theirs, rule)
    return compare(differences, floor=floor)


def difference_to_best(
    ours: Sequence[Group], others: Mapping[str, Sequence[Group]], rule: str = "last"
) -> tuple[str, Comparison]:
    """The best of the others, and `ours` against it and all others; as `difference`.

    The statistics are those of `compare_best`.
    """
    found = {name: _differences(ours, theirs, rule) for name, theirs in others.items()}
    return compare_best(
        {name: differences for name, (differences, _) in found.items()},
        {name: floor for name, (_, floor) in found.items()},
    )


def largest_difference(
    by_value: Mapping[str, Sequence[Group]], rule: str = "last"
) -> tuple[tuple[str, str], Comparison]:
    """Of a setting's values, each with the same trainings: the best, the worst, and their test.

    The statistics are those of `compare_range`, over seeds; as `difference` else.
    """
    means = {
        name: cluster_means(
            np.concatenate([accuracies(group, rule) for group in groups]),
            [seed for group in groups for seed in seeds(group)],
        )
        for name, groups in by_value.items()
    }
    (best, worst), _ = compare_range(means)
    _, floor = _differences(by_value[best], by_value[worst], rule)
    return compare_range(means, floor=floor)


def _differences(
    ours: Sequence[Group], theirs: Sequence[Group], rule: str
) -> tuple[np.ndarray, float]:
    """The mean difference of each seed, and the least standard error of their mean, in points."""
    pairs = list(zip(ours, theirs, strict=True))
    clusters = seeds(pairs[0][0])
    if any(seeds(group) != clusters for pair in pairs for group in pair):
        raise ValueError("all records must have the same seeds in the same order")
    found = [accuracies(a, rule) - accuracies(b, rule) for a, b in pairs]
    means = cluster_means(np.concatenate(found), clusters * len(pairs))
    return means, 100 * _floor([both for a, b in pairs for both in zip(a, b, strict=True)], rule)


def _floor(pairs: Sequence[tuple[RunRecord, RunRecord]], rule: str) -> float:
    """The standard error of the pairs' mean difference by their test sets alone."""
    if not all(classifies(record) for pair in pairs for record in pair):
        return 0.0
    by_set: dict[Hashable, list[np.ndarray]] = defaultdict(list)
    for ours, theirs in pairs:
        difference = hits(ours, rule).astype(float) - hits(theirs, rule)
        by_set[_test_set(ours)].append(difference / len(pairs))
    return sampling_error(np.sum(each, axis=0) for each in by_set.values())


def _test_set(record: RunRecord) -> Hashable:
    """What two records have in common that were tested on the same videos.

    Generated sets differ by seed, real ones only if their labels or scenes show it.
    """
    data = record.spec.data
    if data.generated:
        return data.name, data.seed, data.test
    return data.name, *(record.traces[name].tobytes() for name in ("labels", "groups"))


def classifies(record: RunRecord) -> bool:
    """Whether a run is judged by the one class of each video."""
    return record.spec.data.asked == "classification"


def seeds(records: Group) -> list[int]:
    """The seed of each record."""
    return [record.spec.seed for record in records]


def hits(record: RunRecord, rule: str = "last") -> np.ndarray:
    """Whether each test video is classified rightly, bool (N,); their mean is the score."""
    return record.traces[f"predicted_{rule}"] == record.traces["labels"]


def row(records: Group, baseline: Group | None = None) -> dict:
    """The cells every results table has: accuracy by both rules, gain, n, and cost.

    Accuracy and gain are `Interval`s: 95 %, t over seeds, paired for the gain.
    """
    costs = pd.DataFrame([record.result["cost"] for record in records])
    return {
        tasks.load(records[0].spec.data.asked).SCORE: accuracy(records),
        "gain": None if baseline is None else gain(records, baseline),
        "n": len(records),
        "MMACs": round(float(costs.gmacs.mean() * 1e3), 2),
        "train s": round(float(costs.training_seconds.mean()), 1),
        "chosen %": round(float(accuracies(records, "chosen").mean()), 1),
    }
