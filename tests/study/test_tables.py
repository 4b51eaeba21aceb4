from types import SimpleNamespace

import numpy as np
import pytest

from kdlib.study import tables


def record(seed, right, count=10, task="classification"):
    """A record whose first `right` of `count` test videos are classified rightly."""
    labels = np.zeros(count, int)
    logits = np.zeros((count, 1, 2), np.float16)
    logits[:right, 0, 0] = 1
    logits[right:, 0, 1] = 1
    return SimpleNamespace(
        spec=SimpleNamespace(seed=seed, data=SimpleNamespace(asked=task)),
        result={"last": {"score": right / count}, "chosen": {"score": right / count}},
        traces={"logits_last": logits, "labels": labels, "groups": np.arange(count)},
    )


def test_several_seeds_give_a_t_interval_and_pair_by_seed():
    ours = [record(s, right) for s, right in enumerate((7, 8, 9))]
    theirs = [record(s, right) for s, right in enumerate((5, 6, 7))]
    assert tables.accuracy(ours).estimate == pytest.approx(80)
    gain = tables.gain(ours, theirs)
    assert (gain.estimate, gain.low, gain.high, gain.n) == pytest.approx((20, 20, 20, 3))


def test_one_seed_has_the_interval_of_its_test_videos():
    mean = tables.accuracy([record(0, 7)])
    assert mean.n == 1
    assert 35 < mean.low < 70 < mean.high < 93
    gain = tables.gain([record(0, 9)], [record(0, 4)])
    assert gain.estimate == pytest.approx(50)
    assert gain.low < 50 < gain.high


def test_one_seed_of_another_task_says_nothing_of_the_spread():
    ours, theirs = ([record(0, right, task="detection")] for right in (7, 4))
    assert tables.bounds(tables.accuracy(ours)) == "70.0"
    assert tables.bounds(tables.gain(ours, theirs), signed=True) == "+30.0"


def test_unequal_seeds_are_not_paired():
    with pytest.raises(ValueError, match="same seeds"):
        tables.gain([record(0, 7), record(1, 7)], [record(1, 7), record(0, 7)])
