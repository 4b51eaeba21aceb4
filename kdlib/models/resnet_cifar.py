"""ResNet for 32 x 32 images (He et al. 2016, section 4.2), which knowledge distillation studies."""

from pydantic import PositiveInt
from torch import nn

from kdlib.errors import UserError
from kdlib.models.base import VideoModel
from kdlib.models.pointwise import StridedPointwise
from kdlib.models.tsn import FrameByFrame


def build(
    classes: PositiveInt,
    depth: PositiveInt = 20,
    width: PositiveInt = 16,
    stem: PositiveInt | None = None,
) -> VideoModel:
    """ResNet-20, -32, -56, -110 on every frame alone (an image has one), to maps H / 4.

    depth: 6 n + 2, n basic blocks in each of three stages. width: channels of the first stage; the
        others have 2 width and 4 width. stem: channels of the first convolution, width by default;
        "32x4" and "8x4" are depth 32 and 8 with width 64 and stem 32. Shortcuts that change the
        shape are 1 x 1 convolutions, as
        in the released code of most distillation papers; the original pads with zeros.
    """
    if depth % 6 != 2 or depth < 8:
        raise UserError(f"resnet_cifar.depth: 6 n + 2, such as 8, 20, 32, 56 or 110, not {depth}")
    # Seconds to import, and most models need none of it.
    from torchvision.models.resnet import BasicBlock

    inside = stem or width
    first = nn.Conv2d(3, inside, 3, padding=1, bias=False)
    layers: list[nn.Module] = [first, nn.BatchNorm2d(inside), nn.ReLU(inplace=True)]
    for stage in range(3):
        channels = width << stage
        for block in range((depth - 2) // 6):
            stride = 2 if stage and not block else 1
            shortcut = None
            if stride != 1 or inside != channels:
                projection = StridedPointwise(inside, channels, stride)
                shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels))
            layers.append(BasicBlock(inside, channels, stride, shortcut))
            inside = channels
    backbone = FrameByFrame(*layers)
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return VideoModel(backbone, inside, classes)
