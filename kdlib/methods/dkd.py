"""Decoupled knowledge distillation (Zhao et al. 2022)."""

from collections.abc import Sequence

from torch import Tensor

from kdlib.losses.dkd import dkd_loss
from kdlib.methods.base import Distillation, Seen
from kdlib.models.classifier import VideoClassifier


class DecoupledDistillation(Distillation):
    """label_weight * CE + alpha * TCKD + beta * NCKD."""

    alpha: float
    beta: float
    temperature: float

    def distillation(self, seen: Seen) -> Tensor:
        """alpha * TCKD + beta * NCKD of each sample."""
        return dkd_loss(
            seen.student_logits,
            seen.teacher_logits,
            seen.labels,
            alpha=self.alpha,
            beta=self.beta,
            temperature=self.temperature,
            reduction="none",
        )


def build(
    student: VideoClassifier,
    teachers: Sequence[VideoClassifier],
    *,
    temperature: float = 4.0,
    label_weight: float = 0.1,
    alpha: float = 0.1,
    beta: float = 1.0,
) -> DecoupledDistillation:
    """DKD with the constants of SAKD's released code.

    mdistiller has label_weight 1, alpha 1 and beta 8. Its warm-up of the term is left out, as it
    has no effect in SAKD's code.
    """
    method = DecoupledDistillation(student, teachers, label_weight=label_weight, weight=1.0)
    method.alpha, method.beta, method.temperature = alpha, beta, temperature
    return method
