"""What was found and needs no stop: a line each on stderr, above the progress bars."""

import sys
from functools import cache
from typing import Any

from tqdm import tqdm


def note(text: str) -> None:
    """Say in one line what was found."""
    tqdm.write(f"kdlib: note: {text}", file=sys.stderr)


@cache
def note_once(text: str) -> None:
    """The same, unless this process has said it before."""
    note(text)


def note_warning(message: Warning | str, *_: Any) -> None:
    """In place of `warnings.showwarning`, which shows lines of code."""
    note_once(str(message))
