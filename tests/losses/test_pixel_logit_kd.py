"""Pixel-level logit KD against its definition on features, and a loop over positions."""

import pytest
import torch
import torch.nn.functional as F

from kdlib.losses.kd import kd_loss
from kdlib.losses.pixel_logit_kd import pixel_logit_kd_loss

B, K, T = 2, 5, 3


def scores(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fc_everywhere(weight, bias, features):
    """The fully connected layer at every position of (B, C, T, H, W)."""
    return torch.einsum("kc,bcthw->bkthw", weight, features) + bias[:, None, None, None]


def test_enlarging_logits_equals_fc_of_enlarged_features():
    features = scores(B, 7, T, 4, 4, seed=1)
    weight, bias = scores(K, 7, seed=2), scores(K, seed=3)
    size = {"size": (T, 7, 7), "mode": "trilinear", "align_corners": False}
    features_first = fc_everywhere(weight, bias, F.interpolate(features, **size))
    logits_first = F.interpolate(fc_everywhere(weight, bias, features), **size)
    torch.testing.assert_close(logits_first, features_first)

    teacher = scores(B, K, T, 7, 7, seed=4)
    torch.testing.assert_close(
        pixel_logit_kd_loss(fc_everywhere(weight, bias, features), teacher, temperature=4.0),
        pixel_logit_kd_loss(features_first, teacher, temperature=4.0),
    )


@pytest.mark.parametrize("temperature", [2.0, 4.0])
def test_parity_with_a_loop_over_positions(temperature):
    student, teacher = scores(B, K, T, 4, 4, seed=5), scores(B, K, T, 7, 7, seed=6)
    total = torch.zeros(B, dtype=torch.float64)
    for t in range(T):
        enlarged = F.interpolate(student[:, :, t], (7, 7), mode="bilinear", align_corners=False)
        for y in range(7):
            for x in range(7):
                p = (teacher[:, :, t, y, x] / temperature).softmax(1)
                q = (enlarged[:, :, y, x] / temperature).softmax(1)
                total += (p * (p.log() - q.log())).sum(1)
    expected = temperature**2 * total / (T * 7 * 7)
    by_position = pixel_logit_kd_loss(
        student, teacher, temperature=temperature, class_reduction="sum", reduction="none"
    )
    torch.testing.assert_close(by_position, expected)
    by_class = pixel_logit_kd_loss(student, teacher, temperature=temperature, reduction="none")
    torch.testing.assert_close(by_class, expected / K)


def test_default_is_the_released_mean_over_positions_and_classes():
    student, teacher = scores(B, K, T, 7, 7, seed=7), scores(B, K, T, 7, 7, seed=8)
    rows = [m.permute(0, 2, 3, 4, 1).reshape(-1, K) for m in (student, teacher)]
    elements = F.kl_div((rows[0] / 4).log_softmax(1), (rows[1] / 4).softmax(1), reduction="none")
    expected = 4**2 * elements.mean()
    torch.testing.assert_close(pixel_logit_kd_loss(student, teacher, temperature=4.0), expected)


def test_one_position_is_logit_kd():
    student, teacher = scores(B, K, seed=9), scores(B, K, seed=10)
    torch.testing.assert_close(
        pixel_logit_kd_loss(
            student[:, :, None, None, None],
            teacher[:, :, None, None, None],
            temperature=3.0,
            class_reduction="sum",
        ),
        kd_loss(student, teacher, temperature=3.0),
    )


def test_images_are_clips_of_one_frame():
    student, teacher = scores(B, K, 4, 4, seed=11), scores(B, K, 7, 7, seed=12)
    torch.testing.assert_close(
        pixel_logit_kd_loss(student, teacher, temperature=2.0),
        pixel_logit_kd_loss(student[:, :, None], teacher[:, :, None], temperature=2.0),
    )


def test_forward_not_reverse_divergence():
    student, teacher = scores(B, K, T, 4, 4, seed=13), scores(B, K, T, 4, 4, seed=14)
    forward = pixel_logit_kd_loss(student, teacher, temperature=1.0)
    assert not torch.isclose(forward, pixel_logit_kd_loss(teacher, student, temperature=1.0))


def test_where_the_evidence_stands_matters():
    # Logit KD after pooling cannot tell a map from its mirror image; this can.
    student, teacher = scores(1, K, T, 4, 4, seed=15), scores(1, K, T, 4, 4, seed=16)
    pooled = [
        kd_loss(student.mean((2, 3, 4)), m.mean((2, 3, 4)), temperature=2.0)
        for m in (teacher, teacher.flip(-1))
    ]
    torch.testing.assert_close(pooled[0], pooled[1])
    straight = pixel_logit_kd_loss(student, teacher, temperature=2.0)
    assert not torch.isclose(
        straight, pixel_logit_kd_loss(student, teacher.flip(-1), temperature=2.0)
    )


def test_identical_logits_give_zero():
    student = scores(B, K, T, 4, 4, seed=17)
    loss = pixel_logit_kd_loss(student, student.clone(), temperature=4.0)
    assert loss.item() == pytest.approx(0.0, abs=1e-12)


def test_gradient_reaches_the_student_only():
    student = scores(1, 3, 2, 2, 2, seed=18).requires_grad_()
    teacher = scores(1, 3, 2, 3, 3, seed=19).requires_grad_()
    pixel_logit_kd_loss(student, teacher, temperature=4.0).backward()
    assert teacher.grad is None
    assert torch.autograd.gradcheck(
        lambda s: pixel_logit_kd_loss(s, teacher, temperature=4.0), student
    )


@pytest.mark.parametrize("class_reduction", ["mean", "sum"])
def test_none_averages_to_mean(class_reduction):
    student, teacher = scores(B, K, T, 4, 4, seed=20), scores(B, K, T, 7, 7, seed=21)
    options = {"temperature": 2.0, "class_reduction": class_reduction}
    each = pixel_logit_kd_loss(student, teacher, reduction="none", **options)
    assert each.shape == (B,)
    torch.testing.assert_close(each.mean(), pixel_logit_kd_loss(student, teacher, **options))


def test_half_precision_is_computed_in_float32():
    student, teacher = scores(B, K, T, 4, 4, seed=22).half(), scores(B, K, T, 7, 7, seed=23).half()
    loss = pixel_logit_kd_loss(student, teacher, temperature=4.0)
    assert loss.dtype == torch.float32
    expected = pixel_logit_kd_loss(student.double(), teacher.double(), temperature=4.0)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_teacher_from_inference_mode_is_accepted():
    with torch.inference_mode():
        teacher = scores(1, 3, 2, 3, 3, seed=24) * 1
    student = scores(1, 3, 2, 2, 2, seed=25).requires_grad_()
    pixel_logit_kd_loss(student, teacher, temperature=4.0).backward()
    assert student.grad.abs().sum() > 0


def test_class_counts_time_and_reduction_are_checked():
    student = scores(1, 3, 2, 2, 2)
    with pytest.raises(ValueError, match="one shape"):
        pixel_logit_kd_loss(student, scores(1, 4, 2, 3, 3), temperature=1.0)
    with pytest.raises(ValueError, match="equal B and T"):
        pixel_logit_kd_loss(student, scores(1, 3, 1, 3, 3), temperature=1.0)
    with pytest.raises(ValueError, match="class_reduction"):
        pixel_logit_kd_loss(student, student, temperature=1.0, class_reduction="none")
    with pytest.raises(ValueError, match="reduction"):
        pixel_logit_kd_loss(student, student, temperature=1.0, reduction="sum")
