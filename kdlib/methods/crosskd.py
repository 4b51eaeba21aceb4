"""Cross-head KD (Wang et al. 2024, for detection), as SAKD uses it for classification."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from kdlib.losses.crosskd import align
from kdlib.losses.kd import kd_loss
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
