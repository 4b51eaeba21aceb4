"""SHA-256 of files, remembered by path, size and time so that nothing is read twice."""

import hashlib
import json
import os
import stat
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

_MUCH = 200_000_000


def file_hash(path: Path, algorithm: str = "sha256") -> str:
    """The digest of a file's bytes, hexadecimal; algorithm: any that hashlib knows."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def unreadable(path: Path) -> str | None:
    """Why a file cannot be read, in words; None if nothing speaks against it."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return "not a plain file"
        return None if os.access(path, os.R_OK) else "no permission to read it"
    except FileNotFoundError as error:
        return "a link to what is not there" if path.is_symlink() else error.strerror
    except OSError as error:
        return error.strerror


def file_hashes(files: Mapping[str, Path], memory: Path) -> dict[str, str]:
    """SHA-256 by name; files whose path, size and time stand in `memory` are not read again.

    Files that cannot be read are not among them.
    """
    known = _read(memory)
    files = {name: path for name, path in files.items() if unreadable(path) is None}
    stats = {name: os.stat(path) for name, path in files.items()}
    marks: dict[str, list[Any]] = {
        name: [str(path.absolute()), stats[name].st_size, stats[name].st_mtime_ns]
        for name, path in files.items()
    }
    found, fresh = {}, dict(known)
    new = [name for name, mark in marks.items() if known.get(mark[0], [])[:2] != mark[1:]]
    size = sum(stats[name].st_size for name in new)
    with tqdm(
        total=size, desc="hashing", unit="B", unit_scale=True, disable=size < _MUCH
    ) as progress:
        for name in new:
            path, *mark = marks[name]
            if fresh.get(path, [])[:2] != mark:
                fresh.pop(path, None)
                with suppress(OSError):  # a bad sector
                    fresh[path] = [*mark, file_hash(files[name])]
            progress.update(stats[name].st_size)
    for name, (path, *_) in marks.items():
        if path in fresh:
            found[name] = fresh[path][2]
    if new:
        _write(memory, fresh)
    return found


def _read(memory: Path) -> dict[str, list]:
    """The remembered files, as far as they can be read; what is lost is only hashed again."""
    try:
        content = json.loads(memory.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {
        path: value
        for path, value in content.items()
        if isinstance(value, list) and len(value) == 3 and isinstance(value[2], str)
    }


def _write(memory: Path, content: dict[str, list]) -> None:
    memory.parent.mkdir(parents=True, exist_ok=True)
    # Others may be writing the same file, in this process too; the last one counts.
    partial = memory.with_suffix(f".{os.getpid()}-{threading.get_ident()}.partial")
    partial.write_text(json.dumps(content))
    os.replace(partial, memory)
