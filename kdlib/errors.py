"""The one exception that means: the user can mend this."""

import difflib
import re
from collections.abc import Iterable

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class UserError(Exception):
    """A mistake or a state the user can mend: one line that names the field and the fix.

    The command line prints it and exits with `exit_code`; notebooks show it without a traceback.
    """

    exit_code = 2

    def __str__(self) -> str:
        # What it quotes may be a stranger's: a line break in it would be a second line, an escape
        # a command to the terminal, half a surrogate unprintable.
        return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], super().__str__())

    def _render_traceback_(self) -> list[str]:
        return [f"kdlib: {self}"]


def unknown(field: str, value: object, allowed: Iterable[str]) -> UserError:
    """The error for a value that is not among the allowed ones, with the nearest match."""
    names = sorted(map(str, allowed))
    near = difflib.get_close_matches(str(value), names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UserError(f"{field}: unknown value {value!r}; allowed: {', '.join(names)}.{hint}")


def plain(error: OSError) -> str:
    """What the system refused, in one line, with its file where it is known."""
    said = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return f"{error.filename}: {said}" if error.filename is not None else said
