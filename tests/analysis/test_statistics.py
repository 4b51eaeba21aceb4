"""Intervals and tests against scipy, hand numbers and simulation; verdicts at their edges."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kdlib.analysis.statistics import (
    Interval,
    cluster_means,
    compare,
    compare_best,
    compare_range,
    corrected,
    mean_interval,
    sampling_error,
    smallest_effect,
    verdict,
)

FINITE = st.floats(-1e3, 1e3)


def interval(low, high, n=5):
    return Interval((low + high) / 2, low, high, n, "paired t")


def ends(found):
    return (found.low, found.high)


# Intervals


def test_mean_interval_by_hand():
    # Mean 3, sd sqrt(2.5), t(0.975, 4) = 2.776445: half width 2.776445 * sqrt(2.5 / 5).
    found = mean_interval([1, 2, 3, 4, 5])
    half = 2.776445 * math.sqrt(0.5)
    assert (found.estimate, found.n) == (3.0, 5)
    assert ends(found) == pytest.approx((3 - half, 3 + half), abs=1e-5)


def test_coverage_of_the_t_interval():
    draws = np.random.default_rng(1).normal(7.0, 3.0, size=(2000, 5))
    covered = [found.low <= 7.0 <= found.high for found in map(mean_interval, draws)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_one_training_has_no_interval():
    found = mean_interval([62.4])
    assert (found.low, found.high, found.n) == (-math.inf, math.inf, 1)
    assert str(found) == "62.4"
    assert str(compare([7.8]).effect) == "+7.8"


def test_text():
    found = Interval(7.84, 2.13, 13.41, 5, "paired t")
    assert str(found) == f"{found}" == "+7.8 [2.1, 13.4]"
    assert f"{found:.2f}" == "+7.84 [2.13, 13.41]"
    assert str(Interval(-1.0, -2.0, 0.0, 3, "paired t")) == "-1.0 [-2.0, 0.0]"
    assert str(Interval(62.4, 58.4, 66.4, 5, "t")) == "62.4 [58.4, 66.4]"


def test_known_bounds_are_cut_to_what_is_possible():
    assert str(Interval(98, 95, 101, 3, "t").clipped(0, 100)) == "98.0 [95.0, 100.0]"
    alone = mean_interval([98])
    assert alone.clipped(0, 100) == alone


# Paired comparisons


@pytest.mark.parametrize("n", [3, 6])
def test_parity_with_scipy_s_paired_t_test(n):
    rng = np.random.default_rng(0)
    a, b = rng.normal(60, 5, size=n), rng.normal(55, 5, size=n)
    expected = stats.ttest_rel(a, b)
    found = compare(a - b)
    assert ends(found.effect) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.effect.estimate == pytest.approx(a.mean() - b.mean())
    assert found.p == pytest.approx(expected.pvalue)
    assert found.effect.n == n


@settings(max_examples=100, deadline=None)
@given(values=st.lists(FINITE, min_size=3, max_size=12), floor=st.floats(0, 10))
def test_the_interval_and_p_agree_and_turn_with_the_sign(values, floor):
    found = compare(values, floor=floor)
    turned = compare(-np.array(values), floor=floor)
    assert found.effect.low <= found.effect.estimate <= found.effect.high
    assert ends(turned.effect) == pytest.approx((-found.effect.high, -found.effect.low))
    assert turned.p == pytest.approx(found.p)
    assert ends(found.negated.effect) == pytest.approx(ends(turned.effect))
    if abs(found.p - 0.05) > 1e-6 and floor:
        assert (verdict(found.effect) != "inconclusive") == (found.p < 0.05)


@pytest.mark.parametrize("n", [1, 2])
def test_below_three_pairs_there_is_no_test(n):
    found = compare([50.0] * n, floor=0.01)
    assert found.p is None
    assert verdict(found.effect) == "inconclusive"


@pytest.mark.parametrize("n", [2, 3])
def test_equal_differences_are_no_certainty(n):
    # Of 100 test clips each, 30 that only the first gets right, 20 only the second: 10 points.
    one = np.repeat([1, -1, 0], [30, 20, 50])
    floor = sampling_error([one / n] * n)
    assert floor == pytest.approx(math.sqrt((0.3 + 0.2 - 0.1**2) / 100 / n))
    found = compare([0.1] * n, floor=floor)
    assert found.effect.low < 0 < found.effect.high
    assert verdict(found.effect) == "inconclusive"
    assert compare([0.1] * n).effect.low == pytest.approx(0.1), "which the floor prevents"


def test_a_spread_above_the_floor_stays():
    assert compare([1, 2, 3, 4], floor=0.1).effect == compare([1, 2, 3, 4]).effect
    assert compare([1, 2, 3, 4], floor=2).effect.high == pytest.approx(2.5 + 3.182446 * 2)


def test_no_difference_at_all_is_no_effect():
    found = compare([0.0, 0.0, 0.0])
    assert (found.p, verdict(found.effect)) == (1.0, "inconclusive")
    assert compare([1.0, 1.0, 1.0]).p == 0


# The test sets' own error


def test_the_error_of_one_test_set_is_mcnemar_s():
    a = np.repeat([1, 1, 0, 0], [40, 25, 15, 20]).astype(float)
    b = np.repeat([1, 0, 1, 0], [40, 25, 15, 20])
    assert sampling_error([a - b]) == pytest.approx(math.sqrt((0.25 + 0.15 - 0.1**2) / 100))


def test_several_test_sets_average_and_a_shared_one_does_less():
    rng = np.random.default_rng(0)
    pairs = [rng.integers(-1, 2, size=500).astype(float) for _ in range(4)]
    variances = [pair.var() / 500 for pair in pairs]
    apart = sampling_error([pair / 4 for pair in pairs])
    assert apart == pytest.approx(math.sqrt(np.mean(variances) / 4))
    # Seeds that err alike on one set gain nothing from being four.
    alike = sampling_error([sum([pairs[0] / 4] * 4)])
    assert alike == pytest.approx(math.sqrt(variances[0]))
    shared = sampling_error([sum(pair / 4 for pair in pairs)])
    assert shared < math.sqrt(np.mean(variances))


def test_the_error_is_how_a_difference_varies_with_its_test_set():
    rng = np.random.default_rng(1)
    chance = rng.dirichlet([2, 2, 6], size=1)[0]
    draws = rng.choice([1.0, -1.0, 0.0], p=chance, size=(4000, 3, 200))
    observed = (draws.mean(axis=2).mean(axis=1)).std()
    expected = np.mean([sampling_error([s / 3 for s in sets]) for sets in draws[:50]])
    assert observed == pytest.approx(expected, rel=0.05)


# Power


@pytest.mark.parametrize(("n", "level"), [(3, 0.05), (5, 0.05), (5, 0.05 / 3), (20, 0.05)])
def test_the_smallest_effect_is_found_in_four_of_five_comparisons(n, level):
    sigma = 2.0
    effect = smallest_effect(sigma / math.sqrt(n), n, level)
    draws = np.random.default_rng(2).normal(effect, sigma, size=(20_000, n))
    found = stats.ttest_1samp(draws, 0, axis=1).pvalue < level
    assert found.mean() == pytest.approx(0.8, abs=0.012)


def test_the_smallest_effect_of_many_is_that_of_the_normal_distribution():
    # 1.959964 + 0.841621 standard errors.
    assert smallest_effect(1.0, 100_000) == pytest.approx(2.801585, abs=1e-3)
    assert smallest_effect(3.0, 5) == pytest.approx(3 * smallest_effect(1.0, 5))
    assert smallest_effect(math.inf, 1) == math.inf
    assert compare([1, 2, 3]).smallest == pytest.approx(smallest_effect(1 / math.sqrt(3), 3))


# Clusters


def test_what_shares_a_seed_is_averaged_first():
    values, seeds = [1, 2, 3, 5, 7, 9], [4, 4, 4, 2, 2, 9]
    assert cluster_means(values, seeds).tolist() == [2, 6, 9]
    with pytest.raises(ValueError, match="6 values, but 2 clusters"):
        cluster_means(values, [1, 2])


def test_six_methods_of_one_seed_are_one_sample():
    found = compare(cluster_means([5.0, 6, 5, 6, 5, 6], [0] * 6))
    assert (found.effect.n, found.p, verdict(found.effect)) == (1, None, "inconclusive")
    # Taken as six they would have been beyond doubt.
    assert verdict(compare([5.0, 6, 5, 6, 5, 6]).effect) == "supported"


def test_clusters_keep_the_error_rate_where_pooling_loses_it():
    rng = np.random.default_rng(3)
    seeds, wrong = np.repeat(range(5), 6), {"pooled": 0, "clustered": 0}
    for _ in range(600):
        # No true effect; what a seed does to all its methods is larger than their own noise.
        values = np.repeat(rng.normal(size=5), 6) + 0.3 * rng.normal(size=30)
        wrong["pooled"] += compare(values).p < 0.05
        wrong["clustered"] += compare(cluster_means(values, list(seeds))).p < 0.05
    assert wrong["clustered"] / 600 == pytest.approx(0.05, abs=0.025)
    assert wrong["pooled"] / 600 > 0.3


# The best of several


def best(differences, **floors):
    return compare_best(differences, {name: floors.get(name, 0.0) for name in differences})


def test_the_best_other_is_the_one_that_counts():
    # Far above a, no better than b: better than the mean of both, the old way to ask.
    b = np.array([0.5, -0.5, 0.2, -0.2, 0.1])
    name, found = best({"a": b + 10, "b": b})
    assert name == "b"
    assert verdict(found.effect) == "inconclusive"
    assert found.effect.estimate == pytest.approx(0.02)
    assert verdict(compare((b + 10 + b) / 2).effect) == "supported"


def test_better_than_all_is_as_sure_as_the_least_sure():
    draws = np.random.default_rng(4).normal(size=(3, 6)) + np.array([[2.0], [3.0], [4.0]])
    differences = dict(zip("abc", draws, strict=True))
    _, found = best(differences)
    alone = [compare(each) for each in differences.values()]
    assert found.p == max(each.p for each in alone)
    assert found.effect.low == min(each.effect.low for each in alone)


def test_not_the_best_is_bonferroni_s():
    differences = {"a": [-2.0, -1, -2, -1.5], "b": [3.0, 1, 2, 2], "c": [0.5, 0, -0.5, 0.1]}
    name, found = best(differences)
    assert name == "a"
    plain = stats.ttest_1samp(differences["a"], 0)
    assert found.p == pytest.approx(3 * plain.pvalue)
    assert found.effect.high == pytest.approx(plain.confidence_interval(1 - 0.05 / 3).high)
    assert verdict(found.effect) == "contradicted"
    error = np.std(differences["b"], ddof=1) / 2  # the least exact of the three
    assert found.smallest == pytest.approx(smallest_effect(error, 4, 0.05 / 3))


def test_one_other_is_a_plain_comparison():
    values = [1.0, 2.0, 4.0, 3.0]
    name, found = compare_best({"a": values}, {"a": 0.7})
    assert (name, found) == ("a", compare(values, floor=0.7))


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.lists(FINITE, min_size=4, max_size=4), min_size=1, max_size=4),
    floor=st.floats(0.01, 10),
)
def test_the_interval_of_the_best_agrees_with_its_p(values, floor):
    differences = {str(k): each for k, each in enumerate(values)}
    _, found = compare_best(differences, dict.fromkeys(differences, floor))
    assert found.effect.low <= found.effect.estimate <= found.effect.high
    if abs(found.p - 0.05) > 1e-6:
        assert (verdict(found.effect) != "inconclusive") == (found.p < 0.05)


@pytest.mark.parametrize("truth", [(0.0, 0.0, 0.0), (0.0, 2.0, 2.0), (1.0, 1.5, 8.0)])
def test_the_interval_of_the_best_covers_the_true_difference_to_the_best(truth):
    rng = np.random.default_rng(5)
    below = above = 0
    for _ in range(600):
        ours = rng.normal(size=5)
        _, found = best({str(k): ours - rng.normal(size=5) + t for k, t in enumerate(truth)})
        below += found.effect.high < min(truth)
        above += found.effect.low > min(truth)
    assert above / 600 <= 0.045
    assert below / 600 <= 0.045


def test_others_have_the_same_pairs():
    with pytest.raises(ValueError, match="same pairs"):
        best({"a": [1.0, 2, 3], "b": [1.0, 2]})


def test_floors_hold_for_the_best_too():
    differences = {"a": [1.0, 1.0, 1.0], "b": [2.0, 2.0, 2.0]}
    assert verdict(best(differences)[1].effect) == "supported"
    assert verdict(best(differences, a=1.0, b=1.0)[1].effect) == "inconclusive"


# Correction, verdicts


def test_benjamini_and_hochberg_by_hand():
    # Sorted .01 .02 .04 .20, times 4 / rank: .04 .04 .0533 .20.
    assert corrected([0.2, 0.01, 0.04, 0.02]) == pytest.approx([0.2, 0.04, 0.04 * 4 / 3, 0.04])
    assert corrected([]) == []
    assert corrected([0.03]) == [0.03]


@pytest.mark.parametrize(
    ("low", "high", "n", "expected"),
    [
        (0.1, 5.0, 5, "supported"),
        (-5.0, -0.1, 5, "contradicted"),
        (-1.0, 5.0, 5, "inconclusive"),
        (0.0, 5.0, 5, "inconclusive"),
        (-5.0, 0.0, 5, "inconclusive"),
        (0.1, 5.0, 3, "supported"),
        (0.1, 5.0, 2, "inconclusive"),
        (-5.0, -0.1, 2, "inconclusive"),
        (5.0, 6.0, 1, "inconclusive"),
    ],
)
def test_verdict(low, high, n, expected):
    assert verdict(interval(low, high, n)) == expected


def test_bad_input_is_refused():
    for values in ([], [1.0, math.nan], [math.inf, 1.0], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="finite"):
            mean_interval(values)
        with pytest.raises(ValueError, match="finite"):
            compare(values)


def test_a_range_is_tested_by_tukey_s_method_with_samples_as_blocks():
    rng = np.random.default_rng(0)
    blocks = rng.normal(0, 50, 6)  # differences between samples are no noise
    shifts = {"a": 0, "b": 3, "c": 1}
    values = {name: blocks + shift + rng.normal(0, 1, 6) for name, shift in shifts.items()}
    (high, low), found = compare_range(values)
    assert (high, low) == ("b", "a")
    table = np.stack(list(values.values()))
    left = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    error = np.sqrt((left**2).sum() / (2 * 5) / 6)
    effect = table.mean(1).max() - table.mean(1).min()
    assert found.p == pytest.approx(stats.studentized_range.sf(effect / error, 3, 10))
    assert found.effect.estimate == pytest.approx(effect)
    assert (found.effect.low > 0) == (found.p < 0.05)
    assert found.smallest > effect - found.effect.low


def test_a_range_of_two_values_is_the_paired_t_test():
    one, other = np.array([1.0, 2.0, 4.0, 3.0]), np.array([0.0, 2.5, 1.0, 1.0])
    (high, low), found = compare_range({"one": one, "other": other})
    paired = compare(one - other)
    assert (high, low) == ("one", "other")
    assert found.p == pytest.approx(paired.p, rel=1e-3)
    assert found.effect.low == pytest.approx(paired.effect.low, rel=1e-3)


def test_a_range_of_nothing_but_noise_is_seldom_beyond_it():
    rng = np.random.default_rng(1)
    found = [
        compare_range({str(k): rng.normal(size=5) for k in range(6)})[1].p < 0.05
        for _ in range(100)
    ]
    assert 0 < sum(found) < 13


def test_a_range_of_few_samples_has_no_test_and_one_value_is_refused():
    _, found = compare_range({"a": [1.0, 2.0], "b": [3.0, 5.0]})
    assert found.p is None
    assert not np.isfinite(found.effect.low)
    with pytest.raises(ValueError, match="two or more values"):
        compare_range({"a": [1.0, 2.0, 3.0]})


def test_a_range_of_equal_differences_has_the_test_sets_error():
    steady = {"a": [2.0, 3.0, 4.0], "b": [1.0, 2.0, 3.0]}
    assert compare_range(steady)[1].p == 0
    assert compare_range(steady, floor=2.0)[1].p > 0.5
