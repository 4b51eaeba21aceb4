"""The shape every video model takes: a backbone that makes a map, and a linear head on it."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

Probability = Annotated[float, Field(ge=0, lt=1)]


class VideoClassifier(nn.Module):
    """A backbone and a linear head, for 2-D and 3-D networks alike.

    A 2-D network keeps every frame in T', so the mean over T' is TSN's average over segments;
    for a 3-D network it is the temporal half of global average pooling.

    backbone: maps clips (B, 3, T, H, W) to the last stage's map (B, channels, T', h, w).
    channels: channels of that map.
    classes: K, the number of logits.
    dropout: probability that the head drops a channel of the pooled map.
    fc_std: standard deviation the fc layer starts from, its bias then zero; None leaves torch's.
    """

    def __init__(
        self,
        backbone: nn.Module,
        channels: int,
        classes: int,
        dropout: float = 0.0,
        fc_std: float | None = None,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.classes = classes
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, classes)
        if fc_std is not None:
            nn.init.normal_(self.fc.weight, std=fc_std)
            nn.init.zeros_(self.fc.bias)

    def features(self, clips: Tensor) -> Tensor:
        """The last stage's map (B, C, T', h, w) of normalised clips (B, 3, T, H, W)."""
        # Convolutions follow the layout of their input; on a CPU this one is up to 1.6x faster,
        # and clips stored channel last have it already.
        return self.backbone(clips.contiguous(memory_format=torch.channels_last_3d))

    def head(self, features: Tensor) -> Tensor:
        """Logits (B, K) of a map (B, C, T', h, w): average pooling, dropout, fc."""
        return self.fc(self.dropout(features.mean((2, 3, 4))))

    def pixel_logits(self, features: Tensor) -> Tensor:
        """Logits (B, K, T', h, w) of the fc, bias included, at every position of a map.

        No dropout: without it, their mean over positions is `head` (ResKD's pixel-level logits).
        """
        return self.fc(features.movedim(1, -1)).movedim(-1, 1)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits (B, K) of normalised clips (B, 3, T, H, W)."""
        return self.head(self.features(clips))


def fold_frames(clips: Tensor) -> Tensor:
    """Clips (B, C, T, H, W) as images (B * T, C, H, W), a clip's frames one after another."""
    return clips.transpose(1, 2).flatten(0, 1)


def unfold_frames(maps: Tensor, frames: int) -> Tensor:
    """The reverse: maps (B * T, C, h, w) as (B, C, T, h, w)."""
    return maps.unflatten(0, (-1, frames)).transpose(1, 2)
