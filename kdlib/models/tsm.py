"""TSM: TSN whose blocks see the neighbouring frames by shifting channels (Lin et al., 2019)."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

from kdlib.errors import UserError
from kdlib.models.base import Probability, VideoModel, fold_frames, unfold_frames
from kdlib.models.tsn import conv_stage


def shift(maps: Tensor, frames: int, div: int = 8) -> Tensor:
    """Move the first C // div channels one frame back in time and the next C // div one forward.

    maps: (B * frames, C, h, w); frame t gets its first channels from t + 1, the next from t - 1.
    Past the ends of a clip stand zeros, and the other channels stay.
    """
    n = maps.shape[1] // div
    # Channel last, as the maps lie in memory: several times faster than slices of dimension 1.
    clips = maps.movedim(1, -1).unflatten(0, (-1, frames))
    back, forth, still = clips.split((n, n, maps.shape[1] - 2 * n), dim=-1)
    back = F.pad(back[:, 1:], (0, 0, 0, 0, 0, 0, 0, 1))
    forth = F.pad(forth[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))
    return torch.cat((back, forth, still), dim=-1).flatten(0, 1).movedim(-1, 1)


class ShiftedBottleneck(Bottleneck):
    """A ResNet bottleneck whose residual branch, and only that, starts with the shift."""

    def forward(self, maps: Tensor, frames: int) -> Tensor:
        """The block's output for maps (B * frames, C, h, w)."""
        branch = self.relu(self.bn1(self.conv1(shift(maps, frames))))
        branch = self.relu(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(branch))
        return self.relu(branch + (maps if self.downsample is None else self.downsample(maps)))


class ShiftedResNet50(ResNet):
    """ResNet-50 of shifted bottlenecks without its head: (B, 3, T, H, W) to (B, 2048, T, h, w)."""

    def __init__(self) -> None:
        super().__init__(ShiftedBottleneck, [3, 4, 6, 3])
        del self.avgpool, self.fc

    def forward(self, clips: Tensor) -> Tensor:
        """The last stage's maps (B, 2048, T, h, w)."""
        frames = clips.shape[2]
        maps = self.maxpool(self.relu(self.bn1(self.conv1(fold_frames(clips)))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                maps = block(maps, frames)
        return unfold_frames(maps, frames)


class ShiftedStages(nn.Module):
    """The micro TSN's stages with the shift before all but the first, which has only colours."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = conv_stage(3, width)
        self.stages = nn.ModuleList(
            [conv_stage(width, 2 * width), conv_stage(2 * width, 4 * width)]
        )

    def forward(self, clips: Tensor) -> Tensor:
        """The last stage's maps (B, C, T, h, w)."""
        frames = clips.shape[2]
        maps = self.stem(fold_frames(clips))
        for stage in self.stages:
            maps = stage(shift(maps, frames))
        return unfold_frames(maps, frames)


def build(
    classes: PositiveInt,
    backbone: Literal["micro", "resnet50"] = "micro",
    width: PositiveInt = 16,
    dropout: Probability = 0.0,
) -> VideoModel:
    """TSM on clips of any length T; maps, options and names are those of `tsn.build`.

    "micro" has no residual blocks, so its shifted channels leave their own frame (the paper's
    in-place shift); "resnet50" shifts inside every block, as ResKD's TSM does.
    """
    if backbone == "micro":
        return VideoModel(ShiftedStages(width), 4 * width, classes, dropout)
    if width != 16:
        raise UserError(f"tsm.width: {backbone} has its own widths; leave width out")
    return VideoModel(ShiftedResNet50(), 2048, classes, dropout, fc_std=0.001)
