"""Decoded frames on disk: decode once, then read clips out of one memory map.

    <root>/frames/<set>/<size>-<key>/
        frames.bin      uint8 frames of height x width, one after another
        journal.jsonl   a line a file: its key, where its frames begin, how many there are and their
                        SHA-256, or the reason why it cannot be decoded
        how.json        the decoding parameters that <key> is a hash of
    <root>/hashes/<set>.json   the SHA-256 of files, by path, size and time

A file's key is the hash of its bytes, so files that are renamed are found again, changed ones are
decoded anew and all splits share one cache. Both files only grow, under a file lock, frames first:
what an interrupted preparation has written counts, and the next one goes on behind it. Frames are
held against their checksums when they are opened, and decoded again where they are damaged.
"""

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av
import numpy as np
from filelock import FileLock
from tqdm import tqdm

from kdlib.data import journal, packed
from kdlib.data.decode import VERSION, Undecodable, decode, probe
from kdlib.data.disk import disk_errors
from kdlib.data.hashes import file_hashes, unreadable
from kdlib.data.images import decode_image
from kdlib.errors import UserError
from kdlib.notes import note

_SAMPLED = 100


class Source(NamedTuple):
    """What to decode: a video (or seconds `span` of it), an image, or a packed file of images."""

    path: Path
    kind: Literal["video", "image", "packed"] = "video"
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class How:
    """Decoding parameters: frames are resized to cover height x width and centre-cropped.

    at_most: frames kept of a video, evenly spaced; all by default.
    """

    height: int
    width: int
    at_most: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and value < 1:
                raise UserError(f"{name}: at least 1, not {value}")

    def folder(self, root: Path, name: str) -> Path:
        """Where the frames of a set lie."""
        key = hashlib.sha256(json.dumps(self.parameters()).encode()).hexdigest()[:12]
        return root / "frames" / name / f"{self.width}x{self.height}-{key}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of a frame."""
        return self.height, self.width, 3

    def parameters(self) -> dict[str, Any]:
        """All that the bytes depend on beside the file."""
        library = list(av.library_versions["libavcodec"])
        return {"version": VERSION, "libavcodec": library, **vars(self)}


@dataclass(frozen=True)
class FrameCache:
    """The frames of the sources that could be decoded, in the order they were given.

    frames: memory map uint8 (total, H, W, 3), read-only; source i has starts[i] + 0..lengths[i].
    starts, lengths: int64 (len(names),).
    undecodable: reason by name, for the sources left out.
    """

    folder: Path
    frames: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    names: tuple[str, ...]
    undecodable: Mapping[str, str]


def frame_cache(
    root: Path, name: str, sources: Mapping[str, Source], how: How, *, jobs: int = 1
) -> FrameCache:
    """The frames of these sources (by name) of a data set, decoding what is not in the cache.

    `jobs` threads decode; the disk space needed is said, and looked for, before. Raises UserError
    when the disk is full or when not one source can be decoded.
    """
    if jobs < 1:
        raise UserError(f"jobs: at least 1, not {jobs}")
    if not sources:
        raise UserError(f"{name}: no files to decode")
    folder = how.folder(root, name)
    with disk_errors(root):
        keys = source_keys(root, name, sources)
        undecodable = {
            n: unreadable(source.path) or "it cannot be read"
            for n, source in sources.items()
            if n not in keys
        }
        frames, entries, _ = journal.find(folder, how.shape, keys.values(), jobs)
        if not (entries.keys() >= set(keys.values()) and _is_said(folder, how)):
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                frames, entries = _completed(
                    folder, {key: sources[n] for n, key in keys.items()}, how, jobs
                )
    found = {n: entries[key] for n, key in keys.items()}
    undecodable |= {n: entry.reason for n, entry in found.items() if entry.reason}
    kept = {n: entry for n, entry in found.items() if not entry.reason}
    if not kept:
        first = next(iter(undecodable))
        raise UserError(
            f"{name}: none of {len(sources)} files can be decoded; {first}: {undecodable[first]}"
        )
    return FrameCache(
        folder,
        frames,
        np.array([entry.start for entry in kept.values()], dtype=np.int64),
        np.array([entry.frames for entry in kept.values()], dtype=np.int64),
        tuple(kept),
        undecodable,
    )


def _completed(
    folder: Path, sources: Mapping[str, Source], how: How, jobs: int
) -> tuple[np.ndarray, dict[str, journal.Entry]]:
    """Frames and entries of the sources (by key), after decoding what is missing or damaged."""
    if not _is_said(folder, how):
        temporary = folder / "how.partial"
        temporary.write_text(json.dumps(how.parameters(), indent=1))
        os.replace(temporary, folder / "how.json")
    found = journal.find(folder, how.shape, sources, jobs)
    wanted = {key: source for key, source in sources.items() if key not in found.entries}
    if not wanted:  # Another process has done it.
        return found.frames, found.entries
    if found.damaged:
        note(f"cache {folder}: damaged entries: {found.damaged}; decoded again")
    announce(wanted.values(), how, folder)
    journal.mend(folder)
    _append(folder, wanted, how, jobs)
    found = journal.find(folder, how.shape, sources, jobs)
    if lost := sources.keys() - found.entries.keys():
        raise UserError(
            f"STORE: {len(lost)} of {len(sources)} entries in {folder} read back otherwise; "
            "name a STORE on another disk"
        )
    return found.frames, found.entries


def source_keys(root: Path, name: str, sources: Mapping[str, Source]) -> dict[str, str]:
    """What the frames of each source are found by: the hash of its file, and the span.

    Sources that cannot be read have none.
    """
    hashes = file_hashes({n: s.path for n, s in sources.items()}, root / "hashes" / f"{name}.json")
    return {
        n: hashes[n] + (f"@{s.span[0]:.3f}-{s.span[1]:.3f}" if s.span else "")
        for n, s in sources.items()
        if n in hashes
    }


def announce(sources: Iterable[Source], how: How, folder: Path) -> int:
    """Say how many bytes the frames of these sources will take, about; UserError without room."""
    sources = list(sources)
    needed = estimate_bytes(sources, how)
    free = shutil.disk_usage(folder).free
    tqdm.write(
        f"preparing {len(sources)} files at {how.width}x{how.height}: about {needed / 1e9:.2f} GB "
        f"in {folder} ({free / 1e9:.0f} GB free)"
    )
    if needed > free:
        raise UserError(
            f"STORE: preparing takes about {needed / 1e9:.1f} GB, and {folder} has room for "
            f"{free / 1e9:.1f} GB; name another STORE, a smaller size or fewer frames a video"
        )
    return needed


def estimate_bytes(sources: list[Source], how: How) -> int:
    """About how many bytes the frames will take, by the headers of some of the files."""
    step = max(1, len(sources) // _SAMPLED)
    sample = sources[::step]
    counts = [_expected_frames(source, how) for source in sample]
    return round(sum(counts) / len(sample) * len(sources) * how.height * how.width * 3)


def _expected_frames(source: Source, how: How) -> int:
    try:
        if source.kind == "image":
            return 1
        if source.kind == "packed":
            return len(packed.labels(source.path))
        info = probe(source.path)
    except (UserError, OSError):
        return 0
    # No frame takes fewer bytes: what a header says beyond that is not so.
    count = min(info.frames or how.at_most or 300, source.path.stat().st_size // 16)
    if source.span:
        count = round((source.span[1] - source.span[0]) * (info.fps or 30))
    return min(count, how.at_most or count)


def damaged(folder: Path) -> list[str]:
    """The keys of the entries whose frames are not those that were written, by their checksums.

    A line of the journal that cannot be read counts as one of no name.
    """
    try:
        stored = json.loads((folder / "how.json").read_bytes())
        shape = How(stored["height"], stored["width"], stored["at_most"]).shape
    except (OSError, ValueError, KeyError, TypeError, RecursionError, UserError):
        return ["how.json"]
    return journal.all_damaged(folder, shape)


def entry_count(folder: Path) -> tuple[int, int]:
    """How many files a cache folder holds, and how many of those cannot be decoded."""
    entries = journal.read(folder)[0].values()
    return len(entries), sum(bool(entry.reason) for entry in entries)


def _is_said(folder: Path, how: How) -> bool:
    """Whether how.json has these parameters."""
    try:
        return bool(json.loads((folder / "how.json").read_bytes()) == how.parameters())
    except (OSError, ValueError, RecursionError):
        return False


def _append(folder: Path, wanted: Mapping[str, Source], how: How, jobs: int) -> None:
    """Decode the sources (by key) behind what is there; whole clips only, whatever happens."""
    size = how.height * how.width * 3
    path = folder / "frames.bin"
    path.touch()
    start = -(-path.stat().st_size // size)
    os.truncate(path, start * size)
    progress = tqdm(total=len(wanted), desc="decoding", unit="file", mininterval=0.5)
    try:
        with path.open("ab") as binary, (folder / "journal.jsonl").open("a") as lines, progress:
            for key, result in _decoded(wanted, how, jobs):
                if isinstance(result, str):
                    entry = journal.Entry(start, 0, "", result)
                else:
                    binary.write(result.data)
                    binary.flush()
                    entry = journal.Entry(start, len(result), journal.digest(result), "")
                # After the frames: a line without them would be taken for a damaged cache.
                start += entry.frames
                lines.write(journal.line(key, entry))
                lines.flush()
                progress.update()
            os.fsync(binary.fileno())
            os.fsync(lines.fileno())
    finally:
        os.truncate(path, start * size)


def _decoded(
    wanted: Mapping[str, Source], how: How, jobs: int
) -> Iterator[tuple[str, np.ndarray | str]]:
    """Each key with its frames or the reason why there are none, in order."""
    # Threads: FFmpeg works outside the interpreter's lock, and processes would import torch first.
    pool = ThreadPoolExecutor(jobs)
    waiting: deque[tuple[str, Future]] = deque()
    try:
        for key, source in wanted.items():
            waiting.append((key, pool.submit(_decode_or_reason, source, how)))
            # A bounded queue, or fast decoders would fill the memory before a slow disk.
            if len(waiting) > 4 * jobs:
                key, future = waiting.popleft()
                yield key, future.result()
        while waiting:
            key, future = waiting.popleft()
            yield key, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _decode_or_reason(source: Source, how: How) -> np.ndarray | str:
    size = (how.height, how.width)
    try:
        if source.kind == "packed":
            return packed.at_size(packed.images(source.path), size)
        if source.kind == "image":
            return decode_image(source.path, size)
        return decode(source.path, size, span=source.span, at_most=how.at_most)
    except Undecodable as error:
        return error.reason
    # One file, whatever is in it, may not stop the others.
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
