"""Training on labels alone: how teachers are made, and the baseline of every comparison."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from kdlib.losses.multi_label import multi_label_cross_entropy
from kdlib.methods.base import Batch, Method, StepOutput
from kdlib.models.classifier import VideoClassifier


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy against class indices (B,), or against multi-hot labels (B, K)."""
    if labels.ndim == 2:
        return multi_label_cross_entropy(logits, labels)
    return F.cross_entropy(logits, labels)


class Supervised(Method):
    """Cross-entropy on the labels."""

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """Cross-entropy of the student's logits."""
        logits = self.predict(batch.clips)
        loss = classification_loss(logits, batch.labels)
        return StepOutput(loss, {"cross_entropy": loss.detach()}, logits)


def build(
    student: VideoClassifier,
    teachers: Sequence[VideoClassifier] = (),
    *,
    resolution: int | None = None,
) -> Supervised:
    """A supervised run; takes no teachers."""
    return Supervised(student, teachers, resolution)
