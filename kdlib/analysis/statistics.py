"""Intervals for what was measured, and what they say about a sentence.

An effect is a mean of differences, one an independent sample: a seed, with its own trainings. What
shares a seed (several methods, several pairs of networks under one teacher or on the same test
clips) is averaged within it first (`cluster_means`).
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from scipy import optimize, stats

Values = Sequence[float] | np.ndarray
Verdict = Literal["supported", "contradicted", "inconclusive", "not testable here"]

LEVEL, POWER = 0.05, 0.8
MINIMUM = 3  # independent samples below which nothing is decided


@dataclass(frozen=True)
class Interval:
    """An estimate and the 95 % interval about it, in the unit of the values it was made of.

    n: independent trainings (pairs of them, for differences) behind the estimate.
    method: how low and high were found, such as "paired t". They are infinite where the data say
        nothing of the spread.
    """

    estimate: float
    low: float
    high: float
    n: int
    method: str

    def __str__(self) -> str:
        return f"{self:.1f}"

    def __format__(self, spec: str) -> str:
        """Such as "+7.8 [2.1, 13.4]"; the specification, .1f by default, is each number's.

        Differences bear a sign. Without a known spread the estimate stands alone.
        """
        spec = spec or ".1f"
        estimate = format(self.estimate, ("+" if "paired" in self.method else "") + spec)
        if not np.isfinite([self.low, self.high]).all():
            return estimate
        return f"{estimate} [{self.low:{spec}}, {self.high:{spec}}]"

    def clipped(self, low: float, high: float) -> "Interval":
        """The same estimate, its known bounds no further than what is possible."""
        if not np.isfinite([self.low, self.high]).all():
            return self
        ends = max(self.low, low), min(self.high, high)
        return Interval(self.estimate, *ends, self.n, self.method)


@dataclass(frozen=True)
class Comparison:
    """An effect put to the test against 0.

    effect: its 95 % interval excludes 0 if and only if p is below 0.05.
    p: two-sided; None below `MINIMUM` independent samples, where there is no test.
    floor: the least standard error that was allowed, 0 if none.
    smallest: the true effect that this test would have found with 80 % power (`smallest_effect`);
        infinite for one sample.
    """

    effect: Interval
    p: float | None
    floor: float
    smallest: float

    @property
    def negated(self) -> "Comparison":
        """The comparison the other way round: of b - a instead of a - b."""
        e = self.effect
        turned = Interval(-e.estimate, -e.high, -e.low, e.n, e.method)
        return Comparison(turned, self.p, self.floor, self.smallest)


def mean_interval(values: Values) -> Interval:
    """The mean of one value a training and its t interval; infinite for a single training.

    Raises ValueError for no values or values that are not finite.
    """
    values = _vector("values", values)
    return _interval(float(values.mean()), _standard_error(values, 0.0), len(values), "t")


def compare(differences: Values, *, floor: float = 0.0) -> Comparison:
    """Differences a - b, one an independent pair, put to the test against 0 by a paired t test.

    floor: the least standard error of their mean (`sampling_error`). Equal differences of counts
        are no certainty: with no observed variance the test set's own error remains.

    Raises ValueError for no difference or differences that are not finite.
    """
    differences = _vector("differences", differences)
    n, mean = len(differences), float(differences.mean())
    error = _standard_error(differences, floor)
    p = _p(mean, error, n) if n >= MINIMUM else None
    effect = _interval(mean, error, n, "paired t")
    return Comparison(effect, p, floor, smallest_effect(error, n))


def compare_best(
    differences: Mapping[str, Values], floors: Mapping[str, float]
) -> tuple[str, Comparison]:
    """Whether something is better than each of k others: which is the best of them, and the test.

    differences, floors: by the other's name, as for `compare`; every other has the same pairs.

    The effect is the difference to the best other: the one with the lowest mean difference. Better
    than all others is an intersection of k sentences, each of which must hold, so its p is the
    largest of theirs (intersection-union test). That another one is better may show in any of them,
    so there p is k times that of the best other (Bonferroni). The interval is of these two tests:
    its low end is the lowest of the k low ends at 95 %, its high end that of the best other at
    1 - 0.05 / k. Both cover the true difference to the best other in 97.5 % of cases.
    """
    vectors = {name: _vector(f"differences to {name}", v) for name, v in differences.items()}
    if len({len(vector) for vector in vectors.values()}) != 1:
        raise ValueError("differences: to each of one or more others, over the same pairs")
    n, k = len(next(iter(vectors.values()))), len(vectors)
    means = {name: float(vector.mean()) for name, vector in vectors.items()}
    errors = {name: _standard_error(vector, floors[name]) for name, vector in vectors.items()}
    best = min(means, key=lambda name: means[name])
    if n < MINIMUM:
        p = None
    elif means[best] > 0:
        p = max(_p(means[name], errors[name], n) for name in means)
    else:
        p = min(1.0, k * _p(means[best], errors[best], n))
    low = min(means[name] - _half(errors[name], n, LEVEL) for name in means)
    high = means[best] + _half(errors[best], n, LEVEL / k)
    method = f"paired t, best of {k}" if k > 1 else "paired t"
    smallest = max(smallest_effect(error, n, LEVEL / k) for error in errors.values())
    effect = Interval(means[best], low, high, n, method)
    return best, Comparison(effect, p, floors[best], smallest)


def compare_range(
    by_value: Mapping[str, Values], *, floor: float = 0.0
) -> tuple[tuple[str, str], Comparison]:
    """Whether a setting matters: its highest and lowest value, and the test of their difference.

    by_value: a number a sample (n,) for each of k values of the setting, the same samples for all.
    floor: the least standard error of that difference.

    The largest of all differences between values is large by chance too. Tukey's studentized range
    accounts for that, with samples as blocks: the noise is what is left of each number after the
    means of its value and of its sample. Raises ValueError for fewer than two values.
    """
    numbers = np.stack([_vector(name, values) for name, values in by_value.items()])
    k, n = numbers.shape
    if k < 2:
        raise ValueError("by_value: two or more values of a setting")
    means = numbers.mean(1)
    high, low = (list(by_value)[place] for place in (means.argmax(), means.argmin()))
    effect, freedom = float(means.max() - means.min()), (k - 1) * (n - 1)
    if n < MINIMUM:
        unknown = Interval(effect, -float("inf"), float("inf"), n, f"range of {k}")
        return (high, low), Comparison(unknown, None, floor, float("inf"))
    left = numbers - means[:, None] - numbers.mean(0) + numbers.mean()
    error = max(float(np.sqrt((left**2).sum() / freedom / n)), floor / np.sqrt(2))
    half = _range_quantile(k, freedom) * error
    p = (
        float(stats.studentized_range.sf(effect / error, k, freedom))
        if error
        else float(not effect)
    )
    found = half + np.sqrt(2) * error * float(stats.t.ppf(POWER, freedom))
    interval = Interval(effect, effect - half, effect + half, n, f"Tukey, range of {k}")
    return (high, low), Comparison(interval, p, floor, found)


def cluster_means(values: Values, clusters: Sequence[Hashable]) -> np.ndarray:
    """The mean of the values within each cluster, in the order in which the clusters appear.

    clusters: of each value what it shares with others, such as its seed. Raises ValueError if
    lengths differ.
    """
    values = _vector("values", values)
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values, but {len(clusters)} clusters")
    return np.array(
        [
            np.mean([v for v, c in zip(values, clusters, strict=True) if c == cluster])
            for cluster in dict.fromkeys(clusters)
        ]
    )


def sampling_error(contributions: Iterable[np.ndarray]) -> float:
    """The standard error that the test sets alone give a mean difference in accuracy.

    contributions: for each test set (N,), what each of its samples adds to the mean difference,
        times N: the sum over the pairs of models that were tested there of weight times (hit of a -
        hit of b), the weights of all pairs summing to 1.

    With samples drawn independently the mean over a set of N has variance var / N, and sets add.
    So for one pair it is (p01 + p10 - (p01 - p10)**2) / N, of the shares of samples that only one
    of the two gets right (McNemar's); for n pairs with a test set each, the mean of these over n;
    for n pairs on one shared set, that of the per-sample means: at most the mean of theirs, where
    all seeds err on the same samples. Samples of one scene are not independent: it is a floor.
    """
    return float(np.sqrt(sum(np.var(each) / len(each) for each in contributions)))


def smallest_effect(error: float, n: int, level: float = LEVEL) -> float:
    """The true effect that a t test of n samples finds with 80 % power, two-sided at `level`.

    error: the standard error of the mean, taken as the true one. From the noncentral t
    distribution; the chance of finding the opposite sign is left out. Infinite for n = 1.
    """
    return float("inf") if n < 2 else error * _noncentrality(n, level)


@cache
def _noncentrality(n: int, level: float) -> float:
    threshold = float(stats.t.ppf(1 - level / 2, n - 1))

    def missing(noncentrality: float) -> float:
        return float(stats.nct.sf(threshold, n - 1, noncentrality)) - POWER

    return float(optimize.brentq(missing, 0, 4 * threshold + 4))


def corrected(p_values: Sequence[float]) -> list[float]:
    """P-values of one family by Benjamini and Hochberg: those below q have at most a share q of
    false discoveries among them."""
    if not p_values:
        return []
    return [float(p) for p in stats.false_discovery_control(p_values, method="bh")]


def verdict(interval: Interval) -> Verdict:
    """What an interval of a difference a - b says of "a is better than b".

    Supported if it lies above 0, contradicted if below, else inconclusive; always inconclusive
    below `MINIMUM` independent samples.
    """
    if interval.n >= MINIMUM and interval.low > 0:
        return "supported"
    if interval.n >= MINIMUM and interval.high < 0:
        return "contradicted"
    return "inconclusive"


@cache
def _range_quantile(k: int, freedom: int) -> float:
    return float(stats.studentized_range.ppf(1 - LEVEL, k, freedom))


def _interval(mean: float, error: float, n: int, method: str) -> Interval:
    half = _half(error, n, LEVEL)
    return Interval(mean, mean - half, mean + half, n, method)


def _half(error: float, n: int, level: float) -> float:
    return float("inf") if n < 2 else float(stats.t.ppf(1 - level / 2, n - 1) * error)


def _standard_error(values: np.ndarray, floor: float) -> float:
    """Of the mean; infinite for a single value."""
    n = len(values)
    return float("inf") if n < 2 else max(float(values.std(ddof=1) / np.sqrt(n)), floor)


def _p(mean: float, error: float, n: int) -> float:
    if error == 0:
        return 0.0 if mean else 1.0
    return float(2 * stats.t.sf(abs(mean) / error, n - 1))


def _vector(name: str, values: Values) -> np.ndarray:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or not len(vector) or not np.isfinite(vector).all():
        raise ValueError(f"{name} must be one axis of at least one finite number, not {values!r}")
    return vector
