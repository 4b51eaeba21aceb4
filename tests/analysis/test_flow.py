import numpy as np
import pytest
import torch

from kdlib.analysis.flow import end_point_error

TRUE = np.zeros((2, 1, 2))  # one row of two pixels
PREDICTED = np.array([[[3.0, 0.0]], [[4.0, 2.0]]])  # off by (3, 4) and by (0, 2)


def test_it_is_the_mean_distance_in_pixels():
    assert end_point_error(PREDICTED, TRUE) == pytest.approx((5 + 2) / 2)
    assert end_point_error(TRUE, PREDICTED) == pytest.approx((5 + 2) / 2)
    assert end_point_error(PREDICTED, PREDICTED) == 0


def test_leading_axes_and_tensors_of_low_precision():
    many = torch.tensor(PREDICTED).expand(3, 4, 2, 1, 2)
    assert end_point_error(many.bfloat16(), torch.zeros_like(many)) == pytest.approx(3.5)


def test_only_valid_pixels_count():
    assert end_point_error(PREDICTED, TRUE, np.array([[True, False]])) == pytest.approx(5)
    assert end_point_error(PREDICTED, TRUE, np.array([[0, 1]])) == pytest.approx(2)
    unknown = np.where([[[False, True]]], np.nan, TRUE)
    assert end_point_error(PREDICTED, unknown, np.array([[1, 0]])) == pytest.approx(5)


@pytest.mark.parametrize(
    ("predicted", "true", "valid", "message"),
    [
        (PREDICTED, TRUE[..., :1], None, r"\(2, 1, 2\) and \(2, 1, 1\)"),
        (PREDICTED[:1], TRUE[:1], None, r"\(\.\.\., 2, H, W\)"),
        (PREDICTED[0], TRUE[0], None, r"\(\.\.\., 2, H, W\)"),
        (PREDICTED, TRUE, np.ones((2, 1, 2)), r"valid must be \(1, 2\)"),
        (PREDICTED, TRUE, np.zeros((1, 2)), "no valid pixel"),
        (PREDICTED * np.nan, TRUE, None, "diverged"),
    ],
)
def test_what_cannot_be_compared_is_refused(predicted, true, valid, message):
    with pytest.raises(ValueError, match=message):
        end_point_error(predicted, true, valid)
