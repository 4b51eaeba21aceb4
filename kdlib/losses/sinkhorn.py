"""Optimal transport between class distributions, where moving between like classes costs less."""

import torch
from torch import Tensor

from kdlib.losses.kd import Reduction, reduce_batch

_LARGEST = 300.0  # cost over regularization: exp(2 * 300) is far within float64, as u and v are
_USUAL = 200  # iterations, of twelve classes at the default settings
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

    student_logits, target_logits: (B, K). cost: (K, K), not negative, at most 300 times the
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
        kernel = torch.exp(-cost / regularization)
        if not cost.is_meta and float(cost.max()) > _LARGEST * regularization:
            raise ValueError(f"cost: at most {_LARGEST:.0f} times the regularization")
        u, v = _potentials(log_p, log_q, kernel, tolerance, iterations)
        per_sample = torch.exp(u + _log_product(v, (kernel * cost).T)).sum(1)
    if log_p.requires_grad:
        slope = _slope(log_p.detach(), log_q, u, v, cost, regularization)
        # Nothing is added but the gradient.
        per_sample = per_sample + (slope * (log_p - log_p.detach())).sum(1)
    dtype = torch.promote_types(student_logits.dtype, torch.float32)
    return reduce_batch(per_sample.to(dtype), reduction)


def _potentials(
    log_p: Tensor, log_q: Tensor, kernel: Tensor, tolerance: float, iterations: int
) -> tuple[Tensor, Tensor]:
    """u, v (B, K) of the plan exp(u_i) * kernel_ij * exp(v_j), whose rows sum to p exactly."""
    p, q = log_p.exp(), log_q.exp()
    if kernel.is_meta:  # no numbers, so no error: what a step costs is counted
        iterations = min(iterations, _USUAL)
    v = torch.ones_like(q)
    u = p / (v @ kernel.T)
    for iteration in range(iterations):
        columns = u @ kernel
        if not kernel.is_meta and iteration % _EVERY == 0:
            error = (v * columns - q).abs().sum(1).amax()
            if float(error) <= tolerance:
                break
        v = q / columns
        u = p / (v @ kernel.T)
    # Once more by logarithms, which are finite where p and q are 0 to the last digit.
    v = log_q - _log_product(u.log(), kernel)
    return log_p - _log_product(v, kernel.T), v


def _log_product(values: Tensor, kernel: Tensor) -> Tensor:
    """log(exp(values) @ kernel), however large the values: (B, K)."""
    largest = values.amax(1, keepdim=True)
    return largest + ((values - largest).exp() @ kernel).log()


def _slope(
    log_p: Tensor, log_q: Tensor, u: Tensor, v: Tensor, cost: Tensor, regularization: float
) -> Tensor:
    """The gradient of <P, C> by log p, (B, K), but for what a softmax takes out of it.

    The marginals p and q say how u and v follow p. With A = P / sqrt(p q), and v eliminated,
    (I - A A') sqrt(p) du = dp / sqrt(p); the gradient solves the same symmetric equations. Their
    null space is constant over classes. By roots, no number is divided by a small one.
    """
    scaled = (u - log_p / 2)[:, :, None] - cost / regularization + (v - log_q / 2)[:, None, :]
    scaled = scaled.exp()
    p, q = (log_p / 2).exp()[:, :, None], (log_q / 2).exp()[:, :, None]
    moved, moved_back = (scaled * cost) @ q, (scaled * cost).transpose(1, 2) @ p
    eye = torch.eye(len(cost), dtype=cost.dtype, device=cost.device)
    matrix = (1 + 1e-12) * eye - scaled @ scaled.transpose(1, 2) + p @ p.transpose(1, 2)
    return (p * torch.linalg.solve(matrix, moved - scaled @ moved_back))[:, :, 0]
