"""Cross-head KD (Wang et al. 2024, for detection), as SAKD uses it for classification."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from kdlib.losses.kd import at_least_float32, kd_loss
from kdlib.methods.base import Temperature, Variant, check_equal
from kdlib.methods.distillation import Distillation, Seen


class CrossHeadDistillation(Distillation):
    """label_weight * CE + weight * T^2 KL(teacher || the teacher's head on the student's features).

    The student's pooled features are aligned to the teacher's statistics first; the gradient goes
    through the frozen head. Student and teacher must have features of one size. The constants are
    those of SAKD's released code, where the cross-head logits carry no gradient by mistake: so they
    do under variant="released".
    """

    temperature: Temperature = 4.0
    variant: Variant = "paper"

    def __init__(self, student: nn.Module, teachers: Sequence[nn.Module], **options: Any) -> None:
        super().__init__(student, teachers, **options)
        check_equal("channels", self.student, self.teacher)

    def distillation(self, seen: Seen) -> Tensor:
        """T^2 KL of each sample between the teacher's logits and the cross-head logits."""
        crossed = self.teacher.head.of_pooled(align(seen.student, seen.teacher))
        if self.variant == "released":
            crossed = crossed.detach()
        return kd_loss(crossed, seen.teacher_logits, temperature=self.temperature, reduction="none")


def align(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """Student features (B, C) with mean and deviation of the teacher's, channel by channel.

        f' = (f_s - mean(f_s)) / (std(f_s) + 1e-6) * std(f_t) + mean(f_t),

    both over the batch, deviations unbiased. One sample says nothing of either: it stays as it is.
    The gradient reaches the student's features alone. Half precision is computed in float32.

    Source: `align_scale` of CrossKD's released code (Wang et al. 2024), on pooled features as in
    SAKD's released code. ValueError if the shapes differ.
    """
    if student_features.shape != teacher_features.shape or student_features.ndim != 2:
        raise ValueError(
            f"student_features {tuple(student_features.shape)} and teacher_features "
            f"{tuple(teacher_features.shape)} must have one shape (B, C)"
        )
    student, teacher = (
        at_least_float32(student_features),
        at_least_float32(teacher_features).detach(),
    )
    if len(student) == 1:
        return student
    centred = (student - student.mean(0)) / (student.std(0) + 1e-6)
    return centred * teacher.std(0) + teacher.mean(0)
