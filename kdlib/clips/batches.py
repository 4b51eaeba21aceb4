"""Batches of clips on the device: videos, frames and augmentation, all drawn from a seed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from kdlib.clips.augmentation import Augmentation
from kdlib.clips.sampling import Sampling, test_frames, training_frames
from kdlib.clips.view import centre_view, draw_view
from kdlib.data.videos import Videos


@dataclass(frozen=True)
class Batch:
    """clips float (B, 3, T, H, W); labels (B,) or multi-hot (B, K); indices (B,) into the split."""

    clips: Tensor
    labels: Tensor
    indices: Tensor


@dataclass(frozen=True)
class ClipSource:
    """How clips are drawn from videos: frames by `sampling`, pixels by `augmentation` at `size`."""

    videos: Videos
    sampling: Sampling
    augmentation: Augmentation
    size: int


def training_batches(
    source: ClipSource,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    device: torch.device,
    indices: np.ndarray | None = None,
) -> Iterator[Batch]:
    """The epoch's batches in an order, frames and crops that (seed, epoch) alone determine.

    indices: the videos to use, all by default. The last, smaller batch is left out unless it is the
    only one: batch norm on a few clips is noise.
    """
    chosen = np.arange(len(source.videos)) if indices is None else indices
    draw = np.random.default_rng([seed, epoch])
    order = draw.permutation(chosen)
    pixels = torch.Generator(device).manual_seed(int(draw.integers(2**62)))
    for start in range(0, batches_per_epoch(len(order), batch_size) * batch_size, batch_size):
        index = order[start : start + batch_size]
        frames = training_frames(source.videos.lengths[index], source.sampling, draw)
        clips = source.videos.clips(index, frames).to(device, non_blocking=True)
        view = draw_view(source.augmentation, *_stored(clips), source.size, pixels)
        yield Batch(
            view.pixels(clips),
            torch.from_numpy(source.videos.labels[index]).to(device, non_blocking=True),
            torch.from_numpy(index),
        )


def batches_per_epoch(videos: int, batch_size: int) -> int:
    """Full batches among so many videos; one smaller batch if there is no full one."""
    return max(videos // batch_size, 1)


def plain_batches(
    source: ClipSource, device: torch.device, batch_size: int = 64
) -> Iterator[Batch]:
    """All training videos in order, one clip each, at the test frames and the centre crop."""
    one_view = replace(source, sampling=replace(source.sampling, views=1))
    for index, clips in test_clips(one_view, batch_size, device):
        labels = torch.from_numpy(source.videos.labels[index]).to(device, non_blocking=True)
        yield Batch(clips[:, 0], labels, torch.from_numpy(index))


def test_clips(
    source: ClipSource, batch_size: int, device: torch.device
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """All videos in order, as (indices (B,), clips float (B, views, 3, T, H, W))."""
    for start in range(0, len(source.videos), batch_size):
        index = np.arange(start, min(start + batch_size, len(source.videos)))
        frames = test_frames(source.videos.lengths[index], source.sampling)
        views = frames.shape[1]
        clips = source.videos.clips(np.repeat(index, views), frames.reshape(len(index) * views, -1))
        pixels = centre_view(*_stored(clips), source.size).pixels(clips.to(device))
        yield index, pixels.unflatten(0, (len(index), views))


def _stored(clips: Tensor) -> tuple[int, int, int]:
    """Number, height and width of stored clips (B, T, H, W, 3)."""
    return len(clips), clips.shape[2], clips.shape[3]
