import numpy as np
import torch

from kdlib.methods.adaptive.released import draw_batches, mini_batches, strengthened


def test_mini_batches_are_put_together_anew():
    torch.manual_seed(0)
    first, second = mini_batches(50, 8), mini_batches(50, 8)
    assert first.shape == (6, 8)
    assert first.unique().numel() == 48
    assert not torch.equal(first, second)
    # The last batch differs, so that in the end most samples were in it.
    last = torch.cat([mini_batches(50, 8)[-1] for _ in range(8)])
    assert last.unique().numel() > 24


def test_strength_is_mixed_once_for_each_mini_batch():
    """By hand, history 0.1 and rate 0.5: 0.1 -> 0.1, 0.01 + 0.45 * 1, 0.046 + 0.45 * 0.5."""
    old, losses = torch.full((2,), 0.1), torch.tensor([0.2, 1.0, 0.5])
    found = strengthened(old, losses, 0.5, 0.1, first=False)
    torch.testing.assert_close(found, torch.full((2,), 0.1 * (0.1 * 0.1 + 0.45) + 0.225))
    assert strengthened(old, losses, 0.5, 0.1, first=True).tolist() == [0.5, 0.5]


def test_what_is_barred_is_not_what_was_drawn():
    """Three places that are equal: a place drawn is deleted, and the one before it is barred."""
    torch.manual_seed(0)
    pairs = {tuple(draw_batches(torch.eye(4), torch.zeros(4), 2).tolist()) for _ in range(200)}
    assert pairs == {(0, 0), (1, 1), (2, 0)}


def script(count, drawn):
    """All that can be drawn of `count` equal places, by playing with a list of them."""
    if not drawn:
        return {()}
    ways = set()

    def go(places, barred, so_far):
        free = [i for i in range(places) if i not in {b % places for b in barred}]
        for place in free if len(so_far) < drawn else ():
            if len(barred) + 1 < places:
                moved = [b - (b >= place) for b in [*barred, place]]
                go(places - 1, moved, (*so_far, place))
            else:
                go(places, [*barred, place], (*so_far, place))
        if len(so_far) == drawn:
            ways.add(so_far)

    go(count, [], ())
    return ways


def test_all_draws_of_equal_batches():
    torch.manual_seed(0)
    found = {tuple(draw_batches(torch.eye(7), torch.zeros(7), 3).tolist()) for _ in range(1500)}
    assert found == script(6, 3)


def test_draws_end_where_nothing_is_left():
    torch.manual_seed(0)
    for _ in range(20):
        assert 1 <= len(draw_batches(torch.eye(3), torch.zeros(3), 3)) <= 3


def test_the_first_draw_knows_no_diversity():
    """Its probabilities are 1 + loss, whatever the features are: counted over many draws."""
    torch.manual_seed(0)
    features, losses = torch.randn(4, 5), torch.tensor([0.0, 0.5, 1.0, 9.0])
    drawn = torch.cat([draw_batches(features, losses, 1) for _ in range(6000)])
    shares = torch.bincount(drawn, minlength=3) / 6000
    # The last batch is never drawn.
    assert len(shares) == 3
    torch.testing.assert_close(shares, torch.tensor([1.0, 1.5, 2.0]) / 4.5, atol=0.02, rtol=0)


def test_batches_come_out_twice():
    torch.manual_seed(0)
    features, losses = torch.randn(10, 20), torch.rand(10)
    runs = [draw_batches(features, losses, 4).tolist() for _ in range(300)]
    assert np.mean([len(set(run)) < 4 for run in runs]) > 0.4
    assert all(max(run) < 9 for run in runs)
