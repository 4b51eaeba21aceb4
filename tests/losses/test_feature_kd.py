"""Feature KD against a loop over pixels, and what it refuses."""

import math

import pytest
import torch
import torch.nn.functional as F

from kdlib.losses.feature_kd import feature_kd_loss, upsample_to


def maps(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def source_weights(position, size_in, size_out):
    """The two source pixels and weights of bilinear sampling with pixel centres at halves."""
    x = max((position + 0.5) * size_in / size_out - 0.5, 0.0)
    low = math.floor(x)
    high = min(low + 1, size_in - 1)
    return ((low, 1 - (x - low)), (high, x - low))


def enlarged_by_loop(student, height, width):
    b, c, t, h, w = student.shape
    out = torch.zeros(b, c, t, height, width, dtype=student.dtype)
    for y in range(height):
        for x in range(width):
            for row, row_weight in source_weights(y, h, height):
                for column, column_weight in source_weights(x, w, width):
                    out[..., y, x] += row_weight * column_weight * student[..., row, column]
    return out


def test_hand_computed():
    # One row of 2 pixels (0, 4) enlarged to 4: 0, 1, 3, 4. Teacher 0: (0 + 1 + 9 + 16) / 4.
    student = torch.tensor([0.0, 4.0]).reshape(1, 1, 1, 1, 2)
    teacher = torch.zeros(1, 1, 1, 1, 4)
    assert feature_kd_loss(student, teacher).item() == pytest.approx(6.5)


@pytest.mark.parametrize("size", [(4, 4, 7, 7), (2, 3, 5, 4), (3, 3, 3, 3), (1, 1, 4, 4)])
def test_parity_with_a_loop_over_pixels(size):
    h, w, height, width = size
    student, teacher = maps(2, 3, 2, h, w, seed=1), maps(2, 3, 2, height, width, seed=2)
    gap = enlarged_by_loop(student, height, width) - teacher
    torch.testing.assert_close(feature_kd_loss(student, teacher), gap.square().mean())
    torch.testing.assert_close(
        feature_kd_loss(student, teacher, reduction="none"), gap.square().mean((1, 2, 3, 4))
    )


def test_frames_do_not_mix():
    student, teacher = maps(2, 3, 4, 4, 4, seed=3), maps(2, 3, 4, 7, 7, seed=4)
    upsampled = upsample_to(student, teacher)
    for t in range(4):
        torch.testing.assert_close(
            upsampled[:, :, t], upsample_to(student[:, :, t], teacher[:, :, t])
        )


def test_equals_trilinear_without_a_change_of_length():
    student, teacher = maps(2, 3, 4, 4, 4, seed=5), maps(2, 3, 4, 7, 7, seed=6)
    expected = F.interpolate(student, (4, 7, 7), mode="trilinear", align_corners=False)
    torch.testing.assert_close(upsample_to(student, teacher), expected)


def test_images_are_clips_of_one_frame():
    student, teacher = maps(2, 3, 4, 4, seed=7), maps(2, 3, 7, 7, seed=8)
    as_clips = feature_kd_loss(student[:, :, None], teacher[:, :, None])
    torch.testing.assert_close(feature_kd_loss(student, teacher), as_clips)


def test_memory_layout_makes_no_difference():
    student, teacher = maps(2, 3, 2, 4, 4, seed=9), maps(2, 3, 2, 7, 7, seed=10)
    expected = feature_kd_loss(student, teacher)
    student, teacher = (m.to(memory_format=torch.channels_last_3d) for m in (student, teacher))
    torch.testing.assert_close(feature_kd_loss(student, teacher), expected)


def test_it_is_the_student_that_is_enlarged():
    # Detail finer than the student's pixels counts: shrinking the teacher would hide it.
    student, teacher = torch.zeros(1, 1, 1, 2, 2), torch.ones(1, 1, 1, 4, 4)
    teacher[..., ::2] = -1
    assert feature_kd_loss(student, teacher).item() == pytest.approx(1.0)


def test_identical_maps_give_zero():
    student = maps(2, 3, 2, 4, 4, seed=11)
    assert feature_kd_loss(student, student.clone()).item() == 0.0


def test_gradient_reaches_the_student_only():
    student = maps(1, 2, 2, 2, 2, seed=12).requires_grad_()
    teacher = maps(1, 2, 2, 3, 3, seed=13).requires_grad_()
    feature_kd_loss(student, teacher).backward()
    assert teacher.grad is None
    assert torch.autograd.gradcheck(lambda s: feature_kd_loss(s, teacher), student)


def test_both_maps_count():
    student, teacher = maps(2, 3, 2, 4, 4, seed=14), maps(2, 3, 2, 7, 7, seed=15)
    loss = feature_kd_loss(student, teacher)
    assert loss != feature_kd_loss(student, teacher + 1)
    assert loss != feature_kd_loss(student + 1, teacher)


def test_none_averages_to_mean():
    student, teacher = maps(5, 3, 2, 4, 4, seed=16), maps(5, 3, 2, 7, 7, seed=17)
    each = feature_kd_loss(student, teacher, reduction="none")
    assert each.shape == (5,)
    torch.testing.assert_close(each.mean(), feature_kd_loss(student, teacher))


def test_half_precision_does_not_overflow():
    # 300^2 is above the largest float16.
    student = torch.full((1, 2, 1, 2, 2), 300.0, dtype=torch.float16, requires_grad=True)
    teacher = torch.zeros(1, 2, 1, 4, 4, dtype=torch.float16)
    loss = feature_kd_loss(student, teacher)
    loss.backward()
    assert loss.item() == pytest.approx(90000)
    assert student.grad.isfinite().all()


def test_half_precision_is_computed_in_float32():
    student, teacher = maps(1, 3, 2, 4, 4, seed=20).half(), maps(1, 3, 2, 7, 7, seed=21).half()
    loss = feature_kd_loss(student, teacher)
    assert loss.dtype == upsample_to(student, teacher).dtype == torch.float32
    expected = feature_kd_loss(student.double(), teacher.double())
    assert loss.item() == pytest.approx(expected.item(), rel=2e-6)


def test_teacher_from_inference_mode_is_accepted():
    with torch.inference_mode():
        teacher = maps(1, 2, 2, 3, 3, seed=18) * 1
    student = maps(1, 2, 2, 2, 2, seed=19).requires_grad_()
    feature_kd_loss(student, teacher).backward()
    assert student.grad.abs().sum() > 0


def test_unequal_channels_point_to_pixel_logit_kd():
    with pytest.raises(ValueError, match=r"3 channels.*5.*pixel_logit_kd_loss"):
        feature_kd_loss(maps(1, 3, 1, 2, 2), maps(1, 5, 1, 4, 4))


@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ((1, 3, 2, 2, 2), (1, 3, 4, 4, 4)),
        ((1, 3, 2, 2, 2), (2, 3, 2, 4, 4)),
        ((1, 3, 2, 2), (1, 3, 2, 4, 4)),
        ((1, 3, 2), (1, 3, 4)),
    ],
)
def test_unequal_batch_or_time_is_refused(student, teacher):
    with pytest.raises(ValueError, match="equal B and T"):
        feature_kd_loss(maps(*student), maps(*teacher))
