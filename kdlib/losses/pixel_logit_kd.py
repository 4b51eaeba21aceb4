"""Pixel-level logit KD (ResKD, general form): logit KD at every position of the feature map."""

from typing import Literal

from torch import Tensor

from kdlib.losses.feature_kd import upsample_to
from kdlib.losses.kd import Reduction, kd_loss, reduce_batch


def pixel_logit_kd_loss(
    student_pixel_logits: Tensor,
    teacher_pixel_logits: Tensor,
    *,
    temperature: float | Tensor,
    class_reduction: Literal["mean", "sum"] = "mean",
    reduction: Reduction = "mean",
) -> Tensor:
    """Temperature^2 * KL(teacher || student) between class scores at every position.

        loss = T^2 * mean over positions of KL( softmax(l_t / T) || softmax(l_s / T) )  [ / K ]

    student_pixel_logits: (B, K, T, h, w), or (B, K, h, w) for images: the student's own fc, bias
        included, at every position of its last map (`ClassificationHead.by_place`); no pooling,
        no dropout. Because feature widths do not appear, teacher and student may differ in them.
    teacher_pixel_logits: (B, K, T, H, W), by the teacher's own frozen fc.
    class_reduction: "mean" averages over positions and classes, 1 / (P * K), as the released code
        does (`reduction="mean"` of its KL); "sum" is the usual KL a position, 1 / P. With "mean"
        the weight on the usual KL is weight / K: 500 / 400 = 1.25 in the paper.
    reduction: "none" gives (B,), "mean" the batch mean.

    ResKD enlarges the student's features and then applies the fc. Here the logits are enlarged,
    which is the same: both maps are linear, and interpolation weights sum to 1, so the bias too
    comes out once. Enlarging K logits is also cheaper than enlarging C features.

    Only the student receives a gradient. Half precision is computed in float32. Raises ValueError
    if anything but height and width differs.

    Source: ResKD appendix A.1 and A.2 (T = 4, weight 500); released `heads/grkd_3d_head.py` has
    T = 2 and weight 200 (100 in its base configuration). The loss itself is the same in both.
    """
    if class_reduction not in ("mean", "sum"):
        raise ValueError(f"class_reduction must be 'mean' or 'sum', not {class_reduction!r}")
    enlarged = upsample_to(student_pixel_logits, teacher_pixel_logits)
    per_position = kd_loss(
        enlarged.movedim(1, -1),
        teacher_pixel_logits.movedim(1, -1),
        temperature=temperature,
        reduction="none",
    )
    per_sample = per_position.flatten(1).mean(1)
    if class_reduction == "mean":
        per_sample = per_sample / student_pixel_logits.shape[1]
    return reduce_batch(per_sample, reduction)
