import sys

import pytest
import torch
from pytorchvideo.models.resnet import create_resnet

from kdlib.errors import UserError
from kdlib.models import slowonly


@pytest.mark.parametrize(("pixels", "side"), [(224, 7), (112, 4)])
def test_resnet_map(pixels, side):
    with torch.device("meta"):
        model = slowonly.build(400, backbone="resnet50")
        maps = model.features(torch.empty(2, 3, 8, pixels, pixels))
    assert maps.shape == (2, 2048, 8, side, side)


def test_resnet_has_pytorchvideos_names():
    with torch.device("meta"):
        theirs = create_resnet(model_depth=50, stem_conv_kernel_size=(1, 7, 7)).state_dict()
        ours = slowonly.build(400, backbone="resnet50").backbone.state_dict()
    assert {k: v.shape for k, v in ours.items()} == {
        k: v.shape for k, v in theirs.items() if not k.startswith("blocks.5.proj")
    }


def test_resnet_runs():
    model = slowonly.build(5, backbone="resnet50").eval()
    assert torch.isfinite(model(torch.randn(1, 3, 2, 32, 32))).all()
    assert "pytorchvideo.transforms" not in sys.modules


def test_micro_keeps_every_frame_and_sees_one_neighbour():
    """Only the last stage convolves in time: frame t reaches the map at t - 1, t and t + 1."""
    torch.manual_seed(0)
    model = slowonly.build(4).eval()
    clips = torch.randn(1, 3, 8, 24, 24)
    changed = clips.clone()
    changed[:, :, 4] += 1
    a, b = model.features(clips), model.features(changed)
    assert a.shape == (1, 64, 8, 3, 3)
    moved = [t for t in range(8) if not torch.equal(a[:, :, t], b[:, :, t])]
    assert moved == [3, 4, 5]


def test_width_is_refused_beside_a_resnet():
    with pytest.raises(UserError, match=r"slowonly.width: resnet50 has its own widths"):
        slowonly.build(5, backbone="resnet50", width=32)
