"""Decoded frames on disk: decode once, then read clips out of one memory map.

    <root>/frames/<key>/frames.npy   uint8 (total frames, H, W, 3), file after file
    <root>/frames/<key>/index.json   per file: name, SHA-256, frames or the reason why not
    <root>/hashes/<stamp>.json       the SHA-256 of files whose sizes and times have not changed

The key is a hash of the names, of the files' bytes and of how they are decoded, so changed or
renamed files never meet stale frames. A cache is built in a `.partial` folder under a file lock and
then renamed: a build that is interrupted leaves nothing that could be taken for a cache.
"""

import errno
import hashlib
import json
import os
import shutil
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from filelock import FileLock
from tqdm import tqdm

from kdlib.data.decode import VERSION, Undecodable, decode
from kdlib.errors import UserError


@dataclass(frozen=True)
class FrameCache:
    """Frames of the files that could be decoded, in the order they were given.

    frames: memory map uint8 (total, H, W, 3), read-only; file i has offsets[i]:offsets[i + 1].
    offsets: int64 (len(names) + 1,).
    undecodable: reason by name, for the files left out.
    """

    folder: Path
    frames: np.ndarray
    offsets: np.ndarray
    names: tuple[str, ...]
    undecodable: Mapping[str, str]

    def verify(self) -> None:
        """Compare every byte with the checksum taken at building; UserError if they differ."""
        stored = json.loads((self.folder / "index.json").read_text())["frames_sha256"]
        if file_hash(self.folder / "frames.npy") != stored:
            raise UserError(f"cache: the frames in {self.folder} are damaged; delete that folder")


def frame_cache(
    root: Path, files: Mapping[str, Path], *, height: int, width: int, jobs: int = 1
) -> FrameCache:
    """Open the cache of these files (name -> path) at height x width, building it if there is none.

    Frames are resized to cover height x width and centre-cropped. `jobs` threads decode. Opening
    checks the sizes; `FrameCache.verify` checks every byte. Raises UserError when the disk is full
    or when not one file can be decoded.
    """
    for field, value in (("height", height), ("width", width), ("jobs", jobs)):
        if value < 1:
            raise UserError(f"{field}: at least 1, not {value}")
    if not files:
        raise UserError("cache: no video files to decode")
    with disk_errors(root):
        hashes = file_hashes(files, root)
        how = {"version": VERSION, "height": height, "width": width}
        key = hashlib.sha256(json.dumps([how, list(hashes.items())]).encode()).hexdigest()[:32]
        folder = root / "frames" / key
        if (cache := _open(folder)) is not None:
            return cache
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if (cache := _open(folder)) is None:
                if folder.exists():
                    warnings.warn(f"{folder} is incomplete; it is built again", stacklevel=2)
                    shutil.rmtree(folder)
                _build(folder, files, hashes, how, jobs)
                cache = _open(folder)
    assert cache is not None
    return cache


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_hashes(files: Mapping[str, Path], root: Path) -> dict[str, str]:
    """SHA-256 by name; files whose path, size and time are as last time are not read again."""
    stats = {name: os.stat(path) for name, path in files.items()}
    seen = [
        (name, str(path.absolute()), stats[name].st_size, stats[name].st_mtime_ns)
        for name, path in files.items()
    ]
    stamp = hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:32]
    memory = root / "hashes" / f"{stamp}.json"
    if (known := _read_json(memory)) is not None and known.keys() == files.keys():
        return {name: str(known[name]) for name in files}
    hashes = {name: file_hash(path) for name, path in files.items()}
    memory.parent.mkdir(parents=True, exist_ok=True)
    # Others may be writing the same file, in this process too.
    partial = memory.with_suffix(f".{os.getpid()}-{threading.get_ident()}.partial")
    partial.write_text(json.dumps(hashes))
    os.replace(partial, memory)
    return hashes


def _open(folder: Path) -> FrameCache | None:
    """The cache in a folder, or None where it is absent or does not fit its index."""
    if (index := _read_json(folder / "index.json")) is None:
        return None
    try:
        decoded = [file for file in index["files"] if "frames" in file]
        offsets = np.cumsum([0, *(file["frames"] for file in decoded)], dtype=np.int64)
        frames = np.load(folder / "frames.npy", mmap_mode="r", allow_pickle=False)
        shape = (offsets[-1], index["decoding"]["height"], index["decoding"]["width"], 3)
        undecodable = {file["name"]: file["reason"] for file in index["files"] if "reason" in file}
    except (KeyError, TypeError, ValueError, OSError):
        return None
    if frames.dtype != np.uint8 or frames.shape != shape:
        return None
    return FrameCache(folder, frames, offsets, tuple(file["name"] for file in decoded), undecodable)


def _build(
    folder: Path, files: Mapping[str, Path], hashes: Mapping[str, str], how: dict, jobs: int
) -> None:
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)  # what a killed build left; the lock is ours
    partial.mkdir()
    size = (how["height"], how["width"])
    listed, total = [], 0
    try:
        with (partial / "frames.npy").open("w+b") as file:
            start = _write_header(file, (0, *size, 3))
            progress = tqdm(total=len(files), desc="decoding", unit="video", mininterval=0.5)
            with progress:
                for name, result in _decoded(files, size, jobs):
                    entry: dict[str, object] = {"name": name, "sha256": hashes[name]}
                    if isinstance(result, str):
                        entry["reason"] = result
                    else:
                        file.write(result.data)
                        entry["frames"] = len(result)
                        total += len(result)
                    listed.append(entry)
                    progress.update()
            if not total:
                raise UserError(
                    f"cache: none of {len(files)} files can be decoded; "
                    f"{listed[0]['name']}: {listed[0]['reason']}"
                )
            file.seek(0)
            # numpy pads its header so that the first dimension can grow in place.
            assert _write_header(file, (total, *size, 3)) == start
            file.flush()
            os.fsync(file.fileno())
        index = {
            "decoding": how,
            "decoder": {"av": av.__version__, "libavcodec": av.library_versions["libavcodec"]},
            "frames_sha256": file_hash(partial / "frames.npy"),
            "files": listed,
        }
        (partial / "index.json").write_text(json.dumps(index, indent=1))
        os.replace(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> int:
    """Write the .npy header of a uint8 array; where the data begin."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def _decoded(
    files: Mapping[str, Path], size: tuple[int, int], jobs: int
) -> Iterator[tuple[str, np.ndarray | str]]:
    """Each name with its frames or the reason why there are none, in order."""
    # Threads: FFmpeg works outside the interpreter's lock, and processes would import torch first.
    pool = ThreadPoolExecutor(jobs)
    waiting: deque[tuple[str, Future]] = deque()
    try:
        for name, path in files.items():
            waiting.append((name, pool.submit(_decode_or_reason, path, size)))
            # A bounded queue, or fast decoders would fill the memory before a slow disk.
            if len(waiting) > 4 * jobs:
                name, future = waiting.popleft()
                yield name, future.result()
        while waiting:
            name, future = waiting.popleft()
            yield name, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _decode_or_reason(path: Path, size: tuple[int, int]) -> np.ndarray | str:
    try:
        return decode(path, size)
    except Undecodable as error:
        return error.reason


def _read_json(path: Path) -> dict | None:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turn what the disk refuses into a UserError that names the folder."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UserError(
                f"cache_root: no room left in {root} ({error.strerror}); free some or name another"
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.ENOENT, errno.ENOTDIR):
            raise UserError(f"cache: {error.filename or root}: {error.strerror}") from error
        raise
