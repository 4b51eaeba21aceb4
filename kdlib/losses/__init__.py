"""Pure functions on tensors, one loss a file: `from kdlib.losses import kd_loss`.

The file `kdlib/losses/<name>.py` holds `<name>_loss`. It is imported when its loss is first asked
for, and no other with it.
"""

import difflib
import pkgutil
from importlib import import_module
from typing import Any

_END = "_loss"


def __getattr__(name: str) -> Any:
    losses = _names()
    if name in losses:
        return getattr(import_module(f"{__name__}.{name.removesuffix(_END)}"), name)
    near = difflib.get_close_matches(name, losses, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(losses)}"
    raise AttributeError(f"module {__name__!r} has no {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_names()])


def _names() -> list[str]:
    return [module.name + _END for module in pkgutil.iter_modules(__path__)]
