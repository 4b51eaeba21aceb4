"""The videos that a chapter's lessons show."""

from collections.abc import Hashable

import numpy as np
import torch
from torch import Tensor

from kdlib.data.videos import Videos
from kdlib.study.chapter import Chapter


def videos_of(chapter: Chapter, artifact: str, label: Hashable, split: str) -> Videos:
    """The videos of the first run of an artifact's label."""
    spec = chapter.study(artifact).runs[label][0]
    return chapter.setting.datasets.load(spec.data)[split]


def whole_clip(videos: Videos, index: int) -> Tensor:
    """All frames of a video as a clip, float (1, 3, T, H, W), 0 to 255."""
    start = videos.starts[index]
    frames = np.array(videos.frames[start : start + videos.lengths[index]])
    return torch.from_numpy(frames).float().movedim(-1, 0)[None]
