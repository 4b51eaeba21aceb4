from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdlib.clips import sampling as s
from kdlib.clips.sampling import Sampling
from kdlib.errors import UserError

lengths = st.lists(st.integers(1, 500), min_size=1, max_size=8).map(np.array)
segments = st.builds(
    Sampling, kind=st.just("segments"), frames=st.integers(1, 40), views=st.integers(1, 5)
)
dense = st.builds(
    Sampling,
    kind=st.just("dense"),
    frames=st.integers(1, 40),
    stride=st.integers(1, 9),
    views=st.integers(1, 5),
)


@given(lengths, segments | dense, st.integers(0, 10))
def test_indices_are_in_range_and_shaped(lengths, sampling, seed):
    training = s.training_frames(lengths, sampling, np.random.default_rng(seed))
    test = s.test_frames(lengths, sampling)
    assert training.shape == (len(lengths), sampling.frames)
    assert test.shape == (len(lengths), sampling.views, sampling.frames)
    assert training.dtype == test.dtype == np.int64
    for index in (training, test.reshape(len(lengths), -1)):
        assert index.min() >= 0
        assert (index < lengths[:, None]).all()


@given(lengths, segments, st.integers(0, 10))
def test_each_segment_gives_one_frame_in_order(lengths, sampling, seed):
    index = s.training_frames(lengths, sampling, np.random.default_rng(seed))
    assert (np.diff(index, axis=1) >= 0).all()
    edges = np.arange(sampling.frames + 1) * lengths[:, None] / sampling.frames
    assert (index >= np.floor(edges[:, :-1])).all()
    assert (index < np.ceil(edges[:, 1:])).all()


@given(lengths, dense, st.integers(0, 10))
def test_dense_clips_run_at_their_stride_and_loop_only_when_too_long(lengths, sampling, seed):
    index = s.training_frames(lengths, sampling, np.random.default_rng(seed))
    steps = np.diff(index, axis=1)
    long_enough = lengths >= sampling.span
    assert (steps[long_enough] == sampling.stride).all()
    assert (steps % lengths[:, None] == sampling.stride % lengths[:, None]).all()
    assert (index[~long_enough, 0] == 0).all()


def test_segments_by_hand():
    lengths = np.array([16, 10, 3])
    index = s.test_frames(lengths, Sampling("segments", frames=4))
    # Centres of four segments: 2, 6, 10, 14 of 16; 1.25, 3.75, 6.25, 8.75 of 10; and so on of 3.
    expected = [[2, 6, 10, 14], [1, 3, 6, 8], [0, 1, 1, 2]]
    np.testing.assert_array_equal(index[:, 0], expected)


def test_dense_views_by_hand():
    index = s.test_frames(np.array([30]), Sampling("dense", frames=4, stride=2, views=2))
    # 24 possible starts (0 to 23): the middles of their two halves are 6 and 18.
    np.testing.assert_array_equal(index[0], [[6, 8, 10, 12], [18, 20, 22, 24]])
    one = s.test_frames(np.array([30]), Sampling("dense", frames=4, stride=2))
    np.testing.assert_array_equal(one[0, 0], [12, 14, 16, 18])


LENGTHS = np.arange(1, 2001)


@pytest.mark.parametrize(
    ("frames", "stride", "views"), [(8, 8, 10), (32, 2, 4), (16, 4, 5), (8, 8, 1), (4, 1, 3)]
)
def test_starts_of_views_at_every_length_against_fractions(frames, stride, views):
    found = s.test_frames(LENGTHS, Sampling("dense", frames, stride, views))
    span = (frames - 1) * stride + 1
    for length, starts in zip(LENGTHS.tolist(), found[:, :, 0].tolist(), strict=True):
        possible = max(length - span + 1, 1)
        middles = [(Fraction(view) + Fraction(1, 2)) / views for view in range(views)]
        assert starts == [int(middle * possible) for middle in middles]


def test_a_start_that_floating_point_puts_one_frame_early():
    """180 starts, view 3 of 10: 0.35 * 180 is 63."""
    assert s.test_frames(np.array([236]), Sampling("dense", 8, 8, 10))[0, 3, 0] == 63


@pytest.mark.slow
@pytest.mark.parametrize(("frames", "views"), [(8, 1), (16, 1), (25, 3), (7, 10)])
def test_segments_at_every_length_against_fractions(frames, views):
    found = s.test_frames(LENGTHS, Sampling("segments", frames, views=views)).tolist()
    for length, by_view in zip(LENGTHS.tolist(), found, strict=True):
        for view, indices in enumerate(by_view):
            middle = (Fraction(view) + Fraction(1, 2)) / views
            assert indices == [int((n + middle) * length / frames) for n in range(frames)]


def test_a_short_video_loops():
    index = s.test_frames(np.array([5]), Sampling("dense", frames=4, stride=2, views=3))
    np.testing.assert_array_equal(index[0], [[0, 2, 4, 1]] * 3)


def test_every_frame_and_every_start_can_be_drawn():
    generator = np.random.default_rng(0)
    lengths = np.full(400, 12)
    segments = s.training_frames(lengths, Sampling("segments", frames=3), generator)
    assert [set(column) for column in segments.T] == [set(range(a, a + 4)) for a in (0, 4, 8)]
    dense = s.training_frames(lengths, Sampling("dense", frames=3, stride=2), generator)
    assert set(dense[:, 0]) == set(range(8))


def test_the_generator_alone_decides():
    draws = [
        s.training_frames(np.array([99, 40]), Sampling(), np.random.default_rng(seed))
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"kind": "segment"}, "sampling.kind.*'segments'"),
        ({"frames": 0}, "sampling.frames"),
        ({"frames": 2.0}, "sampling.frames"),
        ({"views": True}, "sampling.views"),
        ({"kind": "dense", "stride": -1}, "sampling.stride"),
        ({"stride": 2}, "sampling.stride"),
    ],
)
def test_impossible_values_are_named(values, named):
    with pytest.raises(UserError, match=named):
        Sampling(**values)


def test_an_empty_video_is_a_bug_of_the_caller():
    with pytest.raises(ValueError, match="lengths"):
        s.test_frames(np.array([4, 0]), Sampling())
