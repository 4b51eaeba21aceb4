"""Mean squared error between what a student and its teacher make of a clip (D3D, MARS)."""

from torch import Tensor

from kdlib.losses.kd import Reduction, at_least_float32, reduce_batch


def mse_loss(student: Tensor, teacher: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """The mean over the last axis of  (student - teacher)^2.

    student, teacher: (B, K) logits before any softmax, or pooled features (B, C).
    reduction: "none" gives (B,), "mean" the mean over all elements.

    Only the student receives a gradient. Half precision is computed in float32. Raises ValueError
    if the shapes differ.

    Source: MARS (Crasto et al. 2019), released code `MARS_train.py`, of features.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"student {tuple(student.shape)} and teacher {tuple(teacher.shape)} must have one shape"
        )
    squared = (at_least_float32(student) - at_least_float32(teacher.detach())).square()
    return reduce_batch(squared.mean(-1), reduction)
