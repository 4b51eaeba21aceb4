"""Options by name, checked against the signature of what they are for."""

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from kdlib.errors import UserError, unknown


def checked(
    owner: str, make: Callable[..., Any], values: Mapping[str, object], given: int = 0
) -> dict[str, Any]:
    """The values as `make` takes them; a list from a file counts as a tuple.

    owner: what the errors call it, such as "method kd". given: how many of the first parameters
        come from elsewhere and are no options. UserError for an unknown or missing option, or a
        value of another type than the signature says.
    """
    allowed = dict(list(inspect.signature(make).parameters.items())[given:])
    hints = get_type_hints(make.__init__ if inspect.isclass(make) else make, include_extras=True)
    for name in values:
        if name not in allowed:
            raise unknown(f"option of {owner}", name, allowed)
    for name, parameter in allowed.items():
        if parameter.default is parameter.empty and name not in values:
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
