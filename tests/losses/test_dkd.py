import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlib.losses.dkd import dkd_loss, non_target_class_kd, target_class_kd
from kdlib.losses.kd import kd_loss


def draw(seed=0, batch=5, classes=7):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (
        3 * torch.randn(batch, classes, generator=generator, dtype=torch.float64) for _ in range(2)
    )
    labels = torch.randint(classes, (batch,), generator=generator)
    return student, teacher, labels


def test_two_classes_by_hand():
    """p_t = (3/4, 1/4), p_s = (1/2, 1/2), target 0; the one other class leaves nothing to learn."""
    student, teacher = torch.zeros(1, 2), torch.tensor([[math.log(3.0), 0.0]])
    label = torch.tensor([0])
    by_hand = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    found = target_class_kd(student, teacher, label, temperature=1.0)
    assert float(found) == pytest.approx(by_hand, rel=1e-6)
    assert float(non_target_class_kd(student, teacher, label, temperature=1.0)) == 0


def test_three_classes_by_hand():
    student = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    teacher = torch.log(torch.tensor([[0.2, 0.6, 0.2]]))
    label = torch.tensor([0])
    target = 0.2 * math.log(0.2 / 0.5) + 0.8 * math.log(0.8 / 0.5)
    others = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    found = dkd_loss(student, teacher, label, alpha=2.0, beta=3.0, temperature=1.0)
    assert float(found) == pytest.approx(2 * target + 3 * others, rel=1e-5)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 1.0, 4.0]))
def test_kd_is_tcra_plus_the_rest_of_the_teacher_times_nckd(seed, temperature):
    """KD = TCKD + (1 - p_t(y)) NCKD, sample by sample (equation 4)."""
    student, teacher, labels = draw(seed)
    options = {"temperature": temperature, "reduction": "none"}
    target = target_class_kd(student, teacher, labels, **options)
    others = non_target_class_kd(student, teacher, labels, **options)
    confidence = torch.softmax(teacher / temperature, 1).gather(1, labels[:, None])[:, 0]
    expected = kd_loss(student, teacher, **options)
    torch.testing.assert_close(target + (1 - confidence) * others, expected)


def test_equal_logits_give_0_and_only_the_student_learns():
    student, teacher, labels = draw()
    options = {"alpha": 1.0, "beta": 8.0, "temperature": 4.0}
    assert float(dkd_loss(teacher, teacher, labels, **options)) == pytest.approx(0, abs=1e-12)
    student, teacher = student.requires_grad_(), teacher.requires_grad_()
    dkd_loss(student, teacher, labels, **options).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_what_is_common_to_all_logits_does_not_count():
    student, teacher, labels = draw()
    options = {"alpha": 1.0, "beta": 1.0, "temperature": 2.0, "reduction": "none"}
    shifted = dkd_loss(student + 30, teacher - 30, labels, **options)
    torch.testing.assert_close(shifted, dkd_loss(student, teacher, labels, **options))
    assert shifted.shape == (5,)


@pytest.mark.parametrize("shift", [-3000.0, -1000.0, 0.0, 1000.0, 3000.0])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_no_shift_is_too_large(shift, temperature):
    """By hand at T = 1: probabilities of the two classes beside the target."""
    student = torch.tensor([[1.0, 6.0, 0.0]], dtype=torch.float64)
    teacher = torch.tensor([[2.0, 0.0, 1.0]], dtype=torch.float64)
    p = (teacher[0, 1:] / temperature).softmax(0)
    q = (student[0, 1:] / temperature).softmax(0)
    expected = temperature**2 * float((p * (p / q).log()).sum())
    label = torch.tensor([0])
    for dtype in (torch.float32, torch.float64):
        found = non_target_class_kd(
            (student + shift).to(dtype), (teacher + shift).to(dtype), label, temperature=temperature
        )
        assert float(found) == pytest.approx(expected, rel=1e-3)


def test_of_the_other_classes_the_target_s_logit_says_nothing():
    student, teacher, labels = draw()
    student.requires_grad_()
    non_target_class_kd(student, teacher, labels, temperature=2.0).backward()
    assert (student.grad.gather(1, labels[:, None]) == 0).all()
    assert (student.grad.abs().sum(1) > 0).all()


def test_scaling_by_the_temperature_squared():
    """Logits and temperature twice as large: the same probabilities, four times the loss."""
    student, teacher, labels = draw()
    options = {"alpha": 1.0, "beta": 1.0}
    once = dkd_loss(student, teacher, labels, temperature=1.0, **options)
    twice = dkd_loss(2 * student, 2 * teacher, labels, temperature=2.0, **options)
    torch.testing.assert_close(twice, 4 * once)


def test_a_certain_teacher_is_finite():
    student, teacher = torch.zeros(1, 3), torch.tensor([[200.0, 0.0, 0.0]])
    for label in (0, 1):
        value = dkd_loss(student, teacher, torch.tensor([label]), alpha=1, beta=1, temperature=1.0)
        assert torch.isfinite(value)
