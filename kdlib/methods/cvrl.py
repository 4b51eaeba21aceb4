"""CVRL (Qian et al. 2021): which other clip is of the same video?"""

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from kdlib.clips.batches import Batch
from kdlib.clips.colours import ColourJitter, jitter_colours
from kdlib.losses.info_nce import info_nce_loss
from kdlib.methods.base import StepOutput, Temperature, pooled
from kdlib.methods.contrastive import SIZE, clips_of, paired, products, unit
from kdlib.methods.pretext import Pretext, told

_COLOURS = ColourJitter(
    brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, jittered=0.8, grey=0.2
)
_LAYERS = 3  # hidden ones of the projection


class ContrastiveVideoRepresentation(Pretext):
    """InfoNCE both ways between two clips of each video, the sum of both, within the batch.

    Candidates for the partner of a clip are all clips of the batch but itself, of either kind.
    hidden: channels of the projection's three hidden layers, each with batch norm and ReLU.

    The clips are the first and another, in crops and colours of their own:
    `Others(strides=(1,), own_view=True)`. They start at random independently, so that the distance
    d of their starts, of D possible ones, has the density 2 / D * (1 - d / D). That is what the
    released code draws distances from, the linear one of the paper's falling distributions.

    Constants and colours (`_COLOURS`) are those of the released code (tensorflow/models,
    `official/projects/video_ssl`), which has no queue and no momentum encoder. It also blurs, and
    inverts the brightest pixels of every fifth second clip, which is left out here, and varies
    brightness, contrast, saturation and hue in an order drawn at random, here in this one. Crops
    are the data spec's; there 0.3 to 1 of the area, at ratios of 1/2 to 2.
    """

    temperature: Temperature = 0.1
    hidden: PositiveInt = 2048

    def __init__(
        self, student: nn.Module, teachers: Sequence[nn.Module] = (), **options: Any
    ) -> None:
        super().__init__(student, teachers, **options)
        layers: list[nn.Module] = []
        channels = self.student.channels
        for _ in range(_LAYERS):
            layers += [nn.Linear(channels, self.hidden), nn.BatchNorm1d(self.hidden), nn.ReLU()]
            channels = self.hidden
        self.projection = nn.Sequential(*layers, nn.Linear(channels, SIZE))

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The loss of a batch."""
        one, other = self._seen(batch)
        loss = self._one_way(one, other) + self._one_way(other, one)
        return StepOutput(loss, {"info_nce": loss.detach()})

    @torch.no_grad()
    def solved(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Whether a clip's partner is the nearest of all second clips, and the reverse: two tasks
        a video, each one of as many as there are videos in the batch."""
        one, other = self._seen(batch)
        logits = products(one, other)
        return told(torch.cat([logits, logits.T]), torch.arange(len(one)).repeat(2).to(one.device))

    def _one_way(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Of vectors (B, SIZE) of both clips of each video."""
        own = torch.eye(len(queries), dtype=torch.bool, device=queries.device).repeat(1, 2)
        others = products(queries, torch.cat([keys, queries])).masked_fill(own, float("-inf"))
        return info_nce_loss(paired(queries, keys), others, temperature=self.temperature)

    def _seen(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """A vector (B, SIZE) of each clip; both kinds share their batch statistics."""
        wanted = "cvrl compares two clips, as Others(strides=(1,), own_view=True)"
        clips = torch.cat([jitter_colours(c, _COLOURS) for c in clips_of(batch, 1, wanted)])
        one, other = unit(self.projection(pooled(self.student.features(clips)))).chunk(2)
        return one, other
