import pytest
import torch

from kdlib.models import c3d


@pytest.mark.parametrize(
    ("size", "expected"),
    [((8, 24, 24), (2, 3, 3)), ((8, 48, 48), (2, 6, 6)), ((16, 56, 32), (4, 7, 4))],
)
def test_map(size, expected):
    model = c3d.build(12)
    assert model.features(torch.randn(2, 3, *size)).shape == (2, 64, *expected)


def test_order_of_frames_matters():
    torch.manual_seed(0)
    model = c3d.build(4).eval()
    clips = torch.randn(2, 3, 8, 24, 24)
    assert not torch.allclose(model(clips), model(clips.flip(2)), atol=1e-4)


@pytest.mark.parametrize("width", [8, 12, 16])
def test_width(width):
    model = c3d.build(12, width=width)
    w = width
    kernels = 27 * (3 * w + w * 2 * w + 2 * w * 4 * w)
    norms, fc = 2 * (w + 2 * w + 4 * w), 4 * w * 12 + 12
    assert sum(p.numel() for p in model.parameters()) == kernels + norms + fc
    assert model.channels == 4 * w
