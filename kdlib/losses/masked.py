"""Masked prediction: how far predictions of tokens are from what was hidden."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from kdlib.losses.kd import Reduction, at_least_float32, reduce_batch


def masked_loss(
    predicted: Tensor,
    target: Tensor,
    *,
    kind: Literal["smooth_l1", "l2"],
    reduction: Reduction = "mean",
) -> Tensor:
    """The mean over tokens and their numbers of a distance d = predicted - target.

        smooth_l1: d^2 / 2 where |d| < 1, else |d| - 1/2        l2: d^2

    predicted, target: (B, M, D), at the M masked places alone.
    kind: features are learnt by "smooth_l1" (MVD), normalised pixels by "l2" (MAE, VideoMAE).
    reduction: "none" gives (B,), "mean" the batch mean.

    Only what is predicted receives a gradient. Half precision is computed in float32. Raises
    ValueError if the shapes differ.

    Source: MVD (Wang et al. 2023), released code `engine_for_pretraining.py`.
    """
    if predicted.shape != target.shape:
        raise ValueError(
            f"predicted {tuple(predicted.shape)} and target {tuple(target.shape)} must have one "
            "shape (B, M, D)"
        )
    distance = at_least_float32(predicted) - at_least_float32(target.detach())
    if kind == "l2":
        each = distance.square()
    else:
        each = F.smooth_l1_loss(
            distance, distance.new_zeros(()).expand_as(distance), reduction="none"
        )
    return reduce_batch(each.flatten(1).mean(1), reduction)


def normalised_patches(patches: Tensor, *, by_channel: bool) -> Tensor:
    """Pixels of each patch, less their mean and over their standard deviation + 1e-6.

    patches: (B, N, P), the three colours of a pixel side by side.
    by_channel: each colour by itself, as VideoMAE does it; else all together (MAE, which adds 1e-6
        to the variance).
    """
    by_colour = patches.unflatten(2, (-1, 3)) if by_channel else patches[..., None]
    centred = by_colour - by_colour.mean(2, keepdim=True)
    return (centred / (by_colour.std(2, keepdim=True) + 1e-6)).flatten(2)
