"""S3D-G: Inception in space and time, its convolutions apart, its channels gated (Xie et al. 2018).

After the definition in TF-slim (`nets/s3dg.py`, `nets/i3d_utils.py`), whose endpoints the stages
are named for, less their kernels: "MaxPool_3a" is the layer that D3D's flow decoder reads.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from kdlib.errors import UserError
from kdlib.models.base import CHANNELS, Probability, Sees, VideoModel

Triple = tuple[int, int, int]
Momentum = Annotated[float, Field(gt=0, le=1)]

# Channels of each inception block: of its first branch; of the second, inside and at its end; of
# the third likewise; of the fourth.
BLOCKS = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}
_LEAST = 4  # channels, of a narrow sibling


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """How much TensorFlow's SAME puts before and after: ceil(size / stride) places come out."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class ConvUnit(nn.Module):
    """Convolution with SAME padding, batch norm, ReLU."""

    def __init__(
        self,
        channels_in: int,
        channels: int,
        kernel: Triple = (1, 1, 1),
        stride: Triple = (1, 1, 1),
        momentum: float = 0.001,
    ) -> None:
        super().__init__()
        # Of stride 1 and an odd kernel SAME is as much before as after.
        t, h, w = (k // 2 if s == 1 else 0 for k, s in zip(kernel, stride, strict=True))
        self.conv = nn.Conv3d(channels_in, channels, kernel, stride, (t, h, w), bias=False)
        self.norm = nn.BatchNorm3d(channels, eps=1e-3, momentum=momentum)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, channels, T / stride, h / stride, w / stride), sizes rounded up."""
        padding: list[int] = []
        for size, kernel, stride in zip(
            maps.shape[:1:-1], self.conv.kernel_size[::-1], self.conv.stride[::-1], strict=True
        ):
            padding += same_padding(size, kernel, stride) if stride > 1 else (0, 0)
        if any(padding):
            maps = F.pad(maps, padding)
        return F.relu(self.norm(self.conv(maps)), inplace=True)


class SeparableConv(nn.Module):
    """3 x 3 x 3 as one in space (batch norm, ReLU) and one in time (bias, no norm, ReLU).

    The one in time starts as the identity.
    """

    def __init__(self, channels_in: int, channels: int, momentum: float) -> None:
        super().__init__()
        self.spatial = ConvUnit(channels_in, channels, (1, 3, 3), momentum=momentum)
        self.temporal = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0))
        nn.init.dirac_(self.temporal.weight)
        assert self.temporal.bias is not None
        nn.init.zeros_(self.temporal.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, channels, T, h, w)."""
        return F.relu(self.temporal(self.spatial(maps)), inplace=True)


class SelfGating(nn.Module):
    """Each channel times a number from 0 to 1, which the means of all channels decide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps x (B, C, T, h, w) as x * sigmoid(W mean(x)), the mean over time and place."""
        gates = self.fc(maps.mean((2, 3, 4))).sigmoid()
        return maps * gates[:, :, None, None, None]


class MaxPool(nn.Module):
    """Maximum with SAME padding, which never is the maximum."""

    def __init__(self, kernel: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, T / stride, h / stride, w / stride), sizes rounded up."""
        sizes = zip(maps.shape[2:], self.kernel, self.stride, strict=True)
        before = tuple(same_padding(*each)[0] for each in sizes)
        # What SAME puts behind beyond that, rounding up puts there too.
        return F.max_pool3d(maps, self.kernel, self.stride, before, ceil_mode=True)


class InceptionBlock(nn.Module):
    """Four branches side by side, each gated: 1 x 1 x 1; 1 x 1 x 1 and 3 x 3 x 3, twice; pooled.

    widths: as in `BLOCKS`.
    """

    def __init__(self, channels_in: int, widths: tuple[int, ...], momentum: float) -> None:
        super().__init__()
        b0, b1, b1_out, b2, b2_out, b3 = widths
        point = partial(ConvUnit, momentum=momentum)

        def branch(**layers: nn.Module) -> nn.Sequential:
            return nn.Sequential(OrderedDict(layers))

        self.branch0 = branch(conv=point(channels_in, b0), gate=SelfGating(b0))
        self.branch1 = branch(
            reduce=point(channels_in, b1),
            conv=SeparableConv(b1, b1_out, momentum),
            gate=SelfGating(b1_out),
        )
        self.branch2 = branch(
            reduce=point(channels_in, b2),
            conv=SeparableConv(b2, b2_out, momentum),
            gate=SelfGating(b2_out),
        )
        self.branch3 = branch(
            pool=MaxPool((3, 3, 3), (1, 1, 1)), conv=point(channels_in, b3), gate=SelfGating(b3)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, T, h, w), the branches' channels one after another."""
        branches = (self.branch0, self.branch1, self.branch2, self.branch3)
        return torch.cat([branch(maps) for branch in branches], 1)


class NonLocal(nn.Module):
    """Every place plus what it draws from all places, near and far (Wang et al. 2018).

    The embedded Gaussian at half the channels: softmax(theta phi^T) g, without sub-sampling or
    batch norm, as D3D's supplement has it. Its last layer starts at 0, and the block as identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // 2, 1)
        self.theta, self.phi, self.g = (nn.Linear(channels, inner) for _ in range(3))
        self.out = nn.Linear(inner, channels)
        for layer in (self.theta, self.phi, self.g):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape (B, C, T, h, w)."""
        places = maps.flatten(2).transpose(1, 2)
        alike = (self.theta(places) @ self.phi(places).transpose(1, 2)).softmax(-1)
        drawn = self.out(alike @ self.g(places))
        return maps + drawn.transpose(1, 2).unflatten(2, maps.shape[2:])


def build(
    classes: PositiveInt,
    sees: Sees = "pixels",
    width: PositiveInt = 64,
    blocks: Annotated[int, Field(ge=1, le=5)] = 5,
    strides: Literal["published", "small"] = "published",
    non_local: bool = False,
    norm_momentum: Momentum = 0.001,
    dropout: Probability = 0.0,
) -> VideoModel:
    """S3D-G; by default the published network, whose map is (B, 1024, T / 8, H / 32, W / 32).

    sees: the clip, or the flow that is known of it, with or without its magnitude as third channel:
        the stem is made for as many channels.
    width: channels of the stem; all others are in proportion, at least 4. Weights start at a
        standard deviation of 0.01 * sqrt(64 / width).
    blocks: at most so many inception blocks a stage, the first ones: the published 2, 5 and 2 by
        default, 3b, 4b and 5b for 1.
    strides: "small" is for clips of 4 to 8 frames of 24 to 32 pixels: the stem keeps all frames and
        "MaxPool_2a" the size. The maps are then (T, H / 4) at "MaxPool_3a", (T / 4, H / 16) last.
    non_local: two more blocks, before 5b and 5c ("NonLocal_5b"), as in NL S3D-G.
    norm_momentum: of batch norm; with the published one running statistics take thousands of steps
        to settle, a training of hundreds needs 0.1.
    dropout: the published recipe has 0.2.

    Sizes that do not divide are rounded up, by SAME padding. The published head pools windows of 2
    x 7 x 7 and averages them, so that the first and last of more than two time steps count half;
    here all count alike. The published batch norm has no scale; here it has one.
    """
    small = strides == "small"

    def scaled(channels: int) -> int:
        return max(channels * width // 64, _LEAST)

    unit = partial(ConvUnit, momentum=norm_momentum)
    stem, inside = scaled(64), scaled(192)
    space: Triple = (1, 2, 2)
    layers: dict[str, nn.Module] = {
        "Conv2d_1a": unit(CHANNELS[sees], stem, (3, 7, 7), space if small else (2, 2, 2)),
        "MaxPool_2a": MaxPool((1, 3, 3), (1, 1, 1) if small else space),
        "Conv2d_2b": unit(stem, stem),
        "Conv2d_2c": nn.Sequential(
            OrderedDict(conv=SeparableConv(stem, inside, norm_momentum), gate=SelfGating(inside))
        ),
        "MaxPool_3a": MaxPool((1, 3, 3), space),
    }
    for name, published in BLOCKS.items():
        stage, place = int(name[0]), "bcdef".index(name[1])
        if place >= blocks:
            continue
        if name == "4b":
            layers["MaxPool_4a"] = MaxPool((3, 3, 3), (2, 2, 2))
        if name == "5b":
            layers["MaxPool_5a"] = MaxPool((2, 2, 2), (2, 2, 2))
        if non_local and stage == 5:
            layers[f"NonLocal_{name}"] = NonLocal(inside)
        widths = tuple(map(scaled, published))
        layers[f"Mixed_{name}"] = InceptionBlock(inside, widths, norm_momentum)
        inside = widths[0] + widths[2] + widths[4] + widths[5]
    backbone = nn.Sequential(OrderedDict(layers))
    # As wide as the published network its sums have the published size, above batch norm's epsilon.
    _start(backbone, 0.01 * (64 / width) ** 0.5)
    return VideoModel(backbone, inside, classes, dropout, sees=sees)


def _start(backbone: nn.Module, std: float) -> None:
    """Truncated normal weights for all but what starts as the identity."""
    for module in backbone.modules():
        if isinstance(module, ConvUnit | SelfGating):
            layer = module.conv if isinstance(module, ConvUnit) else module.fc
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)


def from_torchvision(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """What of the weights of torchvision's `video.s3d` the published network here can take.

    Gives a state for `load_state_dict(..., strict=False)` of a model with as many classes, and the
    names of what is left out: its stem, 1 x 7 x 7 and 7 x 1 x 1 where here it is 3 x 7 x 7. Its
    convolutions in time have a batch norm, whose running statistics are multiplied into weight and
    bias here. The gates here have no counterpart there and stay as they are; nor is its padding
    SAME, so that even sizes are seen a pixel apart. So it is a start, and not the network itself.
    """
    loaded, used = {}, set()

    def take(name: str) -> Tensor:
        used.add(name)
        try:
            return state[name]
        except KeyError:
            raise UserError(
                f"from_torchvision: the state has no {name!r}; give that of torchvision's video.s3d"
            ) from None

    for theirs, ours in _counterparts():
        weight = take(f"{theirs}.0.weight")
        norm = {name: take(f"{theirs}.1.{name}") for name in _NORM}
        if ours.endswith(".temporal"):
            scale = norm["weight"] / (norm["running_var"] + 1e-3).sqrt()
            loaded[f"{ours}.weight"] = weight * scale[:, None, None, None, None]
            loaded[f"{ours}.bias"] = norm["bias"] - norm["running_mean"] * scale
        else:
            loaded[f"{ours}.conv.weight"] = weight
            loaded |= {f"{ours}.norm.{name}": value for name, value in norm.items()}
    loaded["head.fc.weight"] = take("classifier.1.weight").flatten(1)
    loaded["head.fc.bias"] = take("classifier.1.bias")
    return loaded, tuple(name for name in state if name not in used)


_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def _counterparts() -> Iterator[tuple[str, str]]:
    """A convolution with its norm there, and what it is here."""
    yield "features.2", "backbone.Conv2d_2b"
    yield "features.3.0", "backbone.Conv2d_2c.conv.spatial"
    yield "features.3.1", "backbone.Conv2d_2c.conv.temporal"
    # Pooling stands at 4, 7 and 13.
    for place, name in zip((5, 6, 8, 9, 10, 11, 12, 14, 15), BLOCKS, strict=True):
        theirs, ours = f"features.{place}", f"backbone.Mixed_{name}"
        yield f"{theirs}.branch0", f"{ours}.branch0.conv"
        for branch in ("branch1", "branch2"):
            yield f"{theirs}.{branch}.0", f"{ours}.{branch}.reduce"
            yield f"{theirs}.{branch}.1.0", f"{ours}.{branch}.conv.spatial"
            yield f"{theirs}.{branch}.1.1", f"{ours}.{branch}.conv.temporal"
        yield f"{theirs}.branch3.1", f"{ours}.branch3.conv"
