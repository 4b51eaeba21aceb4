"""What every distillation method is: a student, frozen teachers, and a step on a batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from kdlib.clips.batches import Batch
from kdlib.clips.pixels import resize
from kdlib.errors import UserError
from kdlib.losses.classification import classification_loss
from kdlib.models.classifier import VideoClassifier


@dataclass(frozen=True)
class StepOutput:
    """loss: a scalar to minimise; parts: its detached terms by name; logits (B, K) if there are."""

    loss: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    logits: Tensor | None = None


class Epoch(NamedTuple):
    """What a method may know before an epoch begins.

    number: from 0. total: epochs of the training. videos: N, in the training split.
    batches: walks once through all of them, in order, at the centre crop and the test frames.
    """

    number: int
    total: int
    videos: int
    batches: Callable[[], Iterator[Batch]]


class Method(nn.Module):
    """A student, its frozen teachers and the size in pixels at which the student sees the clip.

    Subclasses implement `step(batch, epoch) -> StepOutput`. Teachers never receive a gradient;
    `teacher_mode` ("eval" or "train") is put back on every call of `train()` or `eval()`, so that
    no outside call can change it. `own_state()` is what a checkpoint needs beside the student;
    `traces()` is kept with the record of a run.
    """

    teacher_mode = "eval"

    def __init__(
        self,
        student: VideoClassifier,
        teachers: Sequence[VideoClassifier] = (),
        resolution: int | None = None,
    ) -> None:
        super().__init__()
        self.student: VideoClassifier = student
        self.teachers = nn.ModuleList(teachers).requires_grad_(False)
        self.resolution = resolution
        self.train()

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The loss of one batch, epochs counted from 0."""
        raise NotImplementedError

    def before_epoch(self, epoch: Epoch) -> np.ndarray | None:
        """The training videos of this epoch, int64; None, which is the default, for all."""
        return None

    def predict(self, clips: Tensor) -> Tensor:
        """Logits (B, K) as at test time: the student alone, at its own resolution."""
        return self.student(self.student_view(clips))

    def student_view(self, clips: Tensor) -> Tensor:
        """The clips (B, 3, T, H, W) as the student sees them: `resolution` pixels square."""
        return clips if self.resolution is None else resize(clips, self.resolution)

    def train(self, mode: bool = True) -> "Method":
        """Set the student's mode; the teachers keep theirs."""
        super().train(mode)
        self.teachers.train(self.teacher_mode == "train")
        return self

    def own_state(self) -> dict[str, Tensor]:
        """The state of projectors, queues and the like: all but student and teachers."""
        return {
            name: value
            for name, value in self.state_dict().items()
            if not {"student", "teachers"} & set(name.split("."))
        }

    def load_own_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `own_state()` gave."""
        self.load_state_dict(state, strict=False)

    def traces(self) -> dict[str, np.ndarray]:
        """What happened in training, for figures: arrays by name."""
        return {}


class Terms(NamedTuple):
    """What a distillation asks of each sample of a batch, weighted as the method weights it.

    cross_entropy, distillation: (B,); their mean sum is the method's loss. logits: the student's
    (B, K). features: the teacher's pooled features (B, C).
    """

    cross_entropy: Tensor
    distillation: Tensor
    logits: Tensor
    features: Tensor


class Seen(NamedTuple):
    """A batch as student and teacher saw it; what is the teacher's has no gradient.

    student, teacher: pooled features (B, C). student_logits, teacher_logits: (B, K).
    labels: (B,). epoch: from 0.
    """

    student: Tensor
    student_logits: Tensor
    teacher: Tensor
    teacher_logits: Tensor
    labels: Tensor
    epoch: int


class Distillation(Method):
    """A loss that is a mean over samples, so that samples can be weighed one by one (SAKD).

        mean over samples of  label_weight * CE + weight * distillation

    Subclasses implement `distillation`. Student and teacher see the same clips.
    """

    def __init__(
        self,
        student: VideoClassifier,
        teachers: Sequence[VideoClassifier],
        *,
        label_weight: float = 0.1,
        weight: float = 0.9,
    ) -> None:
        if len(teachers) != 1:
            raise UserError(f"method.teachers: it takes one, got {len(teachers)}")
        super().__init__(student, teachers)
        self.label_weight, self.weight = label_weight, weight

    @property
    def teacher(self) -> VideoClassifier:
        """The teacher."""
        return cast(VideoClassifier, self.teachers[0])

    def distillation(self, seen: Seen) -> Tensor:
        """The unweighted distillation loss of each sample, (B,)."""
        raise NotImplementedError

    def terms(self, batch: Batch, epoch: int) -> Terms:
        """Both terms of each sample, epochs counted from 0."""
        with torch.no_grad():
            teacher_map = self.teacher.features(batch.clips)
            teacher_logits = self.teacher.head(teacher_map)
        student_map = self.student.features(self.student_view(batch.clips))
        logits = self.student.head(student_map)
        teacher = teacher_map.mean((2, 3, 4))
        seen = Seen(
            student_map.mean((2, 3, 4)), logits, teacher, teacher_logits, batch.labels, epoch
        )
        return Terms(
            self.label_weight * classification_loss(logits, batch.labels, reduction="none"),
            self.weight * self.distillation(seen),
            logits,
            teacher,
        )

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The mean of both terms, added."""
        terms = self.terms(batch, epoch)
        cross_entropy, distillation = terms.cross_entropy.mean(), terms.distillation.mean()
        parts = {"cross_entropy": cross_entropy.detach(), "distillation": distillation.detach()}
        return StepOutput(cross_entropy + distillation, parts, terms.logits)
