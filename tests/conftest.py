"""Tiny data and models that several tests share."""

import numpy as np
import pytest
import torch

from kdlib import models
from kdlib.data.augment import Augmentation
from kdlib.data.sampling import Sampling
from kdlib.data.videos import Videos
from kdlib.training.batches import ClipSource

torch.set_num_threads(1)


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
