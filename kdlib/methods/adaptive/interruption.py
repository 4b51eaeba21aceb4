"""Interrupted clips: frames (of images: patches) dropped at first, shuffled later in training."""

import math
from typing import Literal

import torch
from torch import Tensor

from kdlib.errors import UserError

_ROUNDING = 1e-12

Rate = Literal["polynomial", "linear", "cosine"]


def interruption_rate(kind: Rate, epoch: float, epochs: int) -> float:
    """beta(n) in 0..1 at epoch n from 0 of N: SAKD's appendix, legend of Figure 1.

    polynomial 1 - (1 - n / N)^0.9, linear n / N, cosine (1 - cos(pi n / N)) / 2.
    """
    share = min(epoch / epochs, 1.0)
    if kind == "polynomial":
        return 1 - (1 - share) ** 0.9
    # The cosine as a sine, which is exact in the middle: 0 there, so that half way is one half.
    return share if kind == "linear" else 0.5 * (1 - math.sin(math.pi * (0.5 - share)))


def drops(rate: float, threshold: float) -> bool:
    """Whether a rate means dropped frames; else they are shuffled.

    A rate within rounding of the threshold has reached it.
    """
    return rate < threshold - _ROUNDING or (rate == threshold == 1)


def floor_share(share: float, count: int) -> int:
    """floor(share * count), of the numbers that are meant: 0.1 of 30 is 3, 0.29 of 100 is 29.

    Their product in floating point may lie a hair below the integer that it should be.
    """
    return math.floor(share * count + _ROUNDING * max(count, 1))


def interrupt(
    clips: Tensor,
    rate: float,
    threshold: float,
    generator: torch.Generator | None = None,
    *,
    patches: int = 4,
    alike: bool = False,
) -> Tensor:
    """Interrupted copies of normalised clips (B, C, T, H, W).

    Below the threshold floor(rate * T) frames of each clip are set to 0, the mean colour; from it
    on, T // 2 random frames change places with the others, in pairs (of an odd T the last of the
    others stays). The indices are drawn for each clip; alike: for all of the batch at once, as in
    the released script.

    An image (T = 1) is cut into patches x patches squares, which are treated as frames: SAKD says
    that it treats images, not how. UserError if they do not fit.
    """
    if clips.shape[2] > 1:
        return _interrupt_parts(clips, rate, threshold, generator, alike)
    height, width = clips.shape[3:]
    if height % patches or width % patches:
        raise UserError(f"patches: {patches} x {patches} do not fit an image of {width}x{height}")
    squares = clips[:, :, 0].unflatten(3, (patches, -1)).unflatten(2, (patches, -1))
    # (B, C, rows, h, columns, w) -> (B, C, rows * columns, h, w)
    parts = squares.transpose(3, 4).flatten(2, 3)
    parts = _interrupt_parts(parts, rate, threshold, generator, alike)
    squares = parts.unflatten(2, (patches, patches)).transpose(3, 4)
    return squares.reshape(clips.shape)


def _interrupt_parts(
    parts: Tensor, rate: float, threshold: float, generator: torch.Generator | None, alike: bool
) -> Tensor:
    batch, _, count = parts.shape[:3]
    order = torch.rand(1 if alike else batch, count, generator=generator).argsort(1)
    order = order.expand(batch, count).to(parts.device)
    if drops(rate, threshold):
        dropped = torch.zeros(batch, count, dtype=torch.bool, device=parts.device)
        dropped.scatter_(1, order[:, : floor_share(rate, count)], True)
        return parts.masked_fill(dropped[:, None, :, None, None], 0)
    half = count // 2
    chosen, rest = order[:, :half], order[:, half:].sort(1).values[:, :half]
    source = torch.arange(count, device=parts.device).repeat(batch, 1)
    source.scatter_(1, chosen, rest).scatter_(1, rest, chosen)
    rows = torch.arange(batch, device=parts.device)[:, None]
    return parts.transpose(1, 2)[rows, source].transpose(1, 2)
