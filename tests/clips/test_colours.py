"""Colours of clips against torchvision's own functions, by hand, and as they are drawn."""

import pytest
import torch
from torchvision.transforms.v2 import functional as vision

from kdlib.clips.colours import ColourJitter, jitter_colours, recoloured
from kdlib.clips.pixels import IMAGENET_MEAN, IMAGENET_STD

MEAN, STD = (torch.tensor(x).view(3, 1, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
NONE = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0, "grey": False}
CVRL = ColourJitter(0.8, 0.8, 0.8, 0.2, jittered=0.8, grey=0.2)


def pixels(clips=3, low=0.4, high=0.6, seed=0):
    """Values of 0 to 1, (B, 3, T, H, W), far enough from both ends that nothing is cut off."""
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(clips, 3, 4, 8, 6, generator=generator)


def seen(x, **factors):
    """What `recoloured` makes of values of 0 to 1, in such values; a number is for every clip."""
    full = {name: torch.as_tensor(value).expand(len(x)) for name, value in (NONE | factors).items()}
    return recoloured((x - MEAN) / STD, **full) * STD + MEAN


def by_frame(function, x):
    frames = function(x.transpose(1, 2).flatten(0, 1))
    return frames.unflatten(0, (len(x), -1)).transpose(1, 2)


def test_no_change_is_none():
    torch.testing.assert_close(seen(pixels()), pixels())


@pytest.mark.parametrize("factor", [0.3, 0.9, 1.4])
def test_brightness_saturation_and_grey_are_torchvision_s(factor):
    x = pixels()
    expected = by_frame(lambda f: vision.adjust_brightness(f, factor), x)
    torch.testing.assert_close(seen(x, brightness=factor), expected)
    expected = by_frame(lambda f: vision.adjust_saturation(f, factor), x)
    torch.testing.assert_close(seen(x, saturation=factor), expected, rtol=0, atol=2e-4)
    expected = by_frame(lambda f: vision.rgb_to_grayscale(f, 3), x)
    torch.testing.assert_close(seen(x, grey=True), expected, rtol=0, atol=2e-4)


def test_contrast_is_about_the_mean_of_the_clip_s_channel():
    x = pixels()
    mean = x.mean((2, 3, 4), keepdim=True)
    torch.testing.assert_close(seen(x, contrast=0.3), mean + 0.3 * (x - mean))


def test_a_third_of_a_turn_makes_red_green_and_any_turn_keeps_grey():
    x = pixels()
    torch.testing.assert_close(seen(x, hue=1 / 3), x.roll(1, 1))
    torch.testing.assert_close(seen(x, hue=-1 / 3), x.roll(-1, 1))
    grey = x[:, :1].expand_as(x)
    torch.testing.assert_close(seen(grey, hue=0.17), grey)
    turned = seen(x, hue=0.1)
    torch.testing.assert_close(turned.sum(1), x.sum(1))
    mean = x.mean(1, keepdim=True)
    torch.testing.assert_close((turned - mean).norm(dim=1), (x - mean).norm(dim=1))


def test_all_at_once_is_one_after_another():
    x = pixels()
    steps = {"brightness": 0.9, "contrast": 1.3, "saturation": 1.2, "hue": 0.05}
    expected = x
    for name, factor in steps.items():
        expected = seen(expected, **{name: factor})
    torch.testing.assert_close(seen(x, **steps), expected)
    torch.testing.assert_close(seen(x, **steps, grey=True), seen(expected, grey=True))


def test_what_is_above_white_or_below_black_is_cut_off():
    x = pixels(low=0.0, high=1.0)
    torch.testing.assert_close(seen(x, brightness=3.0), (3 * x).clamp(max=1))
    made = seen(x, contrast=1.8)
    assert made.min() == pytest.approx(0, abs=1e-6)
    assert made.max() == pytest.approx(1, abs=1e-6)


def test_each_clip_has_its_own_factors():
    x = pixels()
    factors = torch.tensor([0.5, 1.0, 1.5])
    torch.testing.assert_close(seen(x, brightness=factors), x * factors.view(3, 1, 1, 1, 1))


def test_all_frames_of_a_clip_are_varied_alike():
    still = ((pixels(low=0, high=1) - MEAN) / STD)[:, :, :1].expand(-1, -1, 4, -1, -1)
    torch.manual_seed(0)
    made = jitter_colours(still, CVRL)
    torch.testing.assert_close(made, made[:, :, :1].expand_as(made))
    assert not torch.allclose(made, still)


def test_the_draws_are_of_torch_s_global_generator():
    x = pixels()
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(jitter_colours(x, CVRL))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("extent", [0.4, 1.5])
def test_factors_are_drawn_between_their_ends(extent):
    torch.manual_seed(0)
    x = torch.full((4000, 3, 1, 1, 1), 0.2)
    made = jitter_colours((x - MEAN) / STD, ColourJitter(extent, 0, 0, 0)) * STD + MEAN
    factors = made[:, 0].flatten() / 0.2
    low = max(1 - extent, 0)
    assert factors.min() == pytest.approx(low, abs=0.01)
    assert factors.max() == pytest.approx(1 + extent, abs=0.01)
    assert factors.mean() == pytest.approx((low + 1 + extent) / 2, abs=0.03)


def test_turns_are_drawn_to_both_sides():
    torch.manual_seed(0)
    red = torch.tensor([0.6, 0.4, 0.4]).view(1, 3, 1, 1, 1).expand(4000, -1, -1, -1, -1)
    made = jitter_colours((red - MEAN) / STD, ColourJitter(0, 0, 0, 0.1)) * STD + MEAN
    _, green, blue = made.flatten(1).T
    assert (green > blue).float().mean() == pytest.approx(0.5, abs=0.03)
    assert green.max() == pytest.approx(float(seen(red[:1], hue=0.1)[0, 1]), abs=1e-3)


def test_so_many_clips_are_varied_and_so_many_grey():
    torch.manual_seed(0)
    x = pixels(4000)
    x = (x - MEAN) / STD
    made = jitter_colours(x, ColourJitter(0.5, 0.5, 0.5, 0.1, jittered=0.8))
    changed = ((made - x).abs().flatten(1).amax(1) > 1e-5).float().mean()
    assert changed == pytest.approx(0.8, abs=0.03)
    made = jitter_colours(x, ColourJitter(0.5, 0.5, 0.5, 0.1, jittered=0.0, grey=0.2)) * STD + MEAN
    grey = ((made - made.mean(1, keepdim=True)).abs().flatten(1).amax(1) < 1e-5).float().mean()
    assert grey == pytest.approx(0.2, abs=0.03)


def test_the_layout_stays_and_no_value_is_read():
    x = pixels().contiguous(memory_format=torch.channels_last_3d)
    assert jitter_colours(x, CVRL).is_contiguous(memory_format=torch.channels_last_3d)
    with torch.device("meta"):
        assert jitter_colours(torch.zeros(2, 3, 4, 8, 8), CVRL).shape == (2, 3, 4, 8, 8)


def test_in_mixed_precision_only_the_pixels_are_rounded():
    x = (pixels() - MEAN) / STD
    made = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            made.append(jitter_colours(x, CVRL).float())
    torch.testing.assert_close(made[1], made[0], rtol=2**-7, atol=2**-7)
