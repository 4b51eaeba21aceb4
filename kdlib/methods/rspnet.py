"""RSPNet (Chen et al. 2021): which clip is as fast as this one, and which is of its video?"""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlib.clips.batches import Batch
from kdlib.clips.colours import ColourJitter, jitter_colours
from kdlib.losses.info_nce import info_nce_loss
from kdlib.methods.base import StepOutput
from kdlib.methods.contrastive import MomentumContrast, clips_of, paired
from kdlib.methods.pretext import told

_MARGIN = 2.0
_COLOURS = ColourJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4, grey=0.2)

Vectors = tuple[Tensor, Tensor]  # of appearance and of speed


class RelativeSpeedPerception(MomentumContrast):
    """InfoNCE of appearance, twice, + margin ranking of speed.

    Of each video come a query, a key as fast and a key of the other speed, and each has two
    vectors. Appearance: both keys are positives, one after the other, against a queue of keys of
    the other speed. Speed: the product with the key as fast is to exceed that with the other by 2,
    both divided by the temperature.

    The clips are two at each of two speeds, the first and its others:
    `Others(strides=(1, 2, 2), own_view=True)` where the first has stride 1. Half of the queries of
    a batch, drawn anew, are of the first speed.

    Constants, linear projections and the colours (`_COLOURS`, each clip its own) are those of the
    released code (`moco/builder_diffspeed_diffloss.py`, `pretrain.py`). There the keys of both
    speeds begin at the same frame, and crops have 0.4 to 1 of the area; here each clip has a place
    of its own, and the crops of the data spec.
    """

    projections = 2

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The loss of one drawn speed of each query."""
        (query, query_speed), (same, same_speed), (other, other_speed) = self._seen(batch)
        queued = self.to_queue(query)
        alike = info_nce_loss(paired(query, same), queued, temperature=self.temperature)
        appearance = alike + info_nce_loss(
            paired(query, other), queued, temperature=self.temperature
        )
        near = paired(query_speed, same_speed) / self.temperature
        far = paired(query_speed, other_speed) / self.temperature
        speed = F.margin_ranking_loss(near, far, torch.ones_like(near), margin=_MARGIN)
        self.remember(other)
        parts = {"appearance": appearance.detach(), "speed": speed.detach()}
        return StepOutput(appearance + speed, parts)

    @torch.no_grad()
    def solved(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Whether the key as fast is nearer than the other, by the vectors of speed: one of two.

        Of appearance nothing is asked: clips of one video look alike to an untrained network too.
        """
        (_, query), (_, same), (_, other) = self._seen(batch)
        logits = torch.stack([paired(query, same), paired(query, other)], 1)
        return told(logits, torch.zeros(len(query), dtype=torch.int64, device=query.device))

    def _seen(self, batch: Batch) -> tuple[Vectors, Vectors, Vectors]:
        """Of the query, the key as fast and the key of the other speed."""
        wanted = "rspnet compares four clips, as Others(strides=(1, 2, 2), own_view=True)"
        a, b, c, d = clips_of(batch, 3, wanted)  # two at the first speed, two at the second
        is_first = torch.randperm(len(a), device=a.device) < len(a) // 2
        is_first = is_first.view(-1, 1, 1, 1, 1)
        # Where places are not drawn, clips follow each other: the middle two are as far from the
        # key as fast as from the other, so that the distance does not give the answer away.
        query, same, other = (
            jitter_colours(torch.where(is_first, first, second), _COLOURS)
            for first, second in ((b, c), (a, d), (c, b))
        )
        return self.queries(query), self.keys(same), self.keys(other)  # type: ignore[return-value]
