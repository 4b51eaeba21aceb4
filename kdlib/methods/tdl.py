"""TDL (Wang et al. 2020): which clip shows the same moment of the same video?"""

import torch
from pydantic import PositiveInt
from torch import Tensor

from kdlib.clips.batches import Batch
from kdlib.clips.colours import ColourJitter, jitter_colours
from kdlib.losses.info_nce import info_nce_loss
from kdlib.methods.base import StepOutput
from kdlib.methods.contrastive import MomentumContrast, clips_of, paired, products
from kdlib.methods.pretext import told

_COLOURS = ColourJitter(brightness=0.5, contrast=0.5, saturation=0.25, hue=0.5)
_MIXED = 0.1  # the largest share of the frame that is mixed into a clip


class TemporalDiscrimination(MomentumContrast):
    """InfoNCE of an anchor and its positive, against another moment of its video and a queue.

    The positive has the frames of the anchor, in a crop and colours of its own; the negative is a
    clip of another time interval. The clips are the first, itself again, and another:
    `Others(strides=(1,), gap=0, own_view=True, again=True)`. Anchor and negative are encoded by the
    student, both with gradient, the positive by the copy, and positives enter the queue.

    Temporal consistent augmentation: into every frame of an anchor goes a share, of up to 0.1, of
    one frame of the same clip, both drawn for each clip. Differences between frames are then the
    same but for a factor.

    The benchmark of pretext tasks calls it TDL and cites this paper ("Self-supervised temporal
    discriminative learning", VTDL); of it only the abstract and the released code could be read
    (FingerRec, `src/train_temporal_dis.py`). Where they differ, this follows the code: negatives
    are other intervals as they are, and the shuffled frames of its `gen_negative` are not used; the
    queue is MoCo's, of keys of positives, where the paper's figure has a memory bank of anchors;
    the triplet loss beside InfoNCE is commented out there. The memory momentum of 0.5 is an option
    of another method of that code. Constants and colours are the code's, but for the queue of 500,
    the benchmark's. Left out are rotations by up to 10 degrees. There the starts of anchor and
    negative are four frames apart or more; here `gap` says how far, and 0 is the next interval.
    There one share is drawn a batch.
    """

    queue: PositiveInt = 500

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The loss of a batch."""
        anchor, positive, negative = self._seen(batch)
        others = torch.cat([self.to_queue(anchor), paired(anchor, negative)[:, None]], 1)
        loss = info_nce_loss(paired(anchor, positive), others, temperature=self.temperature)
        self.remember(positive)
        return StepOutput(loss, {"info_nce": loss.detach()})

    @torch.no_grad()
    def solved(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Whether an anchor's positive is the nearest of all positives and negatives of the batch:
        one task a video, one of twice as many as there are videos."""
        anchor, positive, negative = self._seen(batch)
        logits = products(anchor, torch.cat([positive, negative]))
        return told(logits, torch.arange(len(anchor), device=anchor.device))

    def _seen(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The vectors (B, SIZE) of anchor, positive and negative."""
        wanted = "tdl compares three clips, as Others((1,), gap=0, own_view=True, again=True)"
        clips = clips_of(batch, 2, wanted)
        anchor, positive, negative = (jitter_colours(c, _COLOURS) for c in clips)
        device = anchor.device
        share = _MIXED * torch.rand(len(anchor), device=device)
        frame = torch.randint(anchor.shape[2], (len(anchor),), device=device)
        (query,) = self.queries(mixed(anchor, share, frame))
        (key,) = self.keys(positive)
        (other,) = self.queries(negative)
        return query, key, other


def mixed(clips: Tensor, share: Tensor, frame: Tensor) -> Tensor:
    """Clips (B, C, T, H, W) with a share (B,) of their own frame (B,) mixed into all frames."""
    share = share.view(-1, 1, 1, 1, 1)
    still = clips.take_along_dim(frame.view(-1, 1, 1, 1, 1), 2)
    return (1 - share) * clips + share * still
