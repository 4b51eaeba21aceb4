"""TSN: a 2-D network looks at every frame alone, the frames are averaged (Wang et al., 2016)."""

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from kdlib.errors import UserError
from kdlib.models.base import Probability, VideoModel, fold_frames, unfold_frames


class FrameByFrame(nn.Sequential):
    """2-D layers that run on every frame alone: (B, 3, T, H, W) to (B, C, T, h, w)."""

    def forward(self, clips: Tensor) -> Tensor:
        """The last layer's maps (B, C, T, h, w)."""
        return unfold_frames(super().forward(fold_frames(clips)), clips.shape[2])


def conv_stage(channels_in: int, channels: int) -> nn.Sequential:
    """Convolution 3x3 of stride 2, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )


def build(
    classes: PositiveInt,
    backbone: Literal["micro", "resnet18", "resnet34", "resnet50", "resnet152"] = "micro",
    width: PositiveInt = 16,
    dropout: Probability = 0.0,
) -> VideoModel:
    """TSN on clips of any length T; its map is (B, C, T, H / 8, W / 8), a ResNet's / 32.

    backbone: "micro" has three stages of width, 2 width and 4 width channels; a ResNet is
        torchvision's, untrained, with its names, so that ImageNet weights load into `.backbone`.
    dropout: ResKD's recipe has 0.5; from its released code the ResNets' fc starts at std 0.001.
    """
    if backbone == "micro":
        stages = (
            conv_stage(3, width),
            conv_stage(width, 2 * width),
            conv_stage(2 * width, 4 * width),
        )
        return VideoModel(FrameByFrame(*stages), 4 * width, classes, dropout)
    if width != 16:
        raise UserError(f"tsn.width: {backbone} has its own widths; leave width out")
    import torchvision  # seconds to import, and the micro network needs none of it

    resnet = torchvision.models.get_model(backbone, weights=None)
    layers = FrameByFrame()
    for name, layer in resnet.named_children():
        if name not in ("avgpool", "fc"):
            layers.add_module(name, layer)
    return VideoModel(layers, resnet.fc.in_features, classes, dropout, fc_std=0.001)
