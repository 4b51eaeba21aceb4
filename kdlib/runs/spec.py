"""RunSpec: everything that determines one run, checked before anything trains."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass, rebuild_dataclass

from kdlib.clips.others import Others, span
from kdlib.clips.sampling import Sampling
from kdlib.data import manifest
from kdlib.errors import UserError, unknown
from kdlib.options import describe, says_why
from kdlib.training.recipe import Recipe

_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)
Option = bool | int | float | str | None
Known = Literal["flow", "boxes", "posterior"]
Seed = Annotated[int, Field(ge=0, lt=1 << 63)]
Side = Annotated[int, Field(le=10_000)]  # of what is held in memory at once


@says_why
@dataclass(frozen=True, config=_CONFIG)
class DataSpec:
    """Which videos, how clips are taken from them, and what comes with a clip.

    name: "generated/<task>" or the name of a manifest in `data_manifests/`, which also says whether
        clips are mirrored in training.
    seed: of the generated clips; of a real set, which videos are taken where fewer are asked for.
    split: of a real set that has several; None is its default.
    train, validation, test: videos of each part; of a real set at most so many, 0 for all. Of a
        generated set 0 makes none: a run without validation has no chosen epoch, one without test
        clips must be of a method that predicts nothing.
    frames, size: of a clip, as the method receives it (size in pixels, square).
    length: frames of a generated video; 0 for as many as its clips span, which leaves them one
        place only.
    sampling: "segments" (one frame of each of `frames` equal parts) or "dense" (`stride` apart).
    views: clips a video at test time. others: further clips of each video, for pretext tasks.
    overlap, label_noise: of a generated set, 0 to 1: how far classes blend, and which share of the
        training labels is drawn at random, as `GeneratedSpec` says.
    crop: augmentation in training.
    labels: false withholds the labels from the method.
    known: what else of a clip the method is told; of real videos "flow" alone, which is computed,
        between dense frames at stride 1, and without those shorter than `span`. task: what is
        asked; None is the set's own task.
    """

    name: str
    seed: Seed = 0
    split: str | None = None
    train: int = Field(default=0, ge=0)
    validation: int = Field(default=0, ge=0)
    test: int = Field(default=0, ge=0)
    frames: Side = Field(default=8, ge=1)
    size: Side = Field(default=32, ge=8)
    length: int = Field(default=0, ge=0)
    sampling: Literal["segments", "dense"] = "segments"
    stride: int = Field(default=1, ge=1)
    views: int = Field(default=1, ge=1)
    others: Others | None = None
    crop: Literal["none", "shift", "multiscale"] = "shift"
    domain: str = "source"
    overlap: float = Field(default=0.0, ge=0, le=1)
    label_noise: float = Field(default=0.0, ge=0, le=1)
    labels: bool = True
    known: tuple[Known, ...] = ()
    task: str | None = None

    def __post_init__(self) -> None:
        sets = [*manifest.names(), *manifest.generated_names()]
        if self.name not in sets:
            raise unknown("data.name", self.name, sets)
        if self.generated and not self.train:
            raise UserError("data.train: say how many clips of a generated set, 1 or more")
        if self.generated and self.split is not None:
            raise UserError(f"data.split: of real sets only, not of {self.name}; leave it out")
        for name in ("length", "overlap", "label_noise"):
            if getattr(self, name) and not self.generated:
                raise UserError(f"data.{name}: of generated sets only, not of {self.name}")
        if 0 < self.length < self.span:
            raise UserError(f"data.length: at least {self.span}, which clips span, or 0")

    @property
    def generated(self) -> bool:
        """Whether the clips are made here."""
        return self.name.startswith("generated/")

    @property
    def span(self) -> int:
        """Source frames that the clips of one drawing of a video span."""
        return span(Sampling(self.sampling, self.frames, self.stride), self.others)

    @property
    def asked(self) -> str:
        """The name of the task: what is asked of a student's output."""
        return self.task or manifest.load(self.name).task.replace("-", "_")

    @property
    def source(self) -> str:
        """The data set, and the split where one is named."""
        return f"{self.name}:{self.split}" if self.split else self.name


@says_why
@dataclass(frozen=True, config=_CONFIG)
class ModelSpec:
    """An architecture of `kdlib.models` by name, with the options of its `build`."""

    name: str
    options: Mapping[str, Option] = Field(default_factory=dict)


@dataclass(frozen=True, config=_CONFIG)
class MethodSpec:
    """A method by name (`kdlib.methods`), its teachers' runs, and its options.

    base: the method that it goes around, which has the same teachers.
    """

    name: str = "supervised"
    teachers: tuple["RunSpec", ...] = ()
    options: Mapping[str, Option] = Field(default_factory=dict)
    base: "MethodSpec | None" = None

    @property
    def names(self) -> tuple[str, ...]:
        """Its own name and those of what it goes around."""
        return (self.name, *(self.base.names if self.base else ()))

    @property
    def title(self) -> str:
        """The name and what it goes around, with all options."""
        options = "".join(f" {name}={value}" for name, value in self.options.items())
        return f"{self.name}{options}" + (f" around {self.base.title}" if self.base else "")


@dataclass(frozen=True, config=_CONFIG)
class Start:
    """What a student takes over from a finished run of the same model: its last weights.

    part: "backbone", which leaves the head as it is made, or "all".
    """

    run: "RunSpec"
    part: Literal["backbone", "all"] = "all"


@dataclass(frozen=True, config=_CONFIG)
class RunSpec:
    """One training run, fully determined. Two equal specs are one run.

    start: what the student starts from; random weights without it.
    """

    data: DataSpec
    model: ModelSpec
    recipe: Recipe
    method: MethodSpec = Field(default_factory=MethodSpec)
    seed: Seed = 0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    start: Start | None = None

    @property
    def needs(self) -> tuple["RunSpec", ...]:
        """The runs that must be there first: teachers, then the one to start from."""
        return self.method.teachers + ((self.start.run,) if self.start else ())

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no white space."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def title(self) -> str:
        """One short line for progress bars and lists."""
        return f"{self.method.title}, {self.model.name} {self.data.size} px, seed {self.seed}"

    def __hash__(self) -> int:
        return hash(self.digest)


for _kind in (MethodSpec, Start, RunSpec):  # which name each other: complete only now
    rebuild_dataclass(_kind, force=True)  # type: ignore[arg-type]
    says_why(_kind)

T = TypeVar("T")


def parse(kind: type[T], value: Any, where: str = "") -> T:
    """A checked `kind` from plain data; UserError with the field and the fix otherwise."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise UserError(describe(error, kind, where)) from None
    except RecursionError:
        raise UserError(f"{where}: nested too deeply") from None
