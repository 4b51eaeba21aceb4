"""Knowledge distillation by softened logits (Hinton et al. 2015)."""

from torch import Tensor

from kdlib.losses.kd import kd_loss
from kdlib.methods.base import Temperature
from kdlib.methods.distillation import Distillation, Seen


class KnowledgeDistillation(Distillation):
    """label_weight * CE + weight * T^2 KL(teacher || student).

    The constants are those of mdistiller and of SAKD's released code.
    """

    temperature: Temperature = 4.0

    def distillation(self, seen: Seen) -> Tensor:
        """T^2 KL of each sample."""
        return kd_loss(
            seen.student_logits,
            seen.teacher_logits,
            temperature=self.temperature,
            reduction="none",
        )
