"""Video Swin: attention in shifted 3-D windows, from torchvision (Liu et al., 2022)."""

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn
from torchvision.models.video.swin_transformer import SwinTransformer3d

from kdlib.errors import UserError
from kdlib.models.base import Probability, VideoModel
from kdlib.models.c3d import conv3d_stage

# embed_dim, depths, heads and window (frames, height, width in tokens), as torchvision has them
SIZES = {
    "swin3d_t": (96, [2, 2, 6, 2], [3, 6, 12, 24], [8, 7, 7]),
    "swin3d_s": (96, [2, 2, 18, 2], [3, 6, 12, 24], [8, 7, 7]),
    "swin3d_b": (128, [2, 2, 18, 2], [4, 8, 16, 32], [8, 7, 7]),
}


class SwinMaps(SwinTransformer3d):
    """torchvision's network up to its last norm: (B, 3, T, H, W) to (B, C, T', h, w)."""

    channels_last = True  # of the maps inside it

    def __init__(
        self, width: int, depths: list[int], heads: list[int], window: list[int], drop_path: float
    ) -> None:
        super().__init__(
            patch_size=[2, 4, 4],
            embed_dim=width,
            depths=depths,
            num_heads=heads,
            window_size=window,
            stochastic_depth_prob=drop_path,
        )
        del self.avgpool, self.head

    def forward(self, clips: Tensor) -> Tensor:
        """The map after the last norm."""
        tokens = self.norm(self.features(self.pos_drop(self.patch_embed(clips))))
        return tokens.movedim(-1, 1)


class ConvolutionalStem(nn.Sequential):
    """Two convolutions in place of the linear patches: (B, 3, T, H, W) to tokens, channel last.

    From linear patches the micro network learns next to nothing of a few hundred small clips;
    early convolutions mend that (Xiao et al., 2021).
    """

    def __init__(self, width: int) -> None:
        super().__init__(conv3d_stage(3, 16, kernel_t=1), conv3d_stage(16, width, stride_t=2))

    def forward(self, clips: Tensor) -> Tensor:
        """Tokens (B, T / 2, H / 4, W / 4, width), sizes rounded up."""
        return super().forward(clips).movedim(1, -1)


def build(
    classes: PositiveInt,
    backbone: Literal["micro", "swin3d_t", "swin3d_s", "swin3d_b"] = "micro",
    width: PositiveInt = 24,
    blocks: PositiveInt = 2,
    dropout: Probability = 0.0,
    drop_path: Probability = 0.1,
) -> VideoModel:
    """Video Swin on tubelets of 2 x 4 x 4 pixels; T' is T / 2, sizes are rounded up.

    backbone: "micro" has a convolutional stem, stages of 2 and of `blocks` blocks, windows of
        2 x 4 x 4 tokens, heads of width channels, and a map (B, 2 width, T / 2, H / 8, W / 8); the
        others have linear patches, four stages, a map of H / 32 and torchvision's names, so that
        its weights load into `.backbone`.
    dropout: ResKD's recipe has 0.5.
    drop_path: the last block's stochastic depth, falling to zero at the first; active in
        `train()`, hence also in a teacher that ResKD keeps in train mode.
    """
    if backbone == "micro":
        maps = SwinMaps(width, [2, blocks], [1, 2], [2, 4, 4], drop_path)
        maps.patch_embed = ConvolutionalStem(width)
        return VideoModel(maps, 2 * width, classes, dropout)
    if (width, blocks) != (24, 2):
        raise UserError(f"swin3d.width: {backbone} has its own width and blocks; leave them out")
    embed, depths, heads, window = SIZES[backbone]
    maps = SwinMaps(embed, depths, heads, window, drop_path)
    return VideoModel(maps, maps.num_features, classes, dropout)
