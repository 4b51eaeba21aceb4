"""CrossKD for classification: the student's features through the teacher's own head."""

from torch import Tensor


def align(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """Student features (B, C) with mean and deviation of the teacher's, channel by channel.

        f' = (f_s - mean(f_s)) / (std(f_s) + 1e-6) * std(f_t) + mean(f_t),

    both over the batch, deviations unbiased; of one sample, whose deviation is unknown, only the
    mean is moved. The gradient reaches the student's features alone.

    Source: `align_scale` of CrossKD's released code (Wang et al. 2024), on pooled features as in
    SAKD's released code. ValueError if the shapes differ.
    """
    if student_features.shape != teacher_features.shape or student_features.ndim != 2:
        raise ValueError(
            f"student_features {tuple(student_features.shape)} and teacher_features "
            f"{tuple(teacher_features.shape)} must have one shape (B, C)"
        )
    teacher = teacher_features.detach()
    centred = student_features - student_features.mean(0)
    if len(teacher) > 1:
        centred = centred / (student_features.std(0) + 1e-6) * teacher.std(0)
    return centred + teacher.mean(0)
