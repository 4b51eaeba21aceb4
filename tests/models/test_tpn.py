import pytest
import torch

from kdlib import models
from kdlib.errors import UserError
from kdlib.models import tpn
from kdlib.models.cost import cost


@pytest.mark.parametrize(
    ("backbone", "frames", "millions", "gmacs"),
    [("r101_f32s2", 32, 99.71, 375.09), ("r50_f8s8", 32, 71.80, 202.05)],
)
def test_sizes_printed_by_sakd(backbone, frames, millions, gmacs):
    """SAKD's Table 3, with 400 classes; it prints the cost of 32 frames for the 8-frame network."""
    found = cost("tpn", 400, (3, frames, 224, 224), backbone=backbone)
    assert round(found["parameters"] / 1e6, 2) == millions
    assert found["gmacs"] == pytest.approx(gmacs, rel=0.02)


@pytest.mark.parametrize(
    ("frames", "pooled", "expected"), [(4, 2, 2), (4, 4, 1), (3, 2, 2), (1, 2, 1)]
)
def test_shapes(frames, pooled, expected):
    model = models.build("tpn", 5, width=8, pooled=pooled)
    clips = torch.randn(2, 3, frames, 16, 16)
    assert model.features(clips).shape == (2, 32, expected, 2, 2)
    assert model(clips).shape == (2, 5)


def test_stages_of_two_rates():
    pyramid = tpn.TemporalPyramid(32, (2, 4), 8)
    for frames, expected in ((8, 2), (4, 1), (3, 1), (1, 1)):
        maps = torch.randn(2, 16, frames, 4, 4), torch.randn(2, 32, frames, 2, 2)
        assert pyramid(*maps).shape == (2, 32, expected, 2, 2)


def test_both_stages_reach_the_map():
    torch.manual_seed(0)
    model = models.build("tpn", 5, width=8).eval()
    lower = torch.randn(1, 16, 4, 4, 4, requires_grad=True)
    upper = torch.randn(1, 32, 4, 2, 2, requires_grad=True)
    model.backbone.pyramid(lower, upper).sum().backward()
    assert lower.grad.abs().sum() > 0
    assert upper.grad.abs().sum() > 0


def test_impossible_options_are_named():
    with pytest.raises(UserError, match="r50_f8s8 has its own width"):
        models.build("tpn", 5, backbone="r50_f8s8", width=8)
