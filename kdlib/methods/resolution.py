"""ResKD: a student at low resolution learns from a teacher that sees the same crop at full size.

Feature KD by default; pixel-level logit KD where the channels differ (appendix A.1); logit KD as
the comparison of the paper's Section 5. What the appendix leaves open is taken from the released
code, rkd.py and grkd_3d_head.py of its fork of mmaction2.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.losses.feature_kd import feature_kd_loss
from kdlib.losses.kd import kd_loss
from kdlib.losses.pixel_logit_kd import pixel_logit_kd_loss
from kdlib.methods.base import (
    Method,
    StepOutput,
    Temperature,
    Variant,
    Weight,
    check_equal,
    check_features,
    check_pixels,
    only_teacher,
    pooled,
)


class ResolutionDistillation(Method):
    """L = CE(student(low), y) + weight * KD(student(low), teacher(full)).

    target: what is distilled: "feature" (the last stage's map, the student's upsampled to the
        teacher's size), "logit" (class scores after pooling) or "pixel" (class scores by place).
    weight, temperature: by default the paper's, or the released code's: for features 100 in both;
        for pixels 500 at temperature 4 (appendix A.2), in the released code 200 at 2; for logits 1
        at temperature 4, as the paper's value is unknown.
    teacher_batchnorm: "batch" is the paper's unfrozen teacher: train mode without gradients, so
        batch norm uses the batch's statistics while its running ones drift; any dropout inside
        the teacher's backbone is then active too, as in the released code. "running" is a
        teacher in eval mode.
    """

    resolution: PositiveInt
    target: Literal["feature", "logit", "pixel"] = "feature"
    weight: Weight = 100.0
    temperature: Temperature = 4.0
    class_reduction: Literal["mean", "sum"] = "mean"
    teacher_batchnorm: Literal["batch", "running"] = "batch"
    variant: Variant = "paper"

    def __init__(self, student: nn.Module, teachers: Sequence[nn.Module], **options: Any) -> None:
        check_features(student=student, teacher=only_teacher(teachers))
        check_pixels(student=student, teacher=teachers[0])
        super().__init__(student, teachers, **{**_constants(**options), **options})
        check_equal("channels" if self.target == "feature" else "classes", student, teachers[0])
        self.teacher_mode = "train" if self.teacher_batchnorm == "batch" else "eval"
        self.train()

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """Both networks see one crop; the student's is a bilinear reduction of the teacher's."""
        with torch.no_grad():
            teacher_map = self.teacher.features(batch.clips)
        student_map = self.student.features(self.student_view(batch.clips))
        if self.target != "logit" and student_map.shape[2] != teacher_map.shape[2]:
            raise UserError(
                f"method.target: {self.target!r} compares maps time by time, and the student's has "
                f"{student_map.shape[2]} and the teacher's {teacher_map.shape[2]}; take 'logit'"
            )
        logits = self.student.head(student_map)
        cross_entropy = self.task.loss(logits, batch).mean()
        distillation = self.weight * self.distillation(student_map, teacher_map, logits)
        parts = {"cross_entropy": cross_entropy.detach(), "distillation": distillation.detach()}
        return StepOutput(cross_entropy + distillation, parts, logits)

    def distillation(self, student_map: Tensor, teacher_map: Tensor, logits: Tensor) -> Tensor:
        """The unweighted term for the chosen target, a scalar."""
        if self.target == "feature":
            return feature_kd_loss(student_map, teacher_map)
        if self.target == "pixel":
            with torch.no_grad():
                teacher_scores = self.teacher.head.by_place(teacher_map)
            return pixel_logit_kd_loss(
                self.student.head.by_place(student_map),
                teacher_scores,
                temperature=self.temperature,
                class_reduction=self.class_reduction,
            )
        with torch.no_grad():
            # The mean of all places' scores is the head without its dropout.
            teacher_logits = pooled(self.teacher.head.by_place(teacher_map))
        return kd_loss(logits, teacher_logits, temperature=self.temperature)


def _constants(target: str = "feature", variant: str = "paper", **_: Any) -> dict[str, float]:
    """The printed weight and temperature for a target."""
    paper = variant == "paper"
    weights = {"pixel": 500.0 if paper else 200.0, "logit": 1.0}
    return {"weight": weights.get(target, 100.0), "temperature": 4.0 if paper else 2.0}
