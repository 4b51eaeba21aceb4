"""Logit KD: the student learns the teacher's softened class probabilities."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Reduction = Literal["none", "mean"]


def kd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: float | Tensor,
    reduction: Reduction = "mean",
) -> Tensor:
    """Temperature^2 * KL(teacher || student) between softened class distributions.

        p = softmax(teacher_logits / T),  q = softmax(student_logits / T)
        loss = T^2 * sum_k p_k * (log p_k - log q_k)

    The factor T^2 keeps the gradient's size about the same at every temperature: as T grows, the
    loss tends to the squared distance between the two logit vectors, each minus its own mean,
    divided by 2K.

    student_logits, teacher_logits: (B, K), before any softmax. Further axes between B and K are
        allowed; KL runs over the last axis.
    temperature: above 0; a tensor where it is learnt, and then it receives a gradient.
    reduction: "none" gives one value a row, (B,); "mean" their mean.

    Only the student (and a learnt temperature) receives a gradient. Half precision is computed in
    float32. Raises ValueError if the shapes differ or the temperature is not above 0.

    Source: Hinton et al. 2015, "Distilling the knowledge in a neural network", section 2.
    """
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"student_logits {tuple(student_logits.shape)} and teacher_logits "
            f"{tuple(teacher_logits.shape)} must have one shape"
        )
    # A tensor is not looked at: reading it would make the GPU wait at every step.
    if not isinstance(temperature, Tensor) and not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    log_student = F.log_softmax(at_least_float32(student_logits) / temperature, dim=-1)
    log_teacher = F.log_softmax(at_least_float32(teacher_logits.detach()) / temperature, dim=-1)
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(-1)
    return reduce_batch(temperature**2 * divergence, reduction)


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision as float32, everything else as it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def reduce_batch(per_sample: Tensor, reduction: Reduction) -> Tensor:
    """The values themselves ("none") or their mean ("mean"); ValueError for any other word."""
    if reduction not in ("none", "mean"):
        raise ValueError(f"reduction must be 'none' or 'mean', not {reduction!r}")
    return per_sample if reduction == "none" else per_sample.mean()
