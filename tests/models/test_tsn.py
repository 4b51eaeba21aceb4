import pytest
import torch
from torchvision.models import resnet50

from kdlib.errors import UserError
from kdlib.models import tsn


def test_every_frame_alone():
    """Each frame's map is that of the frame as a clip of its own, and their order is kept."""
    model = tsn.build(4).eval()
    clips = torch.randn(2, 3, 5, 24, 24)
    maps = model.features(clips)
    assert maps.shape == (2, 64, 5, 3, 3)
    for t in range(5):
        torch.testing.assert_close(maps[:, :, t : t + 1], model.features(clips[:, :, t : t + 1]))


def test_order_of_frames_does_not_matter():
    model = tsn.build(4).eval()
    clips = torch.randn(2, 3, 5, 24, 24)
    torch.testing.assert_close(model(clips), model(clips.flip(2)))


@pytest.mark.parametrize(("pixels", "side"), [(224, 7), (112, 4)])
@pytest.mark.parametrize(
    ("backbone", "channels"), [("resnet18", 512), ("resnet50", 2048), ("resnet152", 2048)]
)
def test_resnet_map(backbone, channels, pixels, side):
    with torch.device("meta"):
        model = tsn.build(200, backbone=backbone)
        maps = model.features(torch.empty(2, 3, 8, pixels, pixels))
    assert maps.shape == (2, channels, 8, side, side)
    assert model.head(maps).shape == (2, 200)


def test_resnet_has_torchvisions_names_and_output():
    torch.manual_seed(0)
    theirs = resnet50(num_classes=5).eval()
    model = tsn.build(5, backbone="resnet50").eval()
    loaded = model.backbone.load_state_dict(theirs.state_dict(), strict=False)
    assert loaded.missing_keys == []
    assert loaded.unexpected_keys == ["fc.weight", "fc.bias"]
    model.head.fc.load_state_dict(theirs.fc.state_dict())
    clips = torch.randn(1, 3, 2, 32, 32)
    mean = (theirs(clips[:, :, 0]) + theirs(clips[:, :, 1])) / 2
    torch.testing.assert_close(model(clips), mean, rtol=1e-4, atol=1e-5)


def test_width_is_refused_beside_a_resnet():
    with pytest.raises(UserError, match=r"tsn.width: resnet18 has its own widths"):
        tsn.build(5, backbone="resnet18", width=32)
