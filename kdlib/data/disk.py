"""What a disk refuses or has lost, in one line."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from kdlib.errors import UserError


def note(text: str) -> None:
    """Say on stderr, in one line, what was found wrong and is put right; bars stay whole."""
    tqdm.write(f"kdlib: note: {text}", file=sys.stderr)


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turn what the disk refuses into a UserError that names the folder."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UserError(
                f"STORE: no room left in {root} ({error.strerror}); free some or name another"
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.ENOENT, errno.ENOTDIR):
            raise UserError(f"cache: {error.filename or root}: {error.strerror}") from error
        raise
