"""Pixels without geometry: normalisation of stored clips, and a change of resolution."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Of a byte x: (x / 255 - mean) / std = x * scale - shift.
_SCALE = 1 / (255 * torch.tensor(IMAGENET_STD))
_SHIFT = torch.tensor(IMAGENET_MEAN) / torch.tensor(IMAGENET_STD)


def to_float(clips: Tensor) -> Tensor:
    """uint8 (B, T, H, W, 3) -> (x / 255 - mean) / std as float32 (B, 3, T, H, W).

    Mean and standard deviation are ImageNet's. The permuted view already is channels_last_3d, so
    nothing is copied but the conversion.
    """
    width = clips.shape[3]
    # Whole rows, not pixels of three, are broadcast over: twice as fast on a CPU.
    scale, shift = (factor.to(clips.device).repeat(width) for factor in (_SCALE, _SHIFT))
    rows = clips.flatten(3).float().mul_(scale).sub_(shift)
    return rows.unflatten(3, (width, 3)).permute(0, 4, 1, 2, 3)


def to_unit(clips: Tensor) -> Tensor:
    """Normalised clips (B, 3, T, H, W) as `to_float` gives them -> x / 255, from 0 to 1."""
    mean, std = (
        torch.tensor(values, device=clips.device).view(3, 1, 1, 1)
        for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return clips * std + mean


def resize(clips: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Bilinear, spatial only: float (B, C, T, H, W) -> (B, C, T, *size); for feature maps too.

    align_corners=False and no antialiasing, as in ResKD's released model.
    """
    size = (size, size) if isinstance(size, int) else size
    return per_frame(clips, lambda x: F.interpolate(x, size, mode="bilinear", align_corners=False))


def per_frame(clips: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function of images (B * T, C, H, W) to every frame of (B, C, T, H, W)."""
    images = function(clips.transpose(1, 2).flatten(0, 1))
    return images.unflatten(0, (clips.shape[0], clips.shape[2])).transpose(1, 2)
