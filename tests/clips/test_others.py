"""Further clips of a video: speeds, sequences and second views."""

import dataclasses

import numpy as np
import pytest
import torch

from kdlib.clips.augmentation import Augmentation
from kdlib.clips.batches import ClipSource, ordered_batches, training_batches
from kdlib.clips.others import Others, fixed_clips, training_clips
from kdlib.clips.sampling import Sampling, training_frames
from kdlib.errors import UserError

DENSE = Sampling("dense", 4)
LENGTHS = np.array([40, 64, 12])


def draw(others, lengths=LENGTHS, seed=0):
    return training_clips(lengths, DENSE, others, np.random.default_rng(seed))


def test_without_others_there_is_the_one_clip_of_the_sampling():
    (clip,) = draw(None)
    assert np.array_equal(clip, training_frames(LENGTHS, DENSE, np.random.default_rng(0)))
    (fixed,) = fixed_clips(LENGTHS, DENSE, None)
    assert fixed.shape == (3, 1, 4)


def test_clips_of_other_speeds_have_their_strides_and_starts_of_their_own():
    starts = []
    for seed in range(20):
        first, fast = draw(Others((3,)), seed=seed)
        assert (np.diff(first, axis=1) == 1).all()
        assert (np.diff(fast, axis=1) == 3).all()
        assert (fast < LENGTHS[:, None]).all()
        starts.append((first[0, 0], fast[0, 0]))
    assert len({a - b for a, b in starts}) > 5


def test_a_sequence_keeps_its_order_and_its_gaps():
    for seed in range(20):
        first, second, third = draw(Others((1, 1), gap=2), LENGTHS[:2], seed)
        assert (second[:, 0] - first[:, -1] == 3).all()
        assert (third[:, 0] - second[:, -1] == 3).all()
        assert (first >= 0).all()
        assert (third < LENGTHS[:2, None]).all()


def test_a_sequence_longer_than_its_video_goes_round_it():
    clips = draw(Others((1, 1), gap=2), np.array([10]))
    assert all(((clip >= 0) & (clip < 10)).all() for clip in clips)
    assert (clips[1][0, 0] - clips[0][0, -1]) % 10 == 3


def test_fixed_clips_are_the_same_every_time():
    others = Others((2,), gap=0)
    sampling = dataclasses.replace(DENSE, views=2)
    one, two = (fixed_clips(LENGTHS, sampling, others) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert [clip.shape for clip in one] == [(3, 2, 4)] * 2


@pytest.mark.parametrize("gap", [None, 0])
def test_the_first_clip_comes_again_before_the_others(gap):
    others = Others((2,), gap=gap, again=True)
    once = dataclasses.replace(others, again=False)
    assert (others.count, once.count) == (2, 1)
    for several, alone in (
        (draw(others), draw(once)),
        (fixed_clips(LENGTHS, DENSE, others), fixed_clips(LENGTHS, DENSE, once)),
    ):
        first, again, other = several
        assert np.array_equal(first, again)
        assert np.array_equal(first, alone[0])
        assert np.array_equal(other, alone[1])


def test_where_nothing_is_drawn_clips_are_spread_over_the_video():
    """Of 37 possible starts of 4 frames in 40, and of 34 of 7: at 1/8, 3/8; 5/8, 7/8."""
    sampling = dataclasses.replace(DENSE, views=2)
    first, fast = fixed_clips(np.array([40]), sampling, Others((2,)))
    assert first[0, :, 0].tolist() == [37 // 8, 37 * 5 // 8]
    assert fast[0, :, 0].tolist() == [34 * 3 // 8, 34 * 7 // 8]


def test_starts_drawn_by_themselves_are_as_far_apart_as_cvrl_s():
    """The distance d of two of D starts has the density 2 / D (1 - d / D)."""
    videos, starts = 20_000, 50
    first, other = draw(Others((1,)), np.full(videos, starts + 3))
    distance = np.abs(first[:, 0] - other[:, 0])
    for d in (5, 15, 30, 45):
        expected = 1 - (1 - d / starts) ** 2
        assert (distance < d).mean() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Others(()), "others.strides: one or more"),
        (lambda: Others((0,)), "others.strides"),
        (lambda: Others((1,), gap=-1), "others.gap"),
        (lambda: training_clips(LENGTHS, Sampling("segments", 4), Others((1,)),
                                np.random.default_rng(0)), "need dense sampling, not 'segments'"),
    ],
)  # fmt: skip
def test_impossible_ones_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_the_first_clip_again_is_seen_in_a_crop_of_its_own(videos):
    source = ClipSource(
        videos, DENSE, Augmentation("shift", mirror=True), 16,
        Others((1,), own_view=True, again=True),
    )  # fmt: skip
    batch = next(training_batches(source, 24, seed=0, epoch=0, device=torch.device("cpu")))
    again, _ = batch.others
    assert not torch.equal(batch.clips, again)
    fixed = next(ordered_batches(source, torch.device("cpu")))
    assert torch.equal(fixed.clips, fixed.others[0])


@pytest.mark.parametrize("own", [False, True])
def test_a_second_clip_shares_the_first_one_s_view_or_has_its_own(videos, own):
    still = dataclasses.replace(videos, frames=np.repeat(videos.frames[::4], 4, axis=0))
    source = ClipSource(
        still, DENSE, Augmentation("shift", mirror=True), 16, Others((1,), own_view=own)
    )
    same = []
    for batch in training_batches(source, 8, seed=0, epoch=0, device=torch.device("cpu")):
        (other,) = batch.others
        same += [torch.equal(a, b) for a, b in zip(batch.clips, other, strict=True)]
    assert all(same) is not own
    assert next(ordered_batches(source, torch.device("cpu"))).others[0].shape == (24, 3, 4, 16, 16)


def test_fixed_places_are_exact_at_every_length():
    """A clip and another that follows it at once: a run of 16 frames, 10 views of it."""
    lengths = np.arange(16, 1000)
    sampling = Sampling("dense", 4, 2, views=10)
    first, _ = fixed_clips(lengths, sampling, Others((2,), gap=2))
    for length, starts in zip(lengths.tolist(), first[:, :, 0].tolist(), strict=True):
        assert starts == [(2 * view + 1) * (length - 16 + 1) // 20 for view in range(10)]
