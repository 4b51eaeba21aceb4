import pytest
import torch

from kdlib import models
from kdlib.errors import UserError
from kdlib.models.cost import cost


@pytest.mark.parametrize(
    ("name", "options", "millions", "gmacs"),
    [
        ("wrn", {"depth": 40, "widen": 2}, 2.26, 0.33),
        ("wrn", {"depth": 40, "widen": 1}, 0.57, 0.08),
        ("wrn", {"depth": 16, "widen": 2}, 0.70, 0.10),
        ("resnet_cifar", {"depth": 110}, 1.74, 0.26),
        ("resnet_cifar", {"depth": 56}, 0.86, 0.13),
        ("resnet_cifar", {"depth": 32, "width": 64, "stem": 32}, 7.43, 1.09),
        ("resnet_cifar", {"depth": 32}, 0.47, 0.07),
        ("resnet_cifar", {"depth": 20}, 0.28, 0.04),
        ("resnet_cifar", {"depth": 8, "width": 64, "stem": 32}, 1.23, 0.18),
    ],
)
def test_sizes_printed_by_sakd(name, options, millions, gmacs):
    """SAKD's Table 3, image networks with 100 classes."""
    found = cost(name, 100, (3, 1, 32, 32), **options)
    assert round(found["parameters"] / 1e6, 2) == millions
    # Half of the last printed digit, or two per cent.
    assert found["gmacs"] == pytest.approx(gmacs, rel=0.03, abs=0.005)


def test_shapes():
    model = models.build("wrn", 10, depth=10, widen=1, stem=4)
    clips = torch.randn(2, 3, 3, 32, 32)
    assert model.features(clips).shape == (2, 16, 3, 8, 8)
    assert model(clips[:, :, :1]).shape == (2, 10)


def test_a_block_whose_branch_is_silent_is_the_identity():
    model = models.build("wrn", 10, depth=16, widen=1, stem=8)
    block = model.backbone[2]
    assert block.shortcut is None
    torch.nn.init.zeros_(block.conv2.weight)
    maps = torch.randn(2, 8, 8, 8)
    torch.testing.assert_close(block(maps.clone()), maps)


@pytest.mark.parametrize("depth", [4, 18, 20])
def test_other_depths_are_refused(depth):
    with pytest.raises(UserError, match=r"wrn.depth: 6 n \+ 4"):
        models.build("wrn", 10, depth=depth)
