import json
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
