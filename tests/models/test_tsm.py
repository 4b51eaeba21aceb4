import pytest
import torch
from torchvision.models import resnet50

from kdlib.errors import UserError
from kdlib.models import tsm
from kdlib.models.tsm import shift


def test_shift_by_hand():
    # one pixel, 3 frames, 8 channels, value 10 t + c: channel 0 comes from t + 1, 1 from t - 1
    maps = (10 * torch.arange(3.0)[:, None] + torch.arange(8.0))[:, :, None, None]
    expected = [
        [10, 0, 2, 3, 4, 5, 6, 7],
        [20, 1, 12, 13, 14, 15, 16, 17],
        [0, 11, 22, 23, 24, 25, 26, 27],
    ]
    assert shift(maps, frames=3).flatten(1).tolist() == expected


def test_shift_against_a_loop():
    maps = torch.randn(2 * 4, 19, 3, 2)
    out = shift(maps, frames=4, div=4)  # 4 channels each way
    for b in range(2):
        for t in range(4):
            for c in range(19):
                source = t + 1 if c < 4 else t - 1 if c < 8 else t
                inside = 0 <= source < 4
                want = maps[4 * b + source, c] if inside else torch.zeros(3, 2)
                assert torch.equal(out[4 * b + t, c], want)


def test_shift_of_one_frame_and_of_few_channels():
    maps = torch.randn(2, 16, 2, 2)
    out = shift(maps, frames=1)
    assert not out[:, :4].any()
    assert torch.equal(out[:, 4:], maps[:, 4:])
    assert torch.equal(shift(maps[:, :7], frames=2), maps[:, :7])


def test_order_of_frames_matters():
    torch.manual_seed(0)
    model = tsm.build(4).eval()
    clips = torch.randn(2, 3, 5, 24, 24)
    assert not torch.allclose(model(clips), model(clips.flip(2)), atol=1e-4)


@pytest.mark.parametrize(("pixels", "side"), [(224, 7), (112, 4)])
def test_resnet_map(pixels, side):
    with torch.device("meta"):
        maps = tsm.build(174, backbone="resnet50").features(torch.empty(2, 3, 8, pixels, pixels))
    assert maps.shape == (2, 2048, 8, side, side)


def test_resnet_without_shift_is_torchvisions(monkeypatch):
    torch.manual_seed(0)
    theirs = resnet50(num_classes=5).eval()
    model = tsm.build(5, backbone="resnet50").eval()
    loaded = model.backbone.load_state_dict(theirs.state_dict(), strict=False)
    assert loaded.missing_keys == []
    assert loaded.unexpected_keys == ["fc.weight", "fc.bias"]
    model.head.fc.load_state_dict(theirs.fc.state_dict())
    clips = torch.randn(1, 3, 2, 32, 32)
    mean = (theirs(clips[:, :, 0]) + theirs(clips[:, :, 1])) / 2
    assert not torch.allclose(model(clips), mean, atol=1e-3)
    shifts = []
    monkeypatch.setattr(tsm, "shift", lambda maps, frames: shifts.append(frames) or maps)
    torch.testing.assert_close(model(clips), mean, rtol=1e-4, atol=1e-5)
    assert shifts == [2] * 16  # every bottleneck


def test_width_is_refused_beside_a_resnet():
    with pytest.raises(UserError, match=r"tsm.width: resnet50 has its own widths"):
        tsm.build(5, backbone="resnet50", width=32)
