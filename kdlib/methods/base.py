"""What every distillation method is: a student, frozen teachers, and a step on a batch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from kdlib.data.augment import resize
from kdlib.models.classifier import VideoClassifier


@dataclass(frozen=True)
class Batch:
    """clips float (B, 3, T, H, W); labels (B,) or multi-hot (B, K); indices (B,) into the split."""

    clips: Tensor
    labels: Tensor
    indices: Tensor


@dataclass(frozen=True)
class StepOutput:
    """loss: a scalar to minimise; parts: its detached terms by name; logits (B, K) if there are."""

    loss: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    logits: Tensor | None = None


class Method(nn.Module):
    """A student, its frozen teachers and the size in pixels at which the student sees the clip.

    Subclasses implement `step(batch, epoch) -> StepOutput`. Teachers never receive a gradient;
    `teacher_mode` ("eval" or "train") is put back on every call of `train()` or `eval()`, so that
    no outside call can change it. `own_state()` is what a checkpoint needs beside the student.
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

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The loss of one batch, epochs counted from 0."""
        raise NotImplementedError

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
            if not name.startswith(("student.", "teachers."))
        }
