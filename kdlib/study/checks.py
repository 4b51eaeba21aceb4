"""What a chapter's `checks.py` is made of: checks that find an effect among the records.

Common comparisons have makers here: `better`, `best`, `any_better`, the first two over several
trainings, and `matters`. Other checks are functions of a chapter that return a `Finding`.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdlib.analysis import statistics
from kdlib.analysis.statistics import Comparison, Interval, Verdict
from kdlib.study import tables

Cell = tuple[str, Hashable]
"""A training: its artifact, and its label there."""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    effect: with its 95 % interval, in `unit`; verdict: what this interval says, uncorrected.
    compared: what was, in words. p, floor, smallest: those of a `Comparison`; None if nothing was
    measured but counted.
    """

    effect: Interval
    unit: str
    verdict: Verdict
    compared: str
    p: float | None = None
    floor: float | None = None
    smallest: float | None = None

    @classmethod
    def measured(cls, found: Comparison, compared: str, unit: str = "points") -> "Finding":
        """A finding on an effect that should be above 0; its interval gives the verdict."""
        verdict = statistics.verdict(found.effect)
        return cls(found.effect, unit, verdict, compared, found.p, found.floor, found.smallest)

    @classmethod
    def counted(cls, value: float, unit: str, verdict: Verdict, compared: str) -> "Finding":
        """A finding that was counted: the number has no spread, and the check gives the verdict."""
        return cls(Interval(value, value, value, 1, "counted"), unit, verdict, compared)


@dataclass(frozen=True)
class Check:
    """A check that says which artifacts it reads, as a control must."""

    find: Callable[[Any], Finding]
    reads: tuple[str, ...]

    def __call__(self, chapter: Any) -> Finding:
        """What it finds among the records of a `Chapter`."""
        return self.find(chapter)


def better(artifact: str, ours: Hashable, theirs: Hashable) -> Check:
    """The check that one training of an artifact beats another, paired by seed."""
    compared = f"{_name(ours)} against {_name(theirs)}, paired by seed"
    return better_over([(artifact, ours)], [(artifact, theirs)], compared)


def better_over(ours: Sequence[Cell], theirs: Sequence[Cell], compared: str) -> Check:
    """The check that trainings beat others one by one: the mean difference of each seed."""

    def find(chapter: Any) -> Finding:
        found = tables.difference(_groups(chapter, ours), _groups(chapter, theirs))
        return Finding.measured(found, compared)

    return Check(find, _artifacts(ours, theirs))


def best(artifact: str, ours: Hashable, others: Sequence[Hashable]) -> Check:
    """The check that one training of an artifact beats each other, by the best of these."""
    cells = {_name(other): [(artifact, other)] for other in others}
    return best_over([(artifact, ours)], cells, _name(ours))


def best_over(ours: Sequence[Cell], others: Mapping[str, Sequence[Cell]], compared: str) -> Check:
    """The check that trainings beat each of several others, which are named, by the best of these.

    compared: what `ours` is, such as "η = 0.5".
    """

    def find(chapter: Any) -> Finding:
        named = {name: _groups(chapter, theirs) for name, theirs in others.items()}
        found_best, found = tables.difference_to_best(_groups(chapter, ours), named)
        said = f"{compared} against {found_best}, the best of {', '.join(others)}"
        return Finding.measured(
            found, said if len(others) > 1 else f"{compared} against {found_best}"
        )

    return Check(find, _artifacts(ours, *others.values()))


def any_better(artifact: str, ours: Sequence[Hashable], theirs: Hashable) -> Check:
    """The check that at least one of several trainings of an artifact beats another one."""
    cells = {_name(one): [(artifact, one)] for one in ours}

    def find(chapter: Any) -> Finding:
        named = {name: _groups(chapter, group) for name, group in cells.items()}
        found_best, found = tables.difference_to_best(_groups(chapter, [(artifact, theirs)]), named)
        said = f"{found_best}, the best of {', '.join(named)}, against {_name(theirs)}"
        return Finding.measured(found.negated, said)

    return Check(find, (artifact,))


def matters(values: Mapping[str, Sequence[Cell]], compared: str) -> Check:
    """The check that a setting matters: that any two of its values, each with the same trainings,
    differ; compared: what the setting is."""

    def find(chapter: Any) -> Finding:
        named = {name: _groups(chapter, cells) for name, cells in values.items()}
        (best, worst), found = tables.largest_difference(named)
        return Finding.measured(found, f"{compared}: {best} against {worst}, the largest of all")

    return Check(find, _artifacts(*values.values()))


def clustered(values: Iterable[tuple[int, float]], compared: str, unit: str = "points") -> Finding:
    """That values are above 0; each comes with its seed, and those of one seed are averaged first.

    For what is no difference of scores: the test set's error is unknown, and no floor is set.
    """
    clusters, numbers = zip(*values, strict=True)
    means = statistics.cluster_means(numbers, clusters)
    return Finding.measured(statistics.compare(means), compared, unit)


def _groups(chapter: Any, cells: Sequence[Cell]) -> list[tables.Group]:
    by_artifact = {artifact: chapter.records(artifact) for artifact in _artifacts(cells)}
    return [by_artifact[artifact][label] for artifact, label in cells]


def _artifacts(*cells: Sequence[Cell]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(artifact for group in cells for artifact, _ in group))


def _name(label: Hashable) -> str:
    return " ".join(map(str, label)) if isinstance(label, tuple) else str(label)
