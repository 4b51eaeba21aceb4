"""What all pre-trainings without labels have in common: a clip is its own teacher."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.methods.base import Method, check_features, check_pixels


class Pretext(Method):
    """A task that is made of the clips alone. It trains the student's backbone; the head is left.

    Subclasses implement `step` and `solved`, of features `pooled(student.features(clips))`, and
    have the layers of their task beside the student.
    """

    def __init__(
        self, student: nn.Module, teachers: Sequence[nn.Module] = (), **options: Any
    ) -> None:
        if teachers:
            raise UserError(f"method.teachers: a pretext task takes none, got {len(teachers)}")
        check_features(student=student)
        check_pixels(student=student)
        super().__init__(student, **options)

    def predict(self, batch: Batch) -> None:
        """Nothing: the head has learnt nothing."""
        return None

    def solved(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Which of the tasks made of a batch the student solves, and what a guess would solve.

        Both (N,), any number of tasks a clip: 0 or 1, and a probability. What is drawn is drawn of
        torch's global generator.
        """
        raise NotImplementedError


def told(logits: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
    """What `solved` gives of one question a clip: logits (B, K), true answers (B,), all alike."""
    right = logits.argmax(1) == answers
    return right.float(), torch.full_like(right, 1 / logits.shape[1], dtype=torch.float32)
