import math

import numpy as np
import pytest

from kdlib.analysis.statistics import compare, verdict
from kdlib.study import tables


def test_several_seeds_give_a_t_interval_and_pair_by_seed(record):
    ours = [record(s, right, 1000) for s, right in enumerate((700, 800, 900))]
    theirs = [record(s, right, 1000) for s, right in enumerate((500, 640, 670))]
    assert tables.accuracy(ours).estimate == pytest.approx(80)
    gain = tables.gain(ours, theirs)
    expected = compare([20.0, 16.0, 23.0]).effect
    assert (gain.estimate, gain.low, gain.high) == pytest.approx(
        (expected.estimate, expected.low, expected.high)
    )
    assert gain.n == 3


def test_an_accuracy_is_within_what_is_possible(record):
    found = tables.accuracy([record(s, right) for s, right in enumerate((8, 10, 10))])
    assert found.high == 100


@pytest.mark.parametrize("task", ["classification", "multi_label", "detection"])
def test_one_seed_says_nothing_of_the_spread(record, task):
    ours, theirs = ([record(0, right, task=task)] for right in (7, 4))
    if task == "multi_label":  # as their records have them: no classes predicted, labels multi-hot
        for one in (*ours, *theirs):
            one.traces = {"labels": np.eye(10, 3)}
    assert str(tables.accuracy(ours)) == "70.0"
    assert str(tables.gain(ours, theirs)) == "+30.0"
    assert tables.row(ours, theirs)["gain"].n == 1


def test_the_cells_of_a_row_are_numbers_and_intervals(record):
    row = tables.row([record(s, 7) for s in range(3)])
    assert (row["gain"], row["n"], row["MMACs"]) == (None, 3, 4.73)
    assert row["top-1 %"].estimate == pytest.approx(70)


def test_equal_gains_are_no_certainty(record):
    # 9 of 10 against 5 of 10: four discordant clips a seed, all one way.
    ours, theirs = ([record(s, right) for s in range(3)] for right in (9, 5))
    found = tables.difference([ours], [theirs])
    assert found.floor == pytest.approx(100 * math.sqrt((0.4 - 0.4**2) / 10 / 3))
    assert found.effect.estimate == pytest.approx(40)
    assert found.effect.low == pytest.approx(40 - 4.302653 * found.floor, abs=1e-4)


def test_seeds_on_one_real_test_set_do_not_average_its_error_away(record):
    def floor(name):
        pair = [[record(s, right, name=name) for s in range(3)] for right in (9, 5)]
        return tables.difference([pair[0]], [pair[1]]).floor

    assert floor("jhmdb21") == pytest.approx(math.sqrt(3) * floor("generated/mix12"))


def test_real_sets_of_other_scenes_are_other_test_sets(record):
    ours, theirs = ([record(s, r, name="cifar100") for s in range(3)] for r in (9, 5))
    together = tables.difference([ours], [theirs]).floor
    for seed, pair in enumerate(zip(ours, theirs, strict=True)):
        for one in pair:
            one.traces["groups"] = one.traces["groups"] + 100 * seed
    apart = tables.difference([ours], [theirs]).floor
    assert together == pytest.approx(math.sqrt(3) * apart)


def test_methods_of_one_seed_are_one_sample(record):
    ours = [[record(0, 9)] for _ in range(6)]
    theirs = [[record(0, 5)] for _ in range(6)]
    found = tables.difference(ours, theirs)
    assert (found.effect.n, found.p, verdict(found.effect)) == (1, None, "inconclusive")


def test_groups_are_averaged_within_a_seed(record):
    ours = [[record(s, r) for s, r in enumerate(rights)] for rights in ((9, 8, 7), (5, 6, 7))]
    theirs = [[record(s, 4) for s in range(3)] for _ in range(2)]
    found = tables.difference(ours, theirs)
    assert found.effect.n == 3
    assert found.effect.estimate == pytest.approx(30)
    # What both groups get right of the same clips counts half each: by hand, for each seed, the
    # variance over ten clips of the mean of two differences.
    variances = []
    for seed in range(3):
        hits = [tables.hits(g[seed]).astype(float) - tables.hits(theirs[0][seed]) for g in ours]
        variances.append(np.var((hits[0] + hits[1]) / 2) / 10)
    assert found.floor == pytest.approx(100 * math.sqrt(sum(variances)) / 3)


def test_another_task_has_no_floor(record):
    ours, theirs = ([record(s, r, task="detection") for s in range(3)] for r in (9, 5))
    assert tables.difference([ours], [theirs]).floor == 0


def test_the_best_other_is_tested(record):
    def runs(*rights):
        return [record(s, r, 1000) for s, r in enumerate(rights)]

    both, good, bad = runs(700, 705, 695), runs(702, 701, 699), runs(500, 505, 495)
    name, found = tables.difference_to_best([both], {"good": [good], "bad": [bad]})
    assert name == "good"
    assert verdict(found.effect) == "inconclusive"
    assert found.effect.estimate == pytest.approx(-0.2 / 3, abs=1e-9)
    # Against the mean of the two, as it once was asked, this was supported.
    pooled = (tables.accuracies(good) + tables.accuracies(bad)) / 2
    assert verdict(compare(tables.accuracies(both) - pooled).effect) == "supported"


def test_unequal_seeds_are_not_paired(record):
    with pytest.raises(ValueError, match="same seeds"):
        tables.gain([record(0, 7), record(1, 7)], [record(1, 7), record(0, 7)])
