"""Reconstruction of clips, with more weight where something moves (PRP)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlib.losses.kd import Reduction, at_least_float32, reduce_batch

_LEAST, _MOST = 0.8, 2.0


def motion_mse_loss(
    made: Tensor, truth: Tensor, weights: Tensor, *, reduction: Reduction = "mean"
) -> Tensor:
    """The mean over C, T, H, W of  weights * (made - truth)^2.

    made, truth: (B, C, T, H, W). weights: (B, T, H, W), of all channels alike.
    reduction: "none" gives (B,), "mean" the mean over all elements.

    Only what is made receives a gradient. Half precision is computed in float32. Raises ValueError
    if the shapes do not fit.

    Source: PRP (Yao et al. 2020), released code `train_predict.py`.
    """
    batch, _, *place = truth.shape
    if made.shape != truth.shape or list(weights.shape) != [batch, *place]:
        raise ValueError(
            f"made {tuple(made.shape)} and truth {tuple(truth.shape)} must have one shape "
            f"(B, C, T, H, W), and weights {tuple(weights.shape)} the same without C"
        )
    squared = (at_least_float32(made) - at_least_float32(truth.detach())).square()
    weighted = at_least_float32(weights.detach())[:, None] * squared
    return reduce_batch(weighted.flatten(1).mean(1), reduction)


def motion_weights(frames: Tensor) -> Tensor:
    """How much each place of a run of frames counts: float32 (B, H, W), from 0.8 to 2.

    frames: (B, C, F, H, W), a few of the run, in order. A square of a quarter of the frame's sides,
    moved in steps of a sixteenth, is put where the squared differences between neighbours among
    these frames, summed over pairs, are greatest on average. The weight is a Gaussian round its
    middle, of half its side as standard deviation, stretched to the range above.

    Source: as above, `datasets/patch_region.py` and `datasets/predict_dataset.py`, where frames
    are 112 pixels, the square 28 and its step 7.
    """
    change = at_least_float32(frames).diff(dim=2).square().mean(1).sum(1)
    sides = change.shape[1:]
    square = tuple(max(side // 4, 1) for side in sides)
    step = tuple(max(side // 16, 1) for side in sides)
    changes = F.avg_pool2d(change[:, None], square, step)
    most = changes.flatten(1).argmax(1)
    corner = most // changes.shape[-1] * step[0], most % changes.shape[-1] * step[1]
    rows, columns = (
        torch.exp(-2 * ((torch.arange(side, device=most.device) - at[:, None]) / part - 0.5) ** 2)
        for side, at, part in zip(sides, corner, square, strict=True)
    )
    weights = rows[:, :, None] * columns[:, None, :]
    least, highest = weights.amin((1, 2), keepdim=True), weights.amax((1, 2), keepdim=True)
    return _LEAST + (_MOST - _LEAST) * (weights - least) / (highest - least)
