"""Batches of clips on the device: videos, frames and geometry, all drawn from a seed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from kdlib.clips.augmentation import Augmentation
from kdlib.clips.known import known_of
from kdlib.clips.others import Others, fixed_clips, training_clips
from kdlib.clips.sampling import Sampling, frames_at
from kdlib.clips.view import View, centre_view, draw_view
from kdlib.data.videos import Videos
from kdlib.errors import UserError

# Batches are read together up to so many values: of small clips the calls cost more than the work.
_TOGETHER = 1 << 20


@dataclass(frozen=True)
class Batch:
    """What a method receives.

    clips: float (B, 3, T, H, W), normalised. labels: as `Videos` has them, (B, ...); None where
    they are withheld. indices: (B,) into the split, on the CPU. others: more clips of the same
    videos, each (B, 3, T, H, W), as `Others` says. known: by name, "flow" (B, T - 1, 2, H, W) in
    pixels a frame, "boxes" (B, A, 4) of the middle frame, x1 y1 x2 y2 in pixels, all 0 for no
    actor, or "posterior" float32 (B, K), the true probability of each label of a training clip.
    fixed: whether they are training clips that are the same at every epoch.
    """

    clips: Tensor
    labels: Tensor | None
    indices: Tensor
    others: tuple[Tensor, ...] = ()
    known: Mapping[str, Tensor] = field(default_factory=dict)
    fixed: bool = False

    @property
    def required_labels(self) -> Tensor:
        """The labels; UserError if they are withheld."""
        if self.labels is None:
            raise UserError("data.labels: withheld, and this training needs them")
        return self.labels

    def split(self, sizes: Sequence[int]) -> Iterator["Batch"]:
        """Batches of so many rows each, one after another; they share its memory."""
        sizes = list(sizes)
        labels = [None] * len(sizes) if self.labels is None else self.labels.split(sizes)
        others = zip(*(clips.split(sizes) for clips in self.others), strict=True)
        known = {name: values.split(sizes) for name, values in self.known.items()}
        for place, clips in enumerate(self.clips.split(sizes)):
            yield Batch(
                clips,
                labels[place],
                self.indices.split(sizes)[place],
                next(others, ()),
                {name: values[place] for name, values in known.items()},
                self.fixed,
            )


@dataclass(frozen=True)
class ClipSource:
    """How clips are drawn from videos: which frames, which geometry, and what comes with them.

    size: pixels of the clips, square. others, known: as in `Batch`. labels: false withholds them.
    """

    videos: Videos
    sampling: Sampling
    augmentation: Augmentation
    size: int
    others: Others | None = None
    known: tuple[str, ...] = ()
    labels: bool = True

    @property
    def fixed(self) -> bool:
        """Whether nothing of a training clip is drawn, neither frames nor geometry."""
        lengths = self.videos.lengths
        shape = (len(lengths), self.sampling.frames if self.sampling.kind == "segments" else 1)
        first, last = (
            frames_at(lengths, self.sampling, np.full(shape, place)) for place in (0.0, 1 - 1e-6)
        )
        drawn = self.augmentation.mirror or self.augmentation.crop != "none"
        return not drawn and np.array_equal(first, last)


class OtherSource(Protocol):
    """A source that reads the clips of given videos itself (`kdlib.clips.datasets`)."""

    @property
    def videos(self) -> Any: ...  # noqa: D102

    def batches(  # noqa: D102
        self, parts: Sequence[np.ndarray], device: torch.device
    ) -> Iterator[Batch]: ...


def training_batches(
    source: ClipSource | OtherSource,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    device: torch.device,
    indices: np.ndarray | None = None,
    repeats: int = 1,
) -> Iterator[Batch]:
    """The epoch's batches in an order, frames and geometry that (seed, epoch) alone determine.

    indices: the videos to use, all by default. The last, smaller batch is left out unless it is the
    only one: batch norm on a few clips is noise. repeats: clips of each video of a batch, each with
    frames and a geometry of its own (repeated augmentation, Hoffer et al. 2020).
    """
    chosen = np.arange(len(source.videos)) if indices is None else indices
    draw = np.random.default_rng([seed, epoch])
    order = draw.permutation(chosen)
    places = range(0, batches_per_epoch(len(order), batch_size) * batch_size, batch_size)
    parts = [np.repeat(order[place : place + batch_size], repeats) for place in places]
    if not isinstance(source, ClipSource):
        yield from source.batches(parts, device)
        return
    geometry = torch.Generator(device).manual_seed(int(draw.integers(2**62)))
    height, width = source.videos.frames.shape[1:3]
    fixed = source.fixed
    values = 3 * source.sampling.frames * source.size**2 * batch_size * repeats
    for group in _groups(parts, max(_TOGETHER // values, 1)):
        index = np.concatenate(group)
        lengths = source.videos.lengths[index]
        frames = training_clips(lengths, source.sampling, source.others, draw)
        own = len(frames) if source.others and source.others.own_view else 1
        views = [
            draw_view(source.augmentation, len(index), height, width, source.size, geometry)
            for _ in range(own)
        ]
        whole = replace(_batch(source, index, frames, views, device), fixed=fixed)
        yield from whole.split([len(part) for part in group])


def _groups(parts: list[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    for start in range(0, len(parts), size):
        yield parts[start : start + size]


def batches_per_epoch(videos: int, batch_size: int) -> int:
    """Full batches among so many videos; one smaller batch if there is no full one."""
    return max(videos // batch_size, 1)


def ordered_batches(
    source: ClipSource | OtherSource,
    device: torch.device,
    videos: int = 64,
    indices: np.ndarray | None = None,
) -> Iterator[Batch]:
    """Videos in order, so many at once, at the test frames and the centre crop.

    A row a clip: the `views` clips of a video, as the sampling says, one after another.
    indices: the videos, all by default.
    """
    order = np.arange(len(source.videos)) if indices is None else indices
    places = range(0, len(order), videos)
    if not isinstance(source, ClipSource):
        yield from source.batches([order[place : place + videos] for place in places], device)
        return
    views = source.sampling.views
    height, width = source.videos.frames.shape[1:3]
    for start in places:
        index = order[start : start + videos]
        frames = fixed_clips(source.videos.lengths[index], source.sampling, source.others)
        view = centre_view(len(index) * views, height, width, source.size)
        flat = [clip.reshape(len(index) * views, -1) for clip in frames]
        yield _batch(source, np.repeat(index, views), flat, [view], device)


def _batch(
    source: ClipSource,
    index: np.ndarray,
    frames: Sequence[np.ndarray],
    views: Sequence[View],
    device: torch.device,
) -> Batch:
    """The batch of videos `index` (B,) at frames (B, T), of the first clip and of each other."""
    videos = source.videos
    first, *others = (
        views[min(place, len(views) - 1)].pixels(
            videos.clips(index, clip).to(device, non_blocking=True)
        )
        for place, clip in enumerate(frames)
    )
    labels = None
    if source.labels:
        labels = torch.from_numpy(videos.labels[index]).to(device, non_blocking=True)
    known = {
        name: known_of(name, videos, index, frames[0], views[0]).to(device) for name in source.known
    }
    return Batch(first, labels, torch.from_numpy(index), tuple(others), known)
