"""Colours of clips, varied at random and in all frames of a clip alike."""

from dataclasses import dataclass
from math import pi, sqrt

import torch
from torch import Tensor

from kdlib.clips.pixels import IMAGENET_MEAN, IMAGENET_STD

_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue
_IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_TURN = ((0.0, -1.0, 1.0), (1.0, 0.0, -1.0), (-1.0, 1.0, 0.0))  # red to green to blue to red


@dataclass(frozen=True)
class ColourJitter:
    """How far colours are varied.

    brightness, contrast, saturation: each clip has factors drawn from [max(1 - x, 0), 1 + x].
    hue: it is turned by an angle drawn from [-x, x], in turns; 0.5 for any.
    jittered, grey: the probabilities that a clip is varied so, and that it is made grey after that.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float
    jittered: float = 1.0
    grey: float = 0.0


def jitter_colours(clips: Tensor, jitter: ColourJitter) -> Tensor:
    """Normalised clips (B, 3, T, H, W) in colours drawn for each clip, normalised again.

    All chance comes from torch's global generator. See `recoloured`.
    """
    drawn = torch.rand(6, len(clips), device=clips.device)
    is_jittered, is_grey = drawn[4] < jitter.jittered, drawn[5] < jitter.grey

    def factor(extent: float, draw: Tensor) -> Tensor:
        low = max(1 - extent, 0.0)
        return torch.where(is_jittered, low + (1 + extent - low) * draw, 1.0)

    return recoloured(
        clips,
        brightness=factor(jitter.brightness, drawn[0]),
        contrast=factor(jitter.contrast, drawn[1]),
        saturation=factor(jitter.saturation, drawn[2]),
        hue=torch.where(is_jittered, jitter.hue * (2 * drawn[3] - 1), 0.0),
        grey=is_grey,
    )


def recoloured(
    clips: Tensor,
    *,
    brightness: Tensor,
    contrast: Tensor,
    saturation: Tensor,
    hue: Tensor,
    grey: Tensor,
) -> Tensor:
    """Normalised clips (B, 3, T, H, W), each with its own factors (B,), normalised again.

    In this order: all is multiplied by `brightness`; by `contrast`, about the clip's mean of each
    channel; by `saturation`, about the grey of each pixel; colours are turned about the axis of
    greys by `hue` turns, so that a third of a turn makes red green; where `grey` (bool) holds, only
    the grey is left. Then what is below black or above white is cut off. Together that is one
    affine map of colours a clip.
    """
    # The matrices in float64, which no mixed precision turns into less.
    identity, luma, mean, std, turn = (
        torch.tensor(values, dtype=torch.float64, device=clips.device)
        for values in (_IDENTITY, _LUMA, IMAGENET_MEAN, IMAGENET_STD, _TURN)
    )
    mean, std = mean[:, None], std[:, None]
    brightness, contrast, saturation, angle = (
        values.double()[:, None, None]
        for values in (brightness, contrast, saturation, 2 * pi * hue)
    )
    to_grey = luma.expand(3, 3)
    turned = angle.cos() * identity + (1 - angle.cos()) / 3 + angle.sin() / sqrt(3) * turn
    colours = turned @ (saturation * identity + (1 - saturation) * to_grey)
    colours = brightness * torch.where(grey[:, None, None], to_grey @ colours, colours)
    means = clips.mean((2, 3, 4)).double()[:, :, None] * std + mean
    # Of x in [0, 1] it is colours @ (contrast * x + (1 - contrast) * means); of (x - mean) / std:
    offset = (colours @ (contrast * mean + (1 - contrast) * means) - mean) / std
    matrix = contrast * colours * std.T / std
    black, white = (-mean / std).to(clips), ((1 - mean) / std).to(clips)
    # One plane a channel, and back: on a CPU four times as fast as pixel by pixel.
    planes = clips.movedim(1, -1).flatten(1, 3).mT.contiguous()
    seen = torch.baddbmm(offset.to(clips), matrix.to(clips), planes).clamp(black, white)
    return seen.mT.contiguous().unflatten(1, clips.shape[2:]).movedim(-1, 1)
