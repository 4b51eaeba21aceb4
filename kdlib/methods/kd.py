"""Knowledge distillation by softened logits (Hinton et al. 2015)."""

from collections.abc import Sequence

from torch import Tensor

from kdlib.losses.kd import kd_loss
from kdlib.methods.base import Distillation, Seen
from kdlib.models.classifier import VideoClassifier


class KnowledgeDistillation(Distillation):
    """label_weight * CE + weight * T^2 KL(teacher || student)."""

    temperature: float

    def distillation(self, seen: Seen) -> Tensor:
        """T^2 KL of each sample."""
        return kd_loss(
            seen.student_logits,
            seen.teacher_logits,
            temperature=self.temperature,
            reduction="none",
        )


def build(
    student: VideoClassifier,
    teachers: Sequence[VideoClassifier],
    *,
    temperature: float = 4.0,
    label_weight: float = 0.1,
    weight: float = 0.9,
) -> KnowledgeDistillation:
    """KD with the constants of mdistiller and of SAKD's released code."""
    method = KnowledgeDistillation(student, teachers, label_weight=label_weight, weight=weight)
    method.temperature = temperature
    return method
