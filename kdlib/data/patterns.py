"""Regular expressions of a manifest: strangers' text, whose matching must come to an end."""

import math
import re
from typing import Annotated

import regex
from pydantic import AfterValidator, Field

from kdlib.errors import UserError

# Of processor time. What is meant takes microseconds; `(a|a)+$` may take years.
_SECONDS = 0.5


def _checked(pattern: str) -> str:
    """The pattern itself, if it is one that can be prepared; else ValueError."""
    counts = re.findall(r"\{(\d*)(?:,(\d*))?\}", pattern)
    if math.prod(max(int(number or 1) for number in pair) for pair in counts) > 1000:
        raise ValueError("its counted repeats multiply to more than 1000; write * or +")
    try:
        regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        raise ValueError(f"no regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_checked)]


def found(where: str, field: str, pattern: str, text: str) -> str | None:
    """What the last group of a pattern finds in a text (all it finds, without groups), or None.

    UserError that begins with `where` if the search takes more than half a second.
    """
    try:
        match = regex.search(pattern, text, timeout=_SECONDS)
    except TimeoutError as error:
        raise UserError(
            f"{where}: {field} searches {text!r} for more than {_SECONDS} seconds; write "
            f"{pattern!r} without repeats within repeats"
        ) from error
    return match.group(match.re.groups) if match else None
