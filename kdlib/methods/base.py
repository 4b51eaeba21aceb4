"""What every method is: a student, frozen teachers, and a step on a batch."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from kdlib import tasks
from kdlib.clips.batches import Batch
from kdlib.clips.pixels import resize
from kdlib.errors import UserError
from kdlib.models.base import VideoModel
from kdlib.options import checked

Temperature = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Variant = Literal["paper", "released"]


@dataclass(frozen=True)
class StepOutput:
    """loss: a scalar to minimise; parts: its detached terms by name; output: the student's."""

    loss: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    output: Tensor | None = None


class Epoch(NamedTuple):
    """What a method may know before an epoch begins.

    number: from 0. total: epochs of the training. videos: N, in the training split.
    batches: walks once through all of them, in order, at the centre crop and the test frames; or
        through those given, as batches(indices, videos a batch).
    """

    number: int
    total: int
    videos: int
    batches: Callable[..., Iterator[Batch]]


class Method(nn.Module):
    """A student, its frozen teachers and what happens with a batch.

    Subclasses implement `step`; most need no more. Their options are annotated attributes of the
    class (`temperature: Temperature = 4.0`), given by name and checked against the annotation; one
    without a value must be given. Teachers never receive a gradient;
    `teacher_mode` ("eval" or "train") is put back on every call of `train()` or `eval()`, so that
    no outside call can change it.

    cycle: epochs after which the method's work repeats. resolution: pixels, square, at which the
    student sees a clip; None for those of the clip.
    """

    teacher_mode = "eval"
    cycle = 1
    resolution: int | None = None

    def __init__(
        self, student: nn.Module, teachers: Sequence[nn.Module] = (), **options: Any
    ) -> None:
        super().__init__()
        if any(teacher is student for teacher in teachers):
            raise UserError("method.teachers: the student itself, which would be frozen; copy it")
        for name, value in checked_options(type(self), options).items():
            setattr(self, name, value)
        self.student: Any = student
        self.teachers = nn.ModuleList(teachers).requires_grad_(False)
        # A plain list, so that the modules are not registered twice.
        self._frozen: list[nn.Module] = []
        self.train()

    @property
    def teacher(self) -> Any:
        """The teacher, of a method that has one."""
        return self.teachers[0]

    @property
    def task(self) -> tasks.Task:
        """What is asked of the student."""
        return tasks.of(self.student)

    def step(self, batch: Batch, epoch: int) -> StepOutput:
        """The loss of one batch, epochs counted from 0."""
        raise NotImplementedError

    def predict(self, batch: Batch) -> Tensor | None:
        """What the task judges, a clip a row, as at test time: by the student alone.

        A method whose student is not trained for that gives None: the run is then judged by its own
        loss on validation clips.
        """
        return self.task.answer(self.student, self.student_batch(batch))

    def before_epoch(self, epoch: Epoch) -> np.ndarray | None:
        """The training videos of this epoch, int64; None, which is the default, for all."""
        return None

    def after_step(self) -> None:
        """Whatever follows the optimiser's step: momentum encoders, queues."""

    def shares(self) -> tuple[float, float]:
        """The shares of the training clips that an epoch trains on, and that it looks at before."""
        return 1.0, 0.0

    def look(self, batch: Batch, epoch: int) -> None:
        """What `before_epoch` does with a batch of the clips that it looks at, for its cost."""

    def student_view(self, clips: Tensor) -> Tensor:
        """The clips (B, 3, T, H, W) as the student sees them: `resolution` pixels square."""
        return clips if self.resolution is None else resize(clips, self.resolution)

    def student_batch(self, batch: Batch) -> Batch:
        """The batch as the student sees it."""
        if self.resolution is None:
            return batch
        if batch.known:
            raise UserError("resolution: what is known of a clip is not reduced with it; leave out")
        return replace(batch, clips=self.student_view(batch.clips))

    def freeze(self, parts: Iterable[str]) -> None:
        """Train these parts of the student no more: no gradient, and always in eval mode."""
        for part in parts:
            if not isinstance(getattr(self.student, part, None), nn.Module):
                raise UserError(f"recipe.freeze: the student has no part {part!r}")
            self._frozen.append(getattr(self.student, part).requires_grad_(False))
        self.train(self.training)

    def train(self, mode: bool = True) -> "Method":
        """Set the student's mode; the teachers and what is frozen keep theirs."""
        self.training = mode
        parts = [(part, mode) for part in self.children() if part is not self.teachers]
        # After them, since a base method has the same teachers.
        parts.append((self.teachers, self.teacher_mode == "train"))
        parts += [(part, False) for part in getattr(self, "_frozen", [])]
        for part, wanted in parts:
            # To set a mode costs far more than to look, and a run does it several times an epoch.
            if any(_differs(module, wanted) for module in part.modules()):
                part.train(wanted)
        return self

    def own_state(self) -> dict[str, Tensor]:
        """The state of projectors, decoders and the like: all but student and teachers."""
        others = {id(tensor) for tensor in _tensors(self.student, self.teachers)}
        state = self.state_dict(keep_vars=True)
        return {name: t.detach() for name, t in state.items() if id(t) not in others}

    def load_own_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `own_state()` gave."""
        self.load_state_dict(state, strict=False)

    def own_parameters(self) -> int:
        """How many numbers are trained beside the student."""
        students = {id(tensor) for tensor in _tensors(self.student)}
        own = (p for p in self.parameters() if p.requires_grad and id(p) not in students)
        return sum(parameter.numel() for parameter in own)

    def more_state(self) -> dict[str, Tensor]:
        """What a checkpoint needs beside all weights, such as what is known of each sample."""
        return {}

    def load_more_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `more_state()` gave."""

    def traces(self) -> dict[str, np.ndarray]:
        """What happened in training, for figures: arrays by name."""
        return {}


def checked_options(method: type[Method], given: Mapping[str, object]) -> dict[str, Any]:
    """The given options of a method; UserError for one that it lacks, or of another type or range.

    Options are the annotated attributes of its class and of those between it and `Method`.
    """
    needed: dict[str, bool] = {}
    for made in reversed(method.__mro__):
        if issubclass(made, Method) and made is not Method:
            needed |= {name: name not in vars(made) for name in inspect.get_annotations(made)}
    hints = get_type_hints(method, include_extras=True)
    package, _, name = method.__module__.rpartition(".")
    owner = f"method {name if package == 'kdlib.methods' else method.__name__}"
    wanted = [name for name, is_needed in needed.items() if is_needed]
    return checked(owner, {name: hints[name] for name in needed}, wanted, given)


def pooled(maps: Tensor) -> Tensor:
    """The mean over time and place of maps (B, C, T, h, w): (B, C), in float32 at least."""
    return maps.mean((2, 3, 4), dtype=torch.promote_types(maps.dtype, torch.float32))


def _differs(module: nn.Module, training: bool) -> bool:
    """Whether a module has another mode, or its own idea of what a mode means."""
    return module.training != training or type(module).train is not nn.Module.train


def _tensors(*modules: nn.Module) -> Iterator[Tensor]:
    for module in modules:
        yield from chain(module.parameters(), module.buffers())


def only_teacher(teachers: Sequence[nn.Module]) -> nn.Module:
    """The one teacher; UserError if there are more or none."""
    if len(teachers) != 1:
        raise UserError(f"method.teachers: it takes one, got {len(teachers)}")
    return teachers[0]


def check_features(**networks: nn.Module) -> None:
    """UserError unless each network, by its role, gives its last map and has a head on it."""
    for role, network in networks.items():
        if not isinstance(network, VideoModel):
            raise UserError(
                f"method: the {role}, a {type(network).__name__}, gives no features; see "
                "kdlib.models.adapt.adapt, which gives it a head and stages"
            )


def check_pixels(**networks: Any) -> None:
    """UserError unless each network, by its role, sees pixels."""
    for role, network in networks.items():
        if network.sees != "pixels":
            raise UserError(f"method: the {role} sees {network.sees}, and this is made of pixels")


def check_equal(what: str, student: nn.Module, teacher: nn.Module) -> None:
    """UserError unless both have as many `what` ("classes", "channels")."""
    ours, theirs = getattr(student, what), getattr(teacher, what)
    if ours != theirs:
        raise UserError(f"method: the student has {ours} {what} and the teacher {theirs}")
