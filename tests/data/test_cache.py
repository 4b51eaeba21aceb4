import json
import multiprocessing
import os
import resource
import shutil
import threading

import numpy as np
import pytest

from kdlib.data import cache as module
from kdlib.data import hashes, journal
from kdlib.data.cache import How, Source, damaged, entry_count, estimate_bytes, frame_cache
from kdlib.data.decode import decode
from kdlib.errors import UserError

HOW = How(height=16, width=24)


@pytest.fixture
def sources(tmp_path, write_video):
    """Two videos of other sizes and lengths and, between them, a file that is none."""
    generator = np.random.default_rng(0)
    for name, shape in (("a", (5, 32, 48, 3)), ("c", (3, 48, 32, 3))):
        write_video(tmp_path / f"clips/{name}.mp4", generator.integers(0, 256, shape, np.uint8))
    (tmp_path / "clips/b.mp4").write_bytes(b"no video")
    return {f"{name}.mp4": Source(tmp_path / f"clips/{name}.mp4") for name in "abc"}


@pytest.fixture
def cached(tmp_path):
    """The cache of some sources below one root."""
    return lambda sources, how=HOW, **more: frame_cache(
        tmp_path / "cache", "mine", sources, how, **more
    )


def frames_of(cache, name):
    row = cache.names.index(name)
    return cache.frames[cache.starts[row] : cache.starts[row] + cache.lengths[row]]


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded, as it happens."""
    names = []

    def count(path, size, **how):
        names.append(path.name)
        return decode(path, size, **how)

    monkeypatch.setattr(module, "decode", count)
    return names


@pytest.mark.parametrize("jobs", [1, 3])
def test_frames_are_those_of_the_files(sources, cached, jobs):
    cache = cached(sources, jobs=jobs)
    assert cache.names == ("a.mp4", "c.mp4")
    np.testing.assert_array_equal(cache.lengths, [5, 3])
    for name in cache.names:
        np.testing.assert_array_equal(frames_of(cache, name), decode(sources[name].path, (16, 24)))
    assert cache.undecodable.keys() == {"b.mp4"}
    assert "Invalid data" in cache.undecodable["b.mp4"]
    assert not cache.frames.flags.writeable
    assert damaged(cache.folder) == []
    assert entry_count(cache.folder) == (3, 1)


def test_a_turned_video_lies_in_the_cache_upright(tmp_path, cached, write_video):
    stored = np.zeros((2, 32, 48, 3), np.uint8)
    stored[:, :16] = 200
    path = write_video(tmp_path / "a.mp4", stored, turned=(90, False))
    frames = cached({"a": Source(path)}, How(16, 16)).frames
    assert frames[:, 4:12, 2].mean() > 190 > 10 > frames[:, 4:12, -2].mean()


def test_no_file_stops_the_others(tmp_path, sources, cached, monkeypatch):
    """Neither one that cannot be read nor one that a decoder stumbles over."""
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "lost.mp4").symlink_to("nowhere.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    bad = ("loop", "lost", "pipe", "folder", "absent")
    sources |= {name: Source(tmp_path / f"{name}.mp4") for name in bad}
    sources["picture"] = Source(tmp_path / "pipe.mp4", "image")

    def stumbling(path, size, **how):
        if path.name == "c.mp4":
            raise MemoryError("no room\nfor it")
        return decode(path, size, **how)

    monkeypatch.setattr(module, "decode", stumbling)
    cache = cached(sources)
    assert cache.names == ("a.mp4",)
    assert cache.undecodable["c.mp4"] == "MemoryError: no room for it"
    assert {name: cache.undecodable[name] for name in bad} == {
        "loop": "Too many levels of symbolic links",
        "lost": "a link to what is not there",
        "pipe": "not a plain file",
        "folder": "not a plain file",
        "absent": "No such file or directory",
    }
    assert "picture" in cache.undecodable


def test_a_file_that_is_lost_while_it_is_read_stops_no_others(sources, cached, monkeypatch):
    def lost(path):
        raise OSError(5, "Input/output error")

    good = cached({"a.mp4": sources["a.mp4"]})
    monkeypatch.setattr(hashes, "file_hash", lost)
    cache = cached(sources)
    assert cache.names == good.names
    assert cache.undecodable["c.mp4"] == "it cannot be read"


def test_a_header_that_lies_takes_no_room(tmp_path, write_video):
    path = write_video(tmp_path / "a.avi", np.zeros((3, 32, 48, 3), np.uint8), codec="mpeg4")
    content = bytearray(path.read_bytes())
    place = content.index(b"strh") + 8 + 32
    content[place : place + 4] = (2_000_000_000).to_bytes(4, "little")
    path.write_bytes(content)
    assert estimate_bytes([Source(path)], HOW) <= path.stat().st_size * 16 * 24 * 3


def test_the_second_call_reads_and_decodes_nothing(sources, cached, monkeypatch):
    first = cached(sources)
    monkeypatch.setattr(module, "decode", None)
    monkeypatch.setattr(hashes, "file_hash", None)
    second = cached(sources)
    assert second.folder == first.folder
    assert (second.names, second.undecodable) == (first.names, first.undecodable)
    np.testing.assert_array_equal(second.frames, first.frames)


def test_only_what_is_new_or_changed_is_decoded(tmp_path, sources, cached, decoded, write_video):
    cached({"a.mp4": sources["a.mp4"]})
    assert decoded == ["a.mp4"]
    cached(sources)
    assert sorted(decoded) == ["a.mp4", "b.mp4", "c.mp4"]
    # Other names, places, times and orders do not matter; other bytes do.
    (tmp_path / "clips").rename(tmp_path / "moved")
    moved = {f"x{n}": Source(tmp_path / "moved" / n) for n in reversed(sources)}
    os.utime(tmp_path / "moved/a.mp4", (1, 1))
    assert cached(moved).names == ("xc.mp4", "xa.mp4")
    assert len(decoded) == 3
    write_video(tmp_path / "moved/b.mp4", np.zeros((2, 32, 32, 3), np.uint8))
    assert cached(moved).names == ("xc.mp4", "xb.mp4", "xa.mp4")
    assert decoded[3:] == ["b.mp4"]


def test_other_sizes_and_lengths_have_a_cache_of_their_own(sources, cached):
    folders = {cached(sources, how).folder for how in (HOW, How(16, 16), How(16, 24, at_most=2))}
    assert len(folders) == 3
    short = cached(sources, How(16, 24, at_most=2))
    np.testing.assert_array_equal(short.lengths, [2, 2])


def test_equal_files_share_their_frames(tmp_path, sources, cached, decoded):
    (tmp_path / "clips/d.mp4").write_bytes(sources["a.mp4"].path.read_bytes())
    cache = cached({**sources, "d.mp4": Source(tmp_path / "clips/d.mp4")})
    assert cache.starts[0] == cache.starts[2]
    assert len(decoded) == 3


def test_what_was_decoded_before_an_interruption_counts(sources, cached, monkeypatch, decoded):
    def interrupt(path, size, **how):
        if path.name == "c.mp4":
            raise KeyboardInterrupt
        return decode(path, size, **how)

    with monkeypatch.context() as patch:
        patch.setattr(module, "decode", interrupt)
        with pytest.raises(KeyboardInterrupt):
            cached(sources)
    assert len(cached(sources).names) == 2
    assert decoded == ["c.mp4"]


def change(path, edit):
    """Edit the bytes of a file as another process would: its time tells, whatever the clock."""
    content = bytearray(path.read_bytes())
    edited = edit(content)
    path.write_bytes(content if edited is None else edited)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))


def flip(content, place=5):
    content[place] ^= 1


FRAME = 16 * 24 * 3
DAMAGES = {
    "a byte of frames": lambda folder: change(folder / "frames.bin", flip),
    "frames cut": lambda folder: change(folder / "frames.bin", lambda c: c[:-1]),
    "frames cut short": lambda folder: change(folder / "frames.bin", lambda c: c[: FRAME + 7]),
    "frames empty": lambda folder: change(folder / "frames.bin", lambda c: b""),
    "no frames": lambda folder: (folder / "frames.bin").unlink(),
    "a line cut": lambda folder: change(folder / "journal.jsonl", lambda c: c[:-20]),
    "a line garbled": lambda folder: change(folder / "journal.jsonl", lambda c: b"\xff{" + c),
    "no journal": lambda folder: (folder / "journal.jsonl").unlink(),
    "another journal": lambda folder: change(folder / "journal.jsonl", lambda c: b"[]\n3\n{}\n"),
    "half a frame more": lambda folder: change(folder / "frames.bin", lambda c: c + b"half"),
    "how it was made": lambda folder: change(folder / "how.json", lambda c: b"{"),
}
SILENT = {"half a frame more", "how it was made", "no journal"}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_decoded_again_and_told(
    tmp_path, sources, cached, write_video, capsys, damage
):
    first = cached(sources)
    expected = {name: np.array(frames_of(first, name)) for name in first.names}
    DAMAGES[damage](first.folder)
    capsys.readouterr()
    again = cached(sources)
    lines = capsys.readouterr().err.splitlines()
    notes = [line for line in lines if line.startswith("kdlib: note: cache ")]
    assert len(notes) == (damage not in SILENT)
    sources["new.mp4"] = Source(
        write_video(tmp_path / "clips/new.mp4", np.zeros((2, 32, 32, 3), np.uint8))
    )
    more = cached(sources)
    assert "note" not in capsys.readouterr().err
    assert set(more.names) == {"a.mp4", "c.mp4", "new.mp4"}
    for name, frames in expected.items():
        np.testing.assert_array_equal(frames_of(again, name), frames)
        np.testing.assert_array_equal(frames_of(more, name), frames)
    assert damaged(more.folder) == []


def test_only_the_damaged_entry_is_decoded_again(sources, cached, decoded, capsys):
    cache = cached(sources, jobs=1)
    change(cache.folder / "frames.bin", lambda content: flip(content, 5 * FRAME + 1))
    del decoded[:]
    cached(sources)
    assert decoded == ["c.mp4"]
    assert "damaged entries: 1; decoded again" in capsys.readouterr().err


def test_any_change_of_any_byte_gives_the_frames_of_the_files(tmp_path, sources, cached):
    cache = cached(sources)
    expected = [np.array(frames_of(cache, name)) for name in cache.names]
    shutil.copytree(cache.folder, tmp_path / "whole")
    draw = np.random.default_rng(0)
    for _ in range(60):
        shutil.rmtree(cache.folder)
        shutil.copytree(tmp_path / "whole", cache.folder)
        name = draw.choice(["frames.bin", "journal.jsonl", "how.json"])
        place = draw.integers((tmp_path / "whole" / name).stat().st_size)
        value = draw.integers(256)
        if draw.random() < 0.3:
            change(cache.folder / name, lambda content, place=place: bytes(content[:place]))
        else:
            change(
                cache.folder / name,
                lambda content, place=place, value=value: content.__setitem__(place, value),
            )
        again = cached(sources)
        assert again.names == cache.names
        for name, frames in zip(cache.names, expected, strict=True):
            np.testing.assert_array_equal(frames_of(again, name), frames)


def test_frames_that_others_have_mapped_stay_as_they_are(sources, cached):
    held = cached(sources)
    before = [np.array(frames_of(held, name)) for name in held.names]
    DAMAGES["a line garbled"](held.folder)
    cached(sources)
    DAMAGES["no journal"](held.folder)
    cached(dict(reversed(sources.items())))
    for name, frames in zip(held.names, before, strict=True):
        np.testing.assert_array_equal(frames_of(held, name), frames)


def test_a_journal_without_starts_is_read(sources, cached, decoded):
    first = cached(sources)
    rows = map(json.loads, (first.folder / "journal.jsonl").read_text().splitlines())
    old = "".join(json.dumps({k: v for k, v in row.items() if k != "start"}) + "\n" for row in rows)
    change(first.folder / "journal.jsonl", lambda content: old.encode())
    del decoded[:]
    again = cached(sources)
    assert decoded == []
    np.testing.assert_array_equal(again.starts, first.starts)


def test_checksums_are_computed_once_in_a_process(sources, cached, monkeypatch):
    first = cached(sources)
    monkeypatch.setattr(journal, "digest", None)
    assert cached(sources).names == first.names
    os.utime(first.folder / "frames.bin", (1, 1))
    with pytest.raises(TypeError):
        cached(sources)


def read_sum(arguments):
    root, sources = arguments
    cache = frame_cache(root, "mine", sources, HOW)
    return [int(frames_of(cache, name).sum()) for name in cache.names]


def test_processes_that_find_the_same_damage_put_it_right_once(tmp_path, sources, cached):
    cache = cached(sources)
    expected = [int(frames_of(cache, name).sum()) for name in cache.names]
    change(cache.folder / "frames.bin", flip)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        sums = pool.map(read_sum, [(tmp_path / "cache", sources)] * 3, chunksize=1)
    assert sums == [expected] * 3
    # One clip of 5 frames was written again behind the 8 that were there.
    assert (cache.folder / "frames.bin").stat().st_size == (8 + 5) * FRAME


def test_one_changed_byte_is_found(sources, cached):
    cache = cached(sources)
    with (cache.folder / "frames.bin").open("r+b") as file:
        last = file.read(1)[0]
        file.seek(0)
        file.write(bytes([last ^ 1]))
    lines = (cache.folder / "journal.jsonl").read_text().splitlines()
    assert damaged(cache.folder) == [json.loads(lines[0])["key"]]


def test_several_at_once_decode_once(sources, cached, decoded):
    caches = []
    threads = [threading.Thread(target=lambda: caches.append(cached(sources))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(decoded) == ["a.mp4", "b.mp4", "c.mp4"]
    assert [cache.names for cache in caches] == [("a.mp4", "c.mp4")] * 3


def test_the_space_needed_is_said_before(sources, cached, capsys, monkeypatch):
    expected = (5 + 3) * 16 * 24 * 3
    assert estimate_bytes(list(sources.values()), HOW) == expected
    assert estimate_bytes(list(sources.values()), How(16, 24, at_most=2)) == expected / 2
    cached(sources)
    assert "preparing 3 files at 24x16: about 0.00 GB" in capsys.readouterr().out
    usage = module.shutil.disk_usage("/")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(UserError, match=r"STORE: preparing takes .* has room for 0.0 GB"):
        cached(sources, How(32, 32))


def test_a_full_disk_is_said_so_and_loses_nothing(sources, cached):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (7000, hard))
    try:
        with pytest.raises(UserError, match=r"no room left in .*cache"):
            cached(sources)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert cached(sources).names == ("a.mp4", "c.mp4")


def test_a_cache_root_that_cannot_be_made_is_named(tmp_path, sources):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*Not a directory"):
        frame_cache(tmp_path / "file/cache", "mine", sources, HOW)


def test_nothing_decodable_is_an_error_with_the_reason(sources, cached):
    with pytest.raises(UserError, match=r"none of 1 files.*b\.mp4: Invalid data"):
        cached({"b.mp4": sources["b.mp4"]})
    with pytest.raises(UserError, match="no files"):
        cached({})
    with pytest.raises(UserError, match="height"):
        How(height=0, width=8)
