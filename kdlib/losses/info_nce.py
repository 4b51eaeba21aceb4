"""InfoNCE: which of several candidates belongs to a query?"""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlib.losses.kd import Reduction, at_least_float32, reduce_batch


def info_nce_loss(
    positive: Tensor, negatives: Tensor, *, temperature: float, reduction: Reduction = "mean"
) -> Tensor:
    """Cross-entropy of the positive among all candidates of a query.

        loss = -log exp(s+ / T) / (exp(s+ / T) + sum_n exp(s_n / T))

    positive: (B,), the similarity of each query to the candidate that belongs to it; that of unit
        vectors is their product, in [-1, 1]. negatives: (B, N), to those that do not; -inf leaves
        one out. temperature: T, above 0.
    reduction: "none" gives (B,), "mean" the batch mean.

    Both receive a gradient. Half precision is computed in float32. ValueError for other shapes or a
    temperature that is not above 0.

    Source: van den Oord et al. 2018, "Representation learning with contrastive predictive coding",
    equation 4; with a temperature He et al. 2020, "Momentum contrast", equation 1.
    """
    if positive.ndim != 1 or negatives.ndim != 2 or len(positive) != len(negatives):
        raise ValueError(
            f"positive {tuple(positive.shape)} must be (B,) and negatives "
            f"{tuple(negatives.shape)} (B, N)"
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    similarities = at_least_float32(torch.cat([positive[:, None], negatives], 1)) / temperature
    belonging = torch.zeros(len(positive), dtype=torch.int64, device=positive.device)
    return reduce_batch(F.cross_entropy(similarities, belonging, reduction="none"), reduction)
