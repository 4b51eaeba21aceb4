"""Tiny data and models that several tests share."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from kdlib import models
from kdlib.clips.augmentation import Augmentation
from kdlib.clips.batches import ClipSource
from kdlib.clips.sampling import Sampling
from kdlib.data import manifest as manifests
from kdlib.data.videos import Videos
from kdlib.runs.datasets import Datasets
from kdlib.runs.engine import run_all
from kdlib.runs.plan import plan
from kdlib.runs.store import RunStore, run_key

torch.set_num_threads(1)

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


def make_videos(count=24, frames=4, size=16, classes=3, seed=0) -> Videos:
    """Videos whose colour is their class: learnt in a few steps."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    pixels = draw.integers(0, 60, (count, frames, size, size, 3))
    for index, label in enumerate(labels):
        pixels[index, ..., label % 3] += 150
    return Videos(
        pixels.reshape(-1, size, size, 3).astype(np.uint8),
        np.arange(count) * frames,
        np.full(count, frames),
        labels.astype(np.int64),
        np.arange(count) // 4,
        tuple(f"class {k}" for k in range(classes)),
    )


@pytest.fixture
def videos() -> Videos:
    return make_videos()


@pytest.fixture
def source(videos) -> ClipSource:
    return ClipSource(videos, Sampling("segments", 4), Augmentation(crop="shift"), 16)


@pytest.fixture
def tiny():
    """A maker of tiny TSN students, equal for equal seeds."""

    def make(seed=0, classes=3, **options):
        torch.manual_seed(seed)
        return models.build("tsn", classes, width=4, **options)

    return make


@pytest.fixture
def small_set(tmp_path, monkeypatch):
    """The one real set that has a manifest: 16 images in data/mine, below the folder returned."""
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/mine.yaml").write_text(MANIFEST)
    shutil.copytree(manifests.MANIFESTS / "generated", tmp_path / "manifests/generated")
    monkeypatch.setattr(manifests, "MANIFESTS", tmp_path / "manifests")
    draw = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 2)):
        for label in ("jump", "wave"):
            folder = tmp_path / "data/mine" / part / label
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(0, 256, (20, 24, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path


@pytest.fixture
def trained(tmp_path):
    """A function that plans and trains specs, and gives their records."""

    def train(*specs):
        store, datasets = RunStore(tmp_path / "store"), Datasets(tmp_path / "cache")
        keys = datasets.keys(specs)
        missing, _ = plan(specs, store, "cpu", keys)
        outcome = run_all(missing, store, datasets, device="cpu", jobs=1)
        assert outcome.failed == {}
        return [store.find(run_key(spec, "cpu", keys)) for spec in specs]

    return train
