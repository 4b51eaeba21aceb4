"""Curriculum temperature KD (Li et al. 2023): the temperature is learnt, against the student."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from kdlib.losses.kd import kd_loss
from kdlib.methods.distillation import Distillation, Seen


class _Scaled(torch.autograd.Function):
    """The value itself; its gradient times a factor."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.factor * gradients[0], None


class CurriculumTemperatureDistillation(Distillation):
    """KD whose global temperature, 1 + 20 sigmoid(theta), learns to make the loss larger.

    The curriculum: theta's gradient is reversed by a factor that goes from 0 to -1 over the first
    `rise_epochs` epochs, counted from 1, along half a cosine. The constants are those of its
    released code, whose optimiser is SGD. AdamW divides every gradient by its size, so that under
    it the rise has next to no effect: theta then moves against the student from the first step.
    """

    rise_epochs: PositiveInt = 10

    def __init__(self, student: nn.Module, teachers: Sequence[nn.Module], **options: Any) -> None:
        super().__init__(student, teachers, **options)
        self.theta = nn.Parameter(torch.ones(1))

    def temperature(self, epoch: int) -> Tensor:
        """The temperature (1,), with the reversed gradient of this epoch, counted from 0."""
        share = min(epoch + 1, self.rise_epochs) / self.rise_epochs
        reversal = -(1 - math.cos(math.pi * share)) / 2
        return 1 + 20 * torch.sigmoid(_Scaled.apply(self.theta, reversal))

    def distillation(self, seen: Seen) -> Tensor:
        """T^2 KL of each sample at the learnt temperature."""
        return kd_loss(
            seen.student_logits,
            seen.teacher_logits,
            temperature=self.temperature(seen.epoch),
            reduction="none",
        )
