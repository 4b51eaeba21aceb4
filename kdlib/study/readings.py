"""What can be read from an artifact, in words: computed from its records, so right for any run."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kdlib.analysis.statistics import MINIMUM, Comparison, smallest_effect
from kdlib.study import tables
from kdlib.study.tables import Group

Pairs = Mapping[str, tuple[Group, Group]]
"""By its name, a training and the one that it is compared with."""
WANTED = 1.5  # points: the effect that a reader would like to see
MOST_SEEDS = 1000


class Reading(NamedTuple):
    """What stands in the box below an artifact; an empty part is left out.

    found: what the numbers say, computed. why: what would explain it, whichever way it came out.
    more: what it would take to see more.
    """

    found: str
    why: str = ""
    more: str = ""


def gains(pairs: Pairs, over: str) -> str:
    """The largest and the smallest of several gains, each with its interval.

    over: what the gains are over, such as "direct training".
    """
    found = {name: tables.difference([a], [b]) for name, (a, b) in pairs.items()}
    order = sorted(found, key=lambda name: found[name].effect.estimate)
    best, worst = order[-1], order[0]
    said = f"Over {over}, “{best}” gains {worded(found[best])}"
    if len(order) > 1:
        said += f"; “{worst}” gains least, {worded(found[worst])}"
    if len(order) > 2 and _decides(found[best]):
        above = sum(each.effect.low > 0 for each in found.values())
        below = sum(each.effect.high < 0 for each in found.values())
        said += f". Of {len(order)} intervals {above} lie above 0 and {below} below it"
    return f"{said}."


def worded(found: Comparison, unit: str = "points") -> str:
    """Such as "+2.1 [0.3, 3.9] points, beyond the noise"; too few seeds are not judged."""
    effect = found.effect
    said = f"{effect:.1f} {unit}"
    if not _decides(found):
        return said
    beyond = effect.low > 0 or effect.high < 0
    return f"{said}, {'beyond' if beyond else 'within'} the noise"


def _decides(found: Comparison) -> bool:
    return found.effect.n >= MINIMUM


def power(pairs: Pairs) -> str:
    """The smallest effects that these comparisons could have shown, and seeds for `WANTED`.

    Noise is what seeds and test clips do to a difference, by its 95 % interval.
    """
    found = [tables.difference([a], [b]) for a, b in pairs.values()]
    n = found[0].effect.n
    if n < MINIMUM:
        seeds = "One seed decides" if n == 1 else f"{n} seeds decide"
        return f"{seeds} nothing, whatever the differences: SEEDS=5 gives each row five."
    low, high = (f(each.smallest for each in found) for f in (min, max))
    span = f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"
    typical = float(np.median([each.smallest for each in found]))
    said = f"Over {n} seeds effects from {span} points up would have been found (80 % power)"
    if typical <= WANTED:
        return f"{said}."
    needed = seeds_for(WANTED, typical, n)
    count = f"over {MOST_SEEDS:,}" if needed is None else f"about {needed}"
    return f"{said}; for {WANTED} points a typical row would need {count} seeds."


def seeds_for(effect: float, smallest: float, n: int) -> int | None:
    """How many seeds find an effect where n of them find `smallest`; None for over `MOST_SEEDS`.

    The spread over seeds stays what it was, so the standard error falls with their root.
    """
    spread = smallest / smallest_effect(1.0, n) * np.sqrt(n)
    low, high = 1, MOST_SEEDS  # low never suffices
    if smallest_effect(spread / np.sqrt(high), high) > effect:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = smallest_effect(spread / np.sqrt(middle), middle) <= effect
        low, high = (low, middle) if enough else (middle, high)
    return high


def best_value(by_value: Mapping[str, Sequence[Group]], default: str, over: str) -> str:
    """Which value of a setting is best, and the default against the best other one.

    by_value: the same trainings for each. over: what each mean is of, such as "four pairs".
    """
    means = {v: np.mean([tables.accuracies(g).mean() for g in gs]) for v, gs in by_value.items()}
    best, worst = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    others = {value: groups for value, groups in by_value.items() if value != default}
    rival, found = tables.difference_to_best(by_value[default], others)
    return (
        f"The mean of {over} is highest at {best} ({means[best]:.1f} %) and lowest at {worst} "
        f"({means[worst]:.1f} %). The default, {default}, less the best other value, {rival}: "
        f"{worded(found)}."
    )


def difference(pairs: Pairs) -> str:
    """The mean difference of several trainings to those they are compared with, in words."""
    ours, theirs = ([pair[k] for pair in pairs.values()] for k in (0, 1))
    return worded(tables.difference(ours, theirs))


def level(group: Group) -> float:
    """The mean score of a training in per cent."""
    return float(tables.accuracies(group).mean())


def span(values: Mapping[str, float], unit: str) -> str:
    """Between which of the named numbers all lie: "1.5 s (a) to 5 s (b)"."""
    low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    return " to ".join(f"{_short(values[name])} {unit} ({name})" for name in (low, high))


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def controls(value: Any, records: Any) -> Reading:
    """Of a table of positive controls (`claims.control_table`)."""
    holding = value["holds"] == "yes"
    failing = ", ".join(value["control"][~holding])
    tail = f" These do not: {failing}; what rests on them is not testable here." if failing else ""
    return Reading(
        f"{holding.sum()} of {len(value)} controls hold.{tail}",
        "A control that fails says nothing of the paper: this testbed lacks the effect that the "
        "paper's sentence builds on. The teacher may know no more than its student, the training "
        "be too short, or the labels already say all there is to say.",
        "The column “detects” is the smallest effect that was in reach; more seeds shrink it with "
        "their root, a larger profile changes the effect itself.",
    )
