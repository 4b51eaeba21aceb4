"""Batched augmentation on the device: uint8 clips in, normalised float clips out.

The stored clip is cropped once, at the teacher's resolution; the student's low resolution is
`resize` of that same crop, so one draw serves both (as in ResKD). All chance comes from the
generator that is handed in; a CPU generator gives the same draws whatever device the clips are on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from kdlib.errors import UserError, unknown

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

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
    """What is done to training clips; test clips get the centre crop alone.

    crop: "none" is the centre crop; "shift" moves it by up to `shift` pixels each way (for
        generated clips, whose objects are small); "multiscale" is `multi_scale_crop`.
    flip: mirror half of the clips. Leave it off where left and right tell classes apart.
    """

    crop: str = "none"
    flip: bool = False
    shift: int = 2

    def __post_init__(self) -> None:
        if self.crop not in ("none", "shift", "multiscale"):
            raise unknown("augmentation.crop", self.crop, ("none", "shift", "multiscale"))
        if not isinstance(self.flip, bool):
            raise UserError(f"augmentation.flip: true or false, not {self.flip!r}")
        if isinstance(self.shift, bool) or not isinstance(self.shift, int) or self.shift < 1:
            raise UserError(f"augmentation.shift: pixels, at least 1, not {self.shift!r}")


def augment(
    clips: Tensor,
    augmentation: Augmentation,
    size: int,
    generator: Generator | None,
    *,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> Tensor:
    """Stored clips uint8 (B, T, H, W, 3) -> float (B, 3, T, size, size), channels_last_3d.

    Without a generator (test time) it is the centre crop. Clips smaller than `size` are refused.
    """
    if min(clips.shape[2:4]) < size:
        stored = f"{clips.shape[2]}x{clips.shape[3]}"
        raise UserError(f"size: clips are stored at {stored}; ask for at most that, not {size}")
    if generator is None:
        return to_float(center_crop(clips, size), mean, std)
    if augmentation.flip:
        clips = flip(clips, generator)
    if augmentation.crop == "multiscale":
        return multi_scale_crop(to_float(clips, mean, std), size, generator)
    if augmentation.crop == "shift":
        clips = random_shift(clips, augmentation.shift, generator)
    return to_float(center_crop(clips, size), mean, std)


def to_float(clips: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """uint8 (B, T, H, W, 3) -> (x / 255 - mean) / std as float32 (B, 3, T, H, W).

    The permuted view already is channels_last_3d, so nothing is copied but the conversion.
    """
    width = clips.shape[3]
    shift = torch.tensor(mean, device=clips.device) / torch.tensor(std, device=clips.device)
    scale = 1 / (255 * torch.tensor(std, device=clips.device))
    # Whole rows, not pixels of three, are broadcast over: twice as fast on a CPU.
    rows = clips.flatten(3).float().mul_(scale.repeat(width)).sub_(shift.repeat(width))
    return rows.unflatten(3, (width, 3)).permute(0, 4, 1, 2, 3)


def resize(clips: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Bilinear, spatial only: float (B, C, T, H, W) -> (B, C, T, *size); for feature maps too.

    align_corners=False and no antialiasing, as in ResKD's released model.
    """
    size = (size, size) if isinstance(size, int) else size
    return _per_frame(clips, lambda x: F.interpolate(x, size, mode="bilinear", align_corners=False))


def center_crop(clips: Tensor, size: int) -> Tensor:
    """The central size x size pixels of stored clips (B, T, H, W, 3), a view."""
    top, left = ((side - size) // 2 for side in clips.shape[2:4])
    return clips[:, :, top : top + size, left : left + size]


def flip(clips: Tensor, generator: Generator) -> Tensor:
    """Mirror each stored clip (B, T, H, W, 3) left to right with probability one half."""
    mirrored = torch.rand(len(clips), generator=generator, device=generator.device) < 0.5
    return torch.where(mirrored.to(clips.device).view(-1, 1, 1, 1, 1), clips.flip(3), clips)


def random_shift(clips: Tensor, pixels: int, generator: Generator) -> Tensor:
    """Move each stored clip (B, T, H, W, 3) by up to `pixels` up or down and left or right.

    Whole pixels, one shift for all frames of a clip; the border is filled by reflection.
    """
    batch, frames, height, width, _ = clips.shape
    draw = torch.randint(
        -pixels, pixels + 1, (2, batch, 1), generator=generator, device=generator.device
    ).to(clips.device)
    rows = _reflect(torch.arange(height, device=clips.device) + draw[0], height)
    columns = _reflect(torch.arange(width, device=clips.device) + draw[1], width)
    # One flat lookup of whole pixels is the fastest of the ways to gather on a CPU.
    frame = torch.arange(batch * frames, device=clips.device).view(batch, frames, 1, 1)
    pixel = (frame * height + rows[:, None, :, None]) * width + columns[:, None, None, :]
    return clips.flatten(0, 3).index_select(0, pixel.flatten()).view_as(clips)


def multi_scale_crop(clips: Tensor, size: int, generator: Generator) -> Tensor:
    """Crop each clip (B, C, T, H, W) at a random scale and place, resized to size x size.

    Height and width of the crop are the short side times 1, .875, .75 or .66, at most one step
    apart; the place is one of 13 fixed ones. One crop for all frames of a clip.
    Bilinear without antialiasing, as the published recipe; pixels beyond the crop's edge but inside
    the frame still count in the interpolation.
    """
    batch, _, frames, height, width = clips.shape
    draw = torch.rand((2, batch), generator=generator, device=generator.device)
    pairs = torch.tensor(SCALE_PAIRS)[(draw[0].cpu() * len(SCALE_PAIRS)).long()]
    quarters = torch.tensor(POSITIONS)[(draw[1].cpu() * len(POSITIONS)).long()]
    crop = (torch.tensor(SCALES)[pairs] * min(height, width)).long()
    image = torch.tensor([height, width])
    corner = (image - crop) // 4 * quarters
    # affine_grid's coordinates run from -1 to 1 over the frame, x before y.
    scale = (crop / image).flip(1)
    centre = ((2 * corner + crop) / image - 1).flip(1)
    theta = torch.cat([torch.diag_embed(scale), centre[:, :, None]], dim=2).to(clips)
    grid = F.affine_grid(theta, [batch, 1, size, size], align_corners=False)
    grid = grid[:, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)
    cropped = _per_frame(
        clips, lambda x: F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    )
    return cropped.contiguous(memory_format=torch.channels_last_3d)


def _reflect(index: Tensor, length: int) -> Tensor:
    """Indices beyond [0, length) mirrored back into it, the edge itself not repeated."""
    return (length - 1) - ((length - 1) - index.abs()).abs()


def _per_frame(clips: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function of images (B * T, C, H, W) to every frame of (B, C, T, H, W)."""
    images = function(clips.transpose(1, 2).flatten(0, 1))
    return images.unflatten(0, (clips.shape[0], clips.shape[2])).transpose(1, 2)
