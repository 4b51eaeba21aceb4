import pytest
import torch
from torch import nn

from kdlib import models
from kdlib.errors import UserError
from kdlib.models.base import VideoModel, fold_frames, unfold_frames

MICRO = {
    "c3d": {},
    "r2plus1d": {"width": 8, "stages": 3, "time_stages": 1},
    "s3dg": {"width": 8, "blocks": 1, "strides": "small"},
    "shufflenet3d": {"width": 24, "stem": 12, "units": 1, "pool": False, "time_stages": 1},
    "slowonly": {},
    "swin3d": {},
    "tsm": {},
    "tsn": {},
}
HALVINGS = {"s3dg": 4, "shufflenet3d": 4}  # of height and width; the others have three


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_head_and_place_logits_by_hand():
    model = VideoModel(nn.Identity(), channels=2, classes=1).eval()
    model.head.fc.weight.data = torch.tensor([[1.0, 10.0]])
    model.head.fc.bias.data = torch.tensor([0.5])
    features = torch.tensor([[[[[1.0, 3.0]]], [[[2.0, 4.0]]]]])  # (1, 2, 1, 1, 2)
    assert model.head.by_place(features).tolist() == [[[[[21.5, 43.5]]]]]
    assert model.head(features).tolist() == [[32.5]]


@pytest.mark.parametrize("name", MICRO)
def test_head_is_the_mean_of_place_logits(name):
    model = models.build(name, 7, dropout=0.5, **MICRO[name]).eval()
    features = model.features(torch.randn(2, 3, 8, 24, 24))
    pixels = model.head.by_place(features)
    assert pixels.shape == (2, 7, *features.shape[2:])
    torch.testing.assert_close(model.head(features), pixels.mean((2, 3, 4)))


@pytest.mark.parametrize("name", MICRO)
def test_forward_is_head_of_features(name):
    model = models.build(name, 7, **MICRO[name]).eval()
    clips = torch.randn(2, 3, 8, 24, 24)
    features = model.features(clips)
    assert features.shape[:2] == (2, model.channels)
    assert model.head.fc.out_features == model.classes == 7
    assert torch.equal(model(clips), model.head(features))


def test_dropout_acts_on_the_head_alone():
    model = models.build("c3d", 4, dropout=0.5).train()
    features = torch.randn(2, 64, 2, 3, 3)
    assert not torch.equal(model.head(features), model.head(features))
    assert torch.equal(model.head.by_place(features), model.head.by_place(features))


@pytest.mark.parametrize("name", MICRO)
def test_gradient_reaches_every_parameter(name):
    model = models.build(name, 5, **MICRO[name]).train()
    model(torch.randn(4, 3, 8, 24, 24)).square().sum().backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


@pytest.mark.parametrize("name", MICRO)
@pytest.mark.parametrize(("frames", "pixels"), [(8, 24), (8, 48), (7, 56), (1, 32), (3, 25)])
def test_any_size_and_a_batch_of_one_in_train_mode(name, frames, pixels):
    model = models.build(name, 5, **MICRO[name]).train()
    features = model.features(torch.randn(1, 3, frames, pixels, pixels))
    assert features.shape[3:] == (-(-pixels // 2 ** HALVINGS.get(name, 3)),) * 2
    assert torch.isfinite(model.head(features)).all()


@pytest.mark.parametrize("name", MICRO)
def test_clips_do_not_mix(name):
    """A clip's logits in eval mode do not depend on the rest of its batch."""
    model = models.build(name, 5, **MICRO[name]).eval()
    clips = torch.randn(3, 3, 8, 24, 24)
    torch.testing.assert_close(model(clips)[1:2], model(clips[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MICRO)
def test_memory_layout_does_not_change_the_logits(name):
    model = models.build(name, 5, **MICRO[name]).eval()
    stored = torch.randn(2, 8, 24, 24, 3).permute(0, 4, 1, 2, 3)
    assert torch.equal(model(stored), model(stored.contiguous()))


@pytest.mark.parametrize("name", MICRO)
def test_same_seed_same_model(name):
    clips = torch.randn(2, 3, 8, 24, 24)

    def step() -> list[torch.Tensor]:
        torch.manual_seed(3)
        model = models.build(name, 5, **MICRO[name]).train()
        loss = model(clips).square().sum()
        loss.backward()
        return [loss, *(p.grad for p in model.parameters())]

    assert all(map(torch.equal, step(), step()))


@pytest.mark.parametrize("name", MICRO)
def test_weights_survive_a_state_dict_and_stay_contiguous(name):
    """safetensors stores contiguous tensors only."""
    model, other = (
        models.build(name, 5, **MICRO[name]).eval(),
        models.build(name, 5, **MICRO[name]).eval(),
    )
    state = model.state_dict()
    assert {key.split(".")[0] for key in state} == {"backbone", "head"}
    assert all(tensor.is_contiguous() for tensor in state.values())
    other.load_state_dict(state)
    clips = torch.randn(2, 3, 8, 24, 24)
    assert torch.equal(model(clips), other(clips))


def test_one_value_per_channel_is_refused_by_batch_norm():
    """Below 9 pixels one frame leaves a 1 x 1 map: no batch statistics of a single clip."""
    model = models.build("tsn", 5).train()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        model(torch.randn(1, 3, 1, 8, 8))
    assert model(torch.randn(2, 3, 1, 8, 8)).shape == (2, 5)


def test_fold_and_unfold_frames():
    clips = torch.arange(2 * 3 * 4).float().view(2, 3, 4, 1, 1)
    images = fold_frames(clips)
    assert images.shape == (8, 3, 1, 1)
    assert images[5].flatten().tolist() == clips[1, :, 1].flatten().tolist()
    assert torch.equal(unfold_frames(images, 4), clips)


def test_fc_std():
    fc = VideoModel(nn.Identity(), 2048, 400, fc_std=0.001).head.fc
    assert fc.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert not fc.bias.any()


@pytest.mark.parametrize(
    ("name", "stage", "channels"),
    [("tsn", "1", 32), ("tsm", "stages.0", 32), ("c3d", "1", 32), ("swin3d", "features.0", 24)],
)
def test_stages_are_the_maps_that_the_rest_of_the_network_continues_from(name, stage, channels):
    model = models.build(name, 5).eval()
    clips = torch.randn(2, 3, 4, 24, 24)
    maps = model.stages(clips, [stage, ""])
    assert maps[stage].shape[:2] == (2, channels)
    assert maps[stage].ndim == 5
    assert torch.equal(maps[""], model.features(clips))
    assert not any(module._forward_hooks for module in model.modules())
    if name == "tsn":
        assert torch.equal(unfold_frames(model.backbone[2](fold_frames(maps["1"])), 4), maps[""])


def test_stages_carry_gradient_to_what_lies_below_them_alone():
    model = models.build("c3d", 5).eval()
    model.stages(torch.randn(1, 3, 4, 24, 24), ["1"])["1"].sum().backward()
    with_gradient = {n.split(".")[1] for n, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {"0", "1"}


@pytest.mark.parametrize(
    ("stage", "message"),
    [("l1", "no module 'l1'; its parts: 0, 1, 2"), ("1.0", "gives no map"), ("9", "never runs")],
)
def test_stages_that_are_none_are_refused_and_leave_no_hook(stage, message):
    class Unused(nn.Sequential):
        def forward(self, clips):
            return self[2](self[1](self[0](clips)))

    double = nn.Sequential(nn.Flatten(2), nn.Unflatten(2, (4, 24, 24)))
    layers = [nn.Conv3d(3, 4, 1), double, nn.Identity()]
    model = VideoModel(Unused(*layers), 4, 5)
    model.backbone.add_module("9", nn.Identity())
    with pytest.raises(UserError, match=message):
        model.stages(torch.randn(1, 3, 4, 24, 24), [stage])
    assert not any(module._forward_hooks for module in model.modules())
