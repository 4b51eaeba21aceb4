from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdlib.data.layouts import Places
from kdlib.data.layouts.class_lists import clips as read
from kdlib.data.manifest import load
from kdlib.errors import UserError

LAYOUT = {"kind": "class_lists", "lists": {"one": "{class}_split1.txt"}, "suffix": ".mp4"}
SPLITS = {"splits": {"one": {"train": 1, "test": 1}}}


def test_marks_say_the_part_and_suffixes_are_replaced(lists):
    lists.put("jump_split1.txt", "a(1)!;[x]@.avi 1 \nb c.avi 2\nnever.avi 0\n")
    lists.put("wave_split1.txt", "d.avi 1\n")
    assert [(c.file, c.part) for c in lists.clips(LAYOUT, **SPLITS)] == [
        ("jump/a(1)!;[x]@.mp4", "train"),
        ("jump/b c.mp4", "test"),
        ("wave/d.mp4", "train"),
    ]


@pytest.mark.parametrize("line", ["a.avi", "a.avi 3", "1", " 1", "a.avi one"])
def test_a_wrong_line_is_named(lists, line):
    lists.put("jump_split1.txt", f"ok.avi 1\n{line}\n")
    with pytest.raises(UserError, match=r"jump_split1.txt, line 2: .*0, 1 or 2"):
        lists.clips(LAYOUT, **SPLITS)


def test_a_path_that_leads_outside_is_named(lists):
    lists.put("jump_split1.txt", "../../a.avi 1\n")
    with pytest.raises(UserError, match=r"line 1: .*relative path"):
        lists.clips(LAYOUT, **SPLITS)


def test_classes_need_names(lists):
    with pytest.raises(ValueError, match="classes: a class_lists layout needs their names"):
        lists.manifest(LAYOUT, **SPLITS, classes=2)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_text_is_clips_inside_or_a_user_error(any_lists, content):
    lists = any_lists()
    lists.put("jump_split1.txt", content)
    lists.put("wave_split1.txt", "")
    clips = lists.clips_or_refused("jump_split1.txt", LAYOUT, **SPLITS)
    assert all(c.file.startswith("jump/") and ".." not in c.file.split("/") for c in clips)


@pytest.mark.real
@pytest.mark.parametrize("split", ["split1", "split2", "split3"])
def test_hmdb51(real, tmp_path, split):
    m = load("hmdb51")
    (tmp_path / "testTrainMulti_7030_splits").symlink_to(real / "annotations/hmdb51_splits")
    clips = read(m, m.layout, Places(tmp_path, (tmp_path,)), split)
    assert Counter(c.part for c in clips) == {"train": 3570, "test": 1530}
    by_class = Counter((c.labels[0], c.part) for c in clips)
    assert set(by_class.values()) == {70, 30}
    # Within a class no film is on both sides.
    sides = {}
    for c in clips:
        sides.setdefault((c.labels[0], c.group), set()).add(c.part)
    assert sum(len(parts) > 1 for parts in sides.values()) == HMDB_CROSSING[split]


HMDB_CROSSING = {"split1": 0, "split2": 0, "split3": 0}
