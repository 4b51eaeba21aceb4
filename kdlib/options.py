"""Options by name, checked against the types that are asked of them."""

import json
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from kdlib.errors import UserError, unknown


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
