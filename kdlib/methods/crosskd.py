"""Cross-head KD (Wang et al. 2024, for detection), as SAKD uses it for classification."""

from collections.abc import Sequence

from torch import Tensor

from kdlib.errors import UserError
from kdlib.losses.crosskd import align
from kdlib.losses.kd import kd_loss
from kdlib.methods.base import Distillation, Seen
from kdlib.models.classifier import VideoClassifier


class CrossHeadDistillation(Distillation):
    """label_weight * CE + weight * T^2 KL(teacher || the teacher's head on the student's features).

    The student's pooled features are aligned to the teacher's statistics first; the gradient goes
    through the frozen head. Student and teacher must have features of one size.
    """

    temperature: float

    def distillation(self, seen: Seen) -> Tensor:
        """T^2 KL of each sample between the teacher's logits and the cross-head logits."""
        crossed = self.teacher.fc(self.teacher.dropout(align(seen.student, seen.teacher)))
        return kd_loss(crossed, seen.teacher_logits, temperature=self.temperature, reduction="none")


def build(
    student: VideoClassifier,
    teachers: Sequence[VideoClassifier],
    *,
    temperature: float = 4.0,
    label_weight: float = 0.1,
    weight: float = 0.9,
) -> CrossHeadDistillation:
    """CrossKD with the constants of SAKD's released code.

    There the cross-head logits carry no gradient by mistake; here they do, as in CrossKD's own.
    """
    method = CrossHeadDistillation(student, teachers, label_weight=label_weight, weight=weight)
    if student.channels != method.teacher.channels:
        raise UserError(
            f"method crosskd: the student has {student.channels} features and the teacher "
            f"{method.teacher.channels}; its head takes its own number only"
        )
    method.temperature = temperature
    return method
