"""Readings of made-up scores: every number in them is worked out here by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kdlib.analysis.statistics import smallest_effect
from kdlib.study import readings

UP, MIDDLE, LOW = (700, 800, 900), (640, 690, 790), (500, 640, 670)


@pytest.fixture
def group(record):
    """A maker of a training's records, by how many of 1,000 videos each seed has right."""
    return lambda rights: [record(seed, right, 1000) for seed, right in enumerate(rights)]


def test_the_largest_and_the_smallest_gain_are_told_with_their_intervals(group):
    low = group(LOW)
    pairs = {"a": (group(UP), low), "b": (group(MIDDLE), low), "c": (low, low)}
    # 20, 16, 23 points: mean 19.67, deviation 3.512, error 2.028, t(2) 4.303.
    assert readings.gains(pairs, "labels alone") == (
        "Over labels alone, “a” gains +19.7 [10.9, 28.4] points, beyond the noise; “c” gains "
        "least, +0.0 [0.0, 0.0] points, within the noise. Of 3 intervals 1 lie above 0 and 0 "
        "below it."
    )


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_are_not_judged(group, seeds):
    pairs = {"a": (group(UP[:seeds]), group(LOW[:seeds]))}
    assert "the noise" not in readings.gains(pairs, "labels alone")
    assert "nothing, whatever the differences: SEEDS=5" in readings.power(pairs)


def test_a_loss_beyond_the_noise_is_no_gain(group):
    pairs = {name: (group(LOW), group(UP)) for name in "abc"}
    assert "0 lie above 0 and 3 below it" in readings.gains(pairs, "x")


def test_power_names_the_smallest_effect_and_the_seeds_for_another(group):
    pairs = {"a": (group(UP), group(LOW))}
    least = smallest_effect(np.std([20, 16, 23], ddof=1) / np.sqrt(3), 3)
    needed = readings.seeds_for(1.5, least, 3)
    assert readings.power(pairs) == (
        f"Over 3 seeds effects from {least:.1f} points up would have been found (80 % power); for "
        f"1.5 points a typical row would need about {needed} seeds."
    )


@pytest.mark.parametrize(("spread", "effect"), [(3.0, 1.5), (3.0, 3.0), (10.0, 1.5), (0.4, 1.5)])
@pytest.mark.parametrize("n", [3, 5, 20])
def test_so_many_seeds_have_the_power_and_one_less_has_not(spread, effect, n):
    needed = readings.seeds_for(effect, smallest_effect(spread / np.sqrt(n), n), n)

    def power(count):
        noncentrality = effect / (spread / np.sqrt(count))
        return stats.nct.sf(stats.t.ppf(0.975, count - 1), count - 1, noncentrality)

    assert power(needed) >= 0.8 - 1e-9
    assert needed == 2 or power(needed - 1) < 0.8


def test_half_a_deviation_takes_the_textbooks_34_pairs():
    assert readings.seeds_for(0.5, smallest_effect(1 / np.sqrt(10), 10), 10) == 34
    assert readings.seeds_for(0.001, 10.0, 5) is None


def test_a_default_is_put_to_the_best_other_value(group):
    values = {"0.1": [group(LOW), group(LOW)], "0.5": [group(UP)] * 2, "0.9": [group(MIDDLE)] * 2}
    said = readings.best_value(values, "0.5", "two pairs")
    assert said.startswith(
        "The mean of two pairs is highest at 0.5 (80.0 %) and lowest at 0.1 (60.3 %). "
        "The default, 0.5, less the best other value, 0.9: +9.3 ["
    )


def test_a_span_names_both_ends():
    assert readings.span({"a": 2.0, "b": 1234.5, "c": 0.25}, "s") == "0.25 s (c) to 1,234 s (b)"


def test_failing_controls_are_named():
    table = pd.DataFrame({"control": ["a", "b", "c"], "holds": ["yes", "no", "no"]})
    found = readings.controls(table, {}).found
    assert found == (
        "1 of 3 controls hold. These do not: b, c; what rests on them is not testable here."
    )
    whole = table.assign(holds="yes")
    assert readings.controls(whole, {}).found == "3 of 3 controls hold."
