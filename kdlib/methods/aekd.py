"""Several teachers for one student: adaptive ensemble KD in gradient space (Du et al. 2020)."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from kdlib.clips.batches import Batch
from kdlib.clips.seen import seen_by
from kdlib.errors import UserError
from kdlib.losses.aekd import aekd_loss, aekd_weights
from kdlib.losses.kd import kd_loss
from kdlib.methods.base import Method, StepOutput, Temperature, Weight, check_features


class AdaptiveEnsembleDistillation(Method):
    """label_weight * loss on the label + weight * what the teachers teach together.

    combine: "gradient" is AE-KD: the teachers' KD losses, weighed anew at every step so that the
        sum of their gradients is shortest (`aekd_weights`). "losses" is their plain average, and
        "logits" KD from the mean of their logits.
    tolerance: C, the largest weight of a teacher under "gradient".

    Teachers may be of any number and architectures, with the classes of the student. All four
    constants are the defaults of AE-KD's released code. The paper on ensembles of pretext tasks
    names AE-KD as its loss, extended to videos; which constants it used is unknown.

    The epochs' means of the teachers' weights are in the history as weight_1, weight_2, ...
    """

    combine: Literal["gradient", "losses", "logits"] = "gradient"
    label_weight: Weight = 1.0
    weight: Weight = 0.9
    temperature: Temperature = 4.0
    tolerance: Annotated[float, Field(gt=0, le=1)] = 0.6

    def __init__(self, student: nn.Module, teachers: Sequence[nn.Module], **options: Any) -> None:
        if not teachers:
            raise UserError("method.teachers: it takes one or more, got none")
        named = {f"teacher number {n}": teacher for n, teacher in enumerate(teachers, 1)}
        check_features(student=student, **named)
        for name, teacher in named.items():
            if teacher.classes != student.classes:
                raise UserError(
                    f"method.teachers: {name} has {teacher.classes} classes "
                    f"and the student {student.classes}"
                )
        super().__init__(student, teachers, **options)

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The mean over samples of both terms, added."""
        with torch.no_grad():
            teachers = torch.stack([teacher(seen_by(teacher, batch)) for teacher in self.teachers])
        student = self.student(self.student_view(seen_by(self.student, batch)))
        weights = self._weights(student, teachers)
        if self.combine == "logits":
            distillation = kd_loss(student, teachers.mean(0), temperature=self.temperature)
        else:
            distillation = aekd_loss(student, teachers, weights, temperature=self.temperature)
        cross_entropy = self.label_weight * self.task.loss(student, batch).mean()
        distillation = self.weight * distillation
        parts = {"cross_entropy": cross_entropy.detach(), "distillation": distillation.detach()}
        parts |= {f"weight_{n}": weight for n, weight in enumerate(weights, 1)}
        return StepOutput(cross_entropy + distillation, parts, student)

    def _weights(self, student: Tensor, teachers: Tensor) -> Tensor:
        """Of each teacher in this batch, (M,)."""
        if self.combine == "gradient":
            return aekd_weights(
                student, teachers, temperature=self.temperature, tolerance=self.tolerance
            )
        return torch.full((len(teachers),), 1 / len(teachers), device=teachers.device)
