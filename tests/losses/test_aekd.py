"""AE-KD against hand-computed numbers, scipy's general solver, and what its limits must be."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from kdlib.losses.aekd import aekd_loss, aekd_weights, min_norm_weights
from kdlib.losses.kd import kd_loss


def draw(teachers, seed=0, batch=6, classes=5, scale=2.0):
    """Logits of a student (B, K) and of its teachers (M, B, K)."""
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(teachers + 1, batch, classes, generator=generator)
    return logits[0], logits[1:]


def gram_of(rng, count, rank):
    vectors = rng.normal(size=(count, rank)) * rng.uniform(0.1, 10, size=(count, 1))
    return vectors @ vectors.T


def general(gram, largest):
    """The smallest w' G w / 2 by sequential quadratic programming."""
    found = minimize(
        lambda w: 0.5 * w @ gram @ w,
        np.full(len(gram), 1 / len(gram)),
        jac=lambda w: gram @ w,
        bounds=[(0, largest)] * len(gram),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    return found.x, found.fun


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_the_exact_solution_is_never_worse_than_a_general_solver_s(count):
    rng = np.random.default_rng(count)
    for _ in range(25):
        gram = gram_of(rng, count, rng.integers(1, count + 3))  # often singular
        largest = rng.uniform(1 / count, 1)
        weights = min_norm_weights(torch.tensor(gram), largest).numpy()
        assert weights.sum() == pytest.approx(1, abs=1e-8)
        assert weights.min() >= 0
        assert weights.max() <= largest
        scale = np.trace(gram) / count
        expected, smallest = general(gram, largest)
        assert 0.5 * weights @ gram @ weights <= smallest + 1e-8 * scale
        if np.linalg.eigvalsh(gram)[0] > 1e-3 * scale:
            assert weights == pytest.approx(expected, abs=1e-4)


def test_the_conditions_of_an_optimum_hold():
    """No weight that may grow has a smaller product with the sum than one that may shrink."""
    rng = np.random.default_rng(7)
    for _ in range(50):
        gram = gram_of(rng, 4, 4)
        weights = min_norm_weights(torch.tensor(gram), 0.4).numpy()
        slope = gram @ weights / np.trace(gram)
        grows, shrinks = slope[weights < 0.4 - 1e-9], slope[weights > 1e-9]
        assert grows.min() >= shrinks.max() - 1e-8


def test_hand_computed_for_two():
    # Of orthogonal gradients of lengths 1 and 2: w_1 = 4 / (1 + 4).
    gram = torch.diag(torch.tensor([1.0, 4.0]))
    assert min_norm_weights(gram, 1.0).tolist() == pytest.approx([0.8, 0.2], abs=1e-8)
    assert min_norm_weights(gram, 0.6).tolist() == pytest.approx([0.6, 0.4], abs=1e-8)
    # g_2 = 3 g_1: the nearest point of the hull to the origin is g_1 itself.
    gram = torch.tensor([[1.0, 3.0], [3.0, 9.0]])
    assert min_norm_weights(gram, 1.0).tolist() == pytest.approx([1, 0], abs=1e-8)
    # g_2 = -3 g_1: they cancel.
    gram = torch.tensor([[1.0, -3.0], [-3.0, 9.0]])
    assert min_norm_weights(gram, 1.0).tolist() == pytest.approx([0.75, 0.25], abs=1e-8)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_a_bound_of_one_over_m_weighs_all_alike_and_so_does_one_below(count):
    gram = torch.tensor(gram_of(np.random.default_rng(count), count, count))
    for largest in (1 / count, 0.5 / count):
        found = min_norm_weights(gram, largest)
        torch.testing.assert_close(found, torch.full((count,), 1 / count, dtype=torch.float64))


@pytest.mark.parametrize("gram", [torch.zeros(3, 3), torch.ones(3, 3), 1e-30 * torch.ones(3, 3)])
def test_of_equal_solutions_the_even_one(gram):
    found = min_norm_weights(gram, 0.6)
    torch.testing.assert_close(found, torch.full((3,), 1 / 3, dtype=torch.float64))


def test_the_gradients_are_those_of_the_losses_by_the_student_s_logits():
    student, teachers = draw(3)
    student.requires_grad_()
    gradients = []
    for teacher in teachers:
        (found,) = torch.autograd.grad(kd_loss(student, teacher, temperature=4.0), student)
        gradients.append(found.double().mean(0).numpy())
    gradients = np.stack(gradients)
    expected, _ = general(gradients @ gradients.T / np.square(gradients).mean(), 0.6)
    weights = aekd_weights(student, teachers, temperature=4.0, tolerance=0.6)
    assert weights.numpy() == pytest.approx(expected, abs=1e-4)
    assert len({round(float(w), 3) for w in weights}) > 1
    assert not weights.requires_grad


def test_of_tolerance_one_no_other_weights_make_a_shorter_gradient():
    student, teachers = draw(3, seed=4)
    student.requires_grad_()

    def length(weights):
        loss = aekd_loss(student, teachers, weights, temperature=2.0)
        return torch.autograd.grad(loss, student)[0].mean(0).norm()

    best = length(aekd_weights(student, teachers, temperature=2.0, tolerance=1.0))
    for _ in range(50):
        assert best <= length(torch.distributions.Dirichlet(torch.ones(3)).sample()) + 1e-6


def test_the_loss_is_the_weighted_sum_of_the_teachers_losses():
    student, teachers = draw(3, seed=5)
    weights = torch.tensor([0.5, 0.2, 0.3])
    each = [kd_loss(student, t, temperature=3.0, reduction="none") for t in teachers]
    expected = 0.5 * each[0] + 0.2 * each[1] + 0.3 * each[2]
    found = aekd_loss(student, teachers, weights, temperature=3.0, reduction="none")
    torch.testing.assert_close(found, expected)
    mean = aekd_loss(student, teachers, weights, temperature=3.0)
    torch.testing.assert_close(mean, expected.mean())


def test_the_average_of_losses_has_the_gradient_of_the_average_of_probabilities():
    student, teachers = draw(4, seed=6)
    student.requires_grad_()
    (found,) = torch.autograd.grad(
        aekd_loss(student, teachers, torch.full((4,), 0.25), temperature=4.0), student
    )
    probabilities = (teachers / 4).softmax(-1).mean(0)
    (expected,) = torch.autograd.grad(
        kd_loss(student, 4 * probabilities.log(), temperature=4.0), student
    )
    torch.testing.assert_close(found, expected)


def test_the_order_of_the_teachers_does_not_matter():
    student, teachers = draw(4, seed=8)
    order = torch.tensor([2, 0, 3, 1])
    options = {"temperature": 4.0, "tolerance": 0.5}
    weights = aekd_weights(student, teachers, **options)
    torch.testing.assert_close(aekd_weights(student, teachers[order], **options), weights[order])


def test_only_the_student_receives_a_gradient():
    student, teachers = draw(2, seed=9)
    student.requires_grad_()
    teachers.requires_grad_()
    weights = torch.tensor([0.4, 0.6], requires_grad=True)
    aekd_loss(student, teachers, weights, temperature=4.0).backward()
    assert student.grad.abs().sum() > 0
    assert teachers.grad is None
    assert weights.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    student, teachers = (x.to(dtype) for x in draw(3, seed=10))
    options = {"temperature": 4.0, "tolerance": 0.6}
    weights = aekd_weights(student, teachers, **options)
    torch.testing.assert_close(weights, aekd_weights(student.float(), teachers.float(), **options))
    loss = aekd_loss(student, teachers, weights, temperature=4.0)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(
        loss, aekd_loss(student.float(), teachers.float(), weights, temperature=4.0)
    )


def test_no_value_is_read():
    student, teachers = (x.to("meta") for x in draw(3))
    assert aekd_weights(student, teachers, temperature=4.0, tolerance=0.6).shape == (3,)


def test_teachers_of_another_shape_are_named():
    student, teachers = draw(2)
    with pytest.raises(ValueError, match=r"teacher_logits \(6, 5\) must be \(M, B, K\)"):
        aekd_loss(student, teachers[0], torch.ones(2), temperature=4.0)
    with pytest.raises(ValueError, match=r"teacher_logits \(2, 5, 5\) .* student_logits \(6, 5\)"):
        aekd_weights(student, teachers[:, 1:], temperature=4.0, tolerance=0.6)
