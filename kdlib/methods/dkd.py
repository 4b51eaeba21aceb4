"""Decoupled knowledge distillation (Zhao et al. 2022)."""

from torch import Tensor

from kdlib.losses.dkd import dkd_loss
from kdlib.methods.base import Temperature, Weight
from kdlib.methods.distillation import Distillation, Seen


class DecoupledDistillation(Distillation):
    """label_weight * CE + weight * [alpha * TCKD + beta * NCKD].

    The constants are those of SAKD's released code; mdistiller has label_weight 1, alpha 1 and
    beta 8. Its warm-up of the term is left out, as it has no effect in SAKD's code.
    """

    temperature: Temperature = 4.0
    weight: Weight = 1.0
    alpha: Weight = 0.1
    beta: Weight = 1.0

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
