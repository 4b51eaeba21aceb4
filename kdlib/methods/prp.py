"""PRP (Yao et al. 2020): how fast is a clip played, and what was between its frames?"""

from collections.abc import Sequence
from math import log2
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from kdlib.clips.batches import Batch
from kdlib.clips.pixels import to_unit
from kdlib.errors import UserError
from kdlib.losses.motion_mse import motion_mse_loss, motion_weights
from kdlib.methods.base import StepOutput, pooled
from kdlib.methods.pretext import Pretext, told

_PROBE = (16, 64, 64)  # frames, height and width of a clip whose map tells the strides
_LOOKED_AT = 4  # frames of a run that say where something moves
_FEWEST = 8  # channels of the decoder


class Runs(NamedTuple):
    """What is played of footage (B, C, T, H, W): of each clip `frames` frames, `rate` apart.

    start, rate: int64 (B,). highest: the highest rate there can be. A run takes up
    rate * frames frames of the footage, that is `rate` parts of `frames` each.
    """

    start: Tensor
    rate: Tensor
    frames: int
    highest: int


class PlaybackRatePerception(Pretext):
    """Motion-weighted MSE of the clip at half its rate + 0.1 * cross-entropy over the rates.

    rates: how many, 1 and its doubles: 4 for 1, 2, 4 and 8. channels: of each branch, at most.

    A clip of the batch is footage, which the student never sees whole: of T frames it sees
    T / 2^(rates - 1), every first, second, fourth or eighth of a run of the footage. The rate and
    the place of the run are drawn for each clip. So `data.frames` is a multiple of the highest
    rate, and all rates are in every video, sharing one view: further clips (`others`) would not
    begin where the first does.

    To rebuild are twice as many frames of the same run, at half the stride; at rate 1 each second
    one is the mean of its neighbours, and the last the last frame itself. A pixel's value is from
    0 to 1. Weights are `motion_weights` of each part of the run that is as long in the footage as
    the clip has frames, from four frames of it.

    From the student's map go two branches, each with a convolution of its own, to no more than
    `channels`. One is pooled and classified. In the other transposed convolutions double the map,
    halving its channels three times at most, until it has the size of what is to rebuild: 512, 256,
    128, 64 channels as in the released code (`models/sscn.py`, `models/net_part.py`) where the map
    is 512 x T / 8 x H / 16 x W / 16 as there; of other maps more doublings, or fewer. The last
    doubling makes the pixels. There a convolution with batch norm and ReLU follows, which would
    take most of the decoder's time. Weights come from normalised pixels, there from plain ones.

    That code rebuilds at half the rate for all rates, and counts the means at rate 1 in the loss.
    It trains the classifier's last layer at ten times the learning rate; here all learn alike.
    """

    rates: Literal[2, 3, 4] = 4
    channels: PositiveInt = 512

    def __init__(
        self, student: nn.Module, teachers: Sequence[nn.Module] = (), **options: Any
    ) -> None:
        super().__init__(student, teachers, **options)
        channels = self.student.channels
        within = min(channels, self.channels)
        self.discriminative = _convolution(channels, within)
        self.classifier = nn.Linear(within, self.rates)
        self.generative = nn.Sequential(
            _convolution(channels, within), *upsampling(within, self._doublings())
        )

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The loss of one drawn run and rate of each clip."""
        run, label = self._draw(batch)
        maps = self.student.features(played(batch.clips, run))
        rate = F.cross_entropy(self._classified(maps), label)
        truth = to_unit(slowed(batch.clips, run))
        made = self.generative(maps)
        if made.shape != truth.shape:  # of a map whose size is rounded up
            made = F.interpolate(made, truth.shape[2:], mode="trilinear")
        reconstruction = motion_mse_loss(made, truth, run_weights(batch.clips, run))
        parts = {"reconstruction": reconstruction.detach(), "rate": rate.detach()}
        return StepOutput(reconstruction + 0.1 * rate, parts)

    def solved(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Whether the drawn rate is told; one task a clip."""
        run, label = self._draw(batch)
        return told(self._classified(self.student.features(played(batch.clips, run))), label)

    def _draw(self, batch: Batch) -> tuple[Runs, Tensor]:
        """What is played of each clip, and the logarithm (B,) of its rate."""
        clips, length, highest = len(batch.clips), batch.clips.shape[2], 1 << (self.rates - 1)
        if batch.others:
            raise UserError("data.others: prp takes every rate from one clip; leave them out")
        if length % highest or length < 2 * highest:
            raise UserError(
                f"data.frames: rates up to {highest} need a multiple of {highest} frames, "
                f"{2 * highest} or more, not {length}"
            )
        device, frames = batch.clips.device, length // highest
        label = torch.randint(self.rates, (clips,), device=device)
        spare = length - (frames << label)
        start = torch.randint(1 << 31, (clips,), device=device) % (spare + 1)
        return Runs(start, 1 << label, frames, highest), label

    def _classified(self, maps: Tensor) -> Tensor:
        return self.classifier(pooled(self.discriminative(maps)))

    def _doublings(self) -> list[int]:
        """How often time, height and width of the student's map double to be those to rebuild."""
        device = next(self.student.parameters()).device
        probe = getattr(self.student, "clip", _PROBE)
        self.student.eval()
        with torch.no_grad():
            maps = self.student.features(torch.zeros(1, 3, *probe, device=device))
        self.train()
        rebuilt = (2 * probe[0], *probe[1:])
        return [round(log2(a / b)) for a, b in zip(rebuilt, maps.shape[2:], strict=True)]


def played(footage: Tensor, run: Runs) -> Tensor:
    """The frames (B, C, frames, H, W) of footage (B, C, T, H, W) that are shown."""
    steps = torch.arange(run.frames, device=footage.device)
    return _at(footage, run.start[:, None] + run.rate[:, None] * steps)


def slowed(footage: Tensor, run: Runs) -> Tensor:
    """The same at half the rate: (B, C, 2 frames, H, W).

    Between two frames of footage it is their mean; after the last of the run, that one.
    """
    start, rate = run.start[:, None], run.rate[:, None]
    twice = torch.arange(2 * run.frames, device=footage.device) * rate
    before, after = twice // 2, torch.minimum((twice + 1) // 2, run.frames * rate - 1)
    return (_at(footage, start + before) + _at(footage, start + after)) / 2


def run_weights(footage: Tensor, run: Runs) -> Tensor:
    """The weights (B, 2 frames, H, W) of each frame that `slowed` gives, by where things move."""
    rate, device = run.rate[:, None], footage.device
    looked_at = torch.linspace(0, run.frames - 1, _LOOKED_AT, device=device).round().long()
    # As many parts of every run as the fastest has, since none may ask what was drawn.
    part = torch.minimum(torch.arange(run.highest, device=device), rate - 1)
    places = (run.start[:, None] + part * run.frames)[:, :, None] + looked_at
    shown = _at(footage, places.flatten(1)).unflatten(2, (run.highest, _LOOKED_AT))
    weights = motion_weights(shown.transpose(1, 2).flatten(0, 1)).unflatten(0, (-1, run.highest))
    of = torch.arange(2 * run.frames, device=device) * rate // (2 * run.frames)
    return weights[torch.arange(len(weights), device=device)[:, None], of]


def _at(footage: Tensor, index: Tensor) -> Tensor:
    """The frames `index` (B, T') of footage (B, C, T, H, W): (B, C, T', H, W)."""
    clip = torch.arange(len(footage), device=footage.device)[:, None]
    return footage.transpose(1, 2)[clip, index].transpose(1, 2)


def upsampling(channels: int, doublings: Sequence[int]) -> list[nn.Module]:
    """Layers from a map of `channels` to 3, its time, height and width doubled so many times."""
    layers: list[nn.Module] = []
    for left in range(max(doublings), 0, -1):
        factor = tuple(2 if left <= times else 1 for times in doublings)
        out = channels if left > 1 else 3
        layers.append(nn.ConvTranspose3d(channels, out, factor, factor))  # type: ignore[arg-type]
        if left > 1:
            fewer = channels if max(doublings) - left >= 3 else max(channels // 2, _FEWEST)
            layers.append(_convolution(channels, fewer))
            channels = fewer
    return layers


def _convolution(channels_in: int, channels: int) -> nn.Sequential:
    layer = nn.Conv3d(channels_in, channels, 3, padding=1)
    return nn.Sequential(layer, nn.BatchNorm3d(channels), nn.ReLU(inplace=True))
