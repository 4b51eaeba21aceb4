"""The geometry of a batch of clips, drawn once and applied to pixels, flow and boxes alike.

The stored clip is cropped once, at the teacher's resolution; the student's low resolution is a
`resize` of that same crop, so one draw serves both (as in ResKD).
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from kdlib.clips.augmentation import (
    Augmentation,
    draw_mirrored,
    draw_multi_scale,
    draw_shifts,
)
from kdlib.clips.pixels import per_frame, to_float
from kdlib.errors import UserError


@dataclass(frozen=True, eq=False)
class View:
    """What is seen of B stored clips, one row a clip: mirrored or not, then cropped to a square.

    mirrored: bool (B,). crop: int64 (B, 4), top, left, height and width in pixels of the stored,
    by then mirrored, frame of height x width pixels. size: the side of the square, in pixels.
    resized: crops inside the frame are resized to `size`, bilinearly and without antialiasing, as
    in the published recipe; pixels beyond the crop's edge but inside the frame still count. Else
    crops have that size already: pixels are copied, and beyond the frame they are its reflection
    (the edge itself not repeated).
    The methods raise ValueError for clips of another number or another stored size.
    """

    mirrored: Tensor
    crop: Tensor
    height: int
    width: int
    size: int
    resized: bool = False

    def pixels(self, clips: Tensor) -> Tensor:
        """Clips uint8 (B, T, H, W, 3) -> normalised (B, 3, T, size, size), channels_last_3d."""
        self._check(len(clips), clips.shape[2:4])
        if not self.resized:
            return to_float(self._copied(clips))
        seen = self._resampled(to_float(self._mirror(clips, 3)))
        return seen.contiguous(memory_format=torch.channels_last_3d)

    def flow(self, flow: Tensor) -> Tensor:
        """Flow (B, T, 2, H, W), x then y in pixels a frame -> the view's (B, T, 2, size, size).

        Mirroring negates x, a border filled by reflection what crosses it; resizing scales both.
        """
        self._check(len(flow), flow.shape[3:])
        if self.resized:
            scale = self.size / self.crop[:, [3, 2]].to(flow)
            scale[:, 0] *= 1 - 2 * self.mirrored.to(flow)
            seen = self._resampled(self._mirror(flow, 4).transpose(1, 2)).transpose(1, 2)
            return seen * scale[:, None, :, None, None]
        rows, columns, turned_y, turned_x = self._lookup(flow.device)
        seen = flow.take_along_dim(rows[:, None, None, :, None], 3)
        x, y = seen.take_along_dim(columns[:, None, None, None], 4).unbind(2)
        x = torch.where(turned_x[:, None, None], -x, x)
        y = torch.where(turned_y[:, None, :, None], -y, y)
        return torch.stack([x, y], 2)

    def boxes(self, boxes: Tensor) -> Tensor:
        """Boxes float (B, ..., A, 4), x1 y1 x2 y2 in stored pixels -> the same in the view's.

        They end where the view ends, and do not hold what a border repeats by reflection. A box of
        which nothing is seen is all zeros, as one of no actor is.
        """
        if len(boxes) != len(self.crop):
            raise ValueError(f"{len(boxes)} rows of boxes for a view of {len(self.crop)} clips")
        row = (len(boxes), *(1,) * (boxes.ndim - 1))
        top, left, height, width = (edge.view(row) for edge in self.crop.to(boxes).T)
        x, y = boxes[..., [0, 2]], boxes[..., [1, 3]]
        x = torch.where(self.mirrored.to(x.device).view(row), self.width - x.flip(-1), x)
        x, y = (x - left) * (self.size / width), (y - top) * (self.size / height)
        seen = torch.stack([x, y], -1).flatten(-2).clamp(0, self.size)
        empty = (seen[..., 2:] <= seen[..., :2]).any(-1, keepdim=True)
        return seen.masked_fill(empty, 0)

    def _check(self, clips: int, frame: torch.Size) -> None:
        expected = (len(self.crop), self.height, self.width)
        if (clips, *frame) != expected:
            raise ValueError(f"a view of {expected} (clips, height, width), not {(clips, *frame)}")

    def _mirror(self, frames: Tensor, axis: int) -> Tensor:
        """Frames (B, ...) of the mirrored clips reversed along the axis of their columns."""
        if _surely(~self.mirrored):
            return frames
        row = (len(frames), *(1,) * (frames.ndim - 1))
        return torch.where(self.mirrored.to(frames.device).view(row), frames.flip(axis), frames)

    def _lookup(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Stored rows and columns to copy, each (B, size), and where y and x change their sign."""
        side = torch.arange(self.size, device=device)
        top, left = self.crop[:, :2].to(device).split(1, dim=1)
        mirrored = self.mirrored.to(device)[:, None]
        rows, turned_y = _reflected(top + side, self.height)
        columns, turned_x = _reflected(left + side, self.width)
        columns = torch.where(mirrored, self.width - 1 - columns, columns)
        return rows, columns, turned_y, turned_x ^ mirrored

    def _copied(self, clips: Tensor) -> Tensor:
        """Stored clips (B, T, H, W, 3) -> the pixels of their crops (B, T, size, size, 3)."""
        if _surely(~self.mirrored) and _surely(self.crop == self.crop[0]):
            top, left = self.crop[0, :2].tolist()
            if 0 <= top <= self.height - self.size and 0 <= left <= self.width - self.size:
                return clips[:, :, top : top + self.size, left : left + self.size]
        rows, columns, _, _ = self._lookup(clips.device)
        # One flat lookup of whole pixels is the fastest of the ways to gather on a CPU.
        frame = torch.arange(len(clips) * clips.shape[1], device=clips.device)
        frame = frame.view(*clips.shape[:2], 1, 1)
        pixel = (frame * self.height + rows[:, None, :, None]) * self.width
        pixel = pixel + columns[:, None, None]
        copied = clips.flatten(0, 3).index_select(0, pixel.flatten())
        return copied.view(*pixel.shape, 3)

    def _resampled(self, frames: Tensor) -> Tensor:
        """The crops of float (B, C, T, H, W), already mirrored, resized to size x size."""
        image = torch.tensor([self.height, self.width], device=self.crop.device)
        corner, crop = self.crop[:, :2], self.crop[:, 2:]
        # affine_grid's coordinates run from -1 to 1 over the frame, x before y.
        scale = (crop / image).flip(1)
        centre = ((2 * corner + crop) / image - 1).flip(1)
        theta = torch.cat([torch.diag_embed(scale), centre[:, :, None]], dim=2).to(frames)
        grid = F.affine_grid(theta, [len(theta), 1, self.size, self.size], align_corners=False)
        grid = grid[:, None].expand(-1, frames.shape[2], -1, -1, -1).flatten(0, 1)
        return per_frame(
            frames, lambda x: F.grid_sample(x, grid, padding_mode="border", align_corners=False)
        )


def centre_view(batch: int, height: int, width: int, size: int) -> View:
    """The central size x size pixels of `batch` clips stored at height x width.

    Clips smaller than `size` are refused.
    """
    if min(height, width) < size:
        stored = f"{height}x{width}"
        raise UserError(f"size: clips are stored at {stored}; ask for at most that, not {size}")
    crop = torch.tensor([(height - size) // 2, (width - size) // 2, size, size])
    mirrored = torch.zeros(batch, dtype=torch.bool)
    return View(mirrored, crop.repeat(batch, 1), height, width, size)


def draw_view(
    augmentation: Augmentation,
    batch: int,
    height: int,
    width: int,
    size: int,
    generator: Generator,
) -> View:
    """A view of `batch` clips stored at height x width, drawn for each clip.

    Clips smaller than `size` are refused, and shifts that leave the frame.
    """
    view = centre_view(batch, height, width, size)
    if augmentation.mirror:
        view = replace(view, mirrored=draw_mirrored(batch, generator))
    if augmentation.crop == "shift":
        most = min(height, width) - 1
        if augmentation.shift > most:
            fix = f"at most {most} for clips stored at {height}x{width}"
            raise UserError(f"augmentation.shift: {fix}, not {augmentation.shift}")
        shift = draw_shifts(batch, augmentation.shift, generator)
        return replace(view, crop=view.crop.to(shift.device) + F.pad(shift, (0, 2)))
    if augmentation.crop == "multiscale":
        crop = draw_multi_scale(batch, height, width, generator)
        return replace(view, crop=crop, resized=True)
    return view


def _reflected(index: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Indices beyond [0, length) mirrored back into it, the edge not repeated; and which were."""
    inside = (length - 1) - ((length - 1) - index.abs()).abs()
    return inside, inside != index


def _surely(condition: Tensor) -> bool:
    """Whether all of it holds, as far as the host knows without waiting for a device."""
    return condition.device.type == "cpu" and bool(condition.all())
