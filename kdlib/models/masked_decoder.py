"""The decoder of masked pre-training: what is hidden, from the tokens that are seen."""

import torch
from torch import Tensor, nn

from kdlib.models.vit import EPS, blocks_of, initialise


class MaskedDecoder(nn.Module):
    """A linear layer to the decoder's width, blocks over all places, a norm and a linear layer.

    channels: of the encoder. outputs: numbers to predict at a place. width: a multiple of 16.
    Source: VideoMAE and MVD, released code, where the layer to the decoder's width of VideoMAE has
    no bias.
    """

    def __init__(
        self, channels: int, outputs: int, *, width: int, blocks: int, heads: int, drop_path: float
    ) -> None:
        super().__init__()
        self.down = nn.Linear(channels, width)
        self.mask_token = nn.Parameter(torch.empty(width))
        # The released code cuts the normal distribution off at one standard deviation.
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)
        self.blocks = blocks_of(width, blocks, heads, drop_path)
        self.norm = nn.LayerNorm(width, EPS)
        self.head = nn.Linear(width, outputs)
        initialise(self)

    def forward(self, tokens: Tensor, places: Tensor, visible: Tensor, masked: Tensor) -> Tensor:
        """Predictions (B, M, outputs) at the masked places.

        tokens: (B, V, channels) at the visible places. places: positions (N, width) of all.
        visible, masked: int64 (B, V) and (B, M).
        """
        seen = self.down(tokens) + places[visible]
        hidden = self.mask_token + places[masked]
        mixed = self.blocks(torch.cat([seen, hidden], 1))
        return self.head(self.norm(mixed[:, seen.shape[1] :]))
