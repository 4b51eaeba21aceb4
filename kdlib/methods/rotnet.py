"""RotNet for video (Jing et al. 2018): by how many quarter turns was a clip rotated?"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.methods.base import StepOutput, pooled
from kdlib.methods.pretext import Pretext, told


class RotNet(Pretext):
    """Cross-entropy over `rotations` classes: 0, 90, 180 and 270 degrees, the first so many.

    All frames of a clip are turned alike, anticlockwise. A turn is drawn for each clip; the code
    that its authors released shows the network every clip at all four turns, which is four times
    the work for the same task. That fewer rotations are the smaller multiples of 90 degrees is our
    reading of the benchmark, which names their number alone. Clips must be square.
    """

    rotations: Literal[2, 3, 4] = 4

    def __init__(
        self, student: nn.Module, teachers: Sequence[nn.Module] = (), **options: Any
    ) -> None:
        super().__init__(student, teachers, **options)
        self.classifier = nn.Linear(self.student.channels, self.rotations)

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The loss of one drawn rotation of each clip."""
        loss = F.cross_entropy(*self._asked(batch))
        return StepOutput(loss, {"rotation": loss.detach()})

    def solved(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Whether the drawn rotation is told; one task a clip."""
        return told(*self._asked(batch))

    def _asked(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits (B, rotations) of rotated clips, and the turns (B,) that were drawn."""
        clips = batch.clips
        turns = torch.randint(self.rotations, (len(clips),), device=clips.device)
        maps = self.student.features(turned(clips, turns))
        return self.classifier(pooled(maps)), turns


def turned(clips: Tensor, turns: Tensor) -> Tensor:
    """Clips (B, 3, T, H, W), each by its own number of quarter turns (B,), 0 to 3, anticlockwise.

    UserError unless they are square.
    """
    height, width = clips.shape[3:]
    if height != width:
        raise UserError(f"clips: a quarter turn needs square ones, not {height}x{width}")
    turns = turns.view(-1, 1, 1, 1, 1)
    # A half turn and a quarter turn, each done or not: all four, without a look at the values.
    half = torch.where(turns >= 2, clips.rot90(2, (3, 4)), clips)
    return torch.where(turns % 2 == 1, half.rot90(1, (3, 4)), half)
