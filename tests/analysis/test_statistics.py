"""Intervals against scipy, hand numbers and simulated coverage; verdicts at their edges."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kdlib.analysis.statistics import (
    Interval,
    equivalence,
    mean_interval,
    paired_bootstrap,
    paired_difference,
    proportion_interval,
    verdict,
)

FINITE = st.floats(-1e3, 1e3)


def interval(low, high, n=5):
    return Interval((low + high) / 2, low, high, n, "95% paired t")


def test_mean_interval_by_hand():
    # Mean 3, sd sqrt(2.5), t(0.975, 4) = 2.776445: half width 2.776445 * sqrt(2.5 / 5).
    found = mean_interval([1, 2, 3, 4, 5])
    half = 2.776445 * math.sqrt(0.5)
    assert (found.estimate, found.n, found.method) == (3.0, 5, "95% t")
    assert found.low == pytest.approx(3 - half, abs=1e-5)
    assert found.high == pytest.approx(3 + half, abs=1e-5)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_paired_difference_parity_with_scipy(confidence):
    rng = np.random.default_rng(0)
    a, b = rng.normal(60, 5, size=6), rng.normal(55, 5, size=6)
    expected = stats.ttest_rel(a, b).confidence_interval(confidence)
    found = paired_difference(a, b, confidence)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.estimate == pytest.approx(a.mean() - b.mean())
    assert found.n == 6


def test_pairing_removes_what_the_seeds_share():
    seeds = np.array([40.0, 55.0, 70.0])
    found = paired_difference(seeds + np.array([5.0, 6.0, 7.0]), seeds)
    assert found.high - found.low < 6
    unpaired = mean_interval(seeds)
    assert unpaired.high - unpaired.low > 60


@settings(max_examples=100, deadline=None)
@given(pairs=st.lists(st.tuples(FINITE, FINITE), min_size=2, max_size=12), shift=FINITE)
def test_paired_difference_properties(pairs, shift):
    a, b = np.array(pairs).T
    found, swapped = paired_difference(a, b), paired_difference(b, a)
    assert found.low <= found.estimate <= found.high
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))
    shifted = paired_difference(a + shift, b + shift)
    assert (shifted.low, shifted.high) == pytest.approx((found.low, found.high), abs=1e-6)
    opposite = {"supported": "contradicted", "contradicted": "supported"}
    assert verdict(swapped) == opposite.get(verdict(found), "inconclusive")


def test_coverage_of_the_t_interval():
    rng = np.random.default_rng(1)
    draws = rng.normal(7.0, 3.0, size=(2000, 5))
    covered = [found.low <= 7.0 <= found.high for found in map(mean_interval, draws)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_one_training_has_no_interval():
    for found in (mean_interval([62.4]), paired_difference([62.4], [54.6])):
        assert (found.low, found.high, found.n) == (-math.inf, math.inf, 1)
    assert str(mean_interval([62.4])) == "62.4 (n=1, no interval)"
    assert str(paired_difference([62.4], [54.6])) == "+7.8 (n=1, no interval)"


def test_equal_values_have_a_point_interval():
    found = paired_difference([50.0, 50.0, 50.0], [50.0, 50.0, 50.0])
    assert (found.low, found.estimate, found.high) == (0.0, 0.0, 0.0)
    assert verdict(found) == "inconclusive"


def test_text():
    found = Interval(7.84, 2.13, 13.41, 5, "95% paired t")
    assert str(found) == f"{found}" == "+7.8 [2.1, 13.4] (n=5)"
    assert f"{found:.2f}" == "+7.84 [2.13, 13.41] (n=5)"
    assert str(Interval(-1.0, -2.0, 0.0, 3, "95% paired t")) == "-1.0 [-2.0, 0.0] (n=3)"
    assert str(Interval(62.4, 58.4, 66.4, 5, "95% t")) == "62.4 [58.4, 66.4] (n=5)"
    test_set = proportion_interval(300, 480).scaled(100)
    assert str(test_set) == "62.5 [58.1, 66.7] (n=1, 95% Wilson, 480 samples)"


def test_wilson_by_formula():
    correct, total, z = 30, 48, 1.959964
    p = correct / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    found = proportion_interval(correct, total)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=1e-6)
    assert found.estimate == p


@pytest.mark.parametrize("correct", [0, 20])
def test_wilson_at_the_ends_stays_within_zero_and_one(correct):
    found = proportion_interval(np.int64(correct), 20)
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    assert found.high - found.low > 0.1


def test_bootstrap_parity_with_scipy():
    rng = np.random.default_rng(2)
    a, b = rng.random(300) < 0.7, rng.random(300) < 0.6
    found = paired_bootstrap(a, b, resamples=20_000, seed=0)
    difference = a.astype(float) - b
    expected = stats.bootstrap(
        (difference,), np.mean, n_resamples=20_000, method="percentile", rng=3, batch=1000
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.006)
    assert found.estimate == pytest.approx(difference.mean())
    assert found.method == "95% paired bootstrap, 300 samples"


def test_bootstrap_by_group_draws_whole_groups():
    # Resampling the groups' rows one by one, written out, must give the same interval.
    rng = np.random.default_rng(4)
    groups = rng.integers(12, size=90)
    a, b = (rng.normal(size=12)[groups] + rng.normal(size=90) > 0 for _ in range(2))
    found = paired_bootstrap(a, b, groups=groups, resamples=20_000, seed=0)
    rows = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    difference = a.astype(float) - b
    draws = [
        difference[np.concatenate([rows[i] for i in rng.integers(12, size=12)])].mean()
        for _ in range(5000)
    ]
    expected = np.quantile(draws, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.015)
    alone = paired_bootstrap(a, b, resamples=20_000, seed=0)
    assert found.high - found.low > 1.1 * (alone.high - alone.low)
    assert found.method.endswith("90 samples in 12 groups")


def test_bootstrap_groups_of_one_are_no_groups():
    rng = np.random.default_rng(5)
    a, b = rng.random(80) < 0.7, rng.random(80) < 0.5
    alone = paired_bootstrap(a, b, seed=1)
    named = paired_bootstrap(a, b, groups=np.arange(80)[::-1], seed=1)
    assert (alone.low, alone.high) == (named.low, named.high)


def test_bootstrap_is_repeatable_and_signed():
    rng = np.random.default_rng(6)
    a, b = rng.random(200) < 0.8, rng.random(200) < 0.5
    assert paired_bootstrap(a, b, seed=1) == paired_bootstrap(a, b, seed=1)
    assert paired_bootstrap(a, b, seed=1) != paired_bootstrap(a, b, seed=2)
    assert paired_bootstrap(a, b, seed=1).low > 0 > paired_bootstrap(b, a, seed=1).high
    same = paired_bootstrap(a, a, seed=1)
    assert (same.low, same.high) == (0.0, 0.0)


def test_bootstrap_of_one_group_has_no_interval():
    found = paired_bootstrap([1, 1, 0], [0, 1, 0], groups=[7, 7, 7], seed=0)
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_coverage_of_the_bootstrap_by_group():
    rng = np.random.default_rng(7)
    groups = np.repeat(np.arange(40), 5)
    covered = {True: 0, False: 0}
    for _ in range(200):
        # Scenes differ in how much a is ahead of b; the true mean difference is 0.
        ahead = np.repeat(rng.normal(0, 1, size=40), 5)
        difference = ahead + rng.normal(0, 0.5, size=200)
        for grouped in covered:
            found = paired_bootstrap(
                difference, np.zeros(200), groups=groups if grouped else None, resamples=500, seed=0
            )
            covered[grouped] += found.low <= 0 <= found.high
    assert covered[True] / 200 > 0.88
    assert covered[False] / 200 < 0.75


@pytest.mark.parametrize(
    ("low", "high", "margin", "expected"),
    [
        (0.1, 5.0, 0.0, "supported"),
        (-5.0, -0.1, 0.0, "contradicted"),
        (-1.0, 5.0, 0.0, "inconclusive"),
        (0.0, 5.0, 0.0, "inconclusive"),
        (-5.0, 0.0, 0.0, "inconclusive"),
        (0.1, 5.0, 1.0, "inconclusive"),
        (0.1, 0.9, 1.0, "contradicted"),
        (1.1, 5.0, 1.0, "supported"),
    ],
)
def test_verdict(low, high, margin, expected):
    assert verdict(interval(low, high), margin=margin) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.5, 0.9, "supported"),
        (0.2, 0.9, "supported"),
        (1.1, 2.0, "contradicted"),
        (-2.0, -1.1, "contradicted"),
        (0.5, 1.5, "inconclusive"),
        (-3.0, 3.0, "inconclusive"),
        (-1.0, 0.5, "inconclusive"),
    ],
)
def test_equivalence(low, high, expected):
    assert equivalence(interval(low, high), delta=1.0) == expected


def test_one_training_is_inconclusive_however_large_the_test_set():
    right, wrong = np.ones(1000), np.zeros(1000)
    for found in (
        interval(5.0, 6.0, n=1),
        paired_difference([90.0], [10.0]),
        paired_bootstrap(right, wrong, seed=0),
        proportion_interval(999, 1000),
    ):
        assert verdict(found) == "inconclusive"
        assert verdict(found, margin=1e9) == "inconclusive"
    assert equivalence(interval(-0.1, 0.1, n=1), delta=1.0) == "inconclusive"
    assert equivalence(interval(5.0, 6.0, n=1), delta=1.0) == "inconclusive"


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"equal.*'a': 2, 'b': 1"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match=r"equal.*groups"):
        paired_bootstrap([1, 0], [0, 1], groups=[1], seed=0)
    for values in ([], [1.0, math.nan], [math.inf, 1.0], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="finite"):
            mean_interval(values)
    for correct, total in ((5, 4), (-1, 4), (0, 0)):
        with pytest.raises(ValueError, match=r"0\.\.total"):
            proportion_interval(correct, total)
    with pytest.raises(ValueError, match="delta"):
        equivalence(interval(0.0, 1.0), delta=0.0)
