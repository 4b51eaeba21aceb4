"""Optimal transport between class distributions, where moving between like classes costs less."""

import torch
from torch import Tensor

from kdlib.losses.kd import Reduction, reduce_batch

_LARGEST = 700.0  # cost over regularization: exp(-700) is about the smallest float64
_EVERY = 10  # iterations between two looks at the error: a look makes a GPU wait


def sinkhorn_loss(
    student_logits: Tensor,
    target_logits: Tensor,
    cost: Tensor,
    *,
    temperature: float = 1.0,
    regularization: float = 0.1,
    tolerance: float = 1e-5,
    iterations: int = 2000,
    reduction: Reduction = "mean",
) -> Tensor:
    """The entropic transport cost <P, C> between softmax(student / T) and softmax(target / T).

    student_logits, target_logits: (B, K). cost: (K, K), not negative, at most 700 times the
        regularization (ValueError).
    tolerance: Sinkhorn's iterations stop once no sample's marginal differs by more from what it
        should be, summed over classes; iterations: or after so many.
    reduction: "none" gives (B,), "mean" the batch mean.

    P is the plan of that regularization (Cuturi 2013). The cost is not 0 for equal distributions,
    which blur a little; at small regularization it tends to the exact cost, which is. Only the
    student receives a gradient: that of the converged plan, from the equations that it fulfils
    and not through the iterations. Computed in float64.
    """
    log_p = torch.log_softmax(student_logits.double() / temperature, dim=-1)
    with torch.no_grad():
        cost = cost.double()
        log_q = torch.log_softmax(target_logits.double() / temperature, dim=-1)
        u, v = _potentials(log_p, log_q, cost / regularization, tolerance, iterations)
        # The plan, divided by the roots of its marginals: no small number is divided by.
        scaled = (u - log_p / 2)[:, :, None] - cost / regularization + (v - log_q / 2)[:, None, :]
        scaled = scaled.exp()
        p, q = (log_p / 2).exp(), (log_q / 2).exp()
        moved = ((scaled * cost) @ q[:, :, None])[:, :, 0]
        value = (p * moved).sum(1)
        slope = p * _slope(scaled, cost, p, moved)
    # The value, with its gradient by log p.
    per_sample = value + (slope * (log_p - log_p.detach())).sum(1)
    dtype = torch.promote_types(student_logits.dtype, torch.float32)
    return reduce_batch(per_sample.to(dtype), reduction)


def _potentials(
    log_p: Tensor, log_q: Tensor, cost: Tensor, tolerance: float, iterations: int
) -> tuple[Tensor, Tensor]:
    """u, v (B, K) of the plan exp(u_i - cost_ij + v_j), whose rows sum to p exactly."""
    if not cost.is_meta and float(cost.max()) > _LARGEST:
        raise ValueError(f"cost: at most {_LARGEST:.0f} times the regularization")
    kernel = torch.exp(-cost)
    v = torch.zeros_like(log_q)
    u = log_p - _log_product(v, kernel.T)
    for iteration in range(iterations):
        columns = _log_product(u, kernel)
        if not cost.is_meta and iteration % _EVERY == 0:
            error = ((v + columns).exp() - log_q.exp()).abs().sum(1).amax()
            if float(error) <= tolerance:
                break
        v = log_q - columns
        u = log_p - _log_product(v, kernel.T)
    return u, v


def _log_product(values: Tensor, kernel: Tensor) -> Tensor:
    """log(exp(values) @ kernel), however large the values: (B, K)."""
    largest = values.amax(1, keepdim=True)
    return largest + ((values - largest).exp() @ kernel).log()


def _slope(scaled: Tensor, cost: Tensor, p: Tensor, moved: Tensor) -> Tensor:
    """The gradient of <P, C> by p, times the root of p: (B, K).

    With P = diag(a) K diag(b), its marginals p and q say how log a and log b follow p. Without the
    second, and with A = `scaled`, (I - A A') d(log a) is dp, both times roots of p, and the slope
    solves the same symmetric equations. p, moved: roots of p; rows' costs, divided by them. What
    is constant over classes, their null space, has no effect after a softmax.
    """
    moved_back = (scaled * cost).transpose(1, 2) @ p[:, :, None]
    right = moved[:, :, None] - scaled @ moved_back
    eye = torch.eye(cost.shape[0], dtype=cost.dtype, device=cost.device)
    matrix = (1 + 1e-12) * eye - scaled @ scaled.transpose(1, 2) + p[:, :, None] * p[:, None, :]
    return torch.linalg.solve(matrix, right)[:, :, 0]
