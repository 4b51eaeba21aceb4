"""A 1 x 1 convolution with a stride, by way of the pixels that it reads."""

import torch.nn.functional as F
from torch import Tensor, nn


class StridedPointwise(nn.Conv2d):
    """1 x 1, without bias, of every stride-th pixel: torch's numbers, under torch's names.

    oneDNN's own strided kernel writes beyond its memory where channels come last and are fewer than
    a vector, 8 of them with AVX2 (its issue 6035): the gradient is wrong, or the process dies.
    """

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__(channels_in, channels, 1, stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, channels, h / stride, w / stride), sizes rounded up."""
        if self.stride != (1, 1):
            # A pool of single pixels keeps the layout, and its gradient does; a slice's does not.
            maps = F.avg_pool2d(maps, 1, self.stride)
        return F.conv2d(maps, self.weight)
