"""SlowFast: few frames through a wide network, many through a narrow one (Feichtenhofer 2019)."""

import warnings
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from kdlib.errors import UserError
from kdlib.models.base import Probability, VideoModel
from kdlib.models.c3d import conv3d_stage

# depth, frames of the fast path for one of the slow, temporal size of the lateral convolutions
SIZES = {"r50_4x16": (50, 8, 5), "r50_8x8": (50, 4, 7), "r101_16x8": (101, 4, 5)}


class TwoPaths(nn.Module):
    """Stages that take and give [slow, fast]; makes clips (B, 3, T, H, W) into one map.

    The slow path sees every `stride`-th frame. The fast path's map is averaged over `stride` frames
    and put behind the slow path's channels, so that the mean over the map is SlowFast's pooling.
    """

    def __init__(self, stages: nn.Module, stride: int) -> None:
        super().__init__()
        self.stages, self.stride = stages, stride

    def forward(self, clips: Tensor) -> Tensor:
        """The map (B, C slow + C fast, T / stride, h, w)."""
        if clips.shape[2] % self.stride:
            raise UserError(
                f"slowfast: {clips.shape[2]} frames; the slow path takes each {self.stride}th, "
                f"so give a multiple of {self.stride}"
            )
        paths = [clips[:, :, :: self.stride], clips]
        slow, fast = self.stages(paths)
        fast = F.avg_pool3d(fast, (self.stride, 1, 1))
        return torch.cat([slow, fast], dim=1)


class _MicroStages(nn.Module):
    """Three stages a path, the fast one's maps led into the slow one behind the first two."""

    def __init__(self, width: int, fast_width: int, stride: int, blocks: int) -> None:
        super().__init__()
        self.slow, self.fast, self.lateral = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        slow_in = fast_in = 3
        for stage in range(3):
            slow_out, fast_out = width << stage, fast_width << stage
            self.slow.append(_stage(slow_in, slow_out, blocks, kernel_t=3 if stage == 2 else 1))
            self.fast.append(_stage(fast_in, fast_out, blocks, kernel_t=3))
            slow_in, fast_in = slow_out, fast_out
            if stage < 2:
                kernel, padding = (2 * stride - 1, 1, 1), (stride - 1, 0, 0)
                self.lateral.append(
                    nn.Conv3d(fast_out, 2 * fast_out, kernel, (stride, 1, 1), padding, bias=False)
                )
                slow_in += 2 * fast_out

    def forward(self, paths: list[Tensor]) -> list[Tensor]:
        slow, fast = paths
        for stage, (slow_stage, fast_stage) in enumerate(zip(self.slow, self.fast, strict=True)):
            slow, fast = slow_stage(slow), fast_stage(fast)
            if stage < 2:
                slow = torch.cat([slow, self.lateral[stage](fast)], dim=1)
        return [slow, fast]


def _stage(channels_in: int, channels: int, blocks: int, kernel_t: int) -> nn.Sequential:
    """A stage that halves height and width, of `blocks` convolutions."""
    more = (
        conv3d_stage(channels, channels, kernel_t=kernel_t, stride=1) for _ in range(blocks - 1)
    )
    return nn.Sequential(conv3d_stage(channels_in, channels, kernel_t=kernel_t), *more)


def _published(depth: int, stride: int, kernel: int) -> nn.Module:
    """pytorchvideo's stem and stages, without pooling and head."""
    with warnings.catch_warnings():
        # a dependency of pytorchvideo calls torch.jit.script as it is imported
        warnings.simplefilter("ignore", FutureWarning)
        from pytorchvideo.models.slowfast import create_slowfast
    whole = create_slowfast(
        model_depth=depth,
        slowfast_fusion_conv_kernel_size=(kernel, 1, 1),
        slowfast_fusion_conv_stride=(stride, 1, 1),
    )
    return nn.Sequential(*whole.blocks[:5])


def build(
    classes: PositiveInt,
    backbone: Literal["micro", "r50_4x16", "r50_8x8", "r101_16x8"] = "micro",
    width: PositiveInt = 16,
    stride: PositiveInt = 4,
    blocks: PositiveInt = 1,
    dropout: Probability = 0.0,
) -> VideoModel:
    """SlowFast on clips of T frames, the fast path's; T is a multiple of the slow path's stride.

    backbone: "micro" has three stages of width, 2 width and 4 width channels and, in the fast path,
        a quarter of them; `blocks` convolutions a stage; a map of H / 8. The others are
        pytorchvideo's ResNets, by the names of SAKD's Table 3: 32 frames to the fast path, every
        8th of them to the slow one in "r50_4x16", every 4th in the other two. Their lateral
        convolutions are 5 or 7 frames long, which the printed numbers of parameters tell.
    stride: of the micro network's slow path.
    dropout: SlowFast's own is 0.5.
    """
    if backbone == "micro":
        fast = max(width // 4, 2)
        micro = _MicroStages(width, fast, stride, blocks)
        return VideoModel(TwoPaths(micro, stride), 4 * (width + fast), classes, dropout)
    if (width, stride, blocks) != (16, 4, 1):
        raise UserError(f"slowfast: {backbone} has its own width, stride and blocks")
    depth, own_stride, kernel = SIZES[backbone]
    stages = _published(depth, own_stride, kernel)
    return VideoModel(TwoPaths(stages, own_stride), 2048 + 256, classes, dropout)
