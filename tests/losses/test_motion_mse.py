"""The motion-weighted error against numpy, square by square, and by hand."""

import numpy as np
import pytest
import torch

from kdlib.losses.motion_mse import motion_mse_loss, motion_weights


def weights_by_loop(frames):
    """The weights (H, W) of frames (C, F, H, W), by looking at one square after another."""
    _, count, height, width = frames.shape
    high, wide = height // 4, width // 4
    found = {}
    for top in range(0, height - high + 1, height // 16):
        for left in range(0, width - wide + 1, width // 16):
            square = frames[:, :, top : top + high, left : left + wide]
            found[top, left] = sum(
                np.mean((square[:, k] - square[:, k + 1]) ** 2) for k in range(count - 1)
            )
    top, left = max(found, key=found.get)
    weights = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            down, right = y - (top + high / 2), x - (left + wide / 2)
            weights[y, x] = np.exp(-0.5 * (down / (high / 2)) ** 2)
            weights[y, x] *= np.exp(-0.5 * (right / (wide / 2)) ** 2)
    weights -= weights.min()
    return 0.8 + 1.2 * weights / weights.max()


@pytest.mark.parametrize("sides", [(32, 32), (32, 48)])
def test_weights_against_a_loop_over_squares(sides):
    torch.manual_seed(0)
    frames = torch.randn(5, 3, 4, *sides, dtype=torch.float64)
    found = motion_weights(frames)
    assert found.shape == (5, *sides)
    expected = np.stack([weights_by_loop(clip) for clip in frames.numpy()])
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_the_published_square_is_found_where_something_moves():
    """112 pixels: a square of 28 in steps of 7, its middle where all the motion is."""
    frames = torch.zeros(1, 3, 4, 112, 112)
    frames[:, :, 2, 35:63, 70:98] = 1
    (weights,) = motion_weights(frames)
    assert divmod(int(weights.argmax()), 112) == (49, 84)
    assert (float(weights.amin()), float(weights.amax())) == pytest.approx((0.8, 2.0))
    # One standard deviation, 14 pixels, below the middle.
    assert float(weights[63, 84]) == pytest.approx(0.8 + 1.2 * np.exp(-0.5), abs=2e-3)


def test_still_and_tiny_frames_have_finite_weights():
    assert torch.isfinite(motion_weights(torch.zeros(2, 3, 4, 16, 16))).all()
    assert torch.isfinite(motion_weights(torch.randn(2, 3, 4, 8, 8))).all()


def test_the_error_by_hand():
    """Errors 1 and 2 at weights 2 and 0.8: (2 * 1 + 0.8 * 4) / 2, in both channels alike."""
    made = torch.tensor([1.0, 2.0]).view(1, 1, 1, 1, 2).repeat(1, 2, 1, 1, 1)
    weights = torch.tensor([2.0, 0.8]).view(1, 1, 1, 2)
    assert float(motion_mse_loss(made, torch.zeros_like(made), weights)) == pytest.approx(2.6)


def test_reductions_and_equal_weights():
    torch.manual_seed(0)
    made, truth = torch.randn(2, 3, 3, 4, 8, 8)
    weights = torch.rand(3, 4, 8, 8)
    each = motion_mse_loss(made, truth, weights, reduction="none")
    torch.testing.assert_close(each.mean(), motion_mse_loss(made, truth, weights))
    plain = motion_mse_loss(made, truth, torch.ones_like(weights))
    torch.testing.assert_close(plain, torch.nn.functional.mse_loss(made, truth))


def test_only_what_is_made_learns_and_half_precision_is_computed_in_float32():
    made, truth, weights = (
        torch.rand(*shape, requires_grad=True)
        for shape in ((2, 3, 2, 8, 8), (2, 3, 2, 8, 8), (2, 2, 8, 8))
    )
    motion_mse_loss(made, truth, weights).backward()
    assert made.grad.abs().sum() > 0
    assert truth.grad is None
    assert weights.grad is None
    assert motion_mse_loss(made.bfloat16(), truth, weights).dtype == torch.float32
    assert motion_weights(truth.detach().bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(
    ("truth", "weights"), [((2, 3, 2, 8, 4), (2, 2, 8, 8)), ((2, 3, 2, 8, 8), (2, 3, 8, 8))]
)
def test_other_shapes_are_refused(truth, weights):
    with pytest.raises(ValueError, match=r"must have one shape \(B, C, T, H, W\)"):
        motion_mse_loss(torch.zeros(2, 3, 2, 8, 8), torch.zeros(truth), torch.zeros(weights))
