"""The journal of a frame cache: whose frames lie where, and whether they are as they were written.

`frames.bin` is only ever appended to, since other processes may have mapped any of it: what is
damaged stays where it is, and is written again at the end. The last line of a key counts.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

_MUCH = 2_000_000_000


class Entry(NamedTuple):
    """Frames `start` and following of `frames.bin`, or the reason why there are none."""

    start: int
    frames: int
    sha256: str
    reason: str


class Found(NamedTuple):
    """What a cache holds of the keys asked for.

    frames: memory map uint8 (all that lie there, H, W, 3), read-only. entries: by key, those whose
    frames are intact. damaged: how many others there were, lines that cannot be read among them.
    """

    frames: np.ndarray
    entries: dict[str, Entry]
    damaged: int


# By file: the bytes it had (inode, size, time), and the entries this process found intact in them.
_intact: dict[Path, tuple[tuple, set[Entry]]] = {}


def find(folder: Path, shape: tuple[int, int, int], keys: Iterable[str], jobs: int) -> Found:
    """The intact entries of `keys`; shape: of a frame. Each is checked once in a process.

    `jobs` threads check, at about the speed of SHA-256.
    """
    entries, unreadable = read(folder)
    frames, mark = mapped(folder / "frames.bin", shape)
    known = _intact.get(folder)
    if known is None or known[0] != mark:
        known = _intact[folder] = (mark, set())
    wanted = {key: entries[key] for key in keys if key in entries}
    fresh = {key: entry for key, entry in wanted.items() if entry not in known[1]}
    wrong = set(damaged(frames, fresh, jobs))
    known[1].update(entry for key, entry in fresh.items() if key not in wrong)
    kept = {key: entry for key, entry in wanted.items() if key not in wrong}
    return Found(frames, kept, len(wrong) + unreadable)


def damaged(frames: np.ndarray, entries: Mapping[str, Entry], jobs: int) -> list[str]:
    """The keys of the entries whose frames are not those that were written, by their checksums."""
    size = sum(entry.frames for entry in entries.values()) * int(np.prod(frames.shape[1:]))
    progress = tqdm(
        total=len(entries), desc="checking", unit="file", mininterval=0.5, disable=size < _MUCH
    )

    def wrong(keys: list[str]) -> list[str]:
        found = [key for key in keys if not _is_intact(frames, entries[key])]
        progress.update(len(keys))
        return found

    # By the hundred, or a million single pictures would wait for their threads and not for SHA-256.
    keys = list(entries)
    shares = [keys[start : start + 100] for start in range(0, len(keys), 100)]
    with ThreadPoolExecutor(jobs) as pool, progress:
        return [key for share in pool.map(wrong, shares) for key in share]


def all_damaged(folder: Path, shape: tuple[int, int, int]) -> list[str]:
    """The keys of all entries of a folder that are not as they were written; shape: of a frame.

    A line of the journal that cannot be read counts as one of no name.
    """
    entries, unreadable = read(folder)
    frames, _ = mapped(folder / "frames.bin", shape)
    return damaged(frames, entries, os.cpu_count() or 1) + [""] * unreadable


def mapped(path: Path, shape: tuple[int, int, int]) -> tuple[np.ndarray, tuple]:
    """All whole frames of a file as a memory map, and what tells these bytes from others."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return np.empty((0, *shape), np.uint8), ()
    with file:
        stat = os.fstat(file.fileno())
        total = stat.st_size // int(np.prod(shape))
        mark = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if not total:
            return np.empty((0, *shape), np.uint8), mark
        return np.memmap(file, np.uint8, "r", shape=(total, *shape)), mark


def read(folder: Path) -> tuple[dict[str, Entry], int]:
    """The entries by key, and how many lines cannot be read."""
    try:
        # What follows the last line's end is a line that was never finished.
        *lines, rest = (folder / "journal.jsonl").read_bytes().split(b"\n")
    except OSError:
        return {}, 0
    entries: dict[str, Entry] = {}
    unreadable, end = int(bool(rest)), 0
    for text in lines:
        try:
            key, entry = _parsed(text, end)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            unreadable += 1
            continue
        entries[key] = entry
        end = entry.start + entry.frames
    return entries, unreadable


def mend(folder: Path) -> None:
    """Remove what cannot be read; its writer holds the lock of the cache."""
    entries, unreadable = read(folder)
    if unreadable:
        temporary = folder / "journal.partial"
        temporary.write_text("".join(line(key, entry) for key, entry in entries.items()))
        os.replace(temporary, folder / "journal.jsonl")
    if not entries:
        # Frames of nobody; whoever has mapped them keeps them.
        (folder / "frames.bin").unlink(missing_ok=True)


def line(key: str, entry: Entry) -> str:
    """A line of the journal."""
    return json.dumps({"key": key, **entry._asdict()}) + "\n"


def digest(frames: np.ndarray) -> str:
    """SHA-256 of frames uint8 (T, H, W, 3)."""
    return hashlib.sha256(np.ascontiguousarray(frames).data).hexdigest()


def _parsed(text: bytes, end: int) -> tuple[str, Entry]:
    fields = json.loads(text)
    key = fields.pop("key")
    # Journals of earlier versions say no start: each entry lies behind the one before.
    entry = Entry(**{"start": end, **fields})
    numbers = all(type(number) is int and number >= 0 for number in entry[:2])
    if not numbers or not all(isinstance(word, str) for word in (key, *entry[2:])):
        raise ValueError("a field of another type")
    if bool(entry.frames) == bool(entry.reason):
        raise ValueError("frames, or a reason why there are none")
    return key, entry


def _is_intact(frames: np.ndarray, entry: Entry) -> bool:
    if entry.reason:
        return True
    end = entry.start + entry.frames
    return end <= len(frames) and digest(frames[entry.start : end]) == entry.sha256
