"""Training on labels alone: how teachers are made, and the baseline of every comparison."""

from collections.abc import Sequence

from kdlib.losses.classification import classification_loss
from kdlib.methods.base import Batch, Method, StepOutput
from kdlib.models.classifier import VideoClassifier


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
