"""Options by name and fields of dataclasses, checked against the types that are asked of them."""

import functools
import json
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from kdlib.errors import UserError, unknown

T = TypeVar("T")


def checked(
    owner: str, hints: Mapping[str, Any], needed: Collection[str], values: Mapping[str, object]
) -> dict[str, Any]:
    """The values as their owner takes them; a list from a file counts as a tuple.

    owner: what the errors call it, such as "method kd". hints: the type of each option, with its
        range. UserError for an option that is unknown or needed and missing, or of another type.
    """
    for name in values:
        if name not in hints:
            raise unknown(f"option of {owner}", name, hints)
    for name in needed:
        if name not in values:
            raise UserError(f"{owner}: its option {name!r} is missing")
    return {name: _checked(f"{owner}.{name}", hints[name], v) for name, v in values.items()}


def _checked(field: str, hint: Any, value: object) -> object:
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(bare) is Literal and value not in get_args(bare):
        raise unknown(field, value, get_args(bare))
    try:
        return TypeAdapter(hint).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        message = error.errors()[0]["msg"].lower()
    except TypeError:
        message = "must be plain: a number, a text, a truth value or a list of these"
    raise UserError(f"{field}: {value!r}: {message}")


def says_why(kind: type[T]) -> type[T]:
    """A pydantic dataclass that, made in code too, refuses in one line: a UserError."""
    made = kind.__init__

    @functools.wraps(made)
    def make(self: T, *values: Any, **named: Any) -> None:
        try:
            made(self, *values, **named)
        except ValidationError as error:
            raise UserError(describe(error, kind)) from None

    kind.__init__ = make  # type: ignore[assignment, method-assign]
    return kind


def describe(error: ValidationError, kind: type, where: str = "") -> str:
    """The first fault of a validation error in one line: field, fault, nearest allowed name."""
    fault = error.errors()[0]
    place, names = list(fault["loc"]), list(getattr(kind, "__dataclass_fields__", {}))
    if place and isinstance(place[0], int) and place[0] < len(names):
        place[0] = names[place[0]]  # it was given by its position
    shown = place if len(place) <= 8 else [*place[:3], "...", *place[-3:]]
    path = ".".join([where, *map(str, shown)]).strip(".")
    if fault["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        fields = getattr(_at(kind, place[:-1]), "__dataclass_fields__", {})
        return str(unknown(path, place[-1], fields)).replace("unknown value", "unknown field")
    return f"{path}: {fault['msg'].removeprefix('Value error, ')}, got {_short(fault['input'])}"


def _at(kind: Any, path: list[int | str]) -> Any:
    for name in path:
        field = getattr(kind, "__dataclass_fields__", {}).get(name)
        kind = field.type if field else kind
    return kind


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else f"{text[:100]}..."
