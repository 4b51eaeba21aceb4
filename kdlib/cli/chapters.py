"""All chapters of the book, when one that cannot be opened should not stop a command."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from kdlib.errors import UserError
from kdlib.notes import note
from kdlib.study.setting import NoPlan

T = TypeVar("T")


def of_each(names: Iterable[str], act: Callable[[str], T]) -> tuple[dict[str, T], list[str]]:
    """What `act` gives for these chapters, and the names of those it cannot open.

    A note is on each of the latter. One that plans nothing at this setting is in neither.
    UserError where none can be opened.
    """
    found: dict[str, T] = {}
    refused: dict[str, UserError] = {}
    for name in names:
        try:
            found[name] = act(name)
        except NoPlan:
            continue
        except UserError as error:
            refused[name] = error
    if refused and not found:
        raise next(iter(refused.values()))
    for name, why in refused.items():
        note(f"chapter {name} is left out: {why}")
    return found, list(refused)
