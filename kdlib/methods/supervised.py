"""Training on what the task knows alone: how teachers are made, and the baseline of comparisons."""

from collections.abc import Sequence
from typing import Any

from pydantic import PositiveInt
from torch import nn

from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.methods.base import Method, StepOutput


class Supervised(Method):
    """The task's loss: cross-entropy on labels, error of boxes' actions, of flow."""

    resolution: PositiveInt | None = None

    def __init__(
        self, student: nn.Module, teachers: Sequence[nn.Module] = (), **options: Any
    ) -> None:
        if teachers:
            raise UserError(f"method.teachers: supervised takes none, got {len(teachers)}")
        super().__init__(student, **options)

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The mean of the task's loss over the batch."""
        output = self.predict(batch)
        assert output is not None
        loss = self.task.loss(output, batch).mean()
        return StepOutput(loss, {"cross_entropy": loss.detach()}, output)
