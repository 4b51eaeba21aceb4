import csv
import io
import tarfile
from collections import Counter

import numpy as np
import pytest

from kdlib.data import folder
from kdlib.data.decode import decode
from kdlib.data.manifest import Manifest, load
from kdlib.errors import UserError

CLASSES = ("jump", "wave")


def manifest(**changes):
    values = {
        "name": "mine",
        "title": "Mine",
        "classes": CLASSES,
        "files": {"folder": "clips", "archive": "clips.tar"},
        "layout": {"kind": "folders", "group": r"^(day\d+)_"},
    }
    return Manifest.model_validate({**values, **changes})


TABLE = {
    "layout": {
        "kind": "table",
        "table": "clips.csv",
        "path": "clip",
        "suffix": ".mp4",
        "label": "class",
        "group": "day",
        "left_out": ("drop",),
    },
    "splits": {"one": {"train": 8, "test": 2}},
}


def put_clips(root, write_video, names):
    """Short noise videos at root/name."""
    generator = np.random.default_rng(0)
    for i, name in enumerate(names):
        write_video(root / name, generator.integers(0, 256, (2 + i % 3, 16, 24, 3), np.uint8))


FOLDERS = [
    *(f"train/{label}/day{day}_{label}.mp4" for label in CLASSES for day in range(6)),
    *(f"test/{label}/day{day}_{label}.mp4" for label in CLASSES for day in (7, 8)),
]


@pytest.fixture
def data(tmp_path, write_video):
    """A data root with the folder data set <root>/mine/clips."""
    put_clips(tmp_path / "data/mine/clips", write_video, FOLDERS)
    return tmp_path / "data"


@pytest.fixture
def table(tmp_path, write_video):
    """A data root with the table data set <root>/mine/clips + clips.csv; change its rows, save."""
    rows = [
        {"clip": f"{label}/{day}.avi", "class": label, "day": str(day), "one": part}
        for label in CLASSES
        for day, part in enumerate(["train"] * 4 + ["test", "drop"])
    ]
    put_clips(tmp_path / "data/mine/clips", write_video, [r["clip"][:-3] + "mp4" for r in rows])

    def save():
        with (tmp_path / "data/mine/clips.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        return tmp_path / "data"

    return rows, save


def read(data, m, **changes):
    return folder.read(
        m, data, cache_root=data.parent / "cache", **{"height": 12, "width": 16, **changes}
    )


def no_overlap(sets):
    sets = list(sets)
    return sum(map(len, sets)) == len(set().union(*sets))


def check_contract(parts, m):
    """What every data set promises, whatever it holds."""
    assert tuple(parts) == ("train", "validation", "test")
    assert no_overlap(set(videos.groups) for videos in parts.values())
    for videos in parts.values():
        assert len(videos) == len(videos.labels) == len(videos.groups) > 0
        assert videos.offsets[0] == 0
        assert videos.offsets[-1] == len(videos.frames)
        assert videos.offsets.dtype == videos.labels.dtype == videos.groups.dtype == np.int64
        assert (videos.lengths > 0).all()
        assert videos.classes == m.classes


def test_split_folders(data):
    parts = read(data, manifest())
    check_contract(parts, manifest())
    assert len(parts["train"]) + len(parts["validation"]) == 12
    for videos in parts.values():
        for i, name in enumerate(videos.factors["name"]):
            expected = decode(data / "mine/clips" / name, (12, 16))
            clip = videos.clips(np.array([i]), np.arange(videos.lengths[i])[None])
            np.testing.assert_array_equal(clip[0].numpy(), expected)
            assert CLASSES[videos.labels[i]] == name.split("/")[1]


def test_a_validation_folder_is_used_as_it_is(data):
    (data / "mine/clips/validation").mkdir()
    (data / "mine/clips/test/jump").rename(data / "mine/clips/validation/jump")
    parts = read(data, manifest(layout={"kind": "folders"}))
    assert {k: len(v) for k, v in parts.items()} == {"train": 12, "validation": 2, "test": 2}


def test_a_table(table):
    _, save = table
    parts = read(save(), manifest(**TABLE))
    check_contract(parts, manifest(**TABLE))
    assert set(parts["test"].factors["name"]) == {"jump/4.mp4", "wave/4.mp4"}
    everything = np.concatenate([videos.factors["name"] for videos in parts.values()])
    assert len(everything) == 10  # "drop" is left out


@pytest.mark.parametrize(
    ("row", "changes", "message"),
    [
        (3, {"one": "tset"}, "clips.csv, line 5: one is 'tset'; .*train, validation, test, drop"),
        (3, {"one": "drop"}, "split one has 7 train, 2 test, but the manifest says 8 train"),
        (3, {"clip": "../../x.avi"}, "line 5: '../../x.avi' must be a relative path"),
        (3, {"clip": "jump/0.avi"}, "jump/0.mp4 stands in more than one row"),
        (3, {"class": "jmup"}, "class: unknown value 'jmup'.*Did you mean 'jump'"),
        (3, {"clip": "jump/9.avi"}, "1 of 10 clips are not in .*clips, the first: jump/9.mp4"),
    ],
)
def test_a_wrong_row_is_named(table, row, changes, message):
    rows, save = table
    rows[row].update(changes)
    with pytest.raises(UserError, match=message):
        read(save(), manifest(**TABLE))


def test_a_missing_table_or_column_is_named(table):
    _, save = table
    data = save()
    layout = {**TABLE["layout"], "group": "film"}
    with pytest.raises(UserError, match="column: unknown value 'film'"):
        read(data, manifest(**{**TABLE, "layout": layout}))
    with pytest.raises(UserError, match="split: unknown value 'two'"):
        read(data, manifest(**TABLE), split="two")
    (data / "mine/clips.csv").unlink()
    with pytest.raises(UserError, match=r"no clips.csv in .*mine"):
        read(data, manifest(**TABLE))


def test_groups_on_both_sides_of_test_are_told(table):
    rows, save = table
    rows[4]["day"] = "0"
    with pytest.warns(UserWarning, match="1 groups on both sides of test, for instance '0'"):
        read(save(), manifest(**TABLE))


def test_undecodable_files_are_named_once_and_left_out(data):
    for name in ("train/jump/day0_jump.mp4", "test/wave/day7_wave.mp4"):
        (data / "mine/clips" / name).write_bytes(b"no video")
    with pytest.warns(UserWarning, match="2 of 16 files cannot be decoded") as caught:
        parts = read(data, manifest())
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "train/jump/day0_jump.mp4: Invalid data" in message
    assert "test/wave/day7_wave.mp4: Invalid data" in message
    check_contract(parts, manifest())
    assert sum(map(len, parts.values())) == 14
    assert len(parts["test"]) == 3


def test_what_is_missing_is_said_with_the_places(tmp_path):
    with pytest.raises(
        UserError, match=r"mine: no clips or clips.tar in .*data.mine or .*data; set DATA"
    ):
        read(tmp_path / "data", manifest())
    (tmp_path / "data/clips").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no videos in .*clips; it should hold train/<class>"):
        read(tmp_path / "data", manifest())


def test_a_part_without_videos_is_named(data):
    (data / "mine/clips/test").rename(data / "mine/clips/other")
    with pytest.raises(UserError, match="there are no test videos"):
        read(data, manifest())


def test_a_group_pattern_that_finds_nothing_is_named(data):
    layout = {"kind": "folders", "group": r"^(week\d+)_"}
    with pytest.raises(UserError, match=r"layout.group finds nothing in 'test/jump/day7"):
        read(data, manifest(layout=layout))


# Archives


def pack(path, clips):
    with tarfile.open(path, "w") as tar:
        tar.add(clips, arcname="clips")


def test_an_archive_is_unpacked_once(data):
    pack(data / "mine/clips.tar", data / "mine/clips")
    expected = read(data, manifest())
    (data / "mine/clips").rename(data / "elsewhere")
    parts = read(data, manifest())
    for part, videos in parts.items():
        np.testing.assert_array_equal(videos.frames, expected[part].frames)
    place = folder.locate(manifest(), data, data.parent / "cache")
    (place / "mark").write_text("")
    assert folder.locate(manifest(), data, data.parent / "cache") == place
    assert (place / "mark").exists()


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize(
    "evil",
    [
        member("/tmp/evil"),
        member("../evil"),
        member("clips/../../evil"),
        member("clips/evil", tarfile.SYMTYPE, "/etc/passwd"),
        member("clips/evil", tarfile.LNKTYPE, "clips/good"),
        member("clips/evil", tarfile.FIFOTYPE),
    ],
    ids=["absolute", "parent", "inner parent", "symlink", "hard link", "fifo"],
)
def test_archives_that_reach_outside_are_refused(tmp_path, evil):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(member("clips/good"), io.BytesIO(b"good"))
        tar.addfile(evil, io.BytesIO(b"evil"))
    with pytest.raises(UserError, match=r"a\.tar: "):
        folder.unpack(tmp_path / "a.tar", tmp_path / "cache")
    assert not list((tmp_path / "cache/unpacked").glob("*/"))
    assert not list(tmp_path.rglob("evil"))


def test_a_damaged_archive_is_named(data):
    pack(data / "a.tar", data / "mine/clips")
    content = (data / "a.tar").read_bytes()
    (data / "a.tar").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"a\.tar: "):
        folder.unpack(data / "a.tar", data / "cache")
    assert not list((data / "cache/unpacked").glob("*/"))


# The validation part


def clips_of(groups):
    """Clips by group: a list of (group, label, number)."""
    return [
        folder.Clip(f"{group}/{label}/{i}", "train", label, group)
        for group, label, number in groups
        for i in range(number)
    ]


def test_validation_takes_whole_groups_near_the_share_of_each_class():
    generator = np.random.default_rng(0)
    groups = [(f"g{i}", CLASSES[i % 2], int(n)) for i, n in enumerate(generator.integers(1, 6, 60))]
    clips = clips_of(groups)
    carved = folder._with_validation(manifest(), clips)
    parts = {group: {c.part for c in carved if c.group == group} for group, _, _ in groups}
    assert all(len(part) == 1 for part in parts.values())
    counts, all_ = (
        Counter(c.label for c in cs if c.part == part)
        for cs, part in ((carved, "validation"), (clips, "train"))
    )
    for label in CLASSES:
        assert counts[label] / all_[label] == pytest.approx(0.17, abs=0.03)


def test_validation_does_not_depend_on_the_order_of_clips():
    clips = clips_of([(f"g{i}", CLASSES[i % 2], 1 + i % 4) for i in range(30)])
    forward = folder._with_validation(manifest(), clips)
    backward = folder._with_validation(manifest(), clips[::-1])
    assert set(forward) == set(backward)


def test_one_group_cannot_be_divided():
    with pytest.raises(UserError, match=r"too few groups \(1\)"):
        folder._with_validation(manifest(), clips_of([("g", "jump", 9)]))


# Real data


@pytest.mark.real
def test_jhmdb21(real, tmp_path):
    m = load("jhmdb21")
    place = folder.locate(m, real, tmp_path)
    clips = folder.list_clips(m, place, real)
    assert Counter(c.part for c in clips) == {"train": 492, "validation": 113, "test": 257}
    assert no_overlap({c.group for c in clips if c.part == part} for part in folder.PARTS)
    for part in folder.PARTS:
        assert {c.label for c in clips if c.part == part} == set(m.classes)
    assert all((place / c.name).is_file() for c in clips)
    with pytest.warns(UserWarning, match="split hmdb_split1 has 25 groups on both sides"):
        official = folder.list_clips(m, place, real, "hmdb_split1")
    assert Counter(c.part for c in official)["test"] == 257
