import numpy as np
import pytest
from PIL import Image

from kdlib.data import manifest as manifests
from kdlib.study.datasets import Datasets
from kdlib.study.plan import training_videos
from kdlib.study.spec import DataSpec

MANIFEST = """\
name: mine
title: Waving and jumping
homepage: https://example.org
terms: Mine.
obtain: Film it yourself.
media: images
classes: [jump, wave]
layout: {kind: folders}
splits: {all: {train: 12, test: 4}}
"""


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    """One small set of images."""
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/mine.yaml").write_text(MANIFEST)
    monkeypatch.setattr(manifests, "MANIFESTS", tmp_path / "manifests")
    for part, count in (("train", 6), ("test", 2)):
        for label in ("jump", "wave"):
            folder = tmp_path / "data/mine" / part / label
            folder.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(np.full((8, 8, 3), 9 * i, np.uint8)).save(folder / f"{i}.png")
    return Datasets(tmp_path / "cache", tmp_path / "data")


def test_a_real_set_brings_all_its_videos_or_as_many_as_are_asked_for(datasets):
    whole = datasets.load(DataSpec("mine", frames=1, size=8))
    part = datasets.load(DataSpec("mine", frames=1, size=8, train=4, test=100, seed=3))
    assert sum(map(len, whole.values())) == 16
    assert np.bincount(part["train"].labels).tolist() == [2, 2]
    assert [len(part[name]) for name in ("validation", "test")] == [
        len(whole[name]) for name in ("validation", "test")
    ]


@pytest.mark.parametrize(("asked", "planned"), [(0, 12), (4, 4), (100, 12)])
def test_the_plan_counts_the_videos_that_are_taken(datasets, asked, planned):
    assert training_videos(DataSpec("mine", train=asked)) == planned
