import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kdlib.clips.pixels import IMAGENET_MEAN, IMAGENET_STD, resize, to_float


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def stored(batch=4, frames=3, height=20, width=24):
    shape = (batch, frames, height, width, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator())


def test_to_float_is_the_formula_and_needs_no_other_layout():
    clips = stored()
    result = to_float(clips)
    expected = (clips.numpy() / 255.0 - IMAGENET_MEAN) / IMAGENET_STD
    np.testing.assert_allclose(result.numpy(), expected.transpose(0, 4, 1, 2, 3), atol=1e-5)
    assert result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_resize_is_bilinear_frame_by_frame(layout):
    clips = torch.randn(2, 5, 3, 8, 12, generator=generator()).contiguous(memory_format=layout)
    result = resize(clips, (5, 7))
    for t in range(3):
        expected = F.interpolate(
            clips[:, :, t], (5, 7), mode="bilinear", align_corners=False, antialias=False
        )
        torch.testing.assert_close(result[:, :, t], expected)
    assert resize(clips, 4).shape == (2, 5, 3, 4, 4)


def test_resize_by_half_averages_two_by_two():
    clips = torch.arange(16.0).view(1, 1, 1, 4, 4)
    torch.testing.assert_close(resize(clips, 2).flatten(), torch.tensor([2.5, 4.5, 10.5, 12.5]))


def test_resized_clips_stay_channels_last():
    low = resize(to_float(stored()), 10)
    assert low.is_contiguous(memory_format=torch.channels_last_3d)
