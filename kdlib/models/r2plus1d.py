"""R(2+1)D: each 3-D convolution as one in space and one in time (Tran et al., 2018)."""

from collections import OrderedDict
from typing import Annotated

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from kdlib.models.base import Probability, VideoModel


class FactorisedConv(nn.Sequential):
    """Convolution 1 x d x d, batch norm, ReLU, convolution t x 1 x 1; no norm behind it.

    kernel: (t, d). stride: (of time, of height and width). Maps keep their size but for the stride.
    By the channels in between it has as many weights as a whole convolution t x d x d, or slightly
    fewer (section 3.5 of the paper).
    """

    def __init__(
        self, channels_in: int, channels: int, kernel: tuple[int, int], stride: tuple[int, int]
    ) -> None:
        (t, d), (stride_t, stride_d) = kernel, stride
        between = t * d * d * channels_in * channels // (d * d * channels_in + t * channels)
        space, time = (1, d, d), (t, 1, 1)
        pad_space, pad_time = (0, d // 2, d // 2), (t // 2, 0, 0)
        spatial = nn.Conv3d(
            channels_in, between, space, (1, stride_d, stride_d), pad_space, bias=False
        )
        temporal = nn.Conv3d(between, channels, time, (stride_t, 1, 1), pad_time, bias=False)
        norm = nn.BatchNorm3d(between)
        # Not in place, here and below: what a hook saw of a norm stays what the norm gave.
        relu = nn.ReLU()
        super().__init__(OrderedDict(spatial=spatial, norm=norm, relu=relu, temporal=temporal))


class ResidualBlock(nn.Module):
    """Two factorised convolutions 3 x 3 x 3, each with a batch norm, around a shortcut.

    stride: of the first one, (of time, of height and width). Where channels change, the shortcut is
    a factorised convolution 1 x 1 x 1, norm and ReLU between its halves, and a batch norm.
    """

    def __init__(self, channels_in: int, channels: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = FactorisedConv(channels_in, channels, (3, 3), stride)
        self.norm1 = nn.BatchNorm3d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = FactorisedConv(channels, channels, (3, 3), (1, 1))
        self.norm2 = nn.BatchNorm3d(channels)
        self.shortcut: nn.Module | None = None
        if channels_in != channels:
            self.shortcut = nn.Sequential(
                OrderedDict(
                    conv=FactorisedConv(channels_in, channels, (1, 1), stride),
                    norm=nn.BatchNorm3d(channels),
                )
            )
        self.relu2 = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, channels, T / stride, h / stride, w / stride), sizes rounded up."""
        branch = self.relu1(self.norm1(self.conv1(maps)))
        branch = self.norm2(self.conv2(branch))
        return self.relu2(branch + (maps if self.shortcut is None else self.shortcut(maps)))


def build(
    classes: PositiveInt,
    width: PositiveInt = 64,
    stages: PositiveInt = 4,
    time_stages: Annotated[int, Field(ge=0)] = 3,
    dropout: Probability = 0.0,
) -> VideoModel:
    """The light R(2+1)D of self-supervised video papers: one block a stage, 512 features.

    By default it is the network of layer sizes (1, 1, 1, 1) that VCOP, PRP and others released
    (Xu et al., 2019, `R2Plus1DNet`): 14.365 million parameters and 21.4 GMAC at 16 x 112 x 112,
    counted without the head, for its 512 features are the pooled map. It is not torchvision's
    `r2plus1d_18`: that one has two blocks a stage, 45 channels between the halves of its stem where
    the rule gives 83, and shortcuts of one convolution.

    width: channels of the stem and the first stage; each further stage has twice as many.
    stages: their number; all but the first halve height and width, as the stem does (kernel
        3 x 7 x 7, stride 1 x 2 x 2). The map is (B, width << stages - 1, T', H / 2^stages, ...),
        sizes rounded up.
    time_stages: as many of the last stages halve time as well, though never the first:
        T' = T / 2^time_stages, T / 8 by default. A network for clips of 4 frames of 32 pixels has
        `width=8, stages=3, time_stages=1`: 60 thousand parameters, a map of 32 x 2 x 4 x 4.
    """
    stem: dict[str, nn.Module] = {
        "conv": FactorisedConv(3, width, (3, 7), (1, 2)),
        "norm": nn.BatchNorm3d(width),
        "relu": nn.ReLU(),
    }
    layers: dict[str, nn.Module] = {"stem": nn.Sequential(OrderedDict(stem))}
    inside = width
    for stage in range(stages):
        stride = 2 if stage else 1
        stride_t = stride if stage >= stages - time_stages else 1
        layers[f"stage{stage + 1}"] = ResidualBlock(inside, width << stage, (stride_t, stride))
        inside = width << stage
    return VideoModel(nn.Sequential(OrderedDict(layers)), inside, classes, dropout)
