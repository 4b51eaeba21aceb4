"""C3D at micro size: 3 x 3 x 3 convolutions in every stage (after Tran et al., 2015)."""

from pydantic import PositiveInt
from torch import nn

from kdlib.models.base import Probability, VideoModel


def conv3d_stage(
    channels_in: int, channels: int, *, kernel_t: int = 3, stride_t: int = 1, stride: int = 2
) -> nn.Sequential:
    """Convolution kernel_t x 3 x 3 of stride (stride_t, stride, stride), batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv3d(
            channels_in,
            channels,
            (kernel_t, 3, 3),
            stride=(stride_t, stride, stride),
            padding=(kernel_t // 2, 1, 1),
            bias=False,
        ),
        nn.BatchNorm3d(channels),
        nn.ReLU(inplace=True),
    )


def build(classes: PositiveInt, width: PositiveInt = 16, dropout: Probability = 0.0) -> VideoModel:
    """Three stages of width, 2 width and 4 width channels; the map is (B, C, T / 4, H / 8, W / 8).

    Batch norm and strides stand where the published network has plain layers and pooling: what is
    kept is that every layer convolves in time and space. Sizes that do not divide are rounded up.
    """
    backbone = nn.Sequential(
        conv3d_stage(3, width),
        conv3d_stage(width, 2 * width, stride_t=2),
        conv3d_stage(2 * width, 4 * width, stride_t=2),
    )
    return VideoModel(backbone, 4 * width, classes, dropout)
