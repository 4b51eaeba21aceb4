import pytest
import torch

from kdlib.losses import masked_loss
from kdlib.losses.masked import normalised_patches


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def by_hand(distance, kind):
    if kind == "l2":
        return distance**2
    return distance**2 / 2 if abs(distance) < 1 else abs(distance) - 0.5


@pytest.mark.parametrize("kind", ["smooth_l1", "l2"])
def test_by_hand(kind):
    predicted, target = 2 * torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    found = masked_loss(predicted, target, kind=kind, reduction="none")
    for clip in range(3):
        distances = (predicted[clip] - target[clip]).flatten().tolist()
        assert any(abs(d) > 1 for d in distances)
        expected = sum(by_hand(d, kind) for d in distances) / 20
        assert float(found[clip]) == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(masked_loss(predicted, target, kind=kind), found.mean())


@pytest.mark.parametrize("kind", ["smooth_l1", "l2"])
def test_equal_is_zero_and_the_gradient_is_of_what_is_predicted_alone(kind):
    predicted = torch.randn(2, 3, 4, requires_grad=True)
    target = torch.randn(2, 3, 4, requires_grad=True)
    assert float(masked_loss(target, target, kind=kind).detach()) == 0
    masked_loss(predicted, target, kind=kind).backward()
    assert predicted.grad.abs().sum() > 0
    assert target.grad is None


def test_half_precision_is_computed_in_float32():
    predicted, target = (10 * torch.randn(1, 64, 64)).half(), torch.zeros(1, 64, 64).half()
    found = masked_loss(predicted, target, kind="l2")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, predicted.float().square().mean())


def test_targets_made_in_inference_mode_serve():
    predicted = torch.randn(2, 3, 4, requires_grad=True)
    with torch.inference_mode():
        target = torch.randn(2, 3, 4)
    masked_loss(predicted, target, kind="smooth_l1").backward()


@pytest.mark.parametrize(
    ("shapes", "reduction", "words"),
    [
        (((2, 3, 4), (2, 3, 5)), "mean", "must have one shape"),
        (((2, 3, 4), (2, 3, 4)), "sum", "reduction must be"),
    ],
)
def test_mistakes_are_named(shapes, reduction, words):
    with pytest.raises(ValueError, match=words):
        masked_loss(*map(torch.zeros, shapes), kind="l2", reduction=reduction)


@pytest.mark.parametrize("by_channel", [True, False])
def test_patches_are_normalised_each_by_itself(by_channel):
    patches = 3 * torch.randn(2, 5, 12) + torch.arange(12) + torch.arange(5)[:, None]
    found = normalised_patches(patches, by_channel=by_channel)
    for clip in range(2):
        for place in range(5):
            numbers = patches[clip, place].numpy()
            for group in [numbers[c::3] for c in range(3)] if by_channel else [numbers]:
                group[:] = (group - group.mean()) / (group.std(ddof=1) + 1e-6)
    torch.testing.assert_close(found, patches)


def test_a_patch_of_one_colour_is_zero():
    assert normalised_patches(torch.full((1, 1, 12), 0.3), by_channel=True).abs().max() < 1e-1
