"""What a disk refuses or has lost, in one line."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kdlib.errors import UserError

_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")


def no_room(error: BaseException) -> bool:
    """Whether it says that a disk is full, or a quota: by number, or as NumPy and safetensors do,
    in words."""
    numbers = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in numbers
    words = [f"(os error {number})" for number in numbers]
    return bool(_SHORT_WRITE.fullmatch(str(error))) or any(word in str(error) for word in words)


@contextmanager
def disk_errors(root: Path, setting: str = "STORE") -> Iterator[None]:
    """Turn what the disk refuses into a UserError that names the folder, and its setting."""
    try:
        yield
    except Exception as error:
        if no_room(error):
            raise UserError(
                f"{setting}: no room left in {root} ({getattr(error, 'strerror', None) or error}); "
                "free some or name another"
            ) from error
        if not isinstance(error, OSError):
            raise
        if error.errno in (errno.EACCES, errno.EROFS, errno.ENOENT, errno.ENOTDIR):
            raise UserError(f"{setting}: {error.filename or root}: {error.strerror}") from error
        raise
