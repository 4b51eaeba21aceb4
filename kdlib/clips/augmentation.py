"""How the geometry of training clips is varied: which mirrors and crops are drawn.

All chance comes from the generator that is handed in, on the generator's device; a CPU generator
gives the same draws whatever device the clips are on.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from kdlib.errors import UserError, unknown

SCALES = (1.0, 0.875, 0.75, 0.66)
# Height and width may take neighbouring scales, so a crop is at most one step from square.
SCALE_PAIRS = tuple((a, b) for a in range(4) for b in range(4) if abs(a - b) <= 1)
# Top and left in quarters of the room that is left: corners, edge middles, centre, inner four.
POSITIONS = (
    *((0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (2, 0), (2, 4), (4, 2), (0, 2)),
    *((1, 1), (1, 3), (3, 1), (3, 3)),
)


@dataclass(frozen=True)
class Augmentation:
    """How the views of training clips are drawn; test clips get the centre crop alone.

    crop: "none" is the centre crop; "shift" moves it by up to `shift` pixels each way, the border
        filled by reflection (for generated clips, whose objects are small); "multiscale" is a crop
        at a random scale and place, resized.
    mirror: mirror half of the clips. Leave it off where left and right tell classes apart.
    """

    crop: str = "none"
    mirror: bool = False
    shift: int = 2

    def __post_init__(self) -> None:
        if self.crop not in ("none", "shift", "multiscale"):
            raise unknown("augmentation.crop", self.crop, ("none", "shift", "multiscale"))
        if not isinstance(self.mirror, bool):
            raise UserError(f"augmentation.mirror: true or false, not {self.mirror!r}")
        if isinstance(self.shift, bool) or not isinstance(self.shift, int) or self.shift < 1:
            raise UserError(f"augmentation.shift: pixels, at least 1, not {self.shift!r}")


def draw_mirrored(batch: int, generator: Generator) -> Tensor:
    """Which clips are mirrored, each with probability one half: bool (B,)."""
    return torch.rand(batch, generator=generator, device=generator.device) < 0.5


def draw_shifts(batch: int, pixels: int, generator: Generator) -> Tensor:
    """By how many whole pixels each crop moves down and right, -pixels..pixels: int64 (B, 2)."""
    shape, device = (2, batch), generator.device
    return torch.randint(-pixels, pixels + 1, shape, generator=generator, device=device).T


def draw_multi_scale(batch: int, height: int, width: int, generator: Generator) -> Tensor:
    """Crops int64 (B, 4) at random scales and places.

    Height and width of the crop are the short side times 1, .875, .75 or .66, at most one step
    apart; the place is one of 13 fixed ones.
    """
    device = generator.device
    shape, place = torch.rand((2, batch), generator=generator, device=device)
    pairs = torch.tensor(SCALE_PAIRS, device=device)[(shape * len(SCALE_PAIRS)).long()]
    quarters = torch.tensor(POSITIONS, device=device)[(place * len(POSITIONS)).long()]
    crop = (torch.tensor(SCALES, device=device)[pairs] * min(height, width)).long()
    corner = (torch.tensor([height, width], device=device) - crop) // 4 * quarters
    return torch.cat([corner, crop], 1)
