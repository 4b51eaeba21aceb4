"""Optical flow of a clip: a small decoder on a map, its end-point error, and how it is judged."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdlib.analysis.flow import end_point_error
from kdlib.clips.batches import Batch
from kdlib.clips.seen import seen_by

KNOWN: tuple[str, ...] = ("flow",)
SCORE = "error removed %"


class FlowHead(nn.Module):
    """Two convolutions that make a map (B, C, T', h, w) the flow (B, T', 2, h, w) in its pixels."""

    def __init__(self, channels: int, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(channels, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv3d(width, 2, 3, padding=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """The flow, x then y, at the places of the map."""
        return self.layers(features).transpose(1, 2)


def head(channels: int, classes: int) -> nn.Module:
    """A decoder; the classes of a set do not matter to it."""
    return FlowHead(channels)


def answer(model: nn.Module, batch: Batch) -> Tensor:
    """The flow (B, T - 1, 2, H, W) in pixels a frame, enlarged to the size of the known flow."""
    return enlarged(model(seen_by(model, batch)), batch.known["flow"])


def enlarged(flow: Tensor, like: Tensor) -> Tensor:
    """Flow of a map (B, T', 2, h, w), in pixels of the map, as one of the shape of another.

    Its displacements grow with the map.
    """
    frames, _, height, width = like.shape[1:]
    large = F.interpolate(
        flow.transpose(1, 2), (frames, height, width), mode="trilinear", align_corners=False
    ).transpose(1, 2)
    scale = torch.tensor([width / flow.shape[4], height / flow.shape[3]], device=flow.device)
    return large * scale[:, None, None]


def loss(output: Tensor, batch: Batch) -> Tensor:
    """Mean end-point error in pixels of each clip (B,)."""
    # Of an error of exactly 0 a square root has no gradient.
    square = (output - batch.known["flow"]).square().sum(2)
    return (square + 1e-6).sqrt().flatten(1).mean(1)


def truth(batch: Batch) -> dict[str, Tensor]:
    """The known flow."""
    return {"flow": batch.known["flow"]}


def judge(outputs: Tensor, truth: dict[str, Tensor]) -> dict[str, Any]:
    """`end_point_error` in pixels; `score` is 1 less its share of the error of no motion at all."""
    error = end_point_error(outputs, truth["flow"])
    still = end_point_error(torch.zeros_like(truth["flow"]), truth["flow"])
    return {"score": 1 - error / still if still else -error, "end_point_error": error}


def keep(outputs: Tensor) -> dict[str, np.ndarray]:
    """Nothing: flow is large, and the record's networks make it again."""
    return {}
