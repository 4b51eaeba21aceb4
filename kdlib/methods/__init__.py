"""One distillation or pre-training method a file: what happens with a batch.

The file `kdlib/methods/<name>.py` is the method <name>: its one subclass of `Method`. It is made of
a student and its teachers, or of the method that it goes around, called `base`, and of its options,
the annotated attributes of the class. A method of one's own is named "module:Class".
"""

import inspect
import pkgutil
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from types import ModuleType

from torch import nn

from kdlib.errors import UserError, unknown
from kdlib.methods.base import Method, checked_options

_NO_METHODS = ("base", "contrastive", "distillation", "masked", "pretext")
_found: set[str] = set()


def names() -> list[str]:
    """All methods, by the files of this folder."""
    files = (module.name for module in pkgutil.iter_modules(__path__))
    return [name for name in files if name not in _NO_METHODS]


def module_name(name: str) -> str:
    """The module of a method; UserError with the nearest match if there is no such method."""
    own, colon, _ = name.partition(":")
    # The folder is listed only for what is not known: plans ask thousands of times.
    if not colon and name not in _found and name not in names():
        raise unknown("method.name", name, [*names(), "module:Class"])
    _found.add(name)
    return own if colon else f"{__name__}.{name}"


@cache
def find(name: str) -> type[Method]:
    """The class of a method by name; UserError if there is none."""
    where = module_name(name)
    try:
        module = import_module(where)
    except ModuleNotFoundError as error:
        raise UserError(f"method.name: {name!r}: {error}") from None
    wanted = name.partition(":")[2]
    found = getattr(module, wanted, None) if wanted else _only_method(module)
    if not (inspect.isclass(found) and issubclass(found, Method)):
        raise UserError(f"method.name: {name!r} is no subclass of kdlib.methods.base.Method")
    return found


def build(name: str, *parts: object, **options: object) -> Method:
    """A new method. parts: a student and a sequence of teachers, or the base it goes around.

    UserError for an unknown name or option, an option of another type or range than its hint says,
    and for parts that the method cannot work with.
    """
    made = find(name)
    positional = _positional(made)
    if len(parts) != len(positional):
        raise UserError(f"method {name}: it takes {' and '.join(positional)}, not {_kinds(parts)}")
    if positional[1:] and not isinstance(parts[1], Sequence | nn.ModuleList):
        raise UserError(f"method {name}: teachers are a list, as [teacher], not {parts[1]!r:.40}")
    checked_options(made, options)  # none of them may be meant for a part
    make: Callable[..., Method] = made
    return make(*parts, **options)


def goes_around(name: str) -> bool:
    """Whether a method takes another one, its base, in place of a student and teachers."""
    return _positional(find(name)) == ["base"]


def _positional(made: type[Method]) -> list[str]:
    parameters = inspect.signature(made).parameters.values()
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]


def _kinds(parts: tuple[object, ...]) -> str:
    return " and ".join("a module" if isinstance(p, nn.Module) else str(p) for p in parts)


def _only_method(module: ModuleType) -> type[Method] | None:
    own = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Method)
        and value.__module__ == module.__name__
    ]
    return own[0] if len(own) == 1 else None
