"""Frame mAP: how well boxes and their classes are found in single images, as AVA evaluates it.

A detection is right if the true box of its image and class that it overlaps most overlaps it by an
IoU of at least 0.5 and no detection of a higher score has found that box. Average precision is the
area under precision over recall, precision being the best at that recall or a higher one, as in
PASCAL VOC since 2010. Source: AVA's evaluation in the ActivityNet challenge, which uses the PASCAL
evaluation of TensorFlow's object detection API.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

OVERLAP = 0.5  # the IoU, in 0..1, from which on a box is found


class TrueBoxes(NamedTuple):
    """What there is to find, a row for each class of each box.

    images (N,), ids as numbers or strings; boxes (N, 4), x1 < x2, y1 < y2 in any unit; classes
    int (N,).
    """

    images: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray


class Detections(NamedTuple):
    """What was found, as `TrueBoxes`, and with what score (N,): only the order of scores counts."""

    images: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray


def frame_map(
    detections: Detections,
    truth: TrueBoxes,
    *,
    classes: Collection[int] | None = None,
    excluded: Collection[int | str] = (),
) -> float:
    """The mean of `average_precisions`, in [0, 1]."""
    found = average_precisions(detections, truth, classes=classes, excluded=excluded)
    return float(np.mean(list(found.values())))


def average_precisions(
    detections: Detections,
    truth: TrueBoxes,
    *,
    classes: Collection[int] | None = None,
    excluded: Collection[int | str] = (),
) -> dict[int, float]:
    """Average precision in [0, 1] of each class that has a true box, ascending by class.

    classes: those that are evaluated (60 of AVA's 80), all by default. excluded: images whose boxes
    and detections are left out. Detections in images without a true box are wrong; those without
    an area are left out. Detections of equal score count together, so the order of rows does not
    matter; the original takes them in whatever order its sort leaves them.
    Raises ValueError for shapes that do not match, for true boxes without an area, for NaN and if
    there is no true box to find.
    """
    truth = TrueBoxes(*_evaluated("truth", truth, classes, excluded))
    detections = Detections(*_evaluated("detections", detections, classes, excluded))
    if not len(truth.boxes):
        raise ValueError("truth: no box of an evaluated class in an image that is not excluded")
    if not _areas(truth.boxes).all():
        raise ValueError("truth: every box must have x1 < x2 and y1 < y2")
    detections = Detections(*(column[_areas(detections.boxes) > 0] for column in detections))
    right = _right(detections, truth)
    result = {}
    for number, count in zip(*np.unique(truth.classes, return_counts=True), strict=True):
        own = detections.classes == number
        result[int(number)] = _average_precision(detections.scores[own], right[own], count)
    return result


def _evaluated(
    name: str,
    rows: TrueBoxes | Detections,
    classes: Collection[int] | None,
    excluded: Collection[int | str],
) -> list[np.ndarray]:
    """The columns of the rows that count."""
    images, labels = np.asarray(rows.images), np.asarray(rows.classes)
    boxes, *scores = (np.asarray(column, np.float64) for column in (rows.boxes, *rows[3:]))
    shapes = [column.shape for column in (images, boxes, labels, *scores)]
    count = len(images)
    if shapes != [(count,), (count, 4), (count,), (count,)][: len(shapes)]:
        wanted = "images (N,), boxes (N, 4), classes (N,), scores (N,)"
        raise ValueError(f"{name}: {wanted}, not {shapes}")
    if any(np.isnan(column).any() for column in (boxes, *scores)):
        raise ValueError(f"{name}: NaN among boxes or scores")
    kept = ~np.isin(images, list(excluded))
    if classes is not None:
        kept &= np.isin(labels, list(classes))
    return [column[kept] for column in (images, boxes, labels, *scores)]


def _right(detections: Detections, truth: TrueBoxes) -> np.ndarray:
    """Which detections are right, bool (N,)."""
    found, true = _pairs(detections, truth)
    overlap = _overlaps(detections.boxes[found], truth.boxes[true])
    # A detection goes to the box it overlaps most, the first of several, even if that is taken.
    order = np.lexsort((true, -overlap, found))
    first = np.unique(found[order], return_index=True)[1]
    best = order[first]
    best = best[overlap[best] >= OVERLAP]
    # Each box goes to the highest score among its detections.
    best = best[np.argsort(-detections.scores[found[best]], kind="stable")]
    first = np.unique(true[best], return_index=True)[1]
    right = np.zeros(len(detections.scores), bool)
    right[found[best[first]]] = True
    return right


def _pairs(detections: Detections, truth: TrueBoxes) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each detection beside each true box of its image and class, two int arrays (P,)."""
    images = np.unique(np.concatenate([detections.images, truth.images]), return_inverse=True)[1]
    labels = np.unique(np.concatenate([detections.classes, truth.classes]), return_inverse=True)[1]
    wanted, there = np.split(images * (labels.max() + 1) + labels, [len(detections.scores)])
    order = np.argsort(there, kind="stable")
    first, last = (np.searchsorted(there[order], wanted, side) for side in ("left", "right"))
    count = last - first
    found = np.repeat(np.arange(len(wanted)), count)
    start = np.repeat(first - (np.cumsum(count) - count), count)
    return found, order[start + np.arange(len(found))]


def _overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """IoU in [0, 1] of boxes (P, 4) and boxes (P, 4)."""
    low, high = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    common = (high - low).clip(0).prod(1)
    return common / (_areas(one) + _areas(other) - common)


def _areas(boxes: np.ndarray) -> np.ndarray:
    """Areas of boxes (N, 4), 0 where a side is not above 0."""
    return (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1)


def _average_precision(scores: np.ndarray, right: np.ndarray, count: int) -> float:
    """The area under the interpolated curve of detections (N,) of `count` true boxes."""
    order = np.argsort(-scores)
    hits, taken = np.cumsum(right[order]), np.arange(1, len(order) + 1)
    # One point a score: of equal scores none comes first.
    last = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    hits, taken = hits[last], taken[last]
    best = np.maximum.accumulate((hits / taken)[::-1])[::-1]
    return float((np.diff(hits, prepend=0) * best).sum() / count)
