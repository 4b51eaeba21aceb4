"""What is asked of an output, one task a file: its head, its loss and its judge.

The file `kdlib/tasks/<name>.py` is the task <name>, a module with what `Task` lists. The manifest
of a data set names its task; `DataSpec.task` may ask for another.
"""

import pkgutil
from functools import cache
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
from torch import Tensor, nn

from kdlib.clips.batches import Batch
from kdlib.errors import unknown
from kdlib.models.base import VideoModel

Truth = dict[str, Tensor]


class Task(Protocol):
    """The functions of a task's module.

    KNOWN: what a batch must know beside its labels ("boxes", "flow"). SCORE: heads its column.
    head: a new head on a map of so many channels. answer: the output of a model for a batch, each
    clip a row. loss: of each clip (B,). truth: what outputs are held against, each clip a row.
    judge: numbers by name, "score" among them, higher is better; of outputs and truth the first two
    axes are (N videos, views), so that the views of a video can be taken together.
    keep: of outputs (N, views, ...) what a record keeps, by name.
    """

    KNOWN: tuple[str, ...]
    SCORE: str

    def head(self, channels: int, classes: int) -> nn.Module: ...  # noqa: D102

    def answer(self, model: nn.Module, batch: Batch) -> Tensor: ...  # noqa: D102

    def loss(self, output: Tensor, batch: Batch) -> Tensor: ...  # noqa: D102

    def truth(self, batch: Batch) -> Truth: ...  # noqa: D102

    def judge(self, outputs: Tensor, truth: Truth) -> dict[str, Any]: ...  # noqa: D102

    def keep(self, outputs: Tensor) -> dict[str, np.ndarray]: ...  # noqa: D102


@cache
def names() -> tuple[str, ...]:
    """All tasks, by the files of this folder."""
    return tuple(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Task:
    """The task of that name; UserError with the nearest match if there is none."""
    if name not in names():
        raise unknown("task", name, names())
    return cast(Task, import_module(f"{__name__}.{name}"))


def of(model: nn.Module) -> Task:
    """The task that a model's head is for; classification for a module that does not say."""
    return load(getattr(model, "task", "classification"))


def equip(model: VideoModel, task: str, classes: int) -> VideoModel:
    """The model with a new head for this task; as it is if its own head is for that."""
    if model.task != task:
        head = load(task).head(model.channels, classes)
        model.head, model.task = head, task
    return model
