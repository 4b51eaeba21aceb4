"""Multi-label cross entropy against a double loop and torch's own."""

import math

import pytest
import torch
import torch.nn.functional as F

from kdlib.losses.multi_label import multi_label_loss

TARGETS = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])


def logits(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 4, generator=generator, dtype=torch.float64)


def test_hand_computed():
    # Two labels among four equally likely classes: 2 ln 4, not ln 4.
    loss = multi_label_loss(torch.zeros(1, 4), torch.tensor([[1.0, 1.0, 0.0, 0.0]]))
    assert loss.item() == pytest.approx(2 * math.log(4))


def test_parity_with_a_loop():
    values = logits()
    expected = []
    for row, labels in zip(values.tolist(), TARGETS.tolist(), strict=True):
        normaliser = math.log(sum(math.exp(v) for v in row))
        expected.append(sum(normaliser - v for v, y in zip(row, labels, strict=True) if y))
    each = multi_label_loss(values, TARGETS, reduction="none")
    torch.testing.assert_close(each, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(multi_label_loss(values, TARGETS), each.mean())


def test_one_label_is_ordinary_cross_entropy():
    labels = torch.tensor([2, 0, 3])
    torch.testing.assert_close(
        multi_label_loss(logits(), F.one_hot(labels, 4)), F.cross_entropy(logits(), labels)
    )


def test_no_label_gives_zero_and_integer_targets_are_accepted():
    each = multi_label_loss(logits(), TARGETS, reduction="none")
    assert each[2] == 0
    torch.testing.assert_close(each, multi_label_loss(logits(), TARGETS.float(), reduction="none"))


def test_gradient():
    values = logits().requires_grad_()
    multi_label_loss(values, TARGETS).backward()
    count = TARGETS.sum(1, keepdim=True)
    expected = (count * values.softmax(1) - TARGETS) / 3
    torch.testing.assert_close(values.grad, expected.detach())


def test_half_precision_is_computed_in_float32():
    values = (100 * logits()).half()
    loss = multi_label_loss(values, TARGETS)
    assert loss.dtype == torch.float32
    expected = multi_label_loss(values.double(), TARGETS)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_class_indices_and_bad_reduction_are_refused():
    with pytest.raises(ValueError, match="class indices"):
        multi_label_loss(logits(), torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="reduction"):
        multi_label_loss(logits(), TARGETS, reduction="sum")
