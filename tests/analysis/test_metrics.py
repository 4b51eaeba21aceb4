"""Accuracy and average precision against hand counts, scikit-learn and definitions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, top_k_accuracy_score

from kdlib.analysis.metrics import (
    accuracy,
    correct,
    mean_average_precision,
    per_class_accuracy,
    video_logits,
)

SCORES = np.array([[3.0, 2.0, 1.0], [0.0, 1.0, 2.0], [1.0, 2.0, 0.0], [2.0, 0.0, 1.0]])
LABELS = np.array([0, 1, 1, 2])


def test_hand_counted():
    assert correct(SCORES, LABELS).tolist() == [True, False, True, False]
    assert accuracy(SCORES, LABELS) == 0.5
    assert accuracy(SCORES, LABELS, k=2) == 1.0
    assert accuracy(SCORES, LABELS, k=5) == 1.0
    np.testing.assert_array_equal(per_class_accuracy(SCORES, LABELS), [1.0, 0.5, 0.0])


@pytest.mark.parametrize("k", [1, 2, 5])
def test_parity_with_scikit_learn(k):
    rng = np.random.default_rng(k)
    scores, labels = rng.normal(size=(200, 8)), rng.integers(8, size=200)
    expected = top_k_accuracy_score(labels, scores, k=k, labels=range(8))
    assert accuracy(scores, labels, k) == pytest.approx(expected)


def test_a_collapsed_network_is_at_chance():
    labels = np.repeat(np.arange(4), 5)
    assert accuracy(np.zeros((20, 4)), labels) == 0.25
    assert accuracy(np.zeros((20, 4)), labels, k=2) == 0.5


def test_torch_and_half_precision_agree_with_numpy():
    scores, labels = torch.tensor(SCORES, requires_grad=True), torch.tensor(LABELS)
    assert accuracy(scores, labels) == accuracy(SCORES, LABELS)
    assert accuracy(scores.bfloat16(), labels) == accuracy(SCORES, LABELS)
    np.testing.assert_array_equal(
        per_class_accuracy(scores, labels), per_class_accuracy(SCORES, LABELS)
    )


@pytest.mark.filterwarnings("error")
def test_class_without_samples_is_nan():
    found = per_class_accuracy(SCORES, np.array([0, 1, 1, 0]))
    np.testing.assert_array_equal(found, [1.0, 0.5, np.nan])


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 40), classes=st.integers(2, 7))
def test_properties(seed, n, classes):
    rng = np.random.default_rng(seed)
    scores, labels = rng.normal(size=(n, classes)), rng.integers(classes, size=n)
    by_k = [accuracy(scores, labels, k) for k in range(1, classes + 1)]
    assert by_k == sorted(by_k)
    assert by_k[-1] == 1.0
    counts = np.bincount(labels, minlength=classes)
    weighted = np.nansum(per_class_accuracy(scores, labels) * counts) / n
    assert weighted == pytest.approx(by_k[0])
    assert accuracy(np.exp(scores), labels) == by_k[0]


def average_precision_by_hand(scores, present):
    order = np.argsort(-scores)
    hits, total = 0, 0.0
    for rank, index in enumerate(order, start=1):
        if present[index]:
            hits += 1
            total += hits / rank
    return total / hits


def test_mean_average_precision_by_hand():
    # Class 0 is right at ranks 1 and 3: (1/1 + 2/3) / 2; class 1 at rank 2: 1/2; class 2 has none.
    scores = np.array([[0.9, 0.8, 0.1], [0.8, 0.7, 0.2], [0.7, 0.1, 0.3]])
    multi_hot = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0]])
    expected = ((1 + 2 / 3) / 2 + 1 / 2) / 2
    assert mean_average_precision(scores, multi_hot) == pytest.approx(expected)


def test_mean_average_precision_parity():
    rng = np.random.default_rng(0)
    scores, multi_hot = rng.normal(size=(60, 5)), rng.integers(2, size=(60, 5))
    found = mean_average_precision(torch.tensor(scores), torch.tensor(multi_hot))
    assert found == pytest.approx(average_precision_score(multi_hot, scores, average="macro"))
    by_hand = [average_precision_by_hand(scores[:, c], multi_hot[:, c]) for c in range(5)]
    assert found == pytest.approx(np.mean(by_hand))


def test_mean_average_precision_of_perfect_and_single_class_scores():
    multi_hot = np.eye(4)
    assert mean_average_precision(multi_hot, multi_hot) == 1.0
    assert mean_average_precision(np.array([[0.1], [0.9]]), np.array([[1], [0]])) == 0.5


def test_video_scores_average_probabilities_not_logits():
    # Views at odds 3 : 1 and 1 : 1 average to 0.625; averaged logits would give 0.634.
    clip_logits = np.array([[[math.log(3), 0.0], [0.0, 0.0]]])
    np.testing.assert_allclose(video_logits(clip_logits), [[0.625, 0.375]])


def test_video_scores_sum_to_one_and_one_view_keeps_the_ranking():
    generator = torch.Generator().manual_seed(0)
    clip_logits = 100 * torch.randn(5, 6, 4, generator=generator)
    np.testing.assert_allclose(video_logits(clip_logits).sum(axis=1), 1)
    one_view = video_logits(clip_logits[:, :1])
    np.testing.assert_array_equal(one_view.argmax(1), clip_logits[:, 0].argmax(1))


def test_a_confident_view_outvotes_unsure_ones_at_video_level():
    clips = np.array([[[0.1, 0.0], [0.1, 0.0], [0.0, 9.0]]])
    assert accuracy(clips[0], np.array([0, 0, 0])) == pytest.approx(2 / 3)
    assert accuracy(video_logits(clips), np.array([0])) == 0.0


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="mean_average_precision"):
        accuracy(SCORES, np.eye(4, 3))
    with pytest.raises(ValueError, match="one for each of 4"):
        accuracy(SCORES, LABELS[:3])
    with pytest.raises(ValueError, match=r"0\.\.2"):
        accuracy(SCORES, LABELS + 1)
    with pytest.raises(ValueError, match="diverged"):
        accuracy(np.full((4, 3), np.nan), LABELS)
    with pytest.raises(ValueError, match="3 axes"):
        video_logits(SCORES)
    with pytest.raises(ValueError, match="one shape"):
        mean_average_precision(SCORES, LABELS)
    with pytest.raises(ValueError, match="no class"):
        mean_average_precision(SCORES, np.zeros_like(SCORES))
    with pytest.raises(ValueError, match="at least one sample"):
        accuracy(np.zeros((0, 3)), np.zeros(0, dtype=int))
