"""The probe of D3D (Stroud et al. 2020): how well can flow be read from an inner map?"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from kdlib.clips.batches import Batch
from kdlib.clips.seen import channels_of, seen_by
from kdlib.errors import UserError
from kdlib.methods.base import Method, StepOutput, check_features
from kdlib.models.base import CHANNELS
from kdlib.models.flow_decoder import FlowDecoder
from kdlib.tasks.flow import enlarged

_PROBE = (4, 32, 32)  # frames, height and width of a clip whose map tells its channels


class FlowProbe(Method):
    """The mean distance of the decoded flow from the known one, reduced to the size of the map.

    The task is flow (`DataSpec.task`), `Start(run, part="backbone")` gives the network to look at,
    and `Recipe.freeze` says whether it is read as it is, ("backbone", "head"), or fine-tuned. The
    student's own head for flow is not used. Judged is the decoded flow enlarged to the clip.

    stage: the module whose map is read. channels: 3 adds the magnitude to x and y, in the loss
        alone; D3D's supplement has three and does not say what the third is, nor the loss.
    width: of the decoder; 128 is PWC-Net's.
    """

    stage: str = "MaxPool_3a"
    channels: Literal[2, 3] = 3
    width: PositiveInt = 128

    def __init__(
        self, student: nn.Module, teachers: Sequence[nn.Module] = (), **options: Any
    ) -> None:
        if teachers:
            raise UserError(f"method.teachers: flow_probe takes none, got {len(teachers)}")
        check_features(student=student)
        super().__init__(student, **options)
        if self.student.task != "flow":
            raise UserError('data.task: flow_probe is judged by its flow; set it to "flow"')
        self.decoder = FlowDecoder(self._width_of_map(), self.channels, self.width)

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The loss of a batch, in pixels of the map."""
        made = self._decoded(batch)
        target = reduced(batch.known["flow"], made, magnitude=self.channels == 3)
        loss = self.task.loss(made, replace(batch, known={"flow": target})).mean()
        return StepOutput(loss, {"flow_error": loss.detach()}, made)

    def predict(self, batch: Batch) -> Tensor:
        """The flow (B, T - 1, 2, H, W) in pixels a frame."""
        known = batch.known["flow"]
        # As many as frames, of which the last has no flow to be held against.
        frames = torch.cat([known, known[:, -1:]], 1)
        return enlarged(self._decoded(batch)[:, :, :2], frames)[:, :-1]

    def _decoded(self, batch: Batch) -> Tensor:
        """The flow (B, T', channels, h, w) of the map."""
        maps = self.student.stages(seen_by(self.student, batch), [self.stage])
        return self.decoder(maps[self.stage])

    @torch.no_grad()
    def _width_of_map(self) -> int:
        student = self.student.eval()
        device = next(student.parameters()).device
        probe = getattr(student, "clip", _PROBE)
        clip = torch.zeros(1, CHANNELS[student.sees], *probe, device=device)
        channels = student.stages(clip, [self.stage])[self.stage].shape[1]
        self.train()
        return channels


def reduced(flow: Tensor, like: Tensor, *, magnitude: bool) -> Tensor:
    """Flow (B, T - 1, 2, H, W) averaged over the places of a map (B, T', ..., h, w), in its pixels.

    magnitude: with the mean of its length as third channel.
    """
    frames, height, width = like.shape[1], like.shape[3], like.shape[4]
    scale = torch.tensor([width / flow.shape[4], height / flow.shape[3]], device=flow.device)
    shown = channels_of(flow * scale[:, None, None], magnitude=magnitude)
    return F.adaptive_avg_pool3d(shown, (frames, height, width)).transpose(1, 2)
