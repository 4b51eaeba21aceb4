"""Logit KD against hand-computed numbers, torch's own KL, limits, and bugs known elsewhere."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlib.losses.kd import kd_loss


def logits(*shape, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_hand_computed_two_classes():
    # Teacher (3/4, 1/4), student (1/2, 1/2): KL = 3/4 ln(3/2) + 1/4 ln(1/2).
    teacher = torch.tensor([[math.log(3.0), 0.0]], dtype=torch.float64)
    student = torch.zeros(1, 2, dtype=torch.float64)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert kd_loss(student, teacher, temperature=1.0).item() == pytest.approx(expected, abs=1e-12)


def test_hand_computed_temperature():
    # At T = 2 the logits ln 9 and 0 soften to 3/4 and 1/4; the factor is 4.
    teacher = torch.tensor([[math.log(9.0), 0.0]], dtype=torch.float64)
    student = torch.zeros(1, 2, dtype=torch.float64)
    expected = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert kd_loss(student, teacher, temperature=2.0).item() == pytest.approx(expected, abs=1e-12)


def test_forward_not_reverse_divergence():
    student, teacher = torch.tensor([[4.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    p, q = teacher.softmax(1), student.softmax(1)
    forward, reverse = (p * (p / q).log()).sum(), (q * (q / p).log()).sum()
    assert abs(forward - reverse) > 0.05
    torch.testing.assert_close(kd_loss(student, teacher, temperature=1.0), forward)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_parity_with_torch_batchmean(temperature):
    student, teacher = logits(7, 5, seed=1), logits(7, 5, seed=2)
    expected = temperature**2 * F.kl_div(
        (student / temperature).log_softmax(1),
        (teacher / temperature).softmax(1),
        reduction="batchmean",
    )
    torch.testing.assert_close(kd_loss(student, teacher, temperature=temperature), expected)


def test_identical_logits_and_shifted_logits_give_zero():
    student = logits(4, 6)
    shifted = student + torch.arange(4.0)[:, None]
    for teacher in (student, shifted):
        loss = kd_loss(student, teacher, temperature=3.0, reduction="none")
        torch.testing.assert_close(loss, torch.zeros(4, dtype=torch.float64), atol=1e-12, rtol=0)


def test_none_has_one_value_a_sample_and_averages_to_mean():
    student, teacher = logits(5, 4, seed=3), logits(5, 4, seed=4)
    each = kd_loss(student, teacher, temperature=2.0, reduction="none")
    assert each.shape == (5,)
    alone = [kd_loss(student[i : i + 1], teacher[i : i + 1], temperature=2.0) for i in range(5)]
    torch.testing.assert_close(each, torch.stack(alone))
    torch.testing.assert_close(each.mean(), kd_loss(student, teacher, temperature=2.0))


def test_mean_does_not_grow_with_the_batch():
    student, teacher = logits(3, 4, seed=5), logits(3, 4, seed=6)
    twice = kd_loss(student.repeat(2, 1), teacher.repeat(2, 1), temperature=2.0)
    torch.testing.assert_close(twice, kd_loss(student, teacher, temperature=2.0))


def test_gradient_reaches_the_student_only_and_is_scaled_probability_gap():
    student, teacher = logits(3, 4, seed=7).requires_grad_(), logits(3, 4, seed=8).requires_grad_()
    kd_loss(student, teacher, temperature=4.0).backward()
    assert teacher.grad is None
    # d/ds of T^2 KL = T (q - p), averaged over the batch.
    gap = 4.0 * ((student / 4).softmax(1) - (teacher / 4).softmax(1)) / 3
    torch.testing.assert_close(student.grad, gap.detach())


def test_high_temperature_limit_is_the_centred_squared_distance():
    student, teacher = logits(4, 10, seed=9).requires_grad_(), logits(4, 10, seed=10)
    loss = kd_loss(student, teacher, temperature=1e4)
    difference = (student - student.mean(1, keepdim=True)) - (
        teacher - teacher.mean(1, keepdim=True)
    )
    torch.testing.assert_close(
        loss, difference.square().sum(1).mean() / (2 * 10), rtol=1e-3, atol=0
    )
    loss.backward()
    torch.testing.assert_close(student.grad, difference.detach() / (10 * 4), rtol=1e-2, atol=1e-4)


def test_gradient_size_stays_of_one_order_over_temperatures():
    teacher = logits(16, 12, seed=11)
    sizes = []
    for temperature in (1.0, 2.0, 4.0, 8.0, 16.0):
        student = logits(16, 12, seed=12).requires_grad_()
        kd_loss(student, teacher, temperature=temperature).backward()
        sizes.append(student.grad.norm().item())
    assert max(sizes) < 1.5 * min(sizes)  # without the factor T^2 the span is over 250


def test_teacher_and_student_are_each_used_once():
    # A known bug elsewhere: the teacher's logits on both sides, so that nothing is learnt.
    student, teacher = logits(3, 4, seed=13), logits(3, 4, seed=14)
    loss = kd_loss(student, teacher, temperature=2.0)
    assert loss > 0
    assert loss != kd_loss(student, teacher + logits(3, 4, seed=15), temperature=2.0)
    assert loss != kd_loss(student + logits(3, 4, seed=16), teacher, temperature=2.0)


def test_rows_are_paired_by_position():
    student, teacher = logits(4, 5, seed=17), logits(4, 5, seed=18)
    each = kd_loss(student, teacher, temperature=2.0, reduction="none")
    shuffled = kd_loss(student, teacher.roll(1, 0), temperature=2.0, reduction="none")
    assert not torch.isclose(each, shuffled).any()


def test_learnt_temperature_receives_a_gradient():
    temperature = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    student, teacher = logits(3, 4, seed=19), logits(3, 4, seed=20)
    assert torch.autograd.gradcheck(lambda t: kd_loss(student, teacher, temperature=t), temperature)


def test_extra_axes_give_one_value_a_row():
    student, teacher = logits(2, 3, 4, seed=21), logits(2, 3, 4, seed=22)
    each = kd_loss(student, teacher, temperature=2.0, reduction="none")
    flat = kd_loss(student.flatten(0, 1), teacher.flatten(0, 1), temperature=2.0, reduction="none")
    torch.testing.assert_close(each.flatten(), flat)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    student, teacher = logits(4, 400, seed=23, scale=8).to(dtype), logits(4, 400, seed=24).to(dtype)
    loss = kd_loss(student.requires_grad_(), teacher, temperature=4.0)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, kd_loss(student.float(), teacher.float(), temperature=4.0))
    loss.backward()
    assert student.grad.isfinite().all()


def test_extreme_logits_stay_finite():
    student = torch.tensor([[60000.0, -60000.0]], dtype=torch.float16, requires_grad=True)
    teacher = torch.tensor([[-60000.0, 60000.0]], dtype=torch.float16)
    loss = kd_loss(student, teacher, temperature=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(119936, rel=1e-3)
    assert student.grad.isfinite().all()


def test_teacher_from_inference_mode_is_accepted():
    with torch.inference_mode():
        teacher = logits(3, 4, seed=25) * 1
    student = logits(3, 4, seed=26).requires_grad_()
    kd_loss(student, teacher, temperature=2.0).backward()
    assert student.grad.abs().sum() > 0


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    temperature=st.floats(0.5, 50),
    classes=st.integers(2, 20),
    scale=st.floats(0.01, 30),
)
def test_never_negative_and_blind_to_class_order(seed, temperature, classes, scale):
    student, teacher = (logits(3, classes, seed=seed + i, scale=scale) for i in range(2))
    each = kd_loss(student, teacher, temperature=temperature, reduction="none")
    assert (each >= -1e-9).all()
    order = torch.randperm(classes, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(
        each,
        kd_loss(student[:, order], teacher[:, order], temperature=temperature, reduction="none"),
    )


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_bad_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature"):
        kd_loss(logits(2, 3), logits(2, 3), temperature=temperature)


def test_shapes_and_reduction_are_checked():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(1, 3\)"):
        kd_loss(logits(2, 3), logits(1, 3), temperature=1.0)
    with pytest.raises(ValueError, match=r"reduction.*'sum'"):
        kd_loss(logits(2, 3), logits(2, 3), temperature=1.0, reduction="sum")
