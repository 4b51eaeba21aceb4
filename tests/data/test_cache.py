import json
import os
import resource
import threading

import numpy as np
import pytest

from kdlib.data import cache as module
from kdlib.data.cache import frame_cache
from kdlib.data.decode import decode
from kdlib.errors import UserError

SIZE = {"height": 16, "width": 24}


@pytest.fixture
def files(tmp_path, write_video):
    """Two videos of other sizes and lengths and, between them, a file that is none."""
    generator = np.random.default_rng(0)
    for name, shape in (("a", (5, 32, 48, 3)), ("c", (3, 48, 32, 3))):
        write_video(tmp_path / f"clips/{name}.mp4", generator.integers(0, 256, shape, np.uint8))
    (tmp_path / "clips/b.mp4").write_bytes(b"no video")
    return {f"{name}.mp4": tmp_path / f"clips/{name}.mp4" for name in "abc"}


@pytest.mark.parametrize("jobs", [1, 3])
def test_frames_stand_file_after_file(tmp_path, files, jobs):
    cache = frame_cache(tmp_path / "cache", files, **SIZE, jobs=jobs)
    assert cache.names == ("a.mp4", "c.mp4")
    np.testing.assert_array_equal(cache.offsets, [0, 5, 8])
    np.testing.assert_array_equal(cache.frames[:5], decode(files["a.mp4"], (16, 24)))
    np.testing.assert_array_equal(cache.frames[5:], decode(files["c.mp4"], (16, 24)))
    assert cache.undecodable.keys() == {"b.mp4"}
    assert "Invalid data" in cache.undecodable["b.mp4"]
    assert not cache.frames.flags.writeable
    cache.verify()


def test_the_second_call_decodes_nothing(tmp_path, files, monkeypatch):
    first = frame_cache(tmp_path / "cache", files, **SIZE)
    monkeypatch.setattr(module, "decode", None)
    monkeypatch.setattr(module, "file_hash", None)
    second = frame_cache(tmp_path / "cache", files, **SIZE)
    assert second.folder == first.folder
    assert (second.names, second.undecodable) == (first.names, first.undecodable)
    np.testing.assert_array_equal(second.frames, first.frames)


def test_the_key_is_the_content(tmp_path, files):
    root = tmp_path / "cache"
    first = frame_cache(root, files, **SIZE).folder
    assert frame_cache(root, files, height=16, width=16).folder != first
    assert frame_cache(root, dict(reversed(files.items())), **SIZE).folder != first
    assert frame_cache(root, {"x" + n: p for n, p in files.items()}, **SIZE).folder != first
    # Other places and times do not matter, other bytes do.
    (tmp_path / "clips").rename(tmp_path / "moved")
    moved = {name: tmp_path / "moved" / name for name in files}
    os.utime(moved["a.mp4"], (1, 1))
    assert frame_cache(root, moved, **SIZE).folder == first
    moved["b.mp4"].write_bytes(b"no film!")
    assert frame_cache(root, moved, **SIZE).folder != first


def test_an_interrupted_build_leaves_nothing_behind(tmp_path, files, monkeypatch):
    def interrupt(path, size):
        if path.name == "c.mp4":
            raise KeyboardInterrupt
        return decode(path, size)

    with monkeypatch.context() as patch:
        patch.setattr(module, "decode", interrupt)
        with pytest.raises(KeyboardInterrupt):
            frame_cache(tmp_path / "cache", files, **SIZE)
    assert [p.suffix for p in (tmp_path / "cache/frames").iterdir()] in ([], [".lock"])
    assert len(frame_cache(tmp_path / "cache", files, **SIZE).names) == 2


def test_what_a_killed_build_left_is_not_taken_for_a_cache(tmp_path, files):
    folder = frame_cache(tmp_path / "cache", files, **SIZE).folder
    folder.rename(folder.with_suffix(".partial"))
    (folder.with_suffix(".partial") / "index.json").unlink()
    assert frame_cache(tmp_path / "cache", files, **SIZE).folder == folder
    assert not folder.with_suffix(".partial").exists()


def cut_frames(folder):
    path = folder / "frames.npy"
    path.write_bytes(path.read_bytes()[:-1])


def cut_index(folder):
    path = folder / "index.json"
    path.write_text(path.read_text()[:-20])


def miscount(folder):
    index = json.loads((folder / "index.json").read_text())
    index["files"][0]["frames"] += 1
    (folder / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("damage", [cut_frames, cut_index, miscount])
def test_a_cache_that_does_not_fit_its_index_is_built_again(tmp_path, files, damage):
    cache = frame_cache(tmp_path / "cache", files, **SIZE)
    expected = np.array(cache.frames)
    damage(cache.folder)
    with pytest.warns(UserWarning, match="built again"):
        again = frame_cache(tmp_path / "cache", files, **SIZE)
    np.testing.assert_array_equal(again.frames, expected)


def test_verify_finds_one_changed_byte(tmp_path, files):
    cache = frame_cache(tmp_path / "cache", files, **SIZE)
    with (cache.folder / "frames.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    with pytest.raises(UserError, match="damaged"):
        frame_cache(tmp_path / "cache", files, **SIZE).verify()


def test_two_builders_at_once_decode_once(tmp_path, files, monkeypatch):
    decoded, caches = [], []

    def count(path, size):
        decoded.append(path.name)
        return decode(path, size)

    monkeypatch.setattr(module, "decode", count)
    build = lambda: caches.append(frame_cache(tmp_path / "cache", files, **SIZE))  # noqa: E731
    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(decoded) == ["a.mp4", "b.mp4", "c.mp4"]
    assert [cache.folder for cache in caches] == [caches[0].folder] * 3


def test_a_full_disk_is_said_so(tmp_path, files):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        with pytest.raises(UserError, match=r"cache_root: no room left in .*cache"):
            frame_cache(tmp_path / "cache", files, **SIZE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "cache/frames").glob("*/"))


def test_a_cache_root_that_cannot_be_made_is_named(tmp_path, files):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cache: .*file.*Not a directory"):
        frame_cache(tmp_path / "file/cache", files, **SIZE)


def test_nothing_decodable_is_an_error_with_the_reason(tmp_path, files):
    with pytest.raises(UserError, match=r"none of 1 files.*b\.mp4: Invalid data"):
        frame_cache(tmp_path / "cache", {"b.mp4": files["b.mp4"]}, **SIZE)
    with pytest.raises(UserError, match="no video files"):
        frame_cache(tmp_path / "cache", {}, **SIZE)
    with pytest.raises(UserError, match="height"):
        frame_cache(tmp_path / "cache", files, height=0, width=8)
