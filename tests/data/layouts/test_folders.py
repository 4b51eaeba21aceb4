import os

import pytest

from kdlib.data import splits
from kdlib.errors import UserError

LAYOUT = {"kind": "folders"}


@pytest.fixture
def put(lists):
    """Make empty clips below the folder of a set."""

    def made(*names):
        for name in names:
            lists.put(f"clips/{name}", "")
        return lists

    return made


def samples(lists, **layout):
    return [(c.name, *c.labels, c.group) for c in lists.clips({**LAYOUT, **layout})]


def test_a_class_is_the_folder_and_hidden_things_are_nothing(put):
    lists = put(
        "train/jump/a.mp4",
        "train/jump/._a.mp4",
        "train/.ipynb_checkpoints/a.mp4",
        "train/jump/.cache/a.mp4",
        "test/wave/b.MKV",
        "test/wave/b.txt",
        "test/wave/deep/c.mp4",
        "test/c.mp4",
    )
    assert samples(lists) == [
        ("train/jump/a.mp4", "jump", "train/jump/a.mp4"),
        ("test/wave/b.MKV", "wave", "test/wave/b.MKV"),
    ]


def test_the_class_may_stand_inside_a_file_s_name(put):
    lists = put("train/0_1_4.avi", "train/1_1_2.avi", "test/x/1_7_0.avi", "train/readme.avi")
    found = samples(lists, **{"class": r"(?:^|/)([0-9])_[^/]*$", "group": r"^\d+_(\d+)_"})
    assert found == [
        ("train/0_1_4.avi", "0", "1"),
        ("train/1_1_2.avi", "1", "1"),
        ("test/x/1_7_0.avi", "1", "7"),
    ]


def test_the_class_may_be_a_folder_further_up(put):
    lists = put("train/jump/images/1.mp4", "train/wave/images/1.mp4", "test/jump/images/deep/9.mp4")
    found = samples(lists, **{"class": "^([^/]+)/images/"})
    assert [label for _, label, _ in found] == ["jump", "wave", "jump"]


def test_a_group_that_finds_nothing_is_named(put):
    with pytest.raises(UserError, match=r"mine: layout.group finds nothing in 'b\.mp4'"):
        samples(put("train/jump/b.mp4"), group=r"^day(\d+)")


def test_nothing_says_what_is_expected_and_what_else_there_is(put):
    with pytest.raises(UserError, match=r"no videos in .*<class>/<file>.*\.mp4.* layout\.class"):
        samples(put("train/jump/images/1.mp4"))


def test_links_are_followed_and_one_that_goes_round_hides_nothing(put):
    lists = put("train/jump/a.mp4", "elsewhere/b.mp4", "test/wave/c.mp4")
    clips = lists.folder / "clips"
    (clips / "train/jump/loop.mp4").symlink_to("loop.mp4")
    (clips / "train/jump/up").symlink_to("..")
    (clips / "train/wave").symlink_to(clips / "elsewhere")
    found = samples(lists, **{"class": "^([^/]+)/"})
    assert [name for name, *_ in found] == [
        "train/jump/a.mp4",
        "train/jump/loop.mp4",
        "train/wave/b.mp4",
        "test/wave/c.mp4",
    ]


def test_names_that_are_not_utf_8_are_printable(put):
    lists = put("train/jump/a.mp4", "test/jump/a.mp4")
    for name in (b"train/jump/caf\xe9.mp4", b"train/w\xffve/a.mp4"):
        path = os.path.join(os.fsencode(lists.folder / "clips"), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "wb").close()
    clips = lists.clips(LAYOUT, classes=3)
    odd = [clip for clip in clips if clip.file != clip.name]
    assert [(c.name, *c.labels) for c in odd] == [
        ("train/jump/caf\\xe9.mp4", "jump"),
        ("train/w\\xffve/a.mp4", "w\\xffve"),
    ]
    assert all((lists.folder / "clips" / clip.file).exists() for clip in clips)
    assert len(splits.groups(clips, "train")) == 3
