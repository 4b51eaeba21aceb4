import pytest
import torch
from torchvision.models.video import swin3d_b, swin3d_s, swin3d_t

from kdlib.errors import UserError
from kdlib.models import swin3d

THEIRS = {"swin3d_t": swin3d_t, "swin3d_s": swin3d_s, "swin3d_b": swin3d_b}


@pytest.mark.slow
@pytest.mark.parametrize(("pixels", "side"), [(224, 7), (112, 4)])
@pytest.mark.parametrize(
    ("backbone", "channels"), [("swin3d_t", 768), ("swin3d_s", 768), ("swin3d_b", 1024)]
)
def test_true_size_map(backbone, channels, pixels, side):
    with torch.device("meta"):
        model = swin3d.build(400, backbone=backbone)
        maps = model.features(torch.empty(2, 3, 32, pixels, pixels))
    assert maps.shape == (2, channels, 16, side, side)
    assert model.head.by_place(maps).shape == (2, 400, 16, side, side)


@pytest.mark.parametrize("backbone", THEIRS)
def test_names_are_torchvisions(backbone):
    with torch.device("meta"):
        theirs = THEIRS[backbone]().state_dict()
        ours = swin3d.build(400, backbone=backbone).backbone.state_dict()
    assert {k: v.shape for k, v in ours.items()} == {
        k: v.shape for k, v in theirs.items() if not k.startswith("head.")
    }


def test_output_is_torchvisions():
    torch.manual_seed(0)
    theirs = swin3d_t(num_classes=5).eval()
    model = swin3d.build(5, backbone="swin3d_t").eval()
    model.backbone.load_state_dict(theirs.state_dict(), strict=False)
    model.head.fc.load_state_dict(theirs.head.state_dict())
    clips = torch.randn(1, 3, 4, 32, 32)
    torch.testing.assert_close(model(clips), theirs(clips), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((8, 24, 24), (4, 3, 3)), ((8, 48, 48), (4, 6, 6)), ((1, 28, 28), (1, 4, 4))],
)
def test_micro_map(size, expected):
    model = swin3d.build(4, width=8)
    assert model.features(torch.randn(2, 3, *size)).shape == (2, 16, *expected)


def test_micro_attends_across_windows():
    """Shifted windows carry what one token shows beyond its own window, but not everywhere."""
    torch.manual_seed(0)
    model = swin3d.build(4).eval()
    clips = torch.randn(1, 3, 8, 96, 96)
    changed = clips.clone()
    changed[:, :, :2, :4, :4] += 1
    moved = (model.features(changed) - model.features(clips)).abs().amax((0, 1)) > 1e-6
    assert moved[:2, :3, :3].all()
    assert moved[2:].any()
    assert moved[:, 3:].any()
    assert not moved.all()


def test_drop_path_acts_in_train_mode_only():
    model = swin3d.build(4, drop_path=0.9)
    clips = torch.randn(2, 3, 8, 24, 24)
    assert not torch.equal(model.train()(clips), model.train()(clips))
    assert torch.equal(model.eval()(clips), model.eval()(clips))
    model = swin3d.build(4, drop_path=0.0).train()
    assert torch.equal(model(clips), model(clips))


def test_width_is_refused_beside_a_true_size():
    with pytest.raises(UserError, match=r"swin3d.width: swin3d_b has its own width"):
        swin3d.build(5, backbone="swin3d_b", width=32)
