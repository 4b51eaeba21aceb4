"""Clips of a torch `Dataset` of one's own, as a training reads them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kdlib.clips.batches import Batch, ClipSource
from kdlib.clips.pixels import to_float
from kdlib.clips.sampling import Sampling
from kdlib.errors import UserError

_SLACK = 0.1  # by which a resize may overshoot 0 and 1


@dataclass(frozen=True)
class DatasetSource:
    """The clips of a map-style `Dataset`, whose own business are frames, crops and augmentation.

    videos: item i is (clip, label), or a clip alone for a training without labels. A clip is
        (T, H, W, 3) or (3, T, H, W), a tensor or an array, all clips of one shape; a label is the
        number of a class, or multi-hot (K,).
    normalised: false takes bytes, or floats from 0 to 1, and normalises them as all clips here
        (`kdlib.clips.pixels.to_float`); true takes floats as they are.
    workers: processes that read ahead. classes: labels lie below; None does not check that.
    """

    videos: Any
    normalised: bool = False
    workers: int = 0
    classes: int | None = None

    @property
    def sampling(self) -> Sampling:
        """One clip a video."""
        return Sampling(views=1)

    def batches(self, parts: Sequence[np.ndarray], device: torch.device) -> Iterator[Batch]:
        """A batch for each of these indices (B,) of items, as `Batch` says.

        UserError, with the item's number, for what is no such clip or label.
        """
        # Items come as they are: what is wrong with one is then said here, not in a worker.
        loader = DataLoader(
            self.videos,
            batch_sampler=[part.tolist() for part in parts],
            collate_fn=list,
            num_workers=self.workers,
        )
        for index, items in zip(parts, loader, strict=True):
            pairs = [item if isinstance(item, tuple | list) else (item,) for item in items]
            if len({len(pair) for pair in pairs}) > 1 or not 1 <= len(pairs[0]) <= 2:
                raise UserError(f"dataset: item {index[0]} is no (clip, label)")
            clips = torch.stack(_alike(index, [pair[0] for pair in pairs])).to(device)
            labels = None
            if len(pairs[0]) == 2:
                labels = self._labels(index, [pair[1] for pair in pairs]).to(device)
            yield Batch(self._seen(clips, index), labels, torch.from_numpy(index))

    def _seen(self, clips: Tensor, index: np.ndarray) -> Tensor:
        """Clips (B, T, H, W, 3), normalised: (B, 3, T, H, W)."""
        if self.normalised:
            if not clips.is_floating_point():
                raise UserError(f"dataset: item {index[0]} has bytes, which are not normalised")
            return clips.float().permute(0, 4, 1, 2, 3)
        if not clips.is_floating_point():
            return to_float(clips)
        low, high = float(clips.min()), float(clips.max())
        if not -_SLACK <= low <= high <= 1 + _SLACK:
            raise UserError(
                f"dataset: items from {index[0]} on hold floats from {low:.3g} to {high:.3g}; give "
                "bytes, floats from 0 to 1, or DatasetSource(dataset, normalised=True)"
            )
        return to_float(clips * 255)

    def _labels(self, index: np.ndarray, given: Sequence[object]) -> Tensor:
        """Class numbers int64 (B,), or multi-hot float32 (B, K)."""
        labels = []
        for item, label in zip(index, given, strict=True):
            try:
                made = torch.as_tensor(label)
            except (TypeError, ValueError, RuntimeError):
                made = torch.zeros(0)
            if made.ndim > 1 or not made.numel() or (not made.ndim and made.is_floating_point()):
                raise UserError(
                    f"dataset: the label of item {item} is {label!r}; the number of a class, or "
                    "multi-hot"
                )
            if not made.ndim and not 0 <= int(made) < (self.classes or int(made) + 1):
                raise UserError(
                    f"dataset: the label of item {item} is {int(made)}, and the student has "
                    f"{self.classes} classes, from 0"
                )
            labels.append(made.float() if made.ndim else made.long())
        if len({label.shape for label in labels}) > 1:
            raise UserError(f"dataset: labels of several shapes, in items from {index[0]} on")
        return torch.stack(labels)


def source_of(
    data: "ClipSource | DatasetSource | Dataset[Any]", classes: int | None
) -> ClipSource | DatasetSource:
    """What a training reads: a `ClipSource` as it is, a data set of one's own made one.

    classes: of the student. UserError for what has no length or no items.
    """
    if isinstance(data, ClipSource):
        return data
    if isinstance(data, DatasetSource):
        return replace(data, classes=classes)
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        raise UserError(
            f"dataset: a ClipSource or a Dataset with a length and items (clip, label), "
            f"not {type(data).__name__}"
        )
    if not len(data):
        raise UserError(f"dataset: the {type(data).__name__} has no items")
    return DatasetSource(data, classes=classes)


def _alike(index: np.ndarray, given: Sequence[object]) -> list[Tensor]:
    """Clips as (T, H, W, 3), bytes or float32, of one shape and kind."""
    clips = [_clip(item, clip) for item, clip in zip(index, given, strict=True)]
    for item, clip in zip(index, clips, strict=True):
        if clip.shape != clips[0].shape or clip.dtype != clips[0].dtype:
            raise UserError(
                f"dataset: item {item} is {tuple(clip.shape)} of {clip.dtype} and item {index[0]} "
                f"{tuple(clips[0].shape)} of {clips[0].dtype}; make all clips alike"
            )
    return clips


def _clip(item: int, given: object) -> Tensor:
    """A clip (T, H, W, 3), bytes or float32."""
    clip = torch.as_tensor(given) if isinstance(given, Tensor | np.ndarray) else None
    if clip is None or clip.ndim != 4 or 3 not in (clip.shape[0], clip.shape[-1]):
        shape = type(given).__name__ if clip is None else tuple(clip.shape)
        raise UserError(f"dataset: item {item} is no clip (T, H, W, 3) or (3, T, H, W) but {shape}")
    if clip.dtype != torch.uint8 and not clip.is_floating_point():
        raise UserError(f"dataset: item {item} is of {clip.dtype}; give bytes (uint8) or floats")
    clip = clip if clip.shape[-1] == 3 else clip.permute(1, 2, 3, 0)
    return clip.float() if clip.is_floating_point() else clip
