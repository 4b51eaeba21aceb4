"""One step of a run on tensors without content: what cannot run is refused, what can is counted."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from kdlib import tasks
from kdlib.clips.batches import Batch
from kdlib.data import manifest
from kdlib.errors import UserError
from kdlib.methods.base import Method
from kdlib.runs.build import method_of, model_of
from kdlib.runs.spec import DataSpec, RunSpec, parse

_ACTORS = 4  # of a rehearsed clip


@dataclass(frozen=True)
class Work:
    """Multiply-accumulates of a clip: in a training step with its backward pass, teachers included;
    looked at before an epoch; evaluated at test time. trained, looked: shares of the training
    clips that an epoch trains on and looks at.

    Convolutions, linear layers and the products of attention are counted, as in `models.cost`.
    """

    step: float
    look: float
    evaluation: float
    trained: float
    looked: float

    @property
    def epoch(self) -> float:
        """Of a training epoch, for each training clip."""
        return self.trained * self.step + self.looked * self.look


def rehearse(spec: RunSpec) -> Work:
    """One step, one look and one evaluation of the very method, on torch's meta device.

    UserError, by name, for all that would fail once it trains: options, teachers, classes, widths,
    labels that the task has no use for, what a clip is asked to know and does not.
    """
    with _named(spec):
        return _rehearse(_shape(spec))


def _shape(spec: RunSpec) -> str:
    """What a rehearsal depends on, as JSON: runs that differ by seeds alone share one."""

    def bare(spec: RunSpec) -> RunSpec:
        method = replace(spec.method, teachers=tuple(map(bare, spec.method.teachers)))
        start = replace(spec.start, run=bare(spec.start.run)) if spec.start else None
        data = replace(spec.data, seed=0)
        return replace(spec, data=data, method=method, seed=0, start=start)

    return json.dumps(asdict(bare(spec)), sort_keys=True)


@cache
def _rehearse(shape: str) -> Work:
    spec = parse(RunSpec, json.loads(shape))
    _check_data(spec.data)
    _check_start(spec)
    with torch.device("meta"):
        student = model_of(spec, class_count(spec.data))
        teachers = [model_of(t, class_count(t.data)) for t in spec.method.teachers]
        method = method_of(spec.method, student, teachers)
        method.freeze(spec.recipe.freeze)
        return _count(method, spec)


def class_count(data: DataSpec) -> int:
    """How many classes a data set has."""
    return manifest.load(data.name).class_count


def _count(method: Method, spec: RunSpec) -> Work:
    size, data = spec.recipe.batch_size, spec.data
    method.train()
    with FlopCounterMode(display=False) as step:
        # The second epoch, since the first may lack what later ones have.
        method.step(_batch(data, size), 1).loss.backward()
    trained, looked = method.shares()
    method.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as look:
        if looked:
            method.look(_batch(data, 1), 1)
    with torch.no_grad(), FlopCounterMode(display=False) as evaluation:
        batch = _batch(data, 1)
        output = method.predict(batch)
        if output is None:
            method.step(batch, 0)
        elif data.generated and not data.test:
            raise UserError("data.test: this method is judged on test clips; ask for some")
        else:
            method.task.truth(batch)
    macs = (counter.get_total_flops() / 2 for counter in (step, look, evaluation))
    whole, looking, evaluating = macs
    return Work(whole / size, looking, evaluating, trained, looked)


def _batch(data: DataSpec, size: int) -> Batch:
    """A batch without content, as the data spec makes them."""
    clips = torch.empty(size, 3, data.frames, data.size, data.size)
    others = len(data.others.strides) if data.others else 0
    shapes = {"flow": (data.frames - 1, 2, data.size, data.size), "boxes": (_ACTORS, 4)}
    return Batch(
        clips,
        _labels(data, size) if data.labels else None,
        torch.empty(size, dtype=torch.int64),
        tuple(torch.empty_like(clips) for _ in range(others)),
        {name: torch.empty(size, *shapes[name]) for name in data.known},
    )


def _labels(data: DataSpec, size: int) -> Tensor:
    """Labels of the shape that `Videos` has for the set's own task."""
    own, classes = manifest.load(data.name).task, class_count(data)
    if own == "classification":
        return torch.empty(size, dtype=torch.int64)
    if own == "multi-label":
        return torch.empty(size, classes)
    if data.generated:
        return torch.empty(size, _ACTORS, dtype=torch.int64)
    return torch.empty(size, _ACTORS, classes, dtype=torch.uint8)


def _check_data(data: DataSpec) -> None:
    own = manifest.load(data.name).task.replace("-", "_")
    if data.asked not in (own, "flow"):
        raise UserError(f"data.task: the labels of {data.name} are for {own}, not {data.asked}")
    if data.known and not data.generated:
        raise UserError(f"data.known: {data.name} knows no {data.known[0]}; leave it out")
    for name in tasks.load(data.asked).KNOWN:
        if name not in data.known:
            raise UserError(f"data.known: the task {data.asked} needs {name!r}; add it")


def _check_start(spec: RunSpec) -> None:
    if not spec.start:
        return
    run = spec.start.run
    if run.model != spec.model:
        raise UserError(
            f"start: it is a {run.model.name} with other options; "
            "a student takes the weights of its own model only"
        )
    if spec.start.part == "all" and (run.data.asked, class_count(run.data)) != (
        spec.data.asked,
        class_count(spec.data),
    ):
        raise UserError('start.part: its head is for other classes; take over the "backbone" alone')


@contextmanager
def _named(spec: RunSpec) -> Iterator[None]:
    """Failures as one line that names the run."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{spec.title}: {error}") from None
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        line = str(error).strip().splitlines()[0]
        if "meta" in line:
            line = f"a step may not read values of tensors (.item(), float(), if): {line}"
        raise UserError(f"{spec.title}: {line}") from None
