from collections import Counter
from pathlib import PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdlib.data import splits
from kdlib.data.layouts import Places
from kdlib.data.layouts.lists import clips as read
from kdlib.data.manifest import load
from kdlib.errors import UserError

LAYOUT = {"kind": "lists", "lists": {"one": {"train": "a.txt", "test": "b.txt"}}}
SPLITS = {"splits": {"one": {"train": 1, "test": 1}}}


def test_paths_numbers_and_odd_names(lists):
    lists.put("a.txt", "\ufeffjump/v (1) [a]; b!.avi 1\r\n\nwave/ä # 2.avi 2\n")
    lists.put("b.txt", "wave/c 3.avi\n")
    clips = lists.clips(LAYOUT, **SPLITS)
    assert [(c.name, c.part, c.labels) for c in clips] == [
        ("jump/v (1) [a]; b!.avi", "train", ("jump",)),
        ("wave/ä # 2.avi", "train", ("wave",)),
        ("wave/c 3.avi", "test", ("wave",)),
    ]
    assert [c.group for c in clips] == [c.name for c in clips]


def test_the_last_group_of_a_pattern_is_the_scene(lists):
    lists.put("a.txt", "jump/v_jump_g01_c02.avi")
    lists.put("b.txt", "wave/v_wave_g02_c01.avi")
    layout = {**LAYOUT, "group": r"^([^/]+)/v_\1_(g\d\d)_"}
    assert [c.group for c in lists.clips(layout, **SPLITS)] == ["g01", "g02"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("jump/x.avi 2", r"a.txt, line 1: class 2 is 'wave', but the clip lies in jump"),
        ("jump/x.avi 0", r"line 1: class 0 is 'none'"),
        ("jump/x.avi 9", r"line 1: class 9 is 'none'"),
        ("x.avi 1", r"line 1: 'x.avi' lies in no folder of a class"),
        ("../x.avi 1", r"line 1: .*relative path without"),
        ("/x/x.avi 1", r"line 1: .*relative path without"),
        (b"\xff\xfe\x00", r"a.txt: not UTF-8 text \(byte 0\)"),
        (b"jump/\0.avi", r"a.txt: not text; it holds zero bytes"),
    ],
)
def test_a_wrong_line_is_named(lists, line, message):
    lists.put("a.txt", line)
    with pytest.raises(UserError, match=message):
        lists.clips(LAYOUT, **SPLITS)


@pytest.mark.parametrize(
    ("lines", "pattern"),
    [("0_1_4.avi\n1_1_2.avi", r"^(\d)_"), ("a.avi 0\nx/b c.avi 1", r" (\d+)$")],
)
def test_the_class_may_stand_anywhere_in_a_line(lists, lines, pattern):
    lists.put("a.txt", lines)
    lists.put("b.txt", "1_2_3.avi 1")
    clips = lists.clips({**LAYOUT, "class": pattern}, **SPLITS, classes=("0", "1"))
    assert [(c.part, *c.labels) for c in clips] == [("train", "0"), ("train", "1"), ("test", "1")]
    assert [c.file for c in clips[:2]] == [
        line.removesuffix(" 0").removesuffix(" 1") for line in lines.split("\n")
    ]
    lists.put("b.txt", "other.avi")
    with pytest.raises(UserError, match=r"b.txt, line 1: layout.class finds nothing in 'other"):
        lists.clips({**LAYOUT, "class": pattern}, **SPLITS)


def test_a_missing_list_is_named(lists):
    with pytest.raises(UserError, match=r"mine: no a\.txt in "):
        lists.clips(LAYOUT, **SPLITS)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.text(max_size=200) | st.binary(max_size=200))
def test_any_text_is_clips_inside_or_a_user_error(any_lists, content):
    lists = any_lists()
    lists.put("a.txt", content.encode(errors="replace") if isinstance(content, str) else content)
    lists.put("b.txt", "")
    clips = lists.clips_or_refused("a.txt", LAYOUT, **SPLITS)
    for clip in clips:
        assert not clip.file.startswith("/")
        assert ".." not in clip.file.split("/")
        assert clip.labels[0] == PurePosixPath(clip.file).parent.name  # "a//b" lies in a


@pytest.mark.real
@pytest.mark.parametrize(
    ("split", "train", "test"),
    [("split1", 9537, 3783), ("split2", 9586, 3734), ("split3", 9624, 3696)],
)
def test_ucf101(real, tmp_path, split, train, test):
    m = load("ucf101")
    (tmp_path / "ucfTrainTestlist").symlink_to(real / "annotations/ucf101_splits")
    clips = read(m, m.layout, Places(tmp_path, (tmp_path,)), split)
    assert Counter(c.part for c in clips) == {"train": train, "test": test}
    # No group of people and places is on both sides: no warning, which would be an error here.
    splits.check(m, split, clips)
    assert len({c.group for c in clips}) == 25 * 101
    stated = (real / "annotations/ucf101_splits/classInd.txt").read_text().split()
    assert m.classes == tuple(stated[1::2])
