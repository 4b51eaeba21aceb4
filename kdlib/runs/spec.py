"""RunSpec: everything that determines one run, checked before anything trains."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from kdlib.errors import UserError, unknown
from kdlib.training.recipe import Recipe

_CONFIG = ConfigDict(extra="forbid")
Option = bool | int | float | str | None


@dataclass(frozen=True, config=_CONFIG)
class DataSpec:
    """Which videos, and how clips are taken from them.

    name: "generated/<task>" or the name of a manifest in `data_manifests/`.
    seed: of the generated clips; of a real set, which videos are taken where fewer are asked for.
    split: of a real set that has several; None is its default.
    train, validation, test: videos of each part; of a real set at most so many, 0 for all.
    frames, size: of a clip, as the method receives it (size in pixels, square).
    sampling: "segments" (one frame of each of `frames` equal parts) or "dense" (`stride` apart).
    views: clips a video at test time.
    crop, flip: augmentation in training; flip only where it does not change the label.
    """

    name: str
    seed: int = Field(default=0, ge=0)
    split: str | None = None
    train: int = Field(default=0, ge=0)
    validation: int = Field(default=0, ge=0)
    test: int = Field(default=0, ge=0)
    frames: int = Field(default=8, ge=1)
    size: int = Field(default=32, ge=8)
    sampling: Literal["segments", "dense"] = "segments"
    stride: int = Field(default=1, ge=1)
    views: int = Field(default=1, ge=1)
    crop: Literal["none", "shift", "multiscale"] = "shift"
    flip: bool = False
    domain: str = "source"

    @property
    def source(self) -> str:
        """The data set, and the split where one is named."""
        return f"{self.name}:{self.split}" if self.split else self.name


@dataclass(frozen=True, config=_CONFIG)
class ModelSpec:
    """An architecture of `kdlib.models` by name, with the options of its `build`."""

    name: str
    options: Mapping[str, Option] = Field(default_factory=dict)


@dataclass(frozen=True, config=_CONFIG)
class MethodSpec:
    """A method of `kdlib.methods` by name, its teachers' runs, and the options of its `build`."""

    name: str = "supervised"
    teachers: tuple["RunSpec", ...] = ()
    options: Mapping[str, Option] = Field(default_factory=dict)


@dataclass(frozen=True, config=_CONFIG)
class RunSpec:
    """One training run, fully determined. Two equal specs are one run.

    start: a run of the same model whose last weights the student starts from (pre-training); its
        last layer starts anew if that run had other data.
    """

    data: DataSpec
    model: ModelSpec
    recipe: Recipe
    method: MethodSpec = Field(default_factory=MethodSpec)
    seed: int = Field(default=0, ge=0)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    start: "RunSpec | None" = None

    @property
    def needs(self) -> tuple["RunSpec", ...]:
        """The runs that must be there first: teachers, then the one to start from."""
        return self.method.teachers + ((self.start,) if self.start else ())

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no white space."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def title(self) -> str:
        """One short line for progress bars and lists."""
        pixels = self.method.options.get("resolution") or self.data.size
        return f"{self.method.name} {self.model.name} {pixels} px, seed {self.seed}"

    def __hash__(self) -> int:
        return hash(self.digest)


T = TypeVar("T")


def parse(kind: type[T], value: Any, where: str = "") -> T:
    """A checked `kind` from plain data; UserError with the field and the fix otherwise."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise UserError(describe(error, kind, where)) from None


def describe(error: ValidationError, kind: type, where: str = "") -> str:
    """The first fault of a validation error in one line: field, fault, nearest allowed name."""
    fault = error.errors()[0]
    path = ".".join([where, *map(str, fault["loc"])]).strip(".")
    if fault["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        fields = getattr(_at(kind, fault["loc"][:-1]), "__dataclass_fields__", {})
        return str(unknown(path, fault["loc"][-1], fields)).replace(
            "unknown value", "unknown field"
        )
    return f"{path}: {fault['msg']}, got {fault['input']!r}"


def _at(kind: type, path: tuple[int | str, ...]) -> type:
    for name in path:
        field = getattr(kind, "__dataclass_fields__", {}).get(name)
        kind = field.type if field else kind
    return kind
