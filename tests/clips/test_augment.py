import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kdlib.clips import augment as a
from kdlib.clips.augment import Augmentation
from kdlib.errors import UserError

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def stored(batch=4, frames=3, height=20, width=24, seed=0):
    shape = (batch, frames, height, width, 3)
    return torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def same_for_all_frames(clips):
    return torch.equal(clips, clips[:, :1].expand_as(clips))


def test_to_float_is_the_formula_and_needs_no_other_layout():
    clips = stored()
    result = a.to_float(clips, a.IMAGENET_MEAN, a.IMAGENET_STD)
    expected = (clips.numpy() / 255.0 - a.IMAGENET_MEAN) / a.IMAGENET_STD
    np.testing.assert_allclose(result.numpy(), expected.transpose(0, 4, 1, 2, 3), atol=1e-5)
    assert result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_resize_is_bilinear_frame_by_frame(layout):
    clips = torch.randn(2, 5, 3, 8, 12, generator=generator()).contiguous(memory_format=layout)
    result = a.resize(clips, (5, 7))
    for t in range(3):
        expected = F.interpolate(
            clips[:, :, t], (5, 7), mode="bilinear", align_corners=False, antialias=False
        )
        torch.testing.assert_close(result[:, :, t], expected)
    assert a.resize(clips, 4).shape == (2, 5, 3, 4, 4)


def test_resize_by_half_averages_two_by_two():
    clips = torch.arange(16.0).view(1, 1, 1, 4, 4)
    torch.testing.assert_close(a.resize(clips, 2).flatten(), torch.tensor([2.5, 4.5, 10.5, 12.5]))


def test_resized_clips_stay_channels_last():
    low = a.resize(a.to_float(stored(), a.IMAGENET_MEAN, a.IMAGENET_STD), 10)
    assert low.is_contiguous(memory_format=torch.channels_last_3d)


def test_center_crop_takes_the_middle():
    clips = stored(height=20, width=24)
    assert torch.equal(a.center_crop(clips, 10), clips[:, :, 5:15, 7:17])


def test_flip_mirrors_whole_clips_or_leaves_them():
    clips = stored(batch=64)
    result = a.flip(clips, generator(1))
    mirrored = [torch.equal(r, c.flip(2)) for r, c in zip(result, clips, strict=True)]
    kept = [torch.equal(r, c) for r, c in zip(result, clips, strict=True)]
    assert all(m != k for m, k in zip(mirrored, kept, strict=True))
    assert 20 <= sum(mirrored) <= 44  # 32 +- 3 standard deviations


def test_random_shift_is_a_crop_of_the_reflected_clip():
    clips = stored(batch=30)
    result = a.random_shift(clips, 2, generator())
    seen = set()
    for before, after in zip(clips.numpy(), result.numpy(), strict=True):
        padded = np.pad(before, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
        matches = {
            (i, j)
            for i in range(5)
            for j in range(5)
            if (padded[:, i : i + 20, j : j + 24] == after).all()
        }
        assert len(matches) == 1
        seen |= matches
    assert {i for i, _ in seen} == {j for _, j in seen} == set(range(5))


def test_multi_scale_crop_of_the_full_frame_is_a_resize(monkeypatch):
    monkeypatch.setattr(a, "SCALE_PAIRS", ((0, 0),))
    clips = torch.randn(2, 3, 4, 16, 16, generator=generator())
    torch.testing.assert_close(
        a.multi_scale_crop(clips, 12, generator()), a.resize(clips, 12), atol=1e-5, rtol=0
    )


def coordinates(height, width):
    """A clip of one frame whose channels are each pixel's row and column."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns, rows]).float()[None, :, None]


def test_multi_scale_crops_are_the_thirteen_places_of_ten_shapes():
    height, width, size = 40, 60, 20
    clips = coordinates(height, width).repeat(800, 1, 1, 1, 1)
    result = a.multi_scale_crop(clips, size, generator())[:, :, 0]
    # Pixel i of the crop lies at top + (i + .5) * crop / size - .5; two of them give the box.
    step = (result[:, :2, -2, -2] - result[:, :2, 1, 1]) / (size - 3)
    crop = (step * size).round().int()
    corner = (result[:, :2, 1, 1] + 0.5 - 1.5 * step).round().int()
    boxes = set(map(tuple, torch.cat([corner, crop], 1).tolist()))

    sides = [40, 35, 30, 26]  # 40 times 1, .875, .75, .66, rounded down
    expected = set()
    for i, h in enumerate(sides):
        for j, w in enumerate(sides):
            if abs(i - j) <= 1:
                y, x = (height - h) // 4, (width - w) // 4
                fixed = [(r, c) for r in (0, 2, 4) for c in (0, 2, 4)]
                fixed += [(r, c) for r in (1, 3) for c in (1, 3)]
                expected |= {(r * y, c * x, h, w) for r, c in fixed}
    assert boxes == expected


def test_multi_scale_crop_is_the_same_for_all_frames_and_channels_last():
    clips = a.to_float(stored()[:, :1].repeat(1, 3, 1, 1, 1), **PLAIN)
    result = a.multi_scale_crop(clips, 8, generator())
    assert same_for_all_frames(result.transpose(1, 2))
    assert result.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("crop", ["none", "shift", "multiscale"])
@pytest.mark.parametrize("flip", [True, False])
def test_augment_depends_on_the_generator_alone(crop, flip):
    clips, augmentation = stored(batch=8), Augmentation(crop, flip)
    one, two, other = (a.augment(clips, augmentation, 16, generator(s)) for s in (1, 1, 2))
    assert one.shape == (8, 3, 3, 16, 16)
    assert one.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(one, two)
    assert torch.equal(one, other) == (crop == "none" and not flip)


@pytest.mark.parametrize("crop", ["none", "shift", "multiscale"])
def test_without_a_generator_it_is_the_centre(crop):
    clips = stored()
    result = a.augment(clips, Augmentation(crop, flip=True), 16, None, **PLAIN)
    assert torch.equal(result, a.to_float(a.center_crop(clips, 16), **PLAIN))


def test_what_is_impossible_is_named():
    with pytest.raises(UserError, match=r"augmentation\.crop.*'multiscale'"):
        Augmentation("multi_scale")
    with pytest.raises(UserError, match=r"augmentation\.flip"):
        Augmentation(flip="no")
    with pytest.raises(UserError, match=r"augmentation\.shift"):
        Augmentation("shift", shift=0)
    with pytest.raises(UserError, match=r"size.*20x24.*32"):
        a.augment(stored(), Augmentation(), 32, None)


@pytest.mark.gpu
def test_the_same_draw_on_every_device():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    clips = stored()
    for crop in ("shift", "multiscale"):
        here, there = (
            a.augment(clips.to(device), Augmentation(crop, flip=True), 16, generator()).cpu()
            for device in ("cpu", "cuda")
        )
        torch.testing.assert_close(here, there, atol=1e-4, rtol=0)
