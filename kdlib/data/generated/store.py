"""Generated videos on disk: rendered once, then read from one memory map.

    <root>/<key>/
        frames.npy    uint8 frames
        known.npz     labels, groups, factors
        flow.npy      float16 flow, where it is asked for
        checks.json   what the folder holds, which <key> is a hash of, and the CRC-32 of the files

A folder that is damaged in any way is made again, never read. CRC-32 is the fastest check there is
(measured on 100 MB: 24 ms, SHA-256 55 ms, BLAKE2b 106 ms; where a processor has no instructions for
SHA-256 that takes several times as long) and enough against accidents.
"""

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from pathlib import Path

import numpy as np
from filelock import FileLock

from kdlib.data.generated import GENERATOR_VERSION, GeneratedSpec, videos
from kdlib.data.videos import Videos
from kdlib.notes import note

_FORMAT = 3
_FILES = ("frames.npy", "known.npz")
_CHUNK = 1 << 20

# Files that this process has found intact, by path, size, time and checksum: a run opens the same
# few over and over.
_intact: set[tuple] = set()


def stored_videos(
    root: Path, spec: GeneratedSpec, split: str, count: int, *, flow: bool = False
) -> Videos:
    """The first `count` clips of a split, memory-mapped from below `root`, made if need be.

    flow: whether their true flow is kept with them.
    """
    text = f"{_FORMAT} {GENERATOR_VERSION} {spec} {split} {count}" + " with flow" * flow
    path = root / _key(text)
    if not damaged(path):
        try:
            return _read(path)
        except FileNotFoundError:
            pass  # Another process is putting it right at this moment.
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        for left in path.parent.glob(f"new-{path.name}-*"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        if faults := damaged(path):
            if path.exists():
                note(f"cache {path}: {', '.join(faults)} missing or damaged; made again")
            _write(path, text, videos(spec, split, count, flow=flow))
        return _read(path)


def damaged(folder: Path) -> list[str]:
    """The files of a cache that are missing or not as they were written; none if it is intact."""
    try:
        checks = json.loads((folder / "checks.json").read_bytes())
        sums = dict(checks["crc32"])
        if not sums.keys() >= set(_FILES):
            return ["checks.json"]
        if _key(str(checks["of"])) != folder.name:
            return ["checks.json"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ["checks.json"]
    return [name for name in sums if not _is_intact(folder / name, sums[name])]


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _is_intact(path: Path, checksum: int) -> bool:
    try:
        stat = path.stat()
        mark = (path, stat.st_ino, stat.st_size, stat.st_mtime_ns, checksum)
        if mark not in _intact:
            if _crc32(path) != checksum:
                return False
            _intact.add(mark)
    except (OSError, TypeError):
        return False
    return True


def _crc32(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return value


def _write(path: Path, text: str, made: Videos) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f"new-{path.name}-", dir=path.parent))
    new = temporary / "new"
    try:
        new.mkdir()
        np.save(new / "frames.npy", made.frames)
        known = {f"factor_{name}": values for name, values in made.factors.items()}
        np.savez(
            new / "known.npz",
            starts=made.starts,
            lengths=made.lengths,
            labels=made.labels,
            groups=made.groups,
            classes=np.array(made.classes),
            **known,  # type: ignore[arg-type]
        )
        if made.flow is not None:
            np.save(new / "flow.npy", made.flow)
        sums = {file.name: _crc32(file) for file in sorted(new.iterdir())}
        checks = {"of": text, "crc32": sums}
        (new / "checks.json").write_text(json.dumps(checks, indent=1))
        if path.exists():
            # Moved and not written to: what other processes have mapped of it stays as it is.
            os.replace(path, temporary / "damaged")
        os.replace(new, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _read(path: Path) -> Videos:
    with np.load(path / "known.npz", allow_pickle=False) as known:
        arrays = dict(known)
    return Videos(
        np.load(path / "frames.npy", mmap_mode="r"),
        arrays["starts"],
        arrays["lengths"],
        arrays["labels"],
        arrays["groups"],
        tuple(arrays["classes"].tolist()),
        {n.removeprefix("factor_"): a for n, a in arrays.items() if n.startswith("factor_")},
        np.load(path / "flow.npy", mmap_mode="r") if (path / "flow.npy").exists() else None,
    )
