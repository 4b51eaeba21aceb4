"""Cross entropy for clips with several labels at once (ResKD on ActivityNet and FCVID)."""

import torch.nn.functional as F
from torch import Tensor

from kdlib.losses.kd import Reduction, at_least_float32, reduce_batch


def multi_label_loss(logits: Tensor, targets: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Softmax cross entropy with multi-hot targets: -sum_k y_k * log softmax(logits)_k.

    logits: (B, K). targets: (B, K), 1 for each label of the clip and 0 elsewhere (or soft labels).
    reduction: "none" gives (B,), "mean" the batch mean.

    The sum is not divided by the number of labels: a clip with two labels weighs twice as much as a
    clip with one. Half precision is computed in float32. Raises ValueError if the shapes differ;
    class indices (B,) go to `torch.nn.functional.cross_entropy` directly.

    Source: ResKD, released `losses/cross_entropy_loss.py` (soft labels).
    """
    if logits.shape != targets.shape:
        raise ValueError(
            f"targets {tuple(targets.shape)} must be multi-hot with the logits' shape "
            f"{tuple(logits.shape)}; for class indices use torch's cross_entropy"
        )
    logits = at_least_float32(logits)
    per_sample = F.cross_entropy(logits, targets.to(logits.dtype), reduction="none")
    return reduce_batch(per_sample, reduction)
