import json
import multiprocessing
import os
import re
import shutil

import numpy as np
import pytest

from kdlib.data.generated import GeneratedSpec, store, videos
from kdlib.data.generated.store import damaged, stored_videos

SPEC = GeneratedSpec("mix12", 0, frames=4, size=16)


@pytest.fixture
def opened(tmp_path):
    """The clips of one cache, and its folder."""

    def open_it(spec=SPEC, count=12):
        found = stored_videos(tmp_path / "generated", spec, "train", count)
        (folder,) = (p for p in (tmp_path / "generated").iterdir() if p.suffix != ".lock")
        return found, folder

    return open_it


def assert_equal(one, other):
    for name in ("frames", "starts", "lengths", "labels", "groups", "classes"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.factors.keys() == other.factors.keys()
    for name, values in one.factors.items():
        np.testing.assert_array_equal(values, other.factors[name])


def replace(path, content):
    """Write a file as another process would: its time tells, whatever the clock."""
    path.write_bytes(content)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))


def flip_half(folder):
    content = np.frombuffer((folder / "frames.npy").read_bytes(), np.uint8).copy()
    content[200::2] ^= 255
    replace(folder / "frames.npy", content.tobytes())


def flip_one(folder, name="frames.npy"):
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    replace(folder / name, bytes(content))


def lose(folder, name="frames.npy"):
    (folder / name).unlink()


def shift_labels(folder):
    """A whole archive in itself, with other labels."""
    with np.load(folder / "known.npz") as known:
        arrays = dict(known)
    arrays["labels"] = np.roll(arrays["labels"], 1)
    np.savez(folder / "known.npz", **arrays)


def cut(name, share=2):
    return lambda folder: replace(
        folder / name, (folder / name).read_bytes()[: (folder / name).stat().st_size // share]
    )


def become_a_file(folder):
    shutil.rmtree(folder)
    folder.write_text("")


def checks(change):
    def damage(folder):
        content = json.loads((folder / "checks.json").read_text())
        replace(folder / "checks.json", json.dumps(change(content) or content).encode())

    return damage


KNOWN = "known.npz"
DAMAGES = {
    "half of the frames flipped": flip_half,
    "one bit flipped": flip_one,
    "labels shifted": shift_labels,
    "frames cut": cut("frames.npy"),
    "frames empty": cut("frames.npy", 10**9),
    "known cut": cut("known.npz"),
    "checks cut": cut("checks.json"),
    "no frames": lose,
    "no known": lambda folder: lose(folder, "known.npz"),
    "no checks": lambda folder: lose(folder, "checks.json"),
    "nothing": lambda folder: [path.unlink() for path in folder.iterdir()],
    "a file": become_a_file,
    "checks of another kind": checks(lambda content: [1]),
    "checksums of another kind": checks(lambda content: content.update(crc32=3)),
    "a checksum of another kind": checks(
        lambda content: content["crc32"].update({"known.npz": []})
    ),
    "another name": checks(lambda content: content.update(of="something else")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_made_again_and_told_in_one_line(opened, capsys, damage):
    _, folder = opened()
    DAMAGES[damage](folder)
    assert damaged(folder)
    assert capsys.readouterr().err == ""
    assert_equal(opened()[0], videos(SPEC, "train", 12))
    text = capsys.readouterr().err
    assert re.fullmatch(r"kdlib: note: cache \S+: .* missing or damaged; made again\n", text)
    assert damaged(folder) == []
    opened()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", [flip_one, lose])
def test_flow_that_is_damaged_or_lost_is_made_again(tmp_path, capsys, damage):
    def opened():
        return stored_videos(tmp_path, SPEC, "train", 12, flow=True)

    before = np.array(opened().flow)
    assert before.any()
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    damage(folder, "flow.npy")
    assert damaged(folder) == ["flow.npy"]
    assert capsys.readouterr().err == ""
    found = opened()
    np.testing.assert_array_equal(found.flow, before)
    assert_equal(found, videos(SPEC, "train", 12))
    assert "flow.npy missing or damaged; made again" in capsys.readouterr().err
    assert damaged(folder) == []


def test_what_is_whole_is_not_made_again_and_read_once_in_a_process(opened, monkeypatch, capsys):
    opened()
    first, folder = opened()
    before = {path: path.stat() for path in folder.iterdir()}
    monkeypatch.setattr(store, "videos", None)
    monkeypatch.setattr(store, "_crc32", None)
    assert_equal(opened()[0], first)
    assert {path: path.stat() for path in folder.iterdir()} == before
    assert capsys.readouterr().err == ""
    os.utime(folder / "frames.npy", (1, 1))
    assert damaged(folder) == ["frames.npy"]  # Read again, which the test forbids.


def test_the_whole_cache_of_other_clips_is_not_taken_for_these(opened, tmp_path):
    _, folder = opened()
    other = GeneratedSpec("mix12", 1, frames=4, size=16)
    stored_videos(tmp_path / "other", other, "train", 12)
    (foreign,) = (p for p in (tmp_path / "other").iterdir() if p.suffix != ".lock")
    shutil.rmtree(folder)
    shutil.copytree(foreign, folder)
    assert damaged(folder) == ["checks.json"]
    assert_equal(opened()[0], videos(SPEC, "train", 12))


def test_frames_that_are_mapped_stay_as_they_are(opened):
    held, folder = opened()
    before = np.array(held.frames)
    (folder / "known.npz").unlink()
    opened()
    np.testing.assert_array_equal(held.frames, before)


def open_sum(root):
    found = stored_videos(root, SPEC, "train", 12)
    return int(found.frames.sum()), found.labels.tolist()


def test_processes_that_find_the_same_damage_do_not_break_each_other(opened, tmp_path):
    found, folder = opened()
    expected = int(found.frames.sum()), found.labels.tolist()
    del found
    flip_half(folder)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        sums = pool.map(open_sum, [tmp_path / "generated"] * 6, chunksize=1)
    assert sums == [expected] * 6
    assert sorted(p.name for p in folder.parent.iterdir()) == [folder.name, f"{folder.name}.lock"]
