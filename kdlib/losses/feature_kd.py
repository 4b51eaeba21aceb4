"""Feature KD across resolutions (ResKD): the student's map, enlarged, against the teacher's."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdlib.losses.kd import Reduction, at_least_float32, reduce_batch


def feature_kd_loss(
    student_map: Tensor, teacher_map: Tensor, *, reduction: Reduction = "mean"
) -> Tensor:
    """Mean squared error between the enlarged student map and the teacher map.

        loss = mean over C, T, H, W of (upsample(student_map) - teacher_map)^2

    student_map: (B, C, T, h, w), or (B, C, h, w) for images; the output of the last stage after
        its final activation, neither normalised nor adapted.
    teacher_map: (B, C, T, H, W) or (B, C, H, W); its height and width are the ones compared at.
    reduction: "none" gives (B,), "mean" the mean over all elements.

    The student's map is enlarged to the teacher's size, not the teacher's shrunk: the loss asks the
    student for the spatial detail its small input lost. Only the student receives a gradient. Half
    precision is computed in float32. Raises ValueError if anything but height and width differs.

    Source: ResKD; appendix A.2 (weight 100), released code `backbones/rkd.py`, which agree.
    """
    channels = student_map.shape[1], teacher_map.shape[1]
    if channels[0] != channels[1]:
        raise ValueError(
            f"student_map has {channels[0]} channels and teacher_map {channels[1]}: "
            "feature KD needs equal channels; use pixel-level logit KD (pixel_logit_kd_loss)"
        )
    enlarged = upsample_to(student_map, teacher_map)
    difference = enlarged - at_least_float32(teacher_map.detach())
    # Not the mean of squares: its gradient lies in memory as (B, C, T, H, W), and on a CPU all that
    # follows is eight times slower on that than on the channels_last that the maps are in.
    squared = torch.linalg.vecdot(difference, difference, dim=1) / channels[0]
    return reduce_batch(squared.flatten(1).mean(1), reduction)


def upsample_to(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """The student map at the teacher map's height and width, frame by frame (no mixing over time).

    Bilinear, `align_corners=False`: student_map (B, C, T, h, w) -> (B, C, T, H, W), or without T.
    Half precision becomes float32. Raises ValueError if batch or time differ.
    """
    batch_and_time = [(len(m), *m.shape[2:-2]) for m in (student_map, teacher_map)]
    if student_map.ndim not in (4, 5) or batch_and_time[0] != batch_and_time[1]:
        raise ValueError(
            f"student {tuple(student_map.shape)} and teacher {tuple(teacher_map.shape)} maps must "
            "both be (B, C, T, h, w) or (B, C, h, w) with equal B and T"
        )
    # A frame after another, so that interpolation leaves time alone. Channels stay channels: as
    # they lie in memory that is no copy, and ten times as fast.
    images = at_least_float32(student_map).movedim(1, -3).flatten(0, -4)
    resized = F.interpolate(images, teacher_map.shape[-2:], mode="bilinear", align_corners=False)
    return resized.unflatten(0, batch_and_time[0]).movedim(-3, 1)
