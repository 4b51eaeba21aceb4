"""Knowledge distillation by softened logits (Hinton et al. 2015)."""

from collections.abc import Sequence

from torch import Tensor, nn

from kdlib.losses.kd import kd_loss
from kdlib.methods.base import Temperature, Weight
from kdlib.methods.distillation import Distillation, Seen


class KnowledgeDistillation(Distillation):
    """label_weight * CE + weight * T^2 KL(teacher || student).

    The constants are those of mdistiller and of SAKD's released code.
    """

    def __init__(
        self,
        student: nn.Module,
        teachers: Sequence[nn.Module],
        *,
        temperature: Temperature = 4.0,
        label_weight: Weight = 0.1,
        weight: Weight = 0.9,
    ) -> None:
        super().__init__(student, teachers, label_weight=label_weight, weight=weight)
        self.temperature = temperature

    def distillation(self, seen: Seen) -> Tensor:
        """T^2 KL of each sample."""
        return kd_loss(
            seen.student_logits,
            seen.teacher_logits,
            temperature=self.temperature,
            reduction="none",
        )
