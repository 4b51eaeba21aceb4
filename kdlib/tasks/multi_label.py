"""Several classes a video: logits, softmax cross-entropy over all of them, mAP."""

from typing import Any

import numpy as np
from torch import Tensor

from kdlib.analysis import metrics
from kdlib.clips.batches import Batch
from kdlib.losses.multi_label import multi_label_loss
from kdlib.tasks.classification import KNOWN, answer, head, truth

__all__ = ["KNOWN", "SCORE", "answer", "head", "judge", "keep", "loss", "truth"]

SCORE = "mAP %"


def loss(output: Tensor, batch: Batch) -> Tensor:
    """Softmax cross-entropy (B,) of logits (B, K) against multi-hot labels (B, K)."""
    return multi_label_loss(output, batch.required_labels, reduction="none")


def judge(outputs: Tensor, truth: dict[str, Tensor]) -> dict[str, Any]:
    """`score` is mAP by video: the mean over classes of average precision."""
    video = metrics.video_logits(outputs)
    return {"score": metrics.mean_average_precision(video, truth["labels"][:, 0])}


def keep(outputs: Tensor) -> dict[str, np.ndarray]:
    """Nothing: no statistic is made of single videos."""
    return {}
