"""ShuffleNet V1 in 3-D: grouped 1 x 1 x 1 convolutions whose groups are mixed by a shuffle."""

from collections import OrderedDict
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from kdlib.errors import UserError
from kdlib.models.base import Probability, VideoModel, fold_frames, unfold_frames

GROUPS = 3  # of each 1 x 1 x 1 convolution


def shuffle(maps: Tensor) -> Tensor:
    """Deal the channels of GROUPS groups out in turn: the first of each, the second of each...

    maps: (B, C, T, h, w), C a multiple of GROUPS. Output channel i * GROUPS + g is input channel
    g * C / GROUPS + i (Zhang et al., 2018, section 3.1).
    """
    # Channel last, as the maps lie in memory; a shuffle of dimension 1 would turn them.
    last = maps.movedim(1, -1).unflatten(-1, (GROUPS, -1))
    # Stacked, since a copy of the transpose moves number by number: three times as fast on a CPU.
    return torch.stack(last.unbind(-2), -1).flatten(-2).movedim(-1, 1)


class AveragePool(nn.Module):
    """Mean of t x 3 x 3 places, zeros beyond the border among them, at strides (t, h, w).

    Of frames as images, which is twice as fast on a CPU as AvgPool3d; that one also turns maps, so
    that what follows has to turn them back.
    """

    def __init__(self, stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, T / t, H / h, W / w) of (B, C, T, H, W), T a multiple of t."""
        time, *space = self.stride
        images, border = fold_frames(maps), 1
        if images.is_cuda:
            # PyTorch's issue 188344: there the gradient of a padded pool is wrong, channel last.
            images, border = F.pad(images, (1, 1, 1, 1)), 0
        pooled = F.avg_pool2d(images, 3, space, padding=border)
        if time == 2:
            pooled = (pooled[::2] + pooled[1::2]) / 2
        return unfold_frames(pooled, maps.shape[2] // time)


class ShuffleUnit(nn.Module):
    """1 x 1 x 1 to a quarter of the channels, shuffle, depthwise 3 x 3 x 3, 1 x 1 x 1 back.

    stride: (of time, height, width). Without one the unit adds its input, of as many channels; else
        it appends its input, average-pooled, so that the branch makes the remaining channels.
    """

    def __init__(
        self, channels_in: int, channels: int, stride: tuple[int, int, int] = (1, 1, 1)
    ) -> None:
        super().__init__()
        self.stride, inner = stride, channels // 4
        pooled = stride != (1, 1, 1)
        branch = channels - channels_in if pooled else channels
        self.conv1 = nn.Conv3d(channels_in, inner, 1, groups=GROUPS, bias=False)
        self.norm1 = nn.BatchNorm3d(inner)
        self.conv2 = nn.Conv3d(inner, inner, 3, stride, padding=1, groups=inner, bias=False)
        self.norm2 = nn.BatchNorm3d(inner)
        self.conv3 = nn.Conv3d(inner, branch, 1, groups=GROUPS, bias=False)
        self.norm3 = nn.BatchNorm3d(branch)
        # Not in place: what a hook saw of a norm stays what the norm gave.
        self.relu = nn.ReLU()
        self.pool = AveragePool(stride) if pooled else None

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, channels, T / stride, h / stride, w / stride), sizes rounded up."""
        branch = shuffle(self.relu(self.norm1(self.conv1(maps))))
        branch = self.norm3(self.conv3(self.norm2(self.conv2(branch))))
        if self.pool is None:
            return self.relu(branch + maps)
        if min(maps.shape[3:]) < 3:
            size = " x ".join(map(str, maps.shape[3:]))
            raise UserError(
                f"shufflenet3d: a stage got a map of {size}, it halves maps of 3 x 3 or larger; "
                "give larger frames, or pool=False"
            )
        if maps.shape[2] % self.stride[0]:  # the pool leaves out a last frame without a partner
            maps = torch.cat([maps, maps[:, :, -1:]], dim=2)
        return self.relu(torch.cat([branch, self.pool(maps)], dim=1))


def build(
    classes: PositiveInt,
    width: PositiveInt = 480,
    stem: PositiveInt = 48,
    units: PositiveInt = 4,
    pool: bool = True,
    time_stages: Annotated[int, Field(ge=0, le=3)] = 3,
    dropout: Probability = 0.0,
) -> VideoModel:
    """3-D ShuffleNet of three groups (Kopuklu et al., 2019, after Zhang et al., 2018).

    By default it is the released network at width 2.0. With 512 outputs, which pretext tasks take
    as its features, it has 4.590 million parameters, 983 552 of them in the linear layer of
    1920 x 512; with the 101 classes of UCF101 it has 3.80. It costs 0.51 GMAC at 16 x 112 x 112.
    The release leaves the first convolution behind a stem of 24 channels ungrouped, as the paper
    asks for; at width 2.0 the stem has 48 and all are grouped, here at every width.

    width: channels of the first stage; the second and third have 2 width and 4 width. A multiple of
        12, so that a quarter of it falls into three groups.
    stem: channels of the first convolution, 3 x 3 x 3 of stride 1 x 2 x 2; a multiple of 3 and less
        than width.
    units: of the first stage and of the third; the second has twice as many. The first unit of each
        stage halves height and width.
    pool: whether a max pool behind the first convolution halves time, height and width.
    time_stages: as many of the last stages halve time as well. By default the map is
        (B, 1920, T / 16, H / 32, W / 32), sizes rounded up. A network for clips of 4 frames of 32
        pixels has `width=48, stem=12, units=1, pool=False, time_stages=1`: 13 thousand parameters,
        a map of 192 x 2 x 2 x 2.
    dropout: the released code has 0.2.
    """
    if width % (4 * GROUPS):
        raise UserError(f"shufflenet3d.width: a multiple of {4 * GROUPS}, not {width}")
    if stem % GROUPS or stem >= width:
        raise UserError(f"shufflenet3d.stem: a multiple of {GROUPS} under {width}, not {stem}")
    first: dict[str, nn.Module] = {
        "conv": nn.Conv3d(3, stem, 3, (1, 2, 2), 1, bias=False),
        "norm": nn.BatchNorm3d(stem),
        "relu": nn.ReLU(),
    }
    layers: dict[str, nn.Module] = {"stem": nn.Sequential(OrderedDict(first))}
    if pool:
        layers["pool"] = nn.MaxPool3d(3, stride=2, padding=1)
    inside = stem
    for stage in range(3):
        channels = width << stage
        stride = (2 if stage >= 3 - time_stages else 1, 2, 2)
        stack: list[nn.Module] = [ShuffleUnit(inside, channels, stride)]
        more = (2 * units if stage == 1 else units) - 1
        stack += (ShuffleUnit(channels, channels) for _ in range(more))
        layers[f"stage{stage + 1}"] = nn.Sequential(*stack)
        inside = channels
    return VideoModel(nn.Sequential(OrderedDict(layers)), inside, classes, dropout)
