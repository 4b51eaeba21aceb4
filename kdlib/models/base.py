"""The shape every video model takes: a backbone that makes a map, and a head on it."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from kdlib.models.stages import stage_maps

Probability = Annotated[float, Field(ge=0, lt=1)]
Sees = Literal["pixels", "flow", "flow and magnitude"]

CHANNELS: dict[Sees, int] = {"pixels": 3, "flow": 2, "flow and magnitude": 3}


class ClassificationHead(nn.Module):
    """Average pooling, dropout and a linear layer: K logits of a map.

    channels: of the map. dropout: probability that a channel of the pooled map is dropped.
    fc_std: standard deviation the linear layer starts from, its bias then zero; None: torch's own.
    """

    def __init__(
        self, channels: int, classes: int, dropout: float = 0.0, fc_std: float | None = None
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, classes)
        if fc_std is not None:
            nn.init.normal_(self.fc.weight, std=fc_std)
            nn.init.zeros_(self.fc.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, K) of a map (B, C, T', h, w)."""
        return self.of_pooled(features.mean((2, 3, 4)))

    def of_pooled(self, pooled: Tensor) -> Tensor:
        """Logits (B, K) of a pooled map (B, C)."""
        return self.fc(self.dropout(pooled))

    def by_place(self, features: Tensor) -> Tensor:
        """Logits (B, K, T', h, w) of the linear layer, bias included, at every place of a map.

        No dropout: without it, their mean over places is `forward` (ResKD's pixel-level logits).
        """
        return self.fc(features.movedim(1, -1)).movedim(-1, 1)


class VideoModel(nn.Module):
    """A backbone and a head, for 2-D and 3-D networks alike.

    A 2-D network keeps every frame in T', so the mean over T' is TSN's average over segments;
    for a 3-D network it is the temporal half of global average pooling.

    backbone: maps clips (B, 3, T, H, W) to the last stage's map (B, channels, T', h, w).
    channels: channels of that map.
    classes: K, the number of logits of its head, which classifies until a task gives another
        (`kdlib.tasks.equip`). dropout, fc_std: of that head.
    sees: what it looks at, and so what its clips are (`kdlib.clips.seen`): the pixels, or the flow,
        and then "(B, 3, T, H, W)" below is (B, 2, T, H, W) without the magnitude.
    task: the task that the head is for.
    architecture: its name in `kdlib.models` and the options it was built with; None where it was
        put together otherwise.
    """

    def __init__(
        self,
        backbone: nn.Module,
        channels: int,
        classes: int,
        dropout: float = 0.0,
        fc_std: float | None = None,
        sees: Sees = "pixels",
    ) -> None:
        super().__init__()
        self.channels, self.classes, self.task = channels, classes, "classification"
        self.sees: Sees = sees
        self.architecture: tuple[str, dict[str, object]] | None = None
        self.backbone = backbone
        self.head: nn.Module = ClassificationHead(channels, classes, dropout, fc_std)

    def features(self, clips: Tensor) -> Tensor:
        """The last stage's map (B, C, T', h, w) of normalised clips (B, 3, T, H, W)."""
        # Convolutions follow the layout of their input; on a CPU this one is up to 1.6x faster,
        # and clips stored channel last have it already.
        return self.backbone(clips.contiguous(memory_format=torch.channels_last_3d))

    def stages(self, clips: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """The maps (B, C, T', h, w) of inner modules of the backbone, by their dotted names.

        The name "" is the backbone itself, whose map is `features`. Gradients flow. UserError for
        a name that is none of its modules, never runs, or gives no map.
        """
        return stage_maps(self.backbone, self.features, clips, names)

    def forward(self, clips: Tensor) -> Tensor:
        """The head's output of normalised clips (B, 3, T, H, W); logits (B, K) if it classifies."""
        return self.head(self.features(clips))


def fold_frames(clips: Tensor) -> Tensor:
    """Clips (B, C, T, H, W) as images (B * T, C, H, W), a clip's frames one after another."""
    return clips.transpose(1, 2).flatten(0, 1)


def unfold_frames(maps: Tensor, frames: int) -> Tensor:
    """The reverse: maps (B * T, C, h, w) as (B, C, T, h, w)."""
    return maps.unflatten(0, (-1, frames)).transpose(1, 2)
