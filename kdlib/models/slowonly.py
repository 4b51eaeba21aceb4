"""SlowOnly: no temporal stride, temporal kernels late (SlowFast's slow path, Feichtenhofer 2019).

The one place that touches pytorchvideo. Its `transforms` cannot be imported beside a current
torchvision, so nothing here may import them.
"""

import warnings
from typing import Literal

from pydantic import PositiveInt
from torch import nn

from kdlib.errors import UserError
from kdlib.models.base import Probability, VideoModel
from kdlib.models.c3d import conv3d_stage


def _resnet50() -> nn.Module:
    """pytorchvideo's slow_r50 without its head, (B, 3, T, H, W) to (B, 2048, T, h, w)."""
    with warnings.catch_warnings():
        # a dependency of pytorchvideo calls torch.jit.script as it is imported
        warnings.simplefilter("ignore", FutureWarning)
        from pytorchvideo.models.resnet import create_resnet
    return create_resnet(model_depth=50, stem_conv_kernel_size=(1, 7, 7), head=None)


def build(
    classes: PositiveInt,
    backbone: Literal["micro", "resnet50"] = "micro",
    width: PositiveInt = 16,
    dropout: Probability = 0.0,
) -> VideoModel:
    """SlowOnly on clips of any length T; its map is (B, C, T, H / 8, W / 8), the ResNet's / 32.

    backbone: "micro" has three stages of width, 2 width and 4 width channels, of which the last
        alone convolves in time; "resnet50" convolves in time in its last two stages and carries
        pytorchvideo's names, so that its published weights load into `.backbone`. ResKD feeds it
        8 frames at stride 8.
    dropout: ResKD's recipe has 0.5.
    """
    if backbone == "micro":
        stages = nn.Sequential(
            conv3d_stage(3, width, kernel_t=1),
            conv3d_stage(width, 2 * width, kernel_t=1),
            conv3d_stage(2 * width, 4 * width),
        )
        return VideoModel(stages, 4 * width, classes, dropout)
    if width != 16:
        raise UserError(f"slowonly.width: {backbone} has its own widths; leave width out")
    return VideoModel(_resnet50(), 2048, classes, dropout)
