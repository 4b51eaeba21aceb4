"""Clips and labels mixed in pairs: mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019)."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Beta

from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.training.recipe import Recipe


def mixes(recipe: Recipe) -> bool:
    """Whether labels are anything but one class a clip."""
    return bool(recipe.mixup or recipe.cutmix or recipe.label_smoothing)


def mixed(batch: Batch, recipe: Recipe, student: nn.Module) -> Batch:
    """The batch with each clip mixed with its partner, the first with the last; labels (B, K).

    mixup: partners are added, the own clip with a share drawn from Beta(mixup, mixup).
    cutmix: a rectangle of all frames is the partner's, of a share 1 - s with s from Beta(cutmix,
        cutmix), less what of it lies outside the frame. With both, half of the batches have either.
    label_smoothing: this much of a label is spread evenly over all K classes of the student.

    A label is mixed by the shares of pixels. One draw serves a batch, from torch's global generator
    on the clips' device. A recipe with none of the three gives the batch as it is. UserError for
    clips with more than one label, and for `others` and `known`, which are not mixed.

    Source: MVD's released code, `mixup.py`, after timm's; its default mode "batch".
    """
    if not mixes(recipe):
        return batch
    labels = batch.required_labels
    if labels.ndim != 1 or batch.others or batch.known:
        raise UserError(
            "recipe.mixup: it mixes clips with one class each and nothing beside; "
            "no mixup, cutmix or label_smoothing here"
        )
    classes = int(student.classes)  # type: ignore[arg-type]
    soft = F.one_hot(labels, classes) * (1 - recipe.label_smoothing)
    soft = soft + recipe.label_smoothing / classes
    if not (recipe.mixup or recipe.cutmix):
        return replace(batch, labels=soft)
    share = _shares(batch.clips, recipe)
    clips = share * batch.clips + (1 - share) * batch.clips.flip(0)
    soft = share.mean() * soft + (1 - share.mean()) * soft.flip(0)
    return replace(batch, clips=clips, labels=soft, fixed=False)


def _shares(clips: Tensor, recipe: Recipe) -> Tensor:
    """How much of each pixel is the own clip's, (H, W)."""
    size, device = clips.shape[3:], clips.device
    added = _draw(recipe.mixup, device).expand(size) if recipe.mixup else None
    if not recipe.cutmix:
        assert added is not None
        return added
    cut = _uncovered(size, _draw(recipe.cutmix, device))
    return cut if added is None else torch.where(torch.rand((), device=device) < 0.5, cut, added)


def _draw(concentration: float, device: torch.device) -> Tensor:
    """A number of Beta(concentration, concentration)."""
    value = torch.full((), concentration, device=device)
    return Beta(value, value, validate_args=False).sample()


def _uncovered(size: torch.Size, share: Tensor) -> Tensor:
    """1 outside a rectangle of a share 1 - `share` of the frame, 0 inside, (H, W)."""
    inside = []
    for length in size:
        half = ((1 - share).sqrt() * length).floor().div(2).floor()
        middle = torch.randint(length, (), device=share.device)
        place = torch.arange(length, device=share.device)
        inside.append((place >= middle - half) & (place < middle + half))
    return 1 - (inside[0][:, None] & inside[1]).to(share.dtype)
