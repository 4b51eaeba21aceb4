"""TPN: a temporal pyramid on two stages of a SlowOnly ResNet (Yang et al. 2020).

Structure and sizes are those of decisionforce/TPN, config_files/kinetics400/tpn: both stages come
to one size (spatial modulation), are convolved and pooled in time, each at its rate (temporal
modulation), exchange maps from top to bottom and from bottom to top, and both results are fused.
In the released code the second exchange starts from the maps that the first has changed, although
the paper draws both side by side; it does so here too.
"""

import math
import warnings
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from kdlib.errors import UserError
from kdlib.models.base import Probability, VideoModel
from kdlib.models.c3d import conv3d_stage

# depth and frames pooled into one, for the lower and for the upper stage
SIZES = {"r50_f8s8": (50, (8, 8)), "r101_f32s2": (101, (16, 32))}


class TemporalPyramid(nn.Module):
    """Maps of two stages (B, C / 2, T, 2h, 2w) and (B, C, T, h, w) to one, (B, C, T', h, w)."""

    def __init__(self, channels: int, pooled: tuple[int, int], groups: int) -> None:
        super().__init__()
        half = channels // 2
        self.spatial = conv3d_stage(half, channels, kernel_t=1)
        self.temporal = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(channels, half, (3, 1, 1), padding=(1, 0, 0), groups=groups, bias=False),
                nn.MaxPool3d((frames, 1, 1), ceil_mode=True),
            )
            for frames in pooled
        )
        ratio = pooled[1] // pooled[0]
        self.up = nn.Upsample(scale_factor=(ratio, 1, 1))
        self.down = nn.Sequential(
            nn.Conv3d(half, half, (3, 1, 1), padding=(1, 0, 0), bias=False),
            nn.MaxPool3d((ratio, 1, 1), ceil_mode=True),
        )
        self.from_top = _Fusion(channels, ratio, groups)
        self.from_bottom = _Fusion(channels, ratio, groups)
        self.fusion = _pointwise(2 * channels, channels)

    def forward(self, lower: Tensor, upper: Tensor) -> Tensor:
        """The fused map; T' is T over the second number of pooled frames, rounded up."""
        lower, upper = self.temporal[0](self.spatial(lower)), self.temporal[1](upper)
        # Of a clip that is shorter than what is pooled, both have one frame.
        lower = lower + self.up(upper)[:, :, : lower.shape[2]]
        from_top = self.from_top(lower, upper)
        upper = upper + self.down(lower)
        return self.fusion(torch.cat([from_top, self.from_bottom(lower, upper)], dim=1))


class _Fusion(nn.Module):
    """Both stages' maps at the upper one's rate, as one."""

    def __init__(self, channels: int, ratio: int, groups: int) -> None:
        super().__init__()
        half = channels // 2
        self.pool = nn.MaxPool3d((ratio, 1, 1), ceil_mode=True)
        self.lower = _pointwise(half, half, groups)
        self.upper = _pointwise(half, half, groups)
        self.both = _pointwise(channels, channels)

    def forward(self, lower: Tensor, upper: Tensor) -> Tensor:
        return self.both(torch.cat([self.lower(self.pool(lower)), self.upper(upper)], dim=1))


def _pointwise(channels_in: int, channels: int, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(channels_in, channels, 1, groups=groups, bias=False),
        nn.BatchNorm3d(channels),
        nn.ReLU(inplace=True),
    )


class PyramidOnStages(nn.Module):
    """A backbone whose last two stages feed a pyramid."""

    def __init__(self, lower: nn.Module, upper: nn.Module, pyramid: TemporalPyramid) -> None:
        super().__init__()
        self.lower, self.upper, self.pyramid = lower, upper, pyramid

    def forward(self, clips: Tensor) -> Tensor:
        """The pyramid's map (B, C, T', h, w)."""
        lower = self.lower(clips)
        return self.pyramid(lower, self.upper(lower))


def _resnet(depth: int) -> nn.ModuleList:
    """Stem and four stages of pytorchvideo's SlowOnly ResNet."""
    with warnings.catch_warnings():
        # a dependency of pytorchvideo calls torch.jit.script as it is imported
        warnings.simplefilter("ignore", FutureWarning)
        from pytorchvideo.models.resnet import create_resnet
    return create_resnet(model_depth=depth, stem_conv_kernel_size=(1, 7, 7), head=None).blocks


def build(
    classes: PositiveInt,
    backbone: Literal["micro", "r50_f8s8", "r101_f32s2"] = "micro",
    width: PositiveInt = 16,
    pooled: PositiveInt = 2,
    dropout: Probability = 0.0,
) -> VideoModel:
    """TPN on clips of any length; its map is (B, C, T', H / 8, W / 8), the ResNets' / 32.

    backbone: "micro" has three stages of width, 2 width and 4 width channels; the last two make the
        pyramid. The others are named as in SAKD's Table 3: ResNet-50 on 8 frames, ResNet-101 on 32.
    pooled: frames that the micro network's pyramid pools into one, in both stages.
    dropout: TPN's own is 0.5.

    The released code trains with a second classifier on the lower stage; it is left out here.
    """
    if backbone == "micro":
        channels = 4 * width
        lower = nn.Sequential(
            conv3d_stage(3, width, kernel_t=1), conv3d_stage(width, 2 * width, kernel_t=1)
        )
        pyramid = TemporalPyramid(channels, (pooled, pooled), math.gcd(channels // 2, 8))
        stages = PyramidOnStages(lower, conv3d_stage(2 * width, channels), pyramid)
        return VideoModel(stages, channels, classes, dropout)
    if (width, pooled) != (16, 2):
        raise UserError(f"tpn: {backbone} has its own width and pooled frames")
    depth, own_pooled = SIZES[backbone]
    stem, *stages_ = _resnet(depth)
    lower = nn.Sequential(stem, *stages_[:3])
    pyramid = TemporalPyramid(2048, own_pooled, 32)
    return VideoModel(PyramidOnStages(lower, stages_[3], pyramid), 2048, classes, dropout)
