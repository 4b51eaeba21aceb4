"""The pixels of a view, against the plain formulas: mirror, then shift or crop, then normalise."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kdlib.clips import augmentation as draws
from kdlib.clips.augmentation import Augmentation
from kdlib.clips.pixels import IMAGENET_MEAN, IMAGENET_STD, resize, to_float
from kdlib.clips.view import centre_view, draw_view
from kdlib.errors import UserError

CROPS = ["none", "shift", "multiscale"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def stored(batch=4, frames=3, height=20, width=24, seed=0):
    shape = (batch, frames, height, width, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator(seed))


def seen(clips, augmentation, size, chance):
    """The pixels of a view drawn for these clips."""
    return draw_view(augmentation, len(clips), *clips.shape[2:4], size, chance).pixels(clips)


# One step after the other on whole clips, each with its own draw: what a view must equal.


def reference(clips, crop, mirror, shift, size, chance):
    if mirror:
        chosen = torch.rand(len(clips), generator=chance) < 0.5
        clips = torch.where(chosen.view(-1, 1, 1, 1, 1), clips.flip(3), clips)
    if crop == "multiscale":
        return reference_multi_scale(reference_float(clips), size, chance)
    if crop == "shift":
        clips = reference_shift(clips, shift, chance)
    return reference_float(reference_centre(clips, size))


def reference_centre(clips, size):
    top, left = ((side - size) // 2 for side in clips.shape[2:4])
    return clips[:, :, top : top + size, left : left + size]


def reference_float(clips):
    shift = torch.tensor(IMAGENET_MEAN) / torch.tensor(IMAGENET_STD)
    scale = 1 / (255 * torch.tensor(IMAGENET_STD))
    return (clips.float() * scale - shift).permute(0, 4, 1, 2, 3)


def reference_shift(clips, pixels, chance):
    draw = torch.randint(-pixels, pixels + 1, (2, len(clips), 1), generator=chance)[..., 0]
    pad = ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0))
    moved = []
    for clip, down, right in zip(clips.numpy(), *draw.tolist(), strict=True):
        top, left = pixels + down, pixels + right
        padded = np.pad(clip, pad, mode="reflect")
        moved.append(padded[:, top : top + clip.shape[1], left : left + clip.shape[2]])
    return torch.from_numpy(np.stack(moved))


def reference_multi_scale(clips, size, chance):
    batch, _, frames, height, width = clips.shape
    pairs = [(a, b) for a in range(4) for b in range(4) if abs(a - b) <= 1]
    places = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (2, 0), (2, 4), (4, 2), (0, 2)]
    places += [(1, 1), (1, 3), (3, 1), (3, 3)]
    draw = torch.rand((2, batch), generator=chance)
    pair = torch.tensor(pairs)[(draw[0] * 10).long()]
    crop = (torch.tensor([1.0, 0.875, 0.75, 0.66])[pair] * min(height, width)).long()
    image = torch.tensor([height, width])
    corner = (image - crop) // 4 * torch.tensor(places)[(draw[1] * 13).long()]
    scale, centre = (crop / image).flip(1), ((2 * corner + crop) / image - 1).flip(1)
    theta = torch.cat([torch.diag_embed(scale), centre[:, :, None]], dim=2)
    grid = F.affine_grid(theta, [batch, 1, size, size], align_corners=False)
    grid = grid.repeat_interleave(frames, 0)
    images = clips.transpose(1, 2).flatten(0, 1)
    cropped = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return cropped.unflatten(0, (batch, frames)).transpose(1, 2)


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize(
    ("batch", "height", "width", "size"),
    [(1, 20, 24, 16), (2, 24, 20, 16), (3, 37, 37, 32), (8, 21, 30, 21), (5, 16, 16, 16)],
)
def test_pixels_are_those_of_the_steps_to_the_bit(crop, mirror, batch, height, width, size):
    clips = stored(batch, 3, height, width)
    for seed in range(12):
        for shift in (1, 2, 5):
            ours, theirs = generator(seed), generator(seed)
            result = seen(clips, Augmentation(crop, mirror, shift), size, ours)
            expected = reference(clips, crop, mirror, shift, size, theirs)
            assert torch.equal(result, expected)
            assert torch.equal(ours.get_state(), theirs.get_state())


def test_the_centre_is_the_centre_to_the_bit():
    for height, width, size in ((20, 24, 16), (25, 20, 20), (16, 16, 16)):
        clips = stored(height=height, width=width)
        result = centre_view(4, height, width, size).pixels(clips)
        assert torch.equal(result, reference_float(reference_centre(clips, size)))


def test_mirrored_are_whole_clips_and_half_of_them():
    clips = stored(batch=64, height=16, width=16)
    result, plain = seen(clips, Augmentation(mirror=True), 16, generator(1)), to_float(clips)
    mirrored = [torch.equal(r, p.flip(3)) for r, p in zip(result, plain, strict=True)]
    kept = [torch.equal(r, p) for r, p in zip(result, plain, strict=True)]
    assert all(m != k for m, k in zip(mirrored, kept, strict=True))
    assert 20 <= sum(mirrored) <= 44  # 32 +- 3 standard deviations


def test_shifts_are_all_of_those_asked_for():
    view = draw_view(Augmentation("shift"), 200, 20, 24, 16, generator())
    assert {tuple(corner) for corner in (view.crop[:, :2] - torch.tensor([2, 4])).tolist()} == {
        (down, right) for down in range(-2, 3) for right in range(-2, 3)
    }
    assert (view.crop[:, 2:] == 16).all()


def test_a_multi_scale_crop_of_the_full_frame_is_a_resize(monkeypatch):
    monkeypatch.setattr(draws, "SCALE_PAIRS", ((0, 0),))
    clips = stored(height=16, width=16)
    result = seen(clips, Augmentation("multiscale"), 12, generator())
    torch.testing.assert_close(result, resize(to_float(clips), 12), atol=1e-5, rtol=0)


def test_multi_scale_crops_are_the_thirteen_places_of_ten_shapes():
    height, width = 40, 60
    view = draw_view(Augmentation("multiscale"), 1500, height, width, 20, generator())
    sides = [40, 35, 30, 26]  # 40 times 1, .875, .75, .66, rounded down
    expected = set()
    for i, h in enumerate(sides):
        for j, w in enumerate(sides):
            if abs(i - j) <= 1:
                y, x = (height - h) // 4, (width - w) // 4
                fixed = [(r, c) for r in (0, 2, 4) for c in (0, 2, 4)]
                fixed += [(r, c) for r in (1, 3) for c in (1, 3)]
                expected |= {(r * y, c * x, h, w) for r, c in fixed}
    assert set(map(tuple, view.crop.tolist())) == expected


def test_a_resized_crop_shows_what_lies_in_it():
    rows, columns = np.meshgrid(np.arange(40), np.arange(60), indexing="ij")
    clip = torch.from_numpy(np.stack([rows, columns, rows], -1).astype(np.uint8))
    clips = clip[None, None].repeat(50, 1, 1, 1, 1)
    view = draw_view(Augmentation("multiscale"), 50, 40, 60, 20, generator())
    scale = torch.tensor(IMAGENET_STD).view(3, 1, 1, 1) * 255
    result = view.pixels(clips) * scale + torch.tensor(IMAGENET_MEAN).view(3, 1, 1, 1) * 255
    # Pixel i of the view lies at top + (i + .5) * crop / size - .5.
    for axis, where in ((0, result[:, 0, 0, :, 9]), (1, result[:, 1, 0, 9])):
        place = view.crop[:, axis, None] + (torch.arange(20) + 0.5) * (
            view.crop[:, 2 + axis, None] / 20
        )
        torch.testing.assert_close(where, (place - 0.5).clamp(0), atol=1e-2, rtol=0)


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("mirror", [True, False])
def test_a_view_depends_on_the_generator_alone_and_is_one_for_all_frames(crop, mirror):
    clips = stored(batch=8)[:, :1].repeat(1, 3, 1, 1, 1)
    one, two, other = (seen(clips, Augmentation(crop, mirror), 16, generator(s)) for s in (1, 1, 2))
    assert one.shape == (8, 3, 3, 16, 16)
    assert one.dtype == torch.float32
    assert one.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(one, one[:, :, :1].expand_as(one))
    assert torch.equal(one, two)
    assert torch.equal(one, other) == (crop == "none" and not mirror)


def test_what_is_impossible_is_named():
    with pytest.raises(UserError, match=r"augmentation\.crop.*'multiscale'"):
        Augmentation("multi_scale")
    with pytest.raises(UserError, match=r"augmentation\.mirror"):
        Augmentation(mirror="no")
    with pytest.raises(UserError, match=r"augmentation\.shift"):
        Augmentation("shift", shift=0)
    with pytest.raises(UserError, match=r"size.*20x24.*32"):
        centre_view(4, 20, 24, 32)
    with pytest.raises(UserError, match=r"size.*24x20.*21"):
        draw_view(Augmentation("multiscale"), 4, 24, 20, 21, generator())
    with pytest.raises(UserError, match=r"augmentation\.shift: at most 19.*20x24.*20"):
        draw_view(Augmentation("shift", shift=20), 4, 20, 24, 16, generator())


@pytest.mark.parametrize("shape", [(3, 3, 20, 24, 3), (4, 3, 24, 20, 3)])
def test_clips_of_another_batch_or_size_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(4, 20, 24\)"):
        centre_view(4, 20, 24, 16).pixels(torch.zeros(shape, dtype=torch.uint8))


@pytest.mark.gpu
def test_the_same_draw_on_every_device():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    clips = stored()
    for crop in CROPS:
        view = draw_view(Augmentation(crop, mirror=True), 4, 20, 24, 16, generator())
        here, there = (view.pixels(clips.to(device)).cpu() for device in ("cpu", "cuda"))
        torch.testing.assert_close(here, there, atol=1e-4, rtol=0)
