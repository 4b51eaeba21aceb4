"""A decoder of optical flow on an inner map: PWC-Net's estimator, nothing warped or matched."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdlib.models.base import fold_frames, unfold_frames

_WIDTHS = (128, 128, 96, 64, 32)


class FlowDecoder(nn.Module):
    """Five convolutions 3 x 3, each of all maps before it, and one that makes the flow of these.

    Each time step is decoded alone. LeakyReLU of slope 0.1 behind all but the last. Weights start
    from a normal distribution of variance 2 / fan-in, biases at 0, as in PWC-Net's released code
    (Sun et al. 2018, `PyTorch/models/PWCNet.py`). D3D's supplement has this estimator "without
    warping or cost volume" and says nothing of the dilated network behind it, which is not here.

    channels: of the map. outputs: of the flow: x and y, and perhaps the magnitude. width: of the
    first two convolutions; the others are 3/4, 1/2 and 1/4 of it.
    """

    def __init__(self, channels: int, outputs: int, width: int = 128) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        for published in _WIDTHS:
            conv = nn.Conv2d(channels, max(published * width // 128, 1), 3, padding=1)
            self.convs.append(conv)
            channels += conv.out_channels
        self.predict = nn.Conv2d(channels, outputs, 3, padding=1)
        for layer in (*self.convs, self.predict):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """The flow (B, T', outputs, h, w) of a map (B, C, T', h, w), in pixels of the map."""
        maps = fold_frames(features)
        for conv in self.convs:
            maps = torch.cat([F.leaky_relu(conv(maps), 0.1), maps], 1)
        return unfold_frames(self.predict(maps), features.shape[2]).transpose(1, 2)
