import math
from fractions import Fraction

import pytest
import torch

from kdlib.errors import UserError
from kdlib.methods.adaptive.interruption import (
    drops,
    floor_share,
    interrupt,
    interruption_rate,
)


def test_rates_as_printed():
    """Read off the paper's polynomial at N = 50, and where each curve reaches one half."""
    found = [interruption_rate("polynomial", n, 50) for n in (5, 10, 15, 20, 25)]
    assert found == pytest.approx([0.0905, 0.1819, 0.2746, 0.3686, 0.4641], abs=1e-4)
    for kind, first in (("polynomial", 27), ("linear", 25), ("cosine", 25)):
        rates = [interruption_rate(kind, n, 50) for n in range(51)]
        assert next(n for n, rate in enumerate(rates) if rate >= 0.5) == first
        assert rates == sorted(rates)
        assert (rates[0], rates[-1]) == (0, 1)


def test_the_threshold_parts_dropping_from_shuffling():
    assert drops(0.49, 0.5)
    assert not drops(0.5, 0.5)
    assert not drops(0.0, 0.0)  # eta = 0: always shuffled
    assert drops(1.0, 1.0)  # eta = 1: always dropped


@pytest.mark.parametrize("epochs", range(2, 400, 2))
def test_half_way_is_one_half_and_no_frame_is_dropped_any_more(epochs):
    for kind in ("cosine", "linear"):
        rate = interruption_rate(kind, epochs // 2, epochs)
        assert rate == 0.5
        assert not drops(rate, 0.5)
        assert drops(interruption_rate(kind, epochs // 2 - 1, epochs), 0.5)


def test_a_threshold_that_a_rate_meets_but_for_rounding_is_met():
    """The cosine is a quarter at a third of the epochs; n / N is any share of that name."""
    for epochs in range(3, 300, 3):
        assert not drops(interruption_rate("cosine", epochs // 3, epochs), 0.25)
        assert drops(interruption_rate("cosine", epochs // 3 - 1, epochs), 0.25)
        assert not drops(interruption_rate("cosine", 2 * epochs // 3, epochs), 0.75)
    for tenths in range(1, 10):
        assert not drops(interruption_rate("linear", 7 * tenths, 70), tenths / 10)
        assert not drops(interruption_rate("linear", 3 * tenths, 30), 1 - (10 - tenths) / 10)


def test_the_cosine_by_its_formula():
    for n in range(51):
        expected = 0.5 * (1 - math.cos(math.pi * n / 50))
        assert interruption_rate("cosine", n, 50) == pytest.approx(expected, abs=1e-15)


def test_a_share_is_rounded_down_as_its_decimals_say():
    """The paper selects 953 of UCF101's 9,537 clips."""
    assert (floor_share(0.1, 9537), floor_share(0.1, 9530)) == (953, 953)
    assert floor_share(0.29, 100) == 29  # 28.999999999999996 in floating point
    for hundredths in range(101):
        for count in (*range(200), 9529, 9530, 9531, 1_281_167, 10**7):
            exact = Fraction(hundredths, 100) * count
            assert floor_share(hundredths / 100, count) == math.floor(exact)
    for parts in range(1, 60):  # a rate n / N of T frames
        for n in range(parts):
            for frames in (3, 8, 32, parts):
                assert floor_share(n / parts, frames) == n * frames // parts


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


def test_alike_all_clips_of_a_batch_have_the_same_frames():
    torch.manual_seed(0)
    for rate in (0.45, 0.8):
        found = frames_of(interrupt(clips(batch=16), rate, 0.5, alike=True))
        assert (found == found[:1]).all()
        assert (found != clips(batch=16)[:, 0, :, 0, 0]).any()


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
