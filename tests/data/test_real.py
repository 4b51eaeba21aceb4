import csv
import tarfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from kdlib.data import real as module
from kdlib.data import splits
from kdlib.data.decode import decode
from kdlib.data.layouts import Actor, Clip
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
    return module.read(
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
        assert (videos.lengths > 0).all()
        assert (videos.starts + videos.lengths).max() <= len(videos.frames)
        for array in (videos.starts, videos.lengths, videos.labels, videos.groups):
            assert array.dtype == np.int64
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
        (3, {"clip": "jump/9.avi"}, "1 of 10 samples are not in .*clips, the first: jump/9.mp4"),
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
    with pytest.warns(UserWarning, match="2 files cannot be decoded") as caught:
        parts = read(data, manifest())
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "train/jump/day0_jump.mp4: Invalid data" in message
    assert "test/wave/day7_wave.mp4: Invalid data" in message
    check_contract(parts, manifest())
    assert sum(map(len, parts.values())) == 14
    assert len(parts["test"]) == 3


def test_a_class_whose_training_files_are_all_broken_is_named(data):
    for day in range(6):
        (data / f"mine/clips/train/jump/day{day}_jump.mp4").write_bytes(b"no video")
    with pytest.warns(UserWarning, match="6 files cannot be decoded") as caught:
        parts = read(data, manifest())
    texts = [str(warning.message) for warning in caught]
    expected = "no training sample of 1 of 2 classes, which cannot be learnt: jump"
    assert [expected in text for text in texts] == [False, True]
    assert set(parts["train"].labels) == {1}
    assert set(parts["test"].labels) == {0, 1}


def test_what_is_missing_is_said_with_the_places(tmp_path):
    with pytest.raises(
        UserError, match=r"mine: no clips or clips.tar in .*data.mine or .*data; DATA names"
    ):
        read(tmp_path / "data", manifest())
    (tmp_path / "data/clips").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no videos in .*clips; it should hold train/<class>"):
        read(tmp_path / "data", manifest())


def test_a_part_without_videos_is_named(data):
    (data / "mine/clips/test").rename(data / "mine/clips/other")
    with pytest.raises(UserError, match="split folders has no test samples"):
        read(data, manifest())


def test_a_group_pattern_that_finds_nothing_is_named(data):
    layout = {"kind": "folders", "group": r"^(week\d+)_"}
    with pytest.raises(UserError, match=r"layout\.group finds nothing in 'day0_jump.mp4'"):
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
        np.testing.assert_array_equal(videos.factors["name"], expected[part].factors["name"])
        np.testing.assert_array_equal(videos.starts, expected[part].starts)
    place = module.places(manifest(), data, data.parent / "cache").folder
    (place / "mark").write_text("")
    assert module.places(manifest(), data, data.parent / "cache").folder == place
    assert (place / "mark").exists()


def test_unpacked_files_that_are_lost_or_changed_come_back(data, capsys):
    pack(data / "mine/clips.tar", data / "mine/clips")
    (data / "mine/clips").rename(data / "elsewhere")
    expected = read(data, manifest())
    place = module.places(manifest(), data, data.parent / "cache").folder
    (place / FOLDERS[0]).unlink()
    content = (place / FOLDERS[-1]).read_bytes()
    (place / FOLDERS[-1]).write_bytes(content[: len(content) // 2])
    capsys.readouterr()
    found = read(data, manifest())
    assert capsys.readouterr().err.count("files lost or changed: 2, such as ") == 1
    for part, videos in found.items():
        np.testing.assert_array_equal(videos.factors["name"], expected[part].factors["name"])
        np.testing.assert_array_equal(videos.frames, expected[part].frames)
    assert (place / FOLDERS[-1]).read_bytes() == content


# Packed images, several classes a sample, actors


def test_a_packed_image_is_a_video_of_one_frame(tmp_path):
    generator = np.random.default_rng(0)
    images = {part: generator.integers(0, 256, (n, 8, 8, 3), np.uint8) for part, n in PACKED}
    (tmp_path / "data/mine").mkdir(parents=True)
    for part, stored in images.items():
        labels = np.arange(len(stored)) % 2
        np.savez(tmp_path / f"data/mine/{part}.npz", x=stored, y=labels)
    files = {part: (f"{part}.npz",) for part in images}
    m = manifest(files={}, layout={"kind": "packed", "files": files}, media="images")
    parts = read(tmp_path / "data", m, height=8, width=8)
    check_contract(parts, m)
    assert len(parts["train"]) + len(parts["validation"]) == 40
    for videos in parts.values():
        assert (videos.lengths == 1).all()
        for row, name in enumerate(videos.factors["name"]):
            part, place = name.split("/")
            clip = videos.clips(np.array([row]), np.array([[0]]))[0, 0].numpy()
            np.testing.assert_array_equal(clip, images[part][int(place)])
            assert videos.labels[row] == int(place) % 2
    halved = read(tmp_path / "data", m, height=4, width=4)["test"]
    for row, name in enumerate(halved.factors["name"]):
        whole = Image.fromarray(images["test"][int(name.split("/")[1])])
        np.testing.assert_array_equal(halved.frames[halved.starts[row]], whole.resize((4, 4)))


PACKED = (("train", 40), ("test", 10))


def clip_of(name, *labels, part="train", **more):
    return Clip(name, part, labels, name, name, **more)


def test_labels_of_several_classes_and_of_actors():
    two = [clip_of("a", "wave"), clip_of("b", "jump", "wave")]
    hot, boxes = module._labels(manifest(task="multi-label"), two, CLASSES)
    np.testing.assert_array_equal(hot, [[0, 1], [1, 1]])
    assert boxes is None
    actors = (Actor((0, 0, 0.5, 1), ("jump",)), Actor((0.5, 0, 1, 1), ("jump", "wave")))
    two = [clip_of("a", "wave", actors=actors[1:]), clip_of("b", actors=actors)]
    hot, boxes = module._labels(manifest(task="detection"), two, CLASSES)
    np.testing.assert_array_equal(hot, [[[1, 1], [0, 0]], [[1, 0], [1, 1]]])
    np.testing.assert_array_equal(boxes[:, 0], [[0.5, 0, 1, 1], [0, 0, 0.5, 1]])


# What is missing, or stands on two sides


def test_an_incomplete_set_does_without_what_is_missing(table):
    _, save = table
    data = save()
    (data / "mine/clips/jump/0.mp4").unlink()
    with pytest.raises(UserError, match=r"1 of 10 samples are not in .*the first: jump/0\.mp4"):
        read(data, manifest(**TABLE))
    m = manifest(**TABLE, incomplete=True)
    with pytest.warns(UserWarning, match=r"jump/0.mp4; they are left out \(1 (train|valid)"):
        parts = read(data, m)
    check_contract(parts, m)
    assert sum(map(len, parts.values())) == 9


def test_a_sample_on_two_sides_or_twice_is_refused():
    clips = [clip_of("a", "jump"), clip_of("b", "wave", part="test")]
    splits.check(manifest(), "folders", clips)
    with pytest.raises(UserError, match="a stands in both train and test"):
        splits.check(manifest(), "folders", [*clips, clip_of("a", "jump", part="test")])
    with pytest.raises(UserError, match="a stands twice in split folders"):
        splits.check(manifest(), "folders", [*clips, clips[0]])


def test_classes_of_a_number_are_those_found():
    clips = [clip_of("a", "jump"), clip_of("b", "fly")]
    assert splits.class_names(manifest(classes=2), clips) == ("fly", "jump")
    with pytest.raises(UserError, match="2 classes, but the manifest says 3"):
        splits.class_names(manifest(classes=3), clips)
    with pytest.raises(UserError, match="class: unknown value 'fly'"):
        splits.class_names(manifest(), clips)


# The validation part


def clips_of(groups):
    """Clips by group: a list of (group, label, number)."""
    return [
        Clip(f"{group}/{label}/{i}", "train", (label,), group, f"{group}/{label}/{i}")
        for group, label, number in groups
        for i in range(number)
    ]


def test_validation_takes_whole_groups_near_the_share_of_each_class():
    generator = np.random.default_rng(0)
    groups = [(f"g{i}", CLASSES[i % 2], int(n)) for i, n in enumerate(generator.integers(1, 6, 60))]
    clips = clips_of(groups)
    carved = splits.with_validation(manifest(), clips)
    parts = {group: {c.part for c in carved if c.group == group} for group, _, _ in groups}
    assert all(len(part) == 1 for part in parts.values())
    counts, all_ = (
        Counter(c.labels[0] for c in cs if c.part == part)
        for cs, part in ((carved, "validation"), (clips, "train"))
    )
    for label in CLASSES:
        assert counts[label] / all_[label] == pytest.approx(0.17, abs=0.03)


def test_validation_does_not_depend_on_the_order_of_clips():
    clips = clips_of([(f"g{i}", CLASSES[i % 2], 1 + i % 4) for i in range(30)])
    forward = splits.with_validation(manifest(), clips)
    backward = splits.with_validation(manifest(), clips[::-1])
    assert set(forward) == set(backward)


def test_one_group_cannot_be_divided():
    with pytest.raises(UserError, match=r"too few groups \(1\)"):
        splits.with_validation(manifest(), clips_of([("g", "jump", 9)]))


# Real data


@pytest.mark.real
def test_jhmdb21(real, tmp_path):
    m = load("jhmdb21")
    found = module.places(m, real, tmp_path)
    clips = module.present(m, found)
    assert Counter(c.part for c in clips) == {"train": 492, "validation": 113, "test": 257}
    assert no_overlap({c.group for c in clips if c.part == part} for part in splits.PARTS)
    for part in splits.PARTS:
        assert {c.labels[0] for c in clips if c.part == part} == set(m.classes)
    with pytest.warns(UserWarning, match="split hmdb_split1 has 25 groups on both sides"):
        official = module.listed(m, found, "hmdb_split1")
    assert Counter(c.part for c in official)["test"] == 257
