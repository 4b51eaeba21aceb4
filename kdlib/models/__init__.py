"""Architectures, one a file: `build(name, classes, **options)`, and what they cost."""

import importlib
import pkgutil
from types import ModuleType
from typing import get_type_hints

from kdlib.errors import unknown
from kdlib.models.base import VideoModel
from kdlib.options import checked


def names() -> list[str]:
    """The models there are: the modules of this package that have a `build`."""
    return [name for name in _modules() if hasattr(_module(name), "build")]


def build(name: str, classes: int, **options: object) -> VideoModel:
    """A new model, its weights drawn from torch's global generator.

    options: those of the module's own `build`, see `kdlib.models.<name>`; from JSON or YAML as
        well as from Python. An unknown name or option, or a value of another type, is a UserError.
    """
    if name not in _modules() or not hasattr(_module(name), "build"):
        raise unknown("model", name, names())
    make = _module(name).build
    hints = get_type_hints(make, include_extras=True)
    del hints["return"]
    model = make(**checked(f"model {name}", hints, ("classes",), {"classes": classes, **options}))
    model.architecture = name, options
    return model


def _modules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__)]


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"kdlib.models.{name}")
