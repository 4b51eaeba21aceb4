import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from kdlib.losses.sinkhorn import sinkhorn_loss


def draw(seed=0, batch=3, classes=4):
    generator = torch.Generator().manual_seed(seed)
    p, q = (torch.randn(batch, classes, generator=generator, dtype=torch.float64) for _ in range(2))
    cost = torch.rand(classes, classes, generator=generator, dtype=torch.float64)
    return p, q, cost.fill_diagonal_(0)


def exact(p, q, cost):
    """The cheapest plan, as a linear program."""
    classes = len(p)
    rows = np.kron(np.eye(classes), np.ones(classes))
    columns = np.kron(np.ones(classes), np.eye(classes))
    solved = linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([p, q]))
    return solved.fun


def test_little_regularization_comes_near_the_exact_cost():
    p, q, cost = draw()
    found = sinkhorn_loss(p, q, cost, regularization=0.005, iterations=20000, reduction="none")
    for value, a, b in zip(found, p.softmax(1), q.softmax(1), strict=True):
        assert float(value) == pytest.approx(exact(a.numpy(), b.numpy(), cost.numpy()), abs=2e-3)


def plain(p, q, cost, temperature, iterations=3000, regularization=0.1):
    """Sinkhorn's iterations written out, so many of them, with autograd through all."""
    log_p, log_q = (x / temperature - torch.logsumexp(x / temperature, 1, True) for x in (p, q))
    u, v = torch.zeros_like(p), torch.zeros_like(q)
    for _ in range(iterations):
        u = log_p - torch.logsumexp(v[:, None, :] - cost / regularization, 2)
        v = log_q - torch.logsumexp(u[:, :, None] - cost / regularization, 1)
    plan = (u[:, :, None] - cost / regularization + v[:, None, :]).exp()
    return (plan * cost).sum((1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.3, 3.0, 30.0])
@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_at_its_default_settings_value_and_gradient_are_the_converged_ones(scale, kind):
    """DualKD's case: twelve classes, rows of an untrained head, temperature 4, 3,000 iterations."""
    torch.manual_seed(0)
    rows = torch.nn.functional.normalize(torch.nn.Linear(32, 12).weight.detach().double(), dim=1)
    cost = 1 - rows @ rows.T
    student, target = (scale * torch.randn(4, 12, dtype=torch.float64) for _ in range(2))
    found_at, expected_at = (
        student.clone().to(dtype).requires_grad_() for dtype in (kind, torch.float64)
    )
    found = sinkhorn_loss(found_at, target.to(kind), cost.to(kind), temperature=4.0,
                          reduction="none")  # fmt: skip
    expected = plain(expected_at, target, cost, temperature=4.0)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-6)
    found.sum().backward()
    expected.sum().backward()
    error = (found_at.grad.double() - expected_at.grad).norm() / expected_at.grad.norm()
    assert float(error) < 1e-3


def test_the_bound_on_iterations_holds_and_a_cost_too_large_is_refused():
    p, q, cost = draw()
    once = sinkhorn_loss(p, q, cost, iterations=1)
    assert abs(float(once) - float(sinkhorn_loss(p, q, cost))) > 1e-6
    with pytest.raises(ValueError, match="cost: at most 300 times the regularization"):
        sinkhorn_loss(p, q, cost, regularization=1e-4)


def test_logits_far_apart_are_finite():
    cost = 1 - torch.eye(3)
    p = torch.tensor([[-3000.0, 0.0, 10.0]], requires_grad=True)
    loss = sinkhorn_loss(p, torch.tensor([[500.0, 0.0, -2000.0]]), cost)
    assert float(loss.detach()) == pytest.approx(1, abs=1e-3)
    loss.backward()
    assert torch.isfinite(p.grad).all()
    half = sinkhorn_loss(p.half(), torch.zeros(1, 3).half(), cost.half())
    assert half.dtype == torch.float32


def test_two_classes_by_hand():
    """Half of the mass has to go from class 0 to class 1, at a price of 3."""
    p = torch.tensor([[30.0, 0.0]], dtype=torch.float64)
    q = torch.zeros(1, 2, dtype=torch.float64)
    cost = torch.tensor([[0.0, 3.0], [3.0, 0.0]], dtype=torch.float64)
    assert float(sinkhorn_loss(p, q, cost)) == pytest.approx(1.5, abs=1e-4)


def test_equal_distributions_cost_little_and_unequal_ones_more():
    p, q, cost = draw()
    options = {"regularization": 0.01, "reduction": "none"}
    same = sinkhorn_loss(p, p, cost, **options)
    assert (same < 0.01).all()
    assert (sinkhorn_loss(p, q, cost, **options) > same).all()


def test_only_the_student_learns():
    p, q, cost = draw()
    p, q = p.requires_grad_(), q.requires_grad_()
    sinkhorn_loss(p, q, cost).backward()
    assert p.grad.abs().sum() > 0
    assert q.grad is None
    # What all logits have in common has no effect.
    torch.testing.assert_close(p.grad.sum(1), torch.zeros(3, dtype=torch.float64))


def test_without_numbers_shapes_pass_through():
    p, q = (torch.randn(2, 5, device="meta", requires_grad=True) for _ in range(2))
    loss = sinkhorn_loss(p, q, torch.rand(5, 5, device="meta"), reduction="none")
    assert loss.shape == (2,)
    loss.sum().backward()
    assert p.grad.shape == (2, 5)


def test_a_cost_as_large_as_is_allowed_gives_finite_numbers():
    p, q, cost = draw(batch=8, classes=6)
    p, cost = (5 * p).requires_grad_(), cost / cost.max()
    loss = sinkhorn_loss(p, 5 * q, cost, regularization=1 / 300, iterations=300)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(p.grad).all()
    whole, p = torch.ones(6, 6), p.detach()
    assert float(sinkhorn_loss(p, q, whole, regularization=1 / 300)) == pytest.approx(1)
