"""Clips that contrastive pre-trainings can tell apart: a bar on the move, over a still ground."""

import pytest
import torch

from kdlib import models
from kdlib.clips.batches import Batch
from kdlib.clips.pixels import to_float


def bar(video, start, stride, frames=8, size=16):
    """A clip uint8 (T, H, W, 3): a bar that moves a pixel a frame, in the colours of its video."""
    draw = torch.Generator().manual_seed(video)
    ground = torch.randint(0, 60, (size, size, 3), generator=draw)
    colour = torch.randint(120, 256, (3,), generator=draw)
    clip = ground.repeat(frames, 1, 1, 1)
    for frame in range(frames):
        clip[frame, :, (start + frame * stride + 3 * video) % size] = colour
    return clip.to(torch.uint8)


@pytest.fixture
def moving():
    """A maker of batches without labels; clips: a start and a stride each, the first one first."""

    def make(*clips, videos=12):
        shown = [
            to_float(torch.stack([bar(v, start + v, stride) for v in range(videos)]))
            for start, stride in clips
        ]
        return Batch(shown[0], None, torch.arange(videos), tuple(shown[1:]))

    return make


@pytest.fixture
def small3d():
    """A maker of small 3-D students, equal for equal seeds."""

    def make(seed=0, width=4):
        torch.manual_seed(seed)
        return models.build("c3d", 3, width=width)

    return make
