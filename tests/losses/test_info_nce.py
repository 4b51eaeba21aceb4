"""InfoNCE against hand-computed numbers and a second derivation."""

import math

import pytest
import torch
from torch.nn import functional as F

from kdlib.losses.info_nce import info_nce_loss


def draw(batch=5, negatives=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    both = 2 * torch.rand(batch, negatives + 1, generator=generator, dtype=torch.float64) - 1
    return both[:, 0], both[:, 1:]


def test_hand_computed():
    # Among a positive of 0 and negatives of 0 and ln 2, at T = 1: 1 / (1 + 1 + 2).
    positive, negatives = torch.zeros(1), torch.tensor([[0.0, math.log(2)]])
    assert info_nce_loss(positive, negatives, temperature=1.0) == pytest.approx(math.log(4))
    # At T = 1/2 the negatives count 1 and 4.
    assert info_nce_loss(positive, negatives, temperature=0.5) == pytest.approx(math.log(6))


def test_by_probabilities():
    positive, negatives = draw()
    above = (positive / 0.07).exp()
    expected = -(above / (above + (negatives / 0.07).exp().sum(1))).log()
    each = info_nce_loss(positive, negatives, temperature=0.07, reduction="none")
    torch.testing.assert_close(each, expected)
    torch.testing.assert_close(info_nce_loss(positive, negatives, temperature=0.07), each.mean())


def test_it_is_the_cross_entropy_of_rows_of_a_matrix():
    generator = torch.Generator().manual_seed(1)
    rows, columns = F.normalize(torch.randn(2, 6, 4, generator=generator), dim=-1)
    similarities = rows @ columns.T
    others = similarities.masked_fill(torch.eye(6, dtype=torch.bool), float("-inf"))
    found = info_nce_loss(similarities.diagonal(), others, temperature=0.1)
    torch.testing.assert_close(found, F.cross_entropy(similarities / 0.1, torch.arange(6)))


def test_minus_infinity_leaves_a_candidate_out():
    positive, negatives = draw()
    fewer = info_nce_loss(positive, negatives[:, 1:], temperature=0.2)
    masked = negatives.clone()
    masked[:, 0] = float("-inf")
    masked.requires_grad_()
    found = info_nce_loss(positive, masked, temperature=0.2)
    torch.testing.assert_close(found, fewer)
    found.backward()
    assert masked.grad.isfinite().all()
    nothing = torch.full((5, 2), float("-inf"), dtype=torch.float64)
    assert info_nce_loss(positive, nothing, temperature=0.2) == 0


def test_the_gradient_pulls_the_positive_and_pushes_the_rest_by_their_probabilities():
    positive, negatives = (x.requires_grad_() for x in draw())
    info_nce_loss(positive, negatives, temperature=0.5).backward()
    shares = (torch.cat([positive[:, None], negatives], 1) / 0.5).softmax(1) / (0.5 * 5)
    torch.testing.assert_close(negatives.grad, shares[:, 1:].detach())
    torch.testing.assert_close(positive.grad, (shares[:, 0] - 1 / (0.5 * 5)).detach())


def test_half_precision_is_computed_in_float32():
    positive, negatives = (x.to(torch.bfloat16) for x in draw())
    found = info_nce_loss(positive, negatives, temperature=0.07)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found, info_nce_loss(positive.float(), negatives.float(), temperature=0.07)
    )


def test_what_does_not_fit_is_named():
    positive, negatives = draw()
    with pytest.raises(ValueError, match=r"positive \(4,\) .* negatives \(5, 7\)"):
        info_nce_loss(positive[:4], negatives, temperature=1.0)
    with pytest.raises(ValueError, match=r"positive \(5, 1\) must be \(B,\)"):
        info_nce_loss(positive[:, None], negatives, temperature=1.0)
    with pytest.raises(ValueError, match="temperature must be above 0, not 0"):
        info_nce_loss(positive, negatives, temperature=0.0)
