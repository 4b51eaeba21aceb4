"""A stand-in for DualKD (Wang et al. 2024, crowd counting), whose code and formulas are not public.

The abstract names a student that starts from the teacher's global information, and a distillation
from itself by an optimal-transport distance. SAKD's authors wrote their own version, which is not
public either. Here: KD from the teacher, and transport from the student of the epoch before.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdlib.clips.batches import Batch
from kdlib.clips.seen import seen_by
from kdlib.losses.kd import kd_loss
from kdlib.losses.sinkhorn import sinkhorn_loss
from kdlib.methods.base import Epoch, Temperature, Weight
from kdlib.methods.distillation import Distillation, Seen


class DualDistillation(Distillation):
    """label_weight * CE + weight * [T^2 KL(teacher || student) + self_weight * transport].

    The transport is between the student's probabilities and its own of an epoch before; moving from
    one class to another costs 1 - the cosine between the two rows of the teacher's last layer. The
    constants are KD's; self_weight is ours.
    """

    temperature: Temperature = 4.0
    self_weight: Weight = 1.0

    def __init__(self, student: nn.Module, teachers: Sequence[nn.Module], **options: Any) -> None:
        super().__init__(student, teachers, **options)
        self.previous = copy.deepcopy(student).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "DualDistillation":
        """The student of the epoch before stays in eval mode."""
        super().train(mode)
        if hasattr(self, "previous"):
            self.previous.eval()
        return self

    def before_epoch(self, epoch: Epoch) -> np.ndarray | None:
        """Keep the student as it is now."""
        self.previous.load_state_dict(self.student.state_dict())
        return None

    def see(self, batch: Batch, epoch: int) -> Seen:
        """As for every distillation; in the first epoch there is no student of an epoch before."""
        seen = super().see(batch, epoch)
        if not epoch:
            return seen
        with torch.no_grad():
            view = self.student_view(seen_by(self.student, batch))
            return seen._replace(previous_logits=self.previous(view))

    def distillation(self, seen: Seen) -> Tensor:
        """KD and transport of each sample."""
        loss = kd_loss(
            seen.student_logits,
            seen.teacher_logits,
            temperature=self.temperature,
            reduction="none",
        )
        if seen.previous_logits is None:
            return loss
        # In float64, which no mixed precision turns into less.
        rows = F.normalize(self.teacher.head.fc.weight.double(), dim=1)
        return loss + self.self_weight * sinkhorn_loss(
            seen.student_logits,
            seen.previous_logits,
            (1 - rows @ rows.T).clamp_min(0),
            temperature=self.temperature,
            reduction="none",
        )
