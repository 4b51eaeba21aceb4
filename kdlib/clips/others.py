"""Further clips of a video beside the first, for methods that compare several of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
        place is drawn (VCOP). None draws each clip's start by itself; where nothing is drawn, clips
        are spread over the video.
    own_view: whether each clip has a crop and mirroring of its own (CVRL), not those of the first.
    again: whether the first of the others has the frames of the first clip (TDL), which makes one
        more than there are strides.
    """

    strides: tuple[int, ...]
    gap: int | None = None
    own_view: bool = False
    again: bool = False

    def __post_init__(self) -> None:
        if not self.strides or min(self.strides) < 1:
            raise UserError(f"others.strides: one or more, each at least 1, not {self.strides}")
        if self.gap is not None and self.gap < 0:
            raise UserError(f"others.gap: 0 or more frames, not {self.gap}")

    @property
    def count(self) -> int:
        """How many clips come with the first."""
        return len(self.strides) + self.again


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
    places = [generator.random((len(lengths), 1)) for _ in range(_placed(others))]
    return _clips(lengths, sampling, others, places)


def fixed_clips(lengths: np.ndarray, sampling: Sampling, others: Others | None) -> list[np.ndarray]:
    """Fixed frame indices int64 (B, views, T) for videos of `lengths` (B,) frames, likewise."""
    if others is None:
        return [test_frames(lengths, sampling)]
    placed, by_view = _placed(others), []
    middles = view_places(sampling.views * placed)
    for view in range(0, len(middles), placed):
        places = [np.full((len(lengths), 1), middle) for middle, _ in middles[view:][:placed]]
        by_view.append(_clips(lengths, sampling, others, places, middles[0][1]))
    return [np.stack(clip, axis=1) for clip in zip(*by_view, strict=True)]


def _placed(others: Others) -> int:
    """How many places a drawing of a video has: one, of a whole sequence, or one a stride."""
    return 1 if others.gap is not None else 1 + len(others.strides)


def _clips(
    lengths: np.ndarray,
    sampling: Sampling,
    others: Others,
    places: Sequence[np.ndarray],
    of: int = 1,
) -> list[np.ndarray]:
    """Frame indices (B, T) of every clip, each at its place (B, 1) in [0, of) of the possible
    starts, or all together at the one place there is."""
    if sampling.kind != "dense":
        raise UserError(f"others: further clips need dense sampling, not {sampling.kind!r}")
    clips = _strided(sampling, others)
    if others.gap is None:
        found = [frames_at(lengths, *clip, of) for clip in zip(clips, places, strict=True)]
    else:
        offsets = np.cumsum([0, *(clip.span + others.gap for clip in clips[:-1])])
        length = np.asarray(lengths, dtype=np.int64)[:, None]
        start = start_at(length, span(sampling, others), places[0], of)
        found = [
            (start + offset + np.arange(clip.frames) * clip.stride) % length
            for clip, offset in zip(clips, offsets, strict=True)
        ]
    return [*found[:1], *found] if others.again else found


def _strided(sampling: Sampling, others: Others) -> list[Sampling]:
    """How the frames of the first and of every other clip are chosen."""
    return [replace(sampling, stride=stride) for stride in (sampling.stride, *others.strides)]
