"""Temporary folders of this process, and sweeping those of processes that were killed.

A folder is alive as long as its process holds the lock in it; the system gives up the lock of a
process that ends, however it ends.
"""

import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "kd-"
_LOCK = "lock"
_BESIDE = re.compile(r"\..+\.(\d+)\.[a-z]+")  # as `seal.replacing` names them
_YOUNG_S = 60


def own() -> Path:
    """A temporary folder of this process, removed when it ends."""
    return _own(os.getpid())


@cache
def _own(pid: int) -> Path:
    # Renamed once it is locked: nobody sweeps what is called so and has no lock.
    new = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))
    lock = FileLock(new / _LOCK)
    lock.acquire()
    path = new.with_name(new.name[1:])
    os.replace(new, path)

    def end() -> None:
        shutil.rmtree(path, ignore_errors=True)
        lock.release()

    # After multiprocessing has removed its own, which lies in this one.
    Finalize(None, end, exitpriority=-200)
    return path


def sweep() -> None:
    """Remove the temporary folders of this user's processes that are gone."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):
            ours = not path.is_symlink() and path.stat().st_uid == os.getuid()
            if ours and (path / _LOCK).is_file():
                with FileLock(path / _LOCK, timeout=0):
                    shutil.rmtree(path)


def sweep_results(folder: Path) -> None:
    """Remove books and files below a folder of results that were never finished.

    The caller holds the lock of the folder, under which books are built. Files are written by
    notebooks too: theirs say of which process they are.
    """
    for path in folder.glob(".book-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob("**/.*"):
        with suppress(OSError):
            found = _BESIDE.fullmatch(path.name)
            if found and time.time() - path.stat().st_mtime > _YOUNG_S and _is_gone(int(found[1])):
                path.unlink()


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
