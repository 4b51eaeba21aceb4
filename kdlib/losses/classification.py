"""Cross-entropy on the labels, one class a sample or several."""

from torch import Tensor
from torch.nn import functional as F

from kdlib.losses.kd import Reduction, reduce_batch
from kdlib.losses.multi_label import multi_label_cross_entropy


def classification_loss(logits: Tensor, labels: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Cross-entropy of logits (B, K) against class indices (B,), or multi-hot labels (B, K)."""
    if labels.ndim == 2:
        return multi_label_cross_entropy(logits, labels, reduction=reduction)
    return reduce_batch(F.cross_entropy(logits, labels, reduction="none"), reduction)
