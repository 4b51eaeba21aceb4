from dataclasses import replace

import numpy as np
import pytest

from kdlib.data.videos import Videos


@pytest.fixture
def uneven():
    """Ten videos of three classes: six, three and one."""
    labels = np.array([0, 1, 0, 2, 0, 0, 1, 0, 1, 0])
    rows = np.arange(10)
    return Videos(
        frames=np.arange(10, dtype=np.uint8)[:, None, None, None],
        starts=rows,
        lengths=np.ones(10, dtype=np.int64),
        labels=labels,
        groups=rows,
        classes=("a", "b", "c"),
        factors={"name": rows.astype(str)},
    )


def test_taken_videos_keep_what_belongs_to_them(uneven):
    taken = uneven.take(np.array([3, 8]))
    assert taken.labels.tolist() == [2, 1]
    assert taken.groups.tolist() == [3, 8]
    assert taken.factors["name"].tolist() == ["3", "8"]
    assert taken.frames is uneven.frames
    assert taken.clips(np.array([1]), np.array([[0]])).flatten().tolist() == [8]


@pytest.mark.parametrize(
    ("count", "by_class"), [(3, [1, 1, 1]), (5, [2, 2, 1]), (7, [3, 3, 1]), (9, [5, 3, 1])]
)
def test_classes_are_as_even_as_can_be(uneven, count, by_class):
    chosen = uneven.balanced(count, seed=0)
    assert np.bincount(chosen.labels, minlength=3).tolist() == by_class
    assert len(set(chosen.groups)) == count


def test_the_choice_is_the_seed_s(uneven):
    chosen = [uneven.balanced(5, seed).groups.tolist() for seed in (0, 0, 1, 2, 3)]
    assert chosen[0] == chosen[1]
    assert len({str(one) for one in chosen}) > 1
    assert all(uneven.balanced(count, 0) is uneven for count in (0, 10, 11))


def test_videos_of_several_labels_are_drawn_without_regard_to_class(uneven):
    several = replace(uneven, labels=np.eye(3, dtype=np.float32)[uneven.labels])
    assert len(several.balanced(4, 0)) == 4
