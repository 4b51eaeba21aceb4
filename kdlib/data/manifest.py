"""Data manifests: one YAML file a data set says what it is, whose it is and where its clips lie."""

import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from kdlib.errors import UserError, unknown

MANIFESTS = Path(__file__).parents[2] / "data_manifests"

Part = Literal["train", "validation", "test"]


def inside(path: str) -> str:
    """The path itself, if it is relative and stays below where it starts; else ValueError."""
    parts = PurePosixPath(path.replace("\\", "/"))
    if not parts.parts or parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
        raise ValueError(f"{path!r} must be a relative path without '..'")
    return path


RelativePath = Annotated[str, AfterValidator(inside)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Files(_Strict):
    """Where the clips lie, below <data root>/<name> or the data root itself.

    folder: holds the videos. archive: a tar that unpacks to that folder, used where it is absent.
    """

    folder: RelativePath
    archive: RelativePath | None = None


class TableLayout(_Strict):
    """A CSV table beside the folder has a row a clip; the other fields name its columns.

    path: the clip's path below the folder; `suffix`, where given, replaces the suffix it ends in.
    label: the class; without it, the folder a clip lies in. group: clips that share a scene.
    A split is a column too, and its values are train, validation, test or one of `left_out`.
    """

    kind: Literal["table"]
    table: RelativePath
    path: str = "path"
    suffix: str | None = None
    label: str | None = None
    group: str | None = None
    left_out: tuple[str, ...] = ()


class FoldersLayout(_Strict):
    """Videos lie in <folder>/<train, validation or test>/<class>/<file>.

    group: a regular expression with one group: what it finds in a file's name is the scene.
    """

    kind: Literal["folders"]
    group: str | None = None


class Manifest(_Strict):
    """A data set.

    classes: the class names, in the order of their indices.
    splits: by name, the official number of videos of each part; the first is the default. A folders
        layout has only the split its folders make, and needs none here.
    validation: the share of training videos set apart where a split has no validation part.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")]
    title: str
    homepage: str = ""
    citation: str = ""
    terms: str = ""
    task: Literal["classification"] = "classification"
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    files: Files
    layout: Annotated[TableLayout | FoldersLayout, Field(discriminator="kind")]
    splits: Mapping[str, Mapping[Part, int]] = {}
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.17

    @model_validator(mode="after")
    def _consistent(self) -> "Manifest":
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: a name stands twice")
        if isinstance(self.layout, TableLayout) and not self.splits:
            raise ValueError("splits: a table layout names at least one column, with its counts")
        return self


def names() -> list[str]:
    """The data sets that have a manifest."""
    return sorted(file.stem for file in MANIFESTS.glob("*.yaml"))


def load(name_or_path: str | os.PathLike) -> Manifest:
    """The manifest of that name in data_manifests/, or of a YAML file of one's own."""
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = MANIFESTS / f"{name_or_path}.yaml"
        if str(name_or_path) not in names():
            raise unknown("data set", str(name_or_path), names())
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"manifest {path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"manifest {path}: not a mapping of keys to values")
    try:
        # By way of JSON, whose lists the strict mode takes for the tuples they stand for.
        return Manifest.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise UserError(f"manifest {path}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    """The first fault in one line: the key, what is wrong, the nearest known key."""
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        return f"{where}: {fault['msg']}" if where else fault["msg"]
    models = (Manifest, Files, TableLayout, FoldersLayout)
    known = sorted({name for model in models for name in model.model_fields})
    near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.5)
    return f"{where}: unknown key." + (f" Did you mean {near[0]!r}?" if near else "")
