import math

import pytest
import torch

from kdlib.errors import UserError
from kdlib.methods.adaptive.interruption import drops, interrupt, interruption_rate


def test_rates_as_printed():
    """Read off the paper's polynomial at N = 50, and where each curve reaches one half."""
    found = [interruption_rate("polynomial", n, 50) for n in (5, 10, 15, 20, 25)]
    assert found == pytest.approx([0.0905, 0.1819, 0.2746, 0.3686, 0.4641], abs=1e-4)
    for kind, first in (("polynomial", 27), ("linear", 25), ("cosine", 25)):
        rates = [interruption_rate(kind, n, 50) for n in range(51)]
        # A hair for rounding: the cosine is one half at 25 exactly.
        assert next(n for n, rate in enumerate(rates) if rate >= 0.5 - 1e-9) == first
        assert rates == sorted(rates)
        assert (rates[0], rates[-1]) == (0, 1)


def test_the_threshold_parts_dropping_from_shuffling():
    assert drops(0.49, 0.5)
    assert not drops(0.5, 0.5)
    assert not drops(0.0, 0.0)  # eta = 0: always shuffled
    assert drops(1.0, 1.0)  # eta = 1: always dropped


def clips(batch=4, frames=8):
    """Each frame has its number, from 1, in all its pixels."""
    numbers = torch.arange(1.0, frames + 1)
    return numbers.view(1, 1, frames, 1, 1).expand(batch, 3, frames, 2, 2).clone()


def frames_of(found):
    """The number of each frame (B, T), after all pixels were seen to agree."""
    assert (found == found[:, :1, :, :1, :1]).all()
    return found[:, 0, :, 0, 0]


@pytest.mark.parametrize(("rate", "dropped"), [(0.0, 0), (0.1, 0), (0.125, 1), (0.49, 3)])
def test_dropped_frames(rate, dropped):
    found = frames_of(interrupt(clips(), rate, 0.5))
    assert ((found == 0).sum(1) == dropped).all()
    kept = found != 0
    assert (found[kept] == torch.arange(1.0, 9).expand(4, 8)[kept]).all()


@pytest.mark.parametrize("frames", [2, 4, 7, 8])
def test_shuffled_frames_change_places_in_pairs(frames):
    torch.manual_seed(0)
    found = frames_of(interrupt(clips(frames=frames), 0.7, 0.5)).long() - 1
    for places in found:
        assert sorted(places.tolist()) == list(range(frames))
        # Twice the same exchange is none.
        assert places[places].tolist() == list(range(frames))
        moved = (places != torch.arange(frames)).sum()
        assert moved == frames // 2 * 2


def test_each_clip_has_frames_of_its_own_and_the_original_stays():
    torch.manual_seed(0)
    original = clips(batch=16)
    for rate in (0.45, 0.8):
        found = frames_of(interrupt(original, rate, 0.5))
        assert len({tuple(row.tolist()) for row in found}) > 1
    assert (original == clips(batch=16)).all()


def test_images_are_interrupted_by_squares():
    torch.manual_seed(0)
    image = (
        torch.arange(1.0, 17).view(1, 1, 1, 4, 4).repeat_interleave(2, 3).repeat_interleave(2, 4)
    )
    assert (interrupt(image, 0.0, 0.5) == image).all()
    dropped = interrupt(image, 0.25, 0.5)
    assert ((dropped == 0).sum(), (dropped == image).sum()) == (16, 48)
    shuffled = interrupt(image, 0.9, 0.5)
    assert (shuffled != image).all()
    squares = shuffled[0, 0, 0, ::2, ::2]
    assert (squares.repeat_interleave(2, 0).repeat_interleave(2, 1) == shuffled[0, 0, 0]).all()
    assert sorted(squares.flatten().tolist()) == list(range(1, 17))


def test_squares_that_do_not_fit():
    with pytest.raises(UserError, match="patches: 4 x 4 do not fit an image of 10x12"):
        interrupt(torch.zeros(1, 3, 1, 12, 10), 0.2, 0.5)


def test_floor_of_rate_times_frames():
    for rate in (0.0, 0.2, 0.3333, 0.49):
        found = frames_of(interrupt(clips(frames=6), rate, 0.5))
        assert (found == 0).sum(1).unique().tolist() == [math.floor(6 * rate)]
