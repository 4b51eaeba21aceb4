"""VCOP (Xu et al. 2019): in which order were the clips of a video shuffled?"""

from collections.abc import Sequence
from itertools import combinations, permutations
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.methods.base import StepOutput, pooled
from kdlib.methods.pretext import Pretext, told

_MOST = 512  # channels of the shared layer


class ClipOrderPrediction(Pretext):
    """Cross-entropy over the clips! orders of `clips` clips that follow each other in a video.

    Features of every two shown clips, the earlier shown first, go through one shared linear layer
    and ReLU; all of these, after dropout of 0.5, through a linear layer: the released code
    (`models/vcopn.py`), whose shared layer gives 512 channels. Here it gives as many as the student
    has, 512 at most.

    The clips are the first of the batch and its others, in the order of the video:
    `Others(strides=(1, 1), gap=8)` for 3. A shuffle is drawn for each video. It shuffles the
    features, not the clips, which is the same since the student sees each clip by itself; only
    batch norm sees all clips of the batch at once, and not all of one place after another.
    """

    clips: Literal[3, 4, 5] = 3

    def __init__(
        self, student: nn.Module, teachers: Sequence[nn.Module] = (), **options: Any
    ) -> None:
        super().__init__(student, teachers, **options)
        channels, orders = self.student.channels, list(permutations(range(self.clips)))
        hidden, pairs = min(channels, _MOST), self.clips * (self.clips - 1) // 2
        self.pair = nn.Linear(2 * channels, hidden)
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(pairs * hidden, len(orders)))
        self.register_buffer("orders", torch.tensor(orders), persistent=False)

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The loss of one drawn shuffle of each video."""
        loss = F.cross_entropy(*self._asked(batch))
        return StepOutput(loss, {"order": loss.detach()})

    def solved(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Whether the drawn order is told; one task a video."""
        return told(*self._asked(batch))

    def _asked(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits (B, clips!) of shuffled clips, and the number (B,) of each one's order."""
        others = self.clips - 1
        if len(batch.others) != others:
            wanted = f"strides=({', '.join('1' * others)}), gap=8"
            raise UserError(
                f"data.others: {self.clips} clips in a row need {others} others, "
                f"as Others({wanted}), not {len(batch.others)}"
            )
        shown = torch.cat([batch.clips, *batch.others])
        features = pooled(self.student.features(shown)).unflatten(0, (self.clips, -1))
        orders = self.get_buffer("orders")
        number = torch.randint(len(orders), (len(batch.clips),), device=shown.device)
        paired = pairs(shuffled(features.transpose(0, 1), orders[number]))
        hidden = self.pair(paired).relu()
        return self.classifier(hidden.flatten(1)), number


def shuffled(features: Tensor, orders: Tensor) -> Tensor:
    """Features (B, clips, C) of clips in the order of time, as shown: at place p clip orders[p].

    orders: int64 (B, clips), a permutation a row.
    """
    return features.take_along_dim(orders[:, :, None], 1)


def pairs(features: Tensor) -> Tensor:
    """Of features (B, clips, C) every two, the earlier first: (B, clips (clips - 1) / 2, 2C)."""
    first, second = zip(*combinations(range(features.shape[1]), 2), strict=True)
    return torch.cat([features[:, first], features[:, second]], 2)
