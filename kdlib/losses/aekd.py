"""AE-KD: the losses of several teachers, weighed so that their gradients conflict least."""

from functools import cache
from itertools import product

import torch
from torch import Tensor

from kdlib.losses.kd import Reduction, kd_loss, reduce_batch

_RIDGE = 1e-9  # of the mean squared gradient: among equal solutions the most even one is taken
_EXACT = 1e-9  # how far a weight may be outside its bounds by rounding


def aekd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    weights: Tensor,
    *,
    temperature: float,
    reduction: Reduction = "mean",
) -> Tensor:
    """sum_m w_m * T^2 KL(teacher m || student), the weights such as `aekd_weights` gives.

    student_logits: (B, K). teacher_logits: (M, B, K). weights: (M,), one for the whole batch.
    reduction: "none" gives (B,), "mean" the batch mean.

    Equal weights give the average of the losses. That has the same gradient as KD from the mean of
    the teachers' softened probabilities, from which it differs by a constant.

    Only the student receives a gradient. Half precision is computed in float32. ValueError for
    other shapes.

    Source: Du et al. 2020, "Agree to disagree", section 3; its released `helper/loops.py`.
    """
    _check(student_logits, teacher_logits)
    losses = kd_loss(
        student_logits.expand_as(teacher_logits),
        teacher_logits,
        temperature=temperature,
        reduction="none",
    )
    return reduce_batch((weights.detach().to(losses)[:, None] * losses).sum(0), reduction)


def aekd_weights(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float, tolerance: float
) -> Tensor:
    """The weight of each teacher in a batch, (M,), float32, without gradient.

    Those whose weighted sum of gradients is shortest: with g_m (K,) the gradient of teacher m's
    loss by the student's logits, averaged over the batch,

        min_w |sum_m w_m g_m|^2,   sum_m w_m = 1,   0 <= w_m <= C

    student_logits: (B, K). teacher_logits: (M, B, K). tolerance: C, in (0, 1]. C = 1 takes the
    point of least norm in the hull of the gradients; C = 1/M, or less, weighs all alike.

    Source: Du et al. 2020, equation 8; its released code solves this as a one-class SVM with
    nu = 1 / (C M), the gradients not normalised.
    """
    _check(student_logits, teacher_logits)
    with torch.no_grad():
        # In float64, which no mixed precision turns into less. The gradient of T^2 KL is T (q - p);
        # no factor that all have in common changes the weights.
        student = (student_logits.double() / temperature).softmax(-1)
        teachers = (teacher_logits.double() / temperature).softmax(-1)
        gradients = (student - teachers).mean(1)
        return min_norm_weights(gradients @ gradients.T, tolerance).float()


def min_norm_weights(gram: Tensor, largest: float) -> Tensor:
    """The w (M,) that minimise w' G w, where sum w = 1 and 0 <= w_m <= largest: float64.

    gram: G (M, M), positive semidefinite, may be singular; where solutions tie, the most even one
    is taken. largest: in (0, 1]; below 1/M it counts as 1/M.

    Exact: for every choice of the weights that are 0, and of those at their bound, the rest follow
    from linear equations; the best choice whose weights are within their bounds is the solution.
    All choices are solved at once and no value is read, so a GPU need not wait. Their number grows
    as 2^M, for a bound near 1/M as 3^M.
    """
    count = len(gram)
    largest = max(largest, 1 / count)
    free, full = _choices(count, largest, gram.device)
    gram, eye = gram.double(), torch.eye(count, dtype=torch.float64, device=gram.device)
    gram = gram / gram.diagonal().mean().clamp_min(torch.finfo(gram.dtype).tiny) + _RIDGE * eye
    fixed = largest * full
    # Rows of free weights: G w = multiplier. Of the others: w = 0 or w = largest. Last: sum w = 1.
    matrix = torch.zeros(len(free), count + 1, count + 1, dtype=gram.dtype, device=gram.device)
    matrix[:, :count, :count] = (
        free[:, :, None] * gram * free[:, None] + (1 - free)[:, :, None] * eye
    )
    matrix[:, :count, count] = matrix[:, count, :count] = free
    right = torch.cat([fixed - free * (fixed @ gram), 1 - fixed.sum(1, keepdim=True)], 1)
    weights = torch.linalg.solve_ex(matrix, right)[0][:, :count]
    outside = ((weights < -_EXACT) | (weights > largest + _EXACT)).any(1)
    norms = ((weights @ gram) * weights).sum(1).masked_fill(outside, float("inf"))
    return weights.index_select(0, norms.argmin(keepdim=True))[0].clamp(0, largest)


@cache
def _choices(count: int, largest: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which weights are free and which are at their bound, each (S, M), 1 or 0, in float64.

    Those that cannot sum to 1 are left out, and those without a free weight: they are also found
    with one of their weights free.
    """
    kept = []
    for choice in product((0, 1, 2), repeat=count):
        full, free = choice.count(2), choice.count(1)
        if free and full * largest <= 1 + _EXACT and (full + free) * largest >= 1 - _EXACT:
            kept.append(choice)
    choices = torch.tensor(kept, device=device)
    return (choices == 1).double(), (choices == 2).double()


def _check(student_logits: Tensor, teacher_logits: Tensor) -> None:
    if teacher_logits.ndim != 3 or student_logits.shape != teacher_logits.shape[1:]:
        raise ValueError(
            f"teacher_logits {tuple(teacher_logits.shape)} must be (M, B, K), a teacher a row, for "
            f"student_logits {tuple(student_logits.shape)}"
        )
