"""Vision transformers of videos and images, whose encoder may see a part of the tokens only.

The video network is that of VideoMAE (Tong et al., 2022) and MVD (Wang et al., 2023), the image
network that of MAE (He et al., 2022).
"""

from functools import lru_cache
from math import sqrt
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

from kdlib.errors import UserError
from kdlib.models.base import ClassificationHead, Probability, VideoModel

# width, blocks and heads
SIZES = {
    "vit_s": (384, 12, 6),
    "vit_b": (768, 12, 12),
    "vit_l": (1024, 24, 16),
    "vit_h": (1280, 32, 16),
}
EPS = 1e-6  # of every LayerNorm
Grid = tuple[int, int, int]
Positions = Literal["axes", "index"]
Pool = Literal["mean", "max"]


class Attention(nn.Module):
    """Self-attention of several heads; queries and values have a bias, keys have none."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        # A bias of keys would add the same to all products of a query: softmax takes that away.
        self.query_value = nn.Linear(width, 2 * width)
        self.key = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, C), each from all of them."""
        query, value = self.query_value(tokens).chunk(2, -1)
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in (query, self.key(tokens), value)
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention, then two linear layers 4 C wide, each after a LayerNorm and with a shortcut."""

    def __init__(self, width: int, heads: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, EPS)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, EPS)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.drop_path = StochasticDepth(drop_path, "row")

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, C)."""
        tokens = tokens + self.drop_path(self.attention(self.norm1(tokens)))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


def blocks_of(width: int, count: int, heads: int, drop_path: float) -> nn.Sequential:
    """So many blocks; stochastic depth grows from 0 at the first to `drop_path` at the last."""
    rates = np.linspace(0, drop_path, count)
    return nn.Sequential(*(Block(width, heads, float(rate)) for rate in rates))


def initialise(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases in all linear layers of a transformer."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for part in module.modules():
        if isinstance(part, Attention):
            # As parts of one matrix of C to 3 C, which is how it is drawn in the released code.
            nn.init.xavier_uniform_(part.query_value.weight, gain=sqrt(3 / 4))
            nn.init.xavier_uniform_(part.key.weight, gain=sqrt(1 / 2))


class Embedding(nn.Module):
    """A linear layer from patches to tokens; with class_token one token goes before all others."""

    def __init__(self, width: int, numbers: int, class_token: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(numbers, width)
        self.class_token = nn.Parameter(torch.zeros(width)) if class_token else None
        if self.class_token is not None:
            nn.init.normal_(self.class_token, std=0.02)

    def forward(self, patches: Tensor) -> Tensor:
        """Tokens (B, N, C) of patches as `patchify` gives them; the class token is not added."""
        return self.linear(patches)


class VisionTransformer(nn.Module):
    """Clips (B, 3, T, H, W) to the map (B, C, T', h, w) of the last block, which no norm follows.

    A token is a patch of `tubelet` frames and `patch` x `patch` pixels; tokens stand in the order
    of time, rows, columns. With `image` the frames of a clip are images that know nothing of each
    other, tubelet is 1 and T' = T. Positions are added to tokens, fixed, at any size of a clip:
    see `positions_of`.
    """

    def __init__(
        self,
        width: int,
        blocks: int,
        heads: int,
        *,
        patch: int,
        tubelet: int,
        image: bool,
        positions: Positions,
        class_token: bool,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.width, self.heads, self.patch, self.tubelet = width, heads, patch, tubelet
        self.image, self.drop_path = image, drop_path
        self.positions: Literal["axes", "space", "index"] = (
            "space" if image and positions == "axes" else positions
        )
        self.embedding = Embedding(width, 3 * tubelet * patch**2, class_token)
        self.blocks = blocks_of(width, blocks, heads, drop_path)
        initialise(self)
        self.register_load_state_dict_pre_hook(_inflate)

    @property
    def layers(self) -> list[nn.Module]:
        """Its parts from input to output, for learning rates that decay by layer."""
        return [self.embedding, *self.blocks]

    def grid(self, clips: Tensor) -> Grid:
        """(T', h, w) of clips; UserError if patches do not fill them."""
        frames, *sides = clips.shape[2:]
        if frames % self.tubelet:
            raise UserError(f"data.frames: a multiple of the tubelet, {self.tubelet}, not {frames}")
        for side in sides:
            if side % self.patch:
                raise UserError(f"data.size: a multiple of the patch, {self.patch}, not {side}")
        return frames // self.tubelet, sides[0] // self.patch, sides[1] // self.patch

    def places(self, clips: Tensor, width: int) -> Tensor:
        """The positions (N, width) of the tokens of clips."""
        grid = self.grid(clips)
        sequence = (1, *grid[1:]) if self.image else grid
        table = positions_of(sequence, width, self.positions, str(clips.device))
        return table.repeat(grid[0] // sequence[0], 1)

    def tokens(self, clips: Tensor, visible: Tensor | None = None) -> Tensor:
        """What the last block makes of the tokens (B, N, C), or of the visible ones alone.

        visible: their places int64 (B, V), ascending, as many at each time; the rest of the clip is
            then never looked at, and the answer is (B, V, C). The class token is left out.
        """
        frames = self.grid(clips)[0]
        patches = patchify(clips, self.tubelet, self.patch)
        places = self.places(clips, self.width)
        if visible is not None:
            patches, places = take(patches, visible), places[visible]
        # In float32, which the shortcuts of all blocks then keep under mixed precision.
        tokens = self.embedding(patches) + places
        if self.image:
            tokens = tokens.unflatten(1, (frames, -1)).flatten(0, 1)
        if (extra := self.embedding.class_token) is not None:
            tokens = torch.cat([extra.expand(len(tokens), 1, -1), tokens], 1)
        tokens = self.blocks(tokens)
        if extra is not None:
            tokens = tokens[:, 1:]
        return tokens.unflatten(0, (-1, frames)).flatten(1, 2) if self.image else tokens

    def forward(self, clips: Tensor) -> Tensor:
        """The map of all tokens."""
        return self.tokens(clips).mT.unflatten(2, self.grid(clips))


def patchify(clips: Tensor, tubelet: int, patch: int) -> Tensor:
    """Clips (B, 3, T, H, W) as patches (B, T' h w, tubelet * patch * patch * 3).

    The numbers of a patch stand in the order of time, rows, columns, colours.
    """
    parts = clips.unflatten(4, (-1, patch)).unflatten(3, (-1, patch)).unflatten(2, (-1, tubelet))
    return parts.permute(0, 2, 4, 6, 3, 5, 7, 1).flatten(4).flatten(1, 3)


def take(tokens: Tensor, places: Tensor) -> Tensor:
    """The tokens (B, P, C) at places (B, P) of tokens (B, N, C)."""
    return tokens[torch.arange(len(tokens), device=tokens.device)[:, None], places]


def positions_of(
    grid: Grid, width: int, kind: Literal["axes", "space", "index"], device: str
) -> Tensor:
    """Fixed positions float32 (T' h w, width) of the places of a grid.

    kind: "axes" gives sines, then cosines of each axis: a quarter of the width is of time, and of
        the rest one half of the column and one of the row (MVD's student). "space" is the same
        without time (MAE). "index" gives sines and cosines in turn of the number of the place
        (VideoMAE).
    width: a multiple of 16. Frequencies fall from 1 to 1 / 10000.
    """
    # What torch.export traces with is no tensor that may be kept.
    make = _positions.__wrapped__ if torch.compiler.is_compiling() else _positions
    return make(grid, width, kind, device)


@lru_cache(maxsize=32)
def _positions(grid: Grid, width: int, kind: str, device: str) -> Tensor:
    time, row, column = (axis.ravel() for axis in np.indices(grid))
    if kind == "index":
        table = np.stack(_waves(np.arange(len(time)), width), -1).reshape(len(time), width)
    else:
        of_time = width // 4 if kind == "axes" else 0
        of_space = (width - of_time) // 2
        axes = ((time, of_time), (column, of_space), (row, of_space))
        table = np.concatenate([part for x, size in axes for part in _waves(x, size)], 1)
    # Kept for later calls, which may need gradients though this one does not.
    with torch.inference_mode(False):
        return torch.from_numpy(table.astype(np.float32)).to(device)


def _waves(places: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Sines and cosines, (N, width / 2) each."""
    angles = places[:, None] / 10_000.0 ** (np.arange(width // 2) / max(width // 2, 1))
    return np.sin(angles), np.cos(angles)


def _inflate(module: Any, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Weights for patches of one frame as those for tubelets: repeated in time, their mean kept."""
    name, embedding = f"{prefix}embedding.linear.weight", module.embedding.linear
    given = state.get(name)
    if given is not None and given.shape[1] * module.tubelet == embedding.in_features:
        state[name] = given.repeat(1, module.tubelet) / module.tubelet


class NormalisedHead(ClassificationHead):
    """Pooling, a norm, dropout and a linear layer: K logits of a map.

    pool: see `build`.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        dropout: float,
        fc_std: float,
        norm: nn.Module,
        pool: Pool,
    ) -> None:
        super().__init__(channels, classes, dropout, fc_std)
        self.norm, self.pool = norm, pool

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, K) of a map (B, C, T', h, w)."""
        places = features.mean((3, 4)) if self.pool == "mean" else features.amax((3, 4))
        return self.of_pooled(places.mean(2))

    def of_pooled(self, pooled: Tensor) -> Tensor:
        """Logits (B, K) of a pooled map (B, C)."""
        return super().of_pooled(self.norm(pooled))

    def by_place(self, features: Tensor) -> Tensor:
        """UserError: what is normalised after pooling has no logits by place."""
        raise UserError("method.target: a vit has no logits by place, as it normalises the mean")


def build(
    classes: PositiveInt,
    backbone: Literal["micro", "vit_s", "vit_b", "vit_l", "vit_h"] = "micro",
    width: Annotated[int, Field(gt=0, multiple_of=16)] = 64,
    blocks: PositiveInt = 4,
    heads: PositiveInt = 4,
    patch: PositiveInt = 16,
    tubelet: PositiveInt = 2,
    image: bool = False,
    positions: Positions = "axes",
    class_token: bool = False,
    dropout: Probability = 0.0,
    drop_path: Probability = 0.0,
    head_norm: Literal["layer", "batch"] = "layer",
    pool: Pool = "mean",
) -> VideoModel:
    """A transformer on tubelets of 2 x 16 x 16 pixels; its map is (B, C, T / 2, H / 16, W / 16).

    backbone: the published sizes have their own width, blocks and heads; "micro" those given. For
        clips of 8 frames of 32 pixels patches of 4 or 8 leave 8 x 8 or 4 x 4 places a time.
    image: MAE's network, which sees each frame by itself; the tubelet does not matter to it.
    positions: see `positions_of`; "index" is VideoMAE's, the video teacher's.
    class_token: MAE's released weights have one.
    dropout: before the head's linear layer. drop_path: of the last block, see `blocks_of`.
    head_norm: of the pooled map. Most of it is alike in all clips, and LayerNorm keeps that: a
        micro network hardly tells them apart in its few steps. "batch" is BatchNorm without
        weights, as before MAE's linear probes (He et al. 2022, A.1).
    pool: of the map before that, "mean" of all places, or at each time the "max" of each channel,
        whose mean over time is taken: what moves is on few places, and their mean hides it.

    A video network takes over an image network's weights, its patches repeated in time.
    """
    if backbone != "micro":
        if (width, blocks, heads) != (64, 4, 4):
            raise UserError(f"vit.width: {backbone} has its own width, blocks and heads")
        width, blocks, heads = SIZES[backbone]
    if width % heads:
        raise UserError(f"vit.heads: a divisor of the width, {width}, not {heads}")
    transformer = VisionTransformer(
        width,
        blocks,
        heads,
        patch=patch,
        tubelet=1 if image else tubelet,
        image=image,
        positions=positions,
        class_token=class_token,
        drop_path=drop_path,
    )
    model = VideoModel(transformer, width, classes)
    # As good as zero in the released code; a few hundred steps of a micro network are too few then.
    fc_std = 0.02 if backbone == "micro" else 2e-5
    norm = nn.LayerNorm(width, EPS) if head_norm == "layer" else nn.BatchNorm1d(width, affine=False)
    model.head = NormalisedHead(width, classes, dropout, fc_std, norm, pool)
    return model
