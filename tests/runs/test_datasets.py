import numpy as np
import pytest

from kdlib.data import generated
from kdlib.data.generated import GeneratedSpec
from kdlib.errors import UserError
from kdlib.runs.datasets import Datasets
from kdlib.runs.size import videos
from kdlib.runs.spec import DataSpec, parse


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


def test_overlap_and_label_noise_reach_the_generator(tmp_path):
    data = DataSpec(
        "generated/mix12", train=24, test=12, frames=2, size=8, overlap=0.8, label_noise=0.25
    )
    loaded = Datasets(tmp_path).load(data)
    spec = GeneratedSpec("mix12", 0, frames=2, size=8, overlap=0.8, label_noise=0.25)
    for split, found in loaded.items():
        made = generated.videos(spec, split, len(found))
        np.testing.assert_array_equal(found.frames, made.frames)
        np.testing.assert_array_equal(found.labels, made.labels)
        np.testing.assert_array_equal(found.factors["posterior"], made.factors["posterior"])


def test_generated_videos_may_be_longer_than_a_clip(tmp_path):
    data = DataSpec("generated/mix12", train=2, test=1, frames=2, size=8, length=7)
    loaded = Datasets(tmp_path).load(data)
    assert all(set(videos.lengths) == {7} for videos in loaded.values())
    with pytest.raises(UserError, match=r"data\.length: of generated sets only"):
        DataSpec("cifar100", length=4)


@pytest.mark.parametrize("knob", ["overlap", "label_noise"])
def test_overlap_and_label_noise_are_shares_and_of_generated_sets_only(knob):
    with pytest.raises(UserError, match=rf"data\.{knob}: of generated sets only, not of cifar100"):
        DataSpec("cifar100", **{knob: 0.1})
    with pytest.raises(UserError, match=rf"data\.{knob}: .* less than or equal to 1, got 1.5"):
        parse(DataSpec, {"name": "generated/mix12", "train": 1, knob: 1.5}, "data")
