"""One distillation method a file: what happens with a batch.

The file `kdlib/methods/<name>.py` is the method <name>; its `build(student, teachers, **options)`
makes it, and the signature of `build` says which options there are.
"""

import pkgutil
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from kdlib.errors import UserError, unknown


def names() -> list[str]:
    """All methods, by the files of this folder."""
    return [module.name for module in pkgutil.iter_modules(__path__) if module.name != "base"]


def check(name: str) -> str:
    """The name itself if there is such a method; UserError with the nearest match otherwise."""
    if name not in names():
        raise unknown("method.name", name, names())
    return name


def passes(name: str, options: Mapping[str, Any]) -> tuple[float, float]:
    """The shares of its training clips that an epoch of a method trains on, and only looks at.

    All and none, unless the method's module says otherwise by a function `passes(options)`.
    """
    module = import_module(f"{__name__}.{check(name)}")
    return module.passes(options) if hasattr(module, "passes") else (1.0, 0.0)


def unknown_option(method: str, option: str, allowed: Iterable[str]) -> UserError:
    """The error for an option the method does not have."""
    return unknown(f"method.options of {method}", option, allowed)
