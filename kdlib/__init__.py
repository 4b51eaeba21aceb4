"""kdlib: knowledge distillation for video action recognition, the library behind the study book.

What a script of one's own needs is here: `Recipe`, `Sampling`, `Student`, `adapt`, `fit`, `infer`,
`load_student`, `read_clip`, `save_student`. Losses, methods and models are in their packages.
"""

from importlib import import_module
from typing import Any

# By name, so that the code of a run is not thought to reach all of this.
_PLACES = {
    "Recipe": "kdlib.training.recipe",
    "Sampling": "kdlib.clips.sampling",
    "Student": "kdlib.runs.students",
    "adapt": "kdlib.models.adapt",
    "fit": "kdlib.training.loop",
    "infer": "kdlib.runs.students",
    "load_student": "kdlib.runs.student_files",
    "read_clip": "kdlib.runs.students",
    "save_student": "kdlib.runs.student_files",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no {name!r}; it has {', '.join(_PLACES)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
