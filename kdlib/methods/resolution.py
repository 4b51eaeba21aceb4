"""ResKD: a student at low resolution learns from a teacher that sees the same crop at full size.

Feature KD by default; pixel-level logit KD where the channels differ (appendix A.1); logit KD as
the comparison of the paper's Section 5. What the appendix leaves open is taken from the released
code, rkd.py and grkd_3d_head.py of its fork of mmaction2.
"""

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor

from kdlib.errors import UserError
from kdlib.losses.classification import classification_loss
from kdlib.losses.feature_kd import feature_kd_loss
from kdlib.losses.kd import kd_loss
from kdlib.losses.pixel_logit_kd import pixel_logit_kd_loss
from kdlib.methods.base import Batch, Method, StepOutput
from kdlib.models.classifier import VideoClassifier


class ResolutionDistillation(Method):
    """L = CE(student(low), y) + weight * KD(student(low), teacher(full)).

    target: what is distilled: "feature" (the last stage's map, the student's upsampled to the
        teacher's size), "logit" (class scores after pooling) or "pixel" (class scores by place).
    teacher_batchnorm: "batch" is the paper's unfrozen teacher: train mode without gradients, so
        batch norm uses the batch's statistics while its running ones drift; any dropout inside
        the teacher's backbone is then active too, as in the released code. "running" is a
        teacher in eval mode.
    """

    def __init__(
        self,
        student: VideoClassifier,
        teacher: VideoClassifier,
        *,
        resolution: int,
        target: Literal["feature", "logit", "pixel"] = "feature",
        weight: float = 100.0,
        temperature: float = 4.0,
        class_reduction: Literal["mean", "sum"] = "mean",
        teacher_batchnorm: Literal["batch", "running"] = "batch",
    ) -> None:
        super().__init__(student, [teacher], resolution)
        self.target, self.weight, self.temperature = target, weight, temperature
        self.class_reduction, self.teacher_batchnorm = class_reduction, teacher_batchnorm
        self.teacher_mode = "train" if teacher_batchnorm == "batch" else "eval"
        self.train()

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """Both networks see one crop; the student's is a bilinear reduction of the teacher's."""
        with torch.no_grad():
            teacher_map = self.teacher.features(batch.clips)
        student_map = self.student.features(self.student_view(batch.clips))
        logits = self.student.head(student_map)
        cross_entropy = classification_loss(logits, batch.labels)
        distillation = self.weight * self.distillation(student_map, teacher_map, logits)
        parts = {"cross_entropy": cross_entropy.detach(), "distillation": distillation.detach()}
        return StepOutput(cross_entropy + distillation, parts, logits)

    @property
    def teacher(self) -> VideoClassifier:
        """The teacher."""
        return cast(VideoClassifier, self.teachers[0])

    def distillation(self, student_map: Tensor, teacher_map: Tensor, logits: Tensor) -> Tensor:
        """The unweighted term for the chosen target, a scalar."""
        if self.target == "feature":
            return feature_kd_loss(student_map, teacher_map)
        if self.target == "pixel":
            with torch.no_grad():
                teacher_scores = self.teacher.pixel_logits(teacher_map)
            return pixel_logit_kd_loss(
                self.student.pixel_logits(student_map),
                teacher_scores,
                temperature=self.temperature,
                class_reduction=self.class_reduction,
            )
        with torch.no_grad():
            # The mean of all places' scores is the head without its dropout.
            teacher_logits = self.teacher.pixel_logits(teacher_map).mean((2, 3, 4))
        return kd_loss(logits, teacher_logits, temperature=self.temperature)


def build(
    student: VideoClassifier,
    teachers: Sequence[VideoClassifier],
    *,
    resolution: int,
    target: Literal["feature", "logit", "pixel"] = "feature",
    weight: float | None = None,
    temperature: float | None = None,
    class_reduction: Literal["mean", "sum"] = "mean",
    teacher_batchnorm: Literal["batch", "running"] = "batch",
    variant: Literal["paper", "released"] = "paper",
) -> ResolutionDistillation:
    """ResKD with the paper's weight and temperature, or the released code's, unless given.

    feature: 100 in both. pixel: 500 at temperature 4 (appendix A.2), in the released code 200 at 2.
    logit: 1 at temperature 4; the paper's value is unknown.
    """
    if len(teachers) != 1:
        raise UserError(f"method.teachers: resolution distillation takes one, got {len(teachers)}")
    paper = variant == "paper"
    weights = {"feature": 100.0, "pixel": 500.0 if paper else 200.0, "logit": 1.0}
    return ResolutionDistillation(
        student,
        teachers[0],
        resolution=resolution,
        target=target,
        weight=weights[target] if weight is None else weight,
        temperature=(4.0 if paper else 2.0) if temperature is None else temperature,
        class_reduction=class_reduction,
        teacher_batchnorm=teacher_batchnorm,
    )
