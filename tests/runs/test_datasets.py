import numpy as np
import pytest

from kdlib.runs.datasets import Datasets
from kdlib.runs.size import videos
from kdlib.runs.spec import DataSpec


def test_a_real_set_brings_all_its_videos_or_as_many_as_are_asked_for(small_set):
    datasets = Datasets(small_set / "cache", small_set / "data")
    whole = datasets.load(DataSpec("mine", frames=1, size=8))
    part = datasets.load(DataSpec("mine", frames=1, size=8, train=4, test=100, seed=3))
    assert sum(map(len, whole.values())) == 16
    assert np.bincount(part["train"].labels).tolist() == [2, 2]
    assert [len(part[name]) for name in ("validation", "test")] == [
        len(whole[name]) for name in ("validation", "test")
    ]


@pytest.mark.usefixtures("small_set")
@pytest.mark.parametrize(("asked", "planned"), [(0, 12), (4, 4), (100, 12)])
def test_the_plan_counts_the_videos_that_are_taken(asked, planned):
    assert videos(DataSpec("mine", train=asked), "train") == planned
