"""Accuracy and average precision of class scores, given as numpy arrays or torch tensors.

All values are fractions in [0, 1]. Scores may be logits or probabilities: only their order counts.
"""

import numpy as np
from scipy.special import softmax
from torch import Tensor

Array = np.ndarray | Tensor


def correct(scores: Array, labels: Array, k: int = 1) -> np.ndarray:
    """Whether the label is among the k highest scores: bool (N,). scores (N, K), labels int (N,).

    Of equal scores the lower class counts as the higher, as in argmax, so that a network that
    gives every class one score is not right everywhere. Raises ValueError for shapes that do not
    match and for NaN, which a diverged run leaves.
    """
    scores, labels = _checked(scores), _numpy(labels)
    if labels.shape != scores.shape[:1]:
        raise ValueError(
            f"labels {labels.shape} must be class indices, one for each of {len(scores)} samples; "
            "for multi-hot labels use mean_average_precision"
        )
    if not 0 <= labels.min() <= labels.max() < scores.shape[1]:
        raise ValueError(f"labels must lie in 0..{scores.shape[1] - 1}, the classes of the scores")
    highest = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return (highest == labels[:, None]).any(axis=1)


def accuracy(scores: Array, labels: Array, k: int = 1) -> float:
    """Top-k accuracy in [0, 1] (1 where k is at least the number of classes). As `correct`."""
    return float(correct(scores, labels, k).mean())


def per_class_accuracy(scores: Array, labels: Array) -> np.ndarray:
    """Top-1 accuracy among the samples of each class, (K,); NaN for a class without samples."""
    hits, labels = correct(scores, labels), _numpy(labels)
    classes = scores.shape[1]
    totals = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[hits], minlength=classes)
    return np.divide(right, totals, out=np.full(classes, np.nan), where=totals > 0)


def mean_average_precision(scores: Array, multi_hot: Array) -> float:
    """Mean over classes of average precision, in [0, 1]; classes without a positive are left out.

    scores (N, K); multi_hot (N, K), above 0 where the class is present. Average precision is
    scikit-learn's: the sum over thresholds of (recall step) * precision, without interpolation.
    Raises ValueError if shapes differ or no class has a positive.
    """
    # Imported here: it takes over a second, and most runs never need it.
    from sklearn.metrics import average_precision_score

    scores, present = _checked(scores), _numpy(multi_hot) > 0
    if scores.shape != present.shape:
        raise ValueError(f"scores {scores.shape} and multi_hot {present.shape} must have one shape")
    classes = np.flatnonzero(present.any(axis=0))
    if not len(classes):
        raise ValueError("multi_hot: no class has a positive sample")
    return float(np.mean([average_precision_score(present[:, c], scores[:, c]) for c in classes]))


def video_logits(clip_logits: Array) -> np.ndarray:
    """Scores of whole videos: the mean over a video's views of the softmax of the view's logits.

    clip_logits (V, views, K), a view being one clip in time and one crop in space. Returns (V, K):
    probabilities that sum to 1, not to be softened again. Averaging probabilities, not logits, is
    mmaction2's `average_clips="prob"`.
    """
    clip_logits = _checked(clip_logits, axes=3)
    return softmax(clip_logits, axis=-1).mean(axis=1)


def _numpy(values: Array) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _checked(scores: Array, axes: int = 2) -> np.ndarray:
    if isinstance(scores, Tensor):
        scores = scores.double()  # numpy has no bfloat16
    scores = _numpy(scores).astype(np.float64, copy=False)
    if scores.ndim != axes or not scores.size:
        raise ValueError(
            f"scores must have {axes} axes and at least one sample, not {scores.shape}"
        )
    if np.isnan(scores).any():
        raise ValueError("scores contain NaN: the run has diverged")
    return scores
