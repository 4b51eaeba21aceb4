"""Architectures, one a file: `build(name, classes, **options)`, and what they cost."""

import importlib
import inspect
import json
import pkgutil
from types import ModuleType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from kdlib.errors import UserError, unknown
from kdlib.models.classifier import VideoClassifier


def names() -> list[str]:
    """The models there are: the modules of this package that have a `build`."""
    return [name for name in _modules() if hasattr(_module(name), "build")]


def build(name: str, classes: int, **options: object) -> VideoClassifier:
    """A new model, its weights drawn from torch's global generator.

    options: those of the module's own `build`, see `kdlib.models.<name>`; from JSON or YAML as
        well as from Python. An unknown name or option, or a value of another type, is a UserError.
    """
    if name not in _modules() or not hasattr(_module(name), "build"):
        raise unknown("model", name, names())
    make = _module(name).build
    values = {"classes": classes, **options}
    hints = get_type_hints(make, include_extras=True)
    allowed = inspect.signature(make).parameters
    for option in values.keys() - allowed.keys():
        raise unknown(f"option of model {name}", option, allowed)
    return make(**{key: _checked(f"{name}.{key}", hints[key], v) for key, v in values.items()})


def _modules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__)]


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"kdlib.models.{name}")


def _checked(field: str, hint: Any, value: object) -> object:
    """The value if it is of the hinted type; a list from a file counts as a tuple."""
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise unknown(field, value, get_args(hint))
    try:
        return TypeAdapter(hint).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        message = error.errors()[0]["msg"].lower()
    except TypeError:
        message = "must be plain: a number, a text, a truth value or a list of these"
    raise UserError(f"{field}: {value!r}: {message}")
