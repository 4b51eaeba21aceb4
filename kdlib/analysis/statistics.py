"""Intervals for what was measured, and what they say about a sentence.

Repeated trainings give t intervals; one test set gives a binomial or bootstrap interval, which says
how the result would vary with other test clips, but nothing about another seed. Hence `Interval.n`
counts trainings, and a verdict needs two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

Values = Sequence[float] | np.ndarray
Verdict = Literal["supported", "contradicted", "inconclusive"]


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval about it, in the unit of the values it was made of.

    n: independent trainings (pairs of them, for differences) behind the estimate. An interval over
        the samples of one test set has n = 1, however large the set.
    method: how low and high were found, such as "95% paired t". They are infinite where the data
        say nothing of the spread.
    """

    estimate: float
    low: float
    high: float
    n: int
    method: str

    def __str__(self) -> str:
        return f"{self:.1f}"

    def __format__(self, spec: str) -> str:
        """Such as "+7.8 [2.1, 13.4] (n=5)"; the specification, .1f by default, is each number's."""
        spec = spec or ".1f"
        sign = "+" if "paired" in self.method else ""
        estimate = format(self.estimate, sign + spec)
        if not np.isfinite([self.low, self.high]).all():
            return f"{estimate} (n={self.n}, no interval)"
        basis = f"n={self.n}" if self.n > 1 else f"n=1, {self.method}"
        return f"{estimate} [{self.low:{spec}}, {self.high:{spec}}] ({basis})"

    def scaled(self, factor: float) -> "Interval":
        """All three numbers times a positive factor: 100 turns fractions into percentage points."""
        low, high = self.low * factor, self.high * factor
        return Interval(self.estimate * factor, low, high, self.n, self.method)


def mean_interval(values: Values, confidence: float = 0.95) -> Interval:
    """The mean of one value a training and its t interval; infinite for a single training.

    Raises ValueError for no values or values that are not finite.
    """
    return _t_interval(_vector("values", values), confidence, "t")


def paired_difference(a: Values, b: Values, confidence: float = 0.95) -> Interval:
    """The mean of a - b with its t interval over the pairs; a[i] and b[i] share seed i (or model).

    Raises ValueError if the lengths differ, there is no pair, or a value is not finite.
    """
    a, b = _vector("a", a), _vector("b", b)
    _equal_length(a=a, b=b)
    return _t_interval(a - b, confidence, "paired t")


def proportion_interval(correct: int, total: int, confidence: float = 0.95) -> Interval:
    """The share correct / total, in [0, 1], of one model on one test set with its Wilson interval.

    Treats samples as independent: clips of one scene are not, and the true interval is then wider.
    Raises ValueError unless 0 <= correct <= total and total > 0.
    """
    if not 0 <= correct <= total or total == 0:
        raise ValueError(f"correct must lie in 0..total with total above 0: {correct} of {total}")
    found = stats.binomtest(correct, total).proportion_ci(confidence, method="wilson")
    method = f"{confidence:.0%} Wilson, {total} samples"
    return Interval(correct / total, float(found.low), float(found.high), 1, method)


def paired_bootstrap(
    correct_a: Values,
    correct_b: Values,
    *,
    groups: Values | None = None,
    resamples: int = 2000,
    seed: int,
    confidence: float = 0.95,
) -> Interval:
    """The difference in accuracy of two models on one test set, a - b, with a percentile bootstrap.

    correct_a, correct_b: (N,) bool, or any score a sample: both models on the same samples.
    groups: (N,) which samples belong together. Whole groups are drawn, since clips of one scene
        tend to be right or wrong together; without groups each sample is drawn alone.

    The interval is infinite where there is one group only. Raises ValueError if lengths differ or
    there is no sample.
    """
    a, b = _vector("correct_a", correct_a), _vector("correct_b", correct_b)
    members = np.arange(len(a)) if groups is None else np.asarray(groups)
    _equal_length(correct_a=a, correct_b=b, groups=members)
    difference = a - b
    _, group = np.unique(members, return_inverse=True)
    size_and_sum = np.stack([np.bincount(group), np.bincount(group, weights=difference)], axis=1)
    count = len(size_and_sum)
    method = f"{confidence:.0%} paired bootstrap, {len(a)} samples"
    if groups is not None:
        method += f" in {count} groups"
    low, high = -np.inf, np.inf
    if count > 1:
        # Groups of equal size and sum are interchangeable: how often each kind is drawn suffices,
        # and without groups there are three kinds, however many samples.
        kinds, of_kind = np.unique(size_and_sum, axis=0, return_counts=True)
        drawn = np.random.default_rng(seed).multinomial(count, of_kind / count, resamples)
        sizes, sums = (drawn @ kinds).T
        tail = (1 - confidence) / 2
        low, high = np.quantile(sums / sizes, [tail, 1 - tail])
    return Interval(float(difference.mean()), float(low), float(high), 1, method)


def verdict(interval: Interval, *, margin: float = 0.0) -> Verdict:
    """What an interval of a difference a - b says of "a is better than b (by over margin)".

    Supported if it lies above the margin, contradicted if below, else inconclusive; always
    inconclusive for fewer than two trainings.
    """
    if interval.n >= 2 and interval.low > margin:
        return "supported"
    if interval.n >= 2 and interval.high < margin:
        return "contradicted"
    return "inconclusive"


def equivalence(interval: Interval, *, delta: float) -> Verdict:
    """What an interval of a difference a - b says of "a is about as good as b", within delta > 0.

    Supported if all of it lies within -delta..delta, contradicted if all lies outside on one side,
    else inconclusive; always inconclusive for fewer than two trainings. With a 95 % interval this
    is stricter than two one-sided tests at 5 %, which a 90 % interval equals.
    """
    if not delta > 0:
        raise ValueError(f"delta must be above 0, not {delta}")
    if interval.n >= 2 and -delta < interval.low and interval.high < delta:
        return "supported"
    if interval.n >= 2 and (interval.low > delta or interval.high < -delta):
        return "contradicted"
    return "inconclusive"


def _t_interval(values: np.ndarray, confidence: float, name: str) -> Interval:
    n, mean = len(values), float(values.mean())
    half = np.inf
    if n > 1:
        half = stats.t.ppf((1 + confidence) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return Interval(mean, float(mean - half), float(mean + half), n, f"{confidence:.0%} {name}")


def _vector(name: str, values: Values) -> np.ndarray:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or not len(vector) or not np.isfinite(vector).all():
        raise ValueError(f"{name} must be one axis of at least one finite number, not {values!r}")
    return vector


def _equal_length(**vectors: np.ndarray) -> None:
    lengths = {name: len(vector) for name, vector in vectors.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"lengths must be equal, as values are paired by position: {lengths}")
