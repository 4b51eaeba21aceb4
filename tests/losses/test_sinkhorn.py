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
    found = sinkhorn_loss(p, q, cost, regularization=0.005, iterations=3000, reduction="none")
    for value, a, b in zip(found, p.softmax(1), q.softmax(1), strict=True):
        assert float(value) == pytest.approx(exact(a.numpy(), b.numpy(), cost.numpy()), abs=2e-3)


def test_two_classes_by_hand():
    """Half of the mass has to go from class 0 to class 1, at a price of 3."""
    p = torch.tensor([[30.0, 0.0]], dtype=torch.float64)
    q = torch.zeros(1, 2, dtype=torch.float64)
    cost = torch.tensor([[0.0, 3.0], [3.0, 0.0]], dtype=torch.float64)
    assert float(sinkhorn_loss(p, q, cost)) == pytest.approx(1.5, abs=1e-4)


def test_equal_distributions_cost_little_and_unequal_ones_more():
    p, q, cost = draw()
    options = {"regularization": 0.01, "iterations": 500, "reduction": "none"}
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
