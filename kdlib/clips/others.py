"""Further clips of a video beside the first, for methods that compare several of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from kdlib.clips.sampling import (
    Sampling,
    frames_at,
    start_at,
    test_frames,
    training_frames,
    view_places,
)
from kdlib.errors import UserError


@dataclass(frozen=True)
class Others:
    """More clips of each video, all of as many frames as the first.

    strides: source frames between neighbours, a number a clip (RSPNet's speeds).
    gap: source frames between the end of a clip and the start of the next: one sequence, whose
        place is drawn (VCOP). None draws each clip's start by itself.
    own_view: whether each clip has a crop and mirroring of its own (CVRL), not those of the first.
    """

    strides: tuple[int, ...]
    gap: int | None = None
    own_view: bool = False

    def __post_init__(self) -> None:
        if not self.strides or min(self.strides) < 1:
            raise UserError(f"others.strides: one or more, each at least 1, not {self.strides}")
        if self.gap is not None and self.gap < 0:
            raise UserError(f"others.gap: 0 or more frames, not {self.gap}")


def span(sampling: Sampling, others: Others | None) -> int:
    """Source frames from the first to the last frame that is drawn of a video long enough."""
    if others is None:
        return sampling.span
    spans = [clip.span for clip in _strided(sampling, others)]
    return max(spans) if others.gap is None else sum(spans) + others.gap * len(others.strides)


def training_clips(
    lengths: np.ndarray, sampling: Sampling, others: Others | None, generator: np.random.Generator
) -> list[np.ndarray]:
    """Random frame indices int64 (B, T) for videos of `lengths` (B,) frames: first, then others."""
    if others is None:
        return [training_frames(lengths, sampling, generator)]
    return _clips(lengths, sampling, others, lambda: generator.random((len(lengths), 1)))


def fixed_clips(lengths: np.ndarray, sampling: Sampling, others: Others | None) -> list[np.ndarray]:
    """Fixed frame indices int64 (B, views, T) for videos of `lengths` (B,) frames, likewise."""
    if others is None:
        return [test_frames(lengths, sampling)]
    by_view = [
        _clips(lengths, sampling, others, partial(np.full, (len(lengths), 1), place), of)
        for place, of in view_places(sampling.views)
    ]
    return [np.stack(clip, axis=1) for clip in zip(*by_view, strict=True)]


def _clips(
    lengths: np.ndarray,
    sampling: Sampling,
    others: Others,
    position: Callable[[], np.ndarray],
    of: int = 1,
) -> list[np.ndarray]:
    """Frame indices (B, T) of every clip, at positions (B, 1) in [0, of) of its possible starts."""
    if sampling.kind != "dense":
        raise UserError(f"others: further clips need dense sampling, not {sampling.kind!r}")
    clips = _strided(sampling, others)
    if others.gap is None:
        return [frames_at(lengths, clip, position(), of) for clip in clips]
    offsets = np.cumsum([0, *(clip.span + others.gap for clip in clips[:-1])])
    length = np.asarray(lengths, dtype=np.int64)[:, None]
    start = start_at(length, span(sampling, others), position(), of)
    return [
        (start + offset + np.arange(clip.frames) * clip.stride) % length
        for clip, offset in zip(clips, offsets, strict=True)
    ]


def _strided(sampling: Sampling, others: Others) -> list[Sampling]:
    """How the frames of the first and of every other clip are chosen."""
    return [replace(sampling, stride=stride) for stride in (sampling.stride, *others.strides)]
