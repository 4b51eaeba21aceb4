import pytest
import torch
from torch import nn

from kdlib import models
from kdlib.models.classifier import VideoClassifier, fold_frames, unfold_frames

MICRO = ("c3d", "slowonly", "swin3d", "tsm", "tsn")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_head_and_pixel_logits_by_hand():
    model = VideoClassifier(nn.Identity(), channels=2, classes=1).eval()
    model.fc.weight.data = torch.tensor([[1.0, 10.0]])
    model.fc.bias.data = torch.tensor([0.5])
    features = torch.tensor([[[[[1.0, 3.0]]], [[[2.0, 4.0]]]]])  # (1, 2, 1, 1, 2)
    assert model.pixel_logits(features).tolist() == [[[[[21.5, 43.5]]]]]
    assert model.head(features).tolist() == [[32.5]]


@pytest.mark.parametrize("name", MICRO)
def test_head_is_the_mean_of_pixel_logits(name):
    model = models.build(name, 7, dropout=0.5).eval()
    features = model.features(torch.randn(2, 3, 8, 24, 24))
    pixels = model.pixel_logits(features)
    assert pixels.shape == (2, 7, *features.shape[2:])
    torch.testing.assert_close(model.head(features), pixels.mean((2, 3, 4)))


@pytest.mark.parametrize("name", MICRO)
def test_forward_is_head_of_features(name):
    model = models.build(name, 7).eval()
    clips = torch.randn(2, 3, 8, 24, 24)
    features = model.features(clips)
    assert features.shape[:2] == (2, model.channels)
    assert model.fc.out_features == model.classes == 7
    assert torch.equal(model(clips), model.head(features))


def test_dropout_acts_on_the_head_alone():
    model = models.build("c3d", 4, dropout=0.5).train()
    features = torch.randn(2, 64, 2, 3, 3)
    assert not torch.equal(model.head(features), model.head(features))
    assert torch.equal(model.pixel_logits(features), model.pixel_logits(features))


@pytest.mark.parametrize("name", MICRO)
def test_gradient_reaches_every_parameter(name):
    model = models.build(name, 5).train()
    model(torch.randn(4, 3, 8, 24, 24)).square().sum().backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


@pytest.mark.parametrize("name", MICRO)
@pytest.mark.parametrize(("frames", "pixels"), [(8, 24), (8, 48), (7, 56), (1, 32), (3, 25)])
def test_any_size_and_a_batch_of_one_in_train_mode(name, frames, pixels):
    model = models.build(name, 5).train()
    features = model.features(torch.randn(1, 3, frames, pixels, pixels))
    assert features.shape[3:] == (-(-pixels // 8),) * 2
    assert torch.isfinite(model.head(features)).all()


@pytest.mark.parametrize("name", MICRO)
def test_clips_do_not_mix(name):
    """A clip's logits in eval mode do not depend on the rest of its batch."""
    model = models.build(name, 5).eval()
    clips = torch.randn(3, 3, 8, 24, 24)
    torch.testing.assert_close(model(clips)[1:2], model(clips[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MICRO)
def test_memory_layout_does_not_change_the_logits(name):
    model = models.build(name, 5).eval()
    stored = torch.randn(2, 8, 24, 24, 3).permute(0, 4, 1, 2, 3)
    assert torch.equal(model(stored), model(stored.contiguous()))


@pytest.mark.parametrize("name", MICRO)
def test_same_seed_same_model(name):
    clips = torch.randn(2, 3, 8, 24, 24)

    def step() -> list[torch.Tensor]:
        torch.manual_seed(3)
        model = models.build(name, 5).train()
        loss = model(clips).square().sum()
        loss.backward()
        return [loss, *(p.grad for p in model.parameters())]

    assert all(map(torch.equal, step(), step()))


@pytest.mark.parametrize("name", MICRO)
def test_weights_survive_a_state_dict_and_stay_contiguous(name):
    """safetensors stores contiguous tensors only."""
    model, other = models.build(name, 5).eval(), models.build(name, 5).eval()
    state = model.state_dict()
    assert {key.split(".")[0] for key in state} == {"backbone", "fc"}
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
    fc = VideoClassifier(nn.Identity(), 2048, 400, fc_std=0.001).fc
    assert fc.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert not fc.bias.any()
