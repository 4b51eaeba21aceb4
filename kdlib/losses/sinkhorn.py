"""Optimal transport between class distributions, where moving between like classes costs less."""

import torch
from torch import Tensor

from kdlib.losses.kd import Reduction, reduce_batch


def sinkhorn_loss(
    student_logits: Tensor,
    target_logits: Tensor,
    cost: Tensor,
    *,
    temperature: float = 1.0,
    regularization: float = 0.1,
    iterations: int = 30,
    reduction: Reduction = "mean",
) -> Tensor:
    """The entropic transport cost <P, C> between softmax(student / T) and softmax(target / T).

    student_logits, target_logits: (B, K); only the student receives a gradient. cost: (K, K), not
    negative. P is the plan of Sinkhorn's iterations at this regularization (Cuturi 2013), in log
    space. It is not 0 for equal distributions, which blur a little; at small regularization it
    tends to the exact cost, which is.
    """
    log_p = torch.log_softmax(student_logits / temperature, dim=-1)
    log_q = torch.log_softmax(target_logits.detach() / temperature, dim=-1)
    kernel = -cost / regularization
    u, v = torch.zeros_like(log_p), torch.zeros_like(log_q)
    for _ in range(iterations):
        u = log_p - torch.logsumexp(kernel + v[:, None, :], dim=2)
        v = log_q - torch.logsumexp(kernel + u[:, :, None], dim=1)
    plan = torch.exp(u[:, :, None] + kernel + v[:, None, :])
    return reduce_batch((plan * cost).sum((1, 2)), reduction)
