"""One class a video: logits, cross-entropy, top-1 accuracy."""

from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from kdlib.analysis import metrics
from kdlib.clips.batches import Batch
from kdlib.clips.seen import seen_by
from kdlib.losses.kd import at_least_float32
from kdlib.models.base import ClassificationHead

KNOWN: tuple[str, ...] = ()
SCORE = "top-1 %"


def head(channels: int, classes: int) -> nn.Module:
    """A linear layer on the pooled map: logits (B, K)."""
    return ClassificationHead(channels, classes)


def answer(model: nn.Module, batch: Batch) -> Tensor:
    """Logits (B, K)."""
    return model(seen_by(model, batch))


def loss(output: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy (B,) of logits (B, K) against class indices (B,), in float32 at least."""
    return F.cross_entropy(at_least_float32(output), batch.required_labels, reduction="none")


def truth(batch: Batch) -> dict[str, Tensor]:
    """The labels (B,)."""
    return {"labels": batch.required_labels}


def judge(outputs: Tensor, truth: dict[str, Tensor]) -> dict[str, Any]:
    """`score` is top-1 by video; also top-5, top-1 by clip and top-1 of each class.

    outputs: (N, views, K); a video's scores are the mean over its views of their probabilities.
    """
    video, labels = metrics.video_logits(outputs), truth["labels"]
    return {
        "score": metrics.accuracy(video, labels[:, 0]),
        "video_top5": metrics.accuracy(video, labels[:, 0], k=5),
        "clip_top1": metrics.accuracy(outputs.flatten(0, 1), labels.flatten()),
        "per_class": [float(x) for x in metrics.per_class_accuracy(video, labels[:, 0])],
    }


def keep(outputs: Tensor) -> dict[str, np.ndarray]:
    """The class that each video is given (N,): all that paired statistics need, and exactly what
    `judge` counts. Logits rounded to half precision change one class in a thousand."""
    return {"predicted": metrics.video_logits(outputs).argmax(axis=1).astype(np.int32)}
