"""Decoupled KD: the target class and the other classes are imitated apart."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kdlib.losses.kd import Reduction, at_least_float32, kd_loss, reduce_batch


def target_class_kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    reduction: Reduction = "mean",
) -> Tensor:
    """TCKD: T^2 * KL between (p_y, 1 - p_y) of teacher and student, of logits (B, K), labels (B,).

    Source: Zhao et al. 2022, "Decoupled knowledge distillation", equation 5.
    """
    log_student = _target_or_not(student_logits, labels, temperature)
    log_teacher = _target_or_not(teacher_logits.detach(), labels, temperature)
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(-1)
    return reduce_batch(temperature**2 * divergence, reduction)


def non_target_class_kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    reduction: Reduction = "mean",
) -> Tensor:
    """NCKD: T^2 * KL between the softmaxes over all classes but the target (equation 5)."""
    # The target is left out, not masked by a number that other logits may come near.
    others = torch.arange(student_logits.shape[1] - 1, device=labels.device)
    others = others + (others >= labels[:, None])
    return kd_loss(
        student_logits.gather(1, others),
        teacher_logits.gather(1, others),
        temperature=temperature,
        reduction=reduction,
    )


def dkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    alpha: float,
    beta: float,
    temperature: float,
    reduction: Reduction = "mean",
) -> Tensor:
    """alpha * TCKD + beta * NCKD (equation 7); with beta = 1 - p_y per sample it would be KD."""
    args = (student_logits, teacher_logits, labels)
    return alpha * target_class_kd(
        *args, temperature=temperature, reduction=reduction
    ) + beta * non_target_class_kd(*args, temperature=temperature, reduction=reduction)


def _target_or_not(logits: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Log probabilities (B, 2) of the target class and of all others together."""
    log_p = F.log_softmax(at_least_float32(logits) / temperature, dim=-1)
    target = log_p.gather(1, labels[:, None])
    others = log_p.scatter(1, labels[:, None], float("-inf")).logsumexp(1, keepdim=True)
    return torch.cat([target, others], dim=1)
