"""Wide ResNet for 32 x 32 images (Zagoruyko & Komodakis 2016)."""

from pydantic import PositiveInt
from torch import Tensor, nn

from kdlib.errors import UserError
from kdlib.models.base import VideoModel
from kdlib.models.pointwise import StridedPointwise
from kdlib.models.tsn import FrameByFrame


class PreActivationBlock(nn.Module):
    """Norm and ReLU before each of two 3 x 3 convolutions; maps (B, C, h, w)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels_in), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shortcut = (
            None if channels_in == channels else StridedPointwise(channels_in, channels, stride)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, channels, h / stride, w / stride)."""
        active = self.relu(self.norm1(maps))
        # Where the shape changes, the shortcut starts behind the first norm and ReLU.
        straight = maps if self.shortcut is None else self.shortcut(active)
        return straight + self.conv2(self.relu(self.norm2(self.conv1(active))))


def build(
    classes: PositiveInt,
    depth: PositiveInt = 16,
    widen: PositiveInt = 2,
    stem: PositiveInt = 16,
) -> VideoModel:
    """WRN-depth-widen of an image (T = 1), or of every frame alone; maps are a quarter as high.

    depth: 6 n + 4, n blocks in each of three stages. widen: the stages have stem, 2 stem and 4 stem
        channels times this. stem: 16 in the paper.
    """
    if depth % 6 != 4 or depth < 10:
        raise UserError(f"wrn.depth: 6 n + 4, such as 10, 16, 28 or 40, not {depth}")
    layers: list[nn.Module] = [nn.Conv2d(3, stem, 3, padding=1, bias=False)]
    inside = stem
    for stage in range(3):
        channels = (stem << stage) * widen
        for block in range((depth - 4) // 6):
            stride = 2 if stage and not block else 1
            layers.append(PreActivationBlock(inside, channels, stride))
            inside = channels
    backbone = FrameByFrame(*layers, nn.BatchNorm2d(inside), nn.ReLU(inplace=True))
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return VideoModel(backbone, inside, classes)
