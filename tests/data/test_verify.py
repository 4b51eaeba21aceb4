import json
import os
import shutil

import numpy as np
import pytest

from kdlib.data.manifest import Manifest
from kdlib.data.verify import verify
from kdlib.errors import UserError

FILES = [
    *(f"train/{label}/{day}.mp4" for label in ("jump", "wave") for day in range(3)),
    *(f"test/{label}/7.mp4" for label in ("jump", "wave")),
]


def manifest(**changes):
    values = {
        "name": "mine",
        "title": "Mine",
        "classes": ("jump", "wave"),
        "files": {"folder": "clips"},
        "layout": {"kind": "folders"},
        "splits": {"all": {"train": 6, "test": 2}},
    }
    return Manifest.model_validate({**values, **changes})


@pytest.fixture
def clips(tmp_path, write_video):
    """A whole folder of noise videos."""
    draw = np.random.default_rng(0)
    folder = tmp_path / "data/mine/clips"
    for i, name in enumerate(FILES):
        write_video(folder / name, draw.integers(0, 256, (2 + i % 3, 16, 24, 3), np.uint8))
    return folder


def report(clips, **changes):
    root = clips.parents[2]
    return verify(manifest(**changes), root / "data", root / "cache")


def test_a_whole_set(clips):
    found = report(clips)
    assert found.whole
    assert [(row["part"], row["manifest"], row["present"]) for row in found.counts] == [
        ("train", 6, 6),
        ("test", 2, 2),
    ]
    assert found.classes == [
        {"class": "jump", "all train": 3, "all test": 1},
        {"class": "wave", "all train": 3, "all test": 1},
    ]
    assert found.text().endswith("\n\nwhole")
    assert len(found.validation["all"]) == 2
    assert "of 6 training samples 2 are set apart for validation" in found.text()
    assert json.loads(json.dumps(found.as_dict()))["whole"] is True


def test_every_fault_is_in_the_report_and_named_in_its_text(clips):
    (clips / "train/jump/0.mp4").write_bytes(b"no video")
    (clips / "train/jump/1.mp4").write_bytes(b"")
    shutil.copy(clips / "train/wave/0.mp4", clips / "test/wave/7.mp4")
    (clips / "stray.mp4").write_bytes(b"")
    found = report(clips)
    assert not found.whole
    assert sorted(found.undecodable) == ["train/jump/0.mp4", "train/jump/1.mp4"]
    assert found.extra == ["stray.mp4"]
    assert found.duplicates == [["test/wave/7.mp4", "train/wave/0.mp4"]]
    assert found.crossing == found.duplicates
    text = found.text()
    for part in ("undecodable: 2", "train/jump/0.mp4: Invalid", "stray.mp4", "both sides", "NOT"):
        assert part in text


def times_said(pair, found):
    """How many lines of the text name both of a pair."""
    return sum(all(name in line for name in pair) for line in found.text().splitlines())


def test_equal_files_are_named_once_and_the_worst_first(clips):
    for original, copy in (
        ("train/jump/0", "test/wave/7"),
        ("train/jump/2", "train/jump/1"),
        ("train/wave/1", "train/jump/extra"),
    ):
        shutil.copy(clips / f"{original}.mp4", clips / f"{copy}.mp4")
    found = report(clips, splits={})
    assert len(found.duplicates) == 3
    assert found.crossing == [["test/wave/7.mp4", "train/jump/0.mp4"]]
    assert found.conflicting == [
        ["test/wave/7.mp4", "train/jump/0.mp4"],
        ["train/jump/extra.mp4", "train/wave/1.mp4"],
    ]
    lines = found.text().splitlines()
    assert lines.count("equal in content: 3") == 1
    place = lines.index("equal in content: 3")
    assert lines[place + 1 : place + 4] == [
        "  test/wave/7.mp4 = train/jump/0.mp4 (of different classes, on both sides of test)",
        "  train/jump/extra.mp4 = train/wave/1.mp4 (of different classes)",
        "  train/jump/1.mp4 = train/jump/2.mp4",
    ]
    assert [times_said(pair, found) for pair in found.duplicates] == [1, 1, 1]


@pytest.mark.parametrize(("label", "also"), [(1, ""), (0, "of different classes, ")])
def test_an_image_in_both_parts_of_a_packed_set_is_named_once(tmp_path, label, also):
    """The last one of testing is the fourth of training, which is of class 1."""
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), np.uint8)
    images[8] = images[3]
    (tmp_path / "mine").mkdir()
    np.savez(tmp_path / "mine/train.npz", x=images[:6], y=[0, 1] * 3)
    np.savez(tmp_path / "mine/test.npz", x=images[6:], y=[0, 1, label])
    layout = {"kind": "packed", "files": {"train": ("train.npz",), "test": ("test.npz",)}}
    packed = manifest(layout=layout, files={}, media="images", splits={})
    found = verify(packed, tmp_path, tmp_path / "cache")
    pair = ["train/00003", "test/00002"]
    assert found.duplicates == found.crossing == [pair]
    assert found.conflicting == ([pair] if also else [])
    assert times_said(pair, found) == 1
    assert f"train/00003 = test/00002 ({also}on both sides of test)" in found.text()


def test_a_fault_of_the_lists_hides_nothing_and_blames_no_good_file(clips):
    (clips / "train/jump/0.mp4").write_bytes(b"no video")
    found = report(clips, splits={"all": {"train": 7, "test": 2}})
    assert "the manifest says 7 train" in found.faults[0]
    assert list(found.undecodable) == ["train/jump/0.mp4"]
    assert found.extra == []
    table = {"kind": "table", "table": "clips.csv", "label": None}
    (clips.parent / "clips.csv").write_text("path,all\nno-class.mp4,train\n")
    found = report(clips, layout=table)
    assert found.faults
    assert found.extra == []


def test_an_emptied_class_is_named(clips):
    for day in range(3):
        (clips / f"train/jump/{day}.mp4").unlink()
    found = report(clips, splits={})
    assert any("no training sample of 1 of 2 classes" in note for note in found.notes)
    assert "cannot be learnt: jump" in found.text()


def test_what_is_passed_over_is_listed(clips):
    (clips / "train/jump/notes.txt").write_text("")
    (clips / "train/jump/.hidden").write_text("")
    (clips / "train/jump/late.3gp").write_bytes(b"")
    found = report(clips, splits={})
    assert found.passed_over == ["train/jump/notes.txt"]
    assert list(found.undecodable) == ["train/jump/late.3gp"]
    assert "passed over for their suffix: 1" in found.text()


def test_links_pipes_and_odd_names_are_listed_alone(clips):
    (clips / "train/jump/loop.mp4").symlink_to("loop.mp4")
    os.mkfifo(clips / "train/jump/pipe.mp4")
    odd = os.fsencode(clips / "train/wave") + b"/caf\xe9.mp4"
    shutil.copy(clips / "train/wave/0.mp4", odd)
    bad = os.fsencode(clips / "train/wave") + b"/b\xffd.mp4"
    with open(bad, "wb"):
        pass
    found = report(clips, splits={})
    assert found.missing == []
    assert found.counts[0]["present"] == 10
    assert found.undecodable.keys() == {
        "train/jump/loop.mp4",
        "train/jump/pipe.mp4",
        "train/wave/b\\xffd.mp4",
    }
    text = found.text()
    assert text.isascii()
    assert "train/wave/0.mp4 = train/wave/caf\\xe9.mp4" in text


def test_what_a_list_names_and_the_folder_lacks(clips):
    table = {"kind": "table", "table": "clips.csv", "label": None}
    rows = ["path,all", *(f"{name},{name.split('/')[0]}" for name in FILES)]
    (clips.parent / "clips.csv").write_text("\n".join(rows))
    (clips / FILES[2]).unlink()
    found = report(clips, layout=table)
    assert found.missing == [FILES[2]]
    assert not found.whole
    assert found.counts[0]["present"] == 5
    assert report(clips, layout=table, incomplete=True).whole


def test_a_wrong_count_and_a_strange_class_are_faults(clips):
    found = report(clips, splits={"all": {"train": 7, "test": 2}})
    assert found.faults == [
        "mine: split all has 6 train, 2 test, but the manifest says 7 train, 2 test"
    ]
    (clips / "train/wave").rename(clips / "train/fly")
    assert "class: unknown value 'fly'" in report(clips).faults[0]


def test_long_lists_are_cut_in_the_text_only(clips):
    for i in range(30):
        (clips / f"stray{i}.mp4").write_bytes(b"")
    found = report(clips)
    assert len(found.extra) == 30
    assert "... 20 more" in found.text()


def test_a_set_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="mine: no clips in"):
        verify(manifest(), tmp_path, tmp_path / "cache")


@pytest.mark.real
@pytest.mark.slow
def test_jhmdb21(real, tmp_path):
    from kdlib.data.manifest import load

    found = verify(load("jhmdb21"), real, tmp_path, jobs=2)
    assert found.whole
    assert [found.missing, found.extra, found.undecodable, found.duplicates] == [[], [], {}, []]
    assert len(found.classes) == 21
    assert any("25 groups on both sides" in note for note in found.notes)
