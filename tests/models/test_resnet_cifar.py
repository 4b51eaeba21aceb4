import pytest
import torch
from torch import nn

from kdlib import models
from kdlib.errors import UserError


def count(depth, width=16, classes=100):
    """Parameters, by the layers' sizes: convolutions, two numbers a batch norm channel, the fc."""
    blocks, total, inside = (depth - 2) // 6, 9 * 3 * width + 2 * width, width
    for stage in range(3):
        channels = width << stage
        for block in range(blocks):
            total += 9 * inside * channels + 9 * channels * channels + 4 * channels
            if stage and not block:
                total += inside * channels + 2 * channels
            inside = channels
    return total + inside * classes + classes


@pytest.mark.parametrize("depth", [8, 20, 56])
def test_parameters(depth):
    model = models.build("resnet_cifar", 100, depth=depth)
    assert sum(p.numel() for p in model.parameters()) == count(depth)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    # The depth counts neither the shortcuts' projections.
    assert len(layers) - 2 == depth


def test_the_published_size():
    """CRD's released resnet20 for CIFAR-100 has 278,324 parameters."""
    assert count(20) == 278_324


def test_shapes_and_frames_alone():
    torch.manual_seed(0)
    model = models.build("resnet_cifar", 10, depth=8, width=4).eval()
    clips = torch.randn(2, 3, 3, 32, 32)
    maps = model.features(clips)
    assert maps.shape == (2, 16, 3, 8, 8)
    torch.testing.assert_close(maps[:, :, [1]], model.features(clips[:, :, [1]]))
    assert model(clips[:, :, :1]).shape == (2, 10)


@pytest.mark.parametrize("depth", [2, 18, 21])
def test_other_depths_are_refused(depth):
    with pytest.raises(UserError, match=r"resnet_cifar.depth: 6 n \+ 2"):
        models.build("resnet_cifar", 10, depth=depth)
