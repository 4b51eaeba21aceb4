"""Base distillations: a loss that is a mean over samples, so that samples can be weighed (SAKD)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kdlib.clips.batches import Batch
from kdlib.clips.seen import seen_by
from kdlib.methods.base import (
    Method,
    StepOutput,
    Weight,
    check_equal,
    check_features,
    only_teacher,
    pooled,
)


class Terms(NamedTuple):
    """What a distillation asks of each sample of a batch, weighted as the method weights it.

    cross_entropy, distillation: (B,); their mean sum is the method's loss. logits: the student's
    (B, K).
    """

    cross_entropy: Tensor
    distillation: Tensor
    logits: Tensor


class Seen(NamedTuple):
    """A batch as student and teacher saw it; what is the teacher's has no gradient.

    student, teacher: pooled features (B, C). student_logits, teacher_logits: (B, K).
    labels: (B,). epoch: from 0. previous_logits: (B, K) of the student of an epoch before, where
    the method keeps one.
    """

    student: Tensor
    student_logits: Tensor
    teacher: Tensor
    teacher_logits: Tensor
    labels: Tensor
    epoch: int
    previous_logits: Tensor | None = None


def together(batches: Sequence[Seen]) -> Seen:
    """What was seen of several batches of an epoch, as of one."""

    def joined(values: tuple[Any, ...]) -> Any:
        return torch.cat(values) if isinstance(values[0], Tensor) else values[0]

    return Seen(*map(joined, zip(*batches, strict=True)))


class Distillation(Method):
    """The mean over samples of  label_weight * loss on the label + weight * distillation.

    Subclasses implement `distillation`. Student and teacher see the same clips, or their flow, and
    have the same classes.
    """

    label_weight: Weight = 0.1
    weight: Weight = 0.9

    def __init__(self, student: nn.Module, teachers: Sequence[nn.Module], **options: Any) -> None:
        check_features(student=student, teacher=only_teacher(teachers))
        check_equal("classes", student, teachers[0])
        super().__init__(student, teachers, **options)

    def distillation(self, seen: Seen) -> Tensor:
        """The unweighted distillation loss of each sample, (B,)."""
        raise NotImplementedError

    def see(self, batch: Batch, epoch: int) -> Seen:
        """A batch through both networks, epochs counted from 0."""
        with torch.no_grad():
            teacher_map = self.teacher.features(seen_by(self.teacher, batch))
            teacher_logits = self.teacher.head(teacher_map)
        student_map = self.student.features(self.student_view(seen_by(self.student, batch)))
        return Seen(
            pooled(student_map),
            self.student.head(student_map),
            pooled(teacher_map),
            teacher_logits,
            batch.required_labels,
            epoch,
        )

    def weighted(self, seen: Seen) -> Tensor:
        """The distillation loss of each sample times its weight, (B,)."""
        return self.weight * self.distillation(seen)

    def terms(self, batch: Batch, epoch: int) -> Terms:
        """Both terms of each sample, epochs counted from 0."""
        seen = self.see(batch, epoch)
        cross_entropy = self.label_weight * self.task.loss(seen.student_logits, batch)
        return Terms(cross_entropy, self.weighted(seen), seen.student_logits)

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The mean of both terms, added."""
        terms = self.terms(batch, epoch)
        cross_entropy, distillation = terms.cross_entropy.mean(), terms.distillation.mean()
        parts = {"cross_entropy": cross_entropy.detach(), "distillation": distillation.detach()}
        return StepOutput(cross_entropy + distillation, parts, terms.logits)
