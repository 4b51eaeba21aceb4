"""One step of a run on clips without content: what cannot run is refused, what can is counted."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cache

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from kdlib import methods, tasks
from kdlib.clips.batches import Batch
from kdlib.data import manifest
from kdlib.data.generated.looks import PALETTES
from kdlib.errors import UserError, unknown
from kdlib.methods.base import Method
from kdlib.models.base import VideoModel
from kdlib.runs.build import method_of, model_of
from kdlib.runs.spec import DataSpec, MethodSpec, RunSpec, parse
from kdlib.training.mixing import mixes
from kdlib.training.recipe import Recipe, layers_of

_ACTORS = 4  # of a rehearsed clip
_CLIPS = 2  # of a rehearsed batch: batch norm needs more than one
_SMALL = 1e9  # parameters x pixels of a frame
_RECIPE = Recipe(epochs=1, learning_rate=1.0)


@dataclass(frozen=True)
class Load:
    """What a batch asks of a machine.

    macs: multiply-accumulates a clip, of convolutions, linear layers and the products of attention,
    as in `models.cost`. calls: tensor operations, however large the batch.
    """

    macs: float = 0.0
    calls: int = 0


@dataclass(frozen=True)
class Work:
    """What a run asks for: a training step with its backward pass, teachers included; a batch
    looked at before an epoch; a batch at test time.

    trained, looked: shares of the training clips that an epoch trains on and looks at.
    """

    step: Load
    look: Load
    evaluation: Load
    trained: float
    looked: float


_rehearsed: dict[str, Work] = {}


def rehearse(spec: RunSpec) -> Work:
    """One step, one look and one evaluation of the very method.

    UserError, by name, for all that would fail once it trains: options, teachers, classes, widths,
    labels that the task has no use for, what a clip is asked to know and does not.
    """
    if spec.digest not in _rehearsed:
        # The random numbers of whoever asks go on as if nobody had.
        with _named(spec), torch.random.fork_rng([]):
            _check_data(spec)
            _check_start(spec)
            made = _made(_json(_seedless(spec)))
            layers_of(made.student, spec.recipe)
            loads = _loads(_json(_bare(spec)))
            _rehearsed[spec.digest] = Work(*loads, *made.shares())
    return _rehearsed[spec.digest]


def _json(spec: RunSpec) -> str:
    return json.dumps(asdict(spec), sort_keys=True)


def _seedless(spec: RunSpec) -> RunSpec:
    """What decides whether a method can be made: neither seeds, nor how teachers were trained."""
    teachers = tuple(
        RunSpec(replace(teacher.data, seed=0), teacher.model, _RECIPE)
        for teacher in spec.method.teachers
    )
    recipe = replace(_RECIPE, freeze=spec.recipe.freeze)
    method, data = replace(spec.method, teachers=teachers), replace(spec.data, seed=0)
    return replace(spec, data=data, method=method, recipe=recipe, seed=0, start=None)


def _bare(spec: RunSpec) -> RunSpec:
    """What decides what a step computes: not how many clips there are, nor options that are
    fractions, such as weights and temperatures, where these have a value of their own."""

    def bare(method: MethodSpec) -> MethodSpec:
        made = methods.find(method.name)
        kept = {k: v for k, v in method.options.items() if not _is_fraction(made, k, v)}
        return replace(method, options=kept, base=bare(method.base) if method.base else None)

    spec = _seedless(spec)
    data = replace(spec.data, train=1, validation=0, test=min(spec.data.test, 1))
    return replace(spec, data=data, method=bare(spec.method))


def _is_fraction(method: type[Method], option: str, value: object) -> bool:
    return isinstance(value, float) and hasattr(method, option)


@cache
def _made(seedless: str) -> Method:
    """The method of a spec, without memory; methods of the same networks share them."""
    spec = parse(RunSpec, json.loads(seedless))
    network = _network if not spec.recipe.freeze else _network.__wrapped__
    with torch.device("meta"):
        student = network(_json(replace(spec, method=MethodSpec())), -1)
        teachers = [network(_json(t), n) for n, t in enumerate(spec.method.teachers)]
        method = method_of(spec.method, student, teachers)
        method.freeze(spec.recipe.freeze)
    return method


@cache
def _network(supervised: str, role: int) -> VideoModel:
    """The student of a spec; role tells it from another network of the same kind."""
    spec = parse(RunSpec, json.loads(supervised))
    return model_of(spec, class_count(spec.data))


@cache
def _loads(bare: str) -> tuple[Load, Load, Load]:
    """Of a step, a look and an evaluation."""
    spec = parse(RunSpec, json.loads(bare))
    made = _made(bare)
    # Small networks are computed, which is three times as fast as passing on shapes alone.
    small = sum(p.numel() for p in made.parameters()) * spec.data.size**2 < _SMALL
    with one_thread(), nullcontext() if small else torch.device("meta"):
        student, *teachers = (
            model_of(part, class_count(part.data)) for part in (spec, *spec.method.teachers)
        )
        method = method_of(spec.method, student, teachers)
        method.freeze(spec.recipe.freeze)
        return _count(method, spec.data)


def class_count(data: DataSpec) -> int:
    """How many classes a data set has."""
    return manifest.load(data.name).class_count


class _Counter(TorchDispatchMode):
    """Counts as torch's FlopCounterMode does, by its formulas, without its search for the module
    of each operation: several times as fast on small networks."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        self.calls += 1
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=out)
        return out

    def load(self, clips: int) -> Load:
        """Of a batch of so many clips."""
        return Load(self.flops / 2 / clips, self.calls)


def _count(method: Method, data: DataSpec) -> tuple[Load, Load, Load]:
    method.train()
    with _Counter() as step:
        # The second epoch, since the first may lack what later ones have.
        method.step(_batch(data, _CLIPS), 1).loss.backward()
    method.eval()
    with torch.no_grad(), _Counter() as look:
        if method.shares()[1]:
            method.look(_batch(data, 1), 1)
    with torch.no_grad(), _Counter() as evaluation:
        batch = _batch(data, 1)
        if method.predict(batch) is None:
            method.step(batch, 0)
        elif data.generated and not data.test:
            raise UserError("data.test: this method is judged on test clips; ask for some")
        else:
            method.task.truth(batch)
    return step.load(_CLIPS), look.load(1), evaluation.load(1)


def _batch(data: DataSpec, size: int) -> Batch:
    """A batch without content, as the data spec makes them."""
    clips = torch.zeros(size, 3, data.frames, data.size, data.size)
    others = data.others.count if data.others else 0
    shapes = {
        "flow": (data.frames - 1, 2, data.size, data.size),
        "boxes": (_ACTORS, 4),
        "posterior": (class_count(data),),
    }
    return Batch(
        clips,
        _labels(data, size) if data.labels else None,
        torch.zeros(size, dtype=torch.int64),
        tuple(torch.zeros_like(clips) for _ in range(others)),
        {name: torch.zeros(size, *shapes[name]) for name in data.known},
        fixed=_may_be_fixed(data),
    )


def _may_be_fixed(data: DataSpec) -> bool:
    """Whether training clips may be the same at every epoch: of a real set's lengths is unknown."""
    drawn = data.crop != "none" or manifest.load(data.name).mirror
    return not drawn and data.length in (0, data.span)


def _labels(data: DataSpec, size: int) -> Tensor:
    """Labels of the shape that `Videos` has for the set's own task."""
    own, classes = manifest.load(data.name).task, class_count(data)
    if own == "classification":
        return torch.zeros(size, dtype=torch.int64)
    if own == "multi-label":
        return torch.zeros(size, classes)
    if data.generated:
        return torch.zeros(size, _ACTORS, dtype=torch.int64)
    return torch.zeros(size, _ACTORS, classes, dtype=torch.uint8)


def _check_data(spec: RunSpec) -> None:
    data = spec.data
    described = manifest.load(data.name)
    own = described.task.replace("-", "_")
    if mixes(spec.recipe) and data.asked != "classification":
        raise UserError(f"recipe.mixup: no mixup, cutmix or label_smoothing for {data.asked}")
    if spec.recipe.rand_augment and (data.known or data.others):
        raise UserError("recipe.rand_augment: 0 here, as what else is known would not change along")
    if data.asked not in (own, "flow"):
        raise UserError(f"data.task: the labels of {data.name} are for {own}, not {data.asked}")
    if not data.generated:
        _check_known(data, described.media)
    elif data.domain not in PALETTES:
        raise unknown("data.domain", data.domain, PALETTES)
    if "flow" in data.known:
        _check_flow(data)
    if "posterior" in data.known and own != "classification":
        raise UserError(f"data.known: {data.name} knows no posterior; leave it out")
    for name in tasks.load(data.asked).KNOWN:
        if name not in data.known:
            raise UserError(f"data.known: the task {data.asked} needs {name!r}; add it")


def _check_known(data: DataSpec, media: str) -> None:
    """Of a real set: flow of its videos can be computed, no more."""
    for name in data.known:
        if name != "flow" or media != "videos":
            raise UserError(f"data.known: {data.name} knows no {name}; leave it out")


def _check_flow(data: DataSpec) -> None:
    if data.frames < 2:
        raise UserError("data.frames: flow is between frames; take two or more")
    dense = data.sampling == "dense"
    whole = data.generated and data.length <= data.frames  # every frame is taken, "segments" or not
    if data.stride > 1 if dense else not whole:
        raise UserError(
            'data.sampling: flow is known between neighbouring frames; take "dense" ones at '
            "stride 1"
        )


def _check_start(spec: RunSpec) -> None:
    if not spec.start:
        return
    run = spec.start.run
    if run.model != spec.model and not _fits(spec, run):
        raise UserError(
            f"start: it is a {run.model.name} with other options; "
            "a student takes the weights of its own model only"
        )
    if spec.start.part == "all" and (run.data.asked, class_count(run.data)) != (
        spec.data.asked,
        class_count(spec.data),
    ):
        raise UserError('start.part: its head is for other classes; take over the "backbone" alone')


def _fits(spec: RunSpec, run: RunSpec) -> bool:
    """Whether a student takes the backbone of the same model with other options, such as a vit of
    videos that of images."""
    if (spec.start and spec.start.part == "all") or run.model.name != spec.model.name:
        return False
    with torch.device("meta"):
        ours, theirs = (model_of(s, class_count(s.data)).backbone for s in (spec, run))
    try:
        ours.load_state_dict(theirs.state_dict())
    except RuntimeError:
        return False
    return True


@contextmanager
def one_thread() -> Iterator[None]:
    """Small tensors on one thread of torch: several only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
