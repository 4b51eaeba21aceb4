"""Data manifests: one YAML file a data set says what it is, whose it is and where its clips lie."""

import difflib
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from kdlib.data import yaml_lines
from kdlib.data.patterns import Pattern
from kdlib.errors import UserError, unknown

MANIFESTS = Path(__file__).parents[2] / "data_manifests"

Part = Literal["train", "validation", "test"]


def inside(path: str) -> str:
    """The path itself, if it is relative and stays below where it starts; else ValueError.

    The one check of all names and paths that a file gives. Backslashes and drive letters count as
    what they are on Windows; what no disk can name (a zero byte, half a surrogate) is refused too.
    """
    parts = PurePosixPath(path.replace("\\", "/"))
    if not parts.parts or parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
        raise ValueError(f"{path!r} must be a relative path without '..'")
    if b"\0" in os.fsencode(path):
        raise ValueError(f"{path!r} must not hold a zero byte")
    return path


RelativePath = Annotated[str, AfterValidator(inside)]
Suffix = Annotated[str, Field(pattern=r"^(\.[A-Za-z0-9_-]+)+$")]
Count = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    """Unknown keys and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Files(Strict):
    """Where the clips lie, below <data root>/<name> or the data root itself.

    folder: holds the videos or images; "." is that place itself. archive: a tar or zip that unpacks
    to that folder, used where the folder is absent.
    """

    folder: RelativePath = "."
    archive: RelativePath | None = None


class Download(Strict):
    """A file that may be fetched, to <data root>/<name>/<path>.

    bytes, checksum ("sha256:..." or "md5:..."): as its owner states them; where nothing is stated,
        the checksum is recorded at the first fetch and held against later ones.
    unpack: whether it is an archive to unpack into <data root>/<name>.
    """

    url: Annotated[str, Field(pattern=r"^https?://")]
    path: RelativePath
    bytes: Count | None = None
    checksum: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})$")] | None = (
        None
    )
    unpack: bool = False


class TableLayout(Strict):
    """A CSV table beside the folder has a row a clip; the other fields name its columns.

    path: the clip's path below the folder; `suffix`, where given, replaces the suffix it ends in.
    label: the class, or several with ";" between them in a multi-label set; without it, the folder
    a clip lies in. group: clips that share a scene.
    A split is a column too, and its values are train, validation, test or one of `left_out`.
    """

    kind: Literal["table"]
    table: RelativePath
    path: str = "path"
    suffix: Suffix | None = None
    label: str | None = None
    group: str | None = None
    left_out: tuple[str, ...] = ()


class FoldersLayout(Strict):
    """Videos or images lie in <folder>/<part>/<class>/<file>, or anywhere in <folder>/<part>.

    parts: the folder of each part, where its name is another (ImageNet's val is the test here).
    group: a regular expression; what its last group finds in a file's name is the scene.
    class: a regular expression too, where the class is not the first folder; what its last group
    finds in the path below the part's folder is the class: `^([^/]+)/images/`, or `^([0-9]+)_` for
    0_1_4.avi. Files in which it finds nothing are no samples.
    """

    kind: Literal["folders"]
    parts: Mapping[Part, RelativePath] = {
        "train": "train",
        "validation": "validation",
        "test": "test",
    }
    group: Pattern | None = None
    class_: Pattern | None = Field(None, alias="class")


class ListsLayout(Strict):
    """Text files list a part each, a line a clip: its path below the folder and, maybe, a number.

    lists: by split and part, the list's path. The class is the folder a clip lies in (UCF101).
    group: a regular expression; what its last group finds in a path is the scene.
    class: a regular expression too; what its last group finds in a line, the number included, is
    the class: ` ([0-9]+)$` where classes are only numbered.
    """

    kind: Literal["lists"]
    lists: Mapping[str, Mapping[Part, RelativePath]]
    group: Pattern | None = None
    class_: Pattern | None = Field(None, alias="class")


class ClassListsLayout(Strict):
    """A text file a class and split, a line a clip: its name and 1 train, 2 test or 0 neither.

    lists: by split, the path with {class} in place of the class (HMDB51, JHMDB). Clips lie in
    <folder>/<class>/<name>; `suffix` and `group` as above.
    """

    kind: Literal["class_lists"]
    lists: Mapping[str, RelativePath]
    suffix: Suffix | None = None
    group: Pattern | None = None


class KineticsLayout(Strict):
    """Kinetics' csv lists: label, youtube_id, time_start, time_end.

    lists: the csv of each part. ids: where given, text files of the youtube ids a subset keeps.
    folders: for each part the places where a clip may lie, with {label}, {id}, {start}, {end} (six
    digits each); the first that exists counts.
    """

    kind: Literal["kinetics"]
    lists: Mapping[Part, RelativePath]
    ids: Mapping[Part, RelativePath] = {}
    places: Mapping[Part, tuple[RelativePath, ...]]


class SomethingLayout(Strict):
    """Something-Something's json lists: id and template. Clips lie in <folder>/<id><suffix>."""

    kind: Literal["something"]
    lists: Mapping[Part, RelativePath]
    suffix: Suffix = ".webm"


class ActivityNetLayout(Strict):
    """ActivityNet's json: the classes of a video are those of its annotated segments.

    parts: the name that each part has in the file ("training", "validation"). Videos lie in
    <folder>/v_<id> with any video suffix.
    """

    kind: Literal["activitynet"]
    file: RelativePath
    parts: Mapping[Part, str]


class AvaLayout(Strict):
    """AVA's csv lists: an actor's box and action a row, at one second of a film.

    A sample is a keyframe: `seconds` of film around it. actions: the pbtxt of classes. excluded:
    by part, seconds that are not used. proposals: by part, person boxes of a detector.
    """

    kind: Literal["ava"]
    lists: Mapping[Part, RelativePath]
    actions: RelativePath
    excluded: Mapping[Part, RelativePath] = {}
    proposals: Mapping[Part, RelativePath] = {}
    seconds: Annotated[float, Field(gt=0)] = 2.0


class PackedLayout(Strict):
    """Images in one file a part (CIFAR-100).

    files: for each part the files it may be, the first that exists counts: the official pickle,
    which is read without unpickling, or an npz. See `kdlib.data.packed`.
    """

    kind: Literal["packed"]
    files: Mapping[Part, tuple[RelativePath, ...]]


class GeneratedLayout(Strict):
    """Clips made by `kdlib.data.generated`; there are no files."""

    kind: Literal["generated"]


Layout = (
    TableLayout
    | FoldersLayout
    | ListsLayout
    | ClassListsLayout
    | KineticsLayout
    | SomethingLayout
    | ActivityNetLayout
    | AvaLayout
    | PackedLayout
    | GeneratedLayout
)
LAYOUTS: tuple[type[BaseModel], ...] = get_args(Layout)


class Manifest(Strict):
    """A data set.

    name: that of its file without the suffix; its folders in DATA and in the store bear it.
    terms: under what terms it may be used. access: "open" (its downloads may be fetched), "form"
        (its owner gives it on request) or "made" (generated here). obtain: what to get by hand, and
        where to put it.
    media: what a sample is. task: one class a sample, several, or several for each actor.
    classes: the names, in the order of their indices; or only how many there are, if their names
        are those of the folders or lists, sorted.
    official: the number of samples of each of the owner's parts, under the owner's names for them.
    splits: by name, the number of samples of each part as used here; the first is the default. A
        folders layout needs none.
    incomplete: whether samples vanish at the source, so that no two copies are alike: those that
        are missing are then counted and left out instead of refused.
    validation: the share of training samples set apart where a split has no validation part.
    frames: at most so many frames of a video are kept, evenly spaced; all of them by default.
    mirror: whether a mirrored clip keeps its label; training clips are mirrored only then.
    notes: what a reader of its counts should know.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9_/-]+$"), AfterValidator(inside)]
    title: str
    homepage: str = ""
    citation: str = ""
    terms: str = ""
    access: Literal["open", "form", "made"] = "form"
    obtain: str = ""
    media: Literal["videos", "images"] = "videos"
    task: Literal["classification", "multi-label", "detection"] = "classification"
    classes: Annotated[tuple[str, ...], Field(min_length=2)] | Annotated[int, Field(ge=2)]
    files: Files = Files()
    downloads: tuple[Download, ...] = ()
    layout: Annotated[Layout, Field(discriminator="kind")]
    official: Mapping[str, Count] = {}
    splits: Mapping[str, Mapping[Part, Count]] = {}
    incomplete: bool = False
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.17
    frames: Annotated[int, Field(ge=1)] | None = None
    mirror: bool = True
    notes: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> "Manifest":
        if isinstance(self.classes, tuple) and len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: a name stands twice")
        if isinstance(self.layout, TableLayout) and not self.splits:
            raise ValueError("splits: a table layout names at least one column, with its counts")
        if isinstance(self.layout, ClassListsLayout) and not isinstance(self.classes, tuple):
            raise ValueError("classes: a class_lists layout needs their names")
        if isinstance(self.layout, ListsLayout | ClassListsLayout):
            listed = self.layout.lists.keys()
            if self.splits.keys() != listed:
                raise ValueError(f"splits: the layout lists {', '.join(listed)}; name the same")
        return self

    @property
    def class_count(self) -> int:
        """How many classes there are."""
        return self.classes if isinstance(self.classes, int) else len(self.classes)


def names() -> list[str]:
    """The real data sets that have a manifest."""
    return sorted(file.stem for file in MANIFESTS.glob("*.yaml"))


def generated_names() -> list[str]:
    """The generated data sets that have a manifest: "generated/<task>"."""
    return sorted(f"generated/{file.stem}" for file in (MANIFESTS / "generated").glob("*.yaml"))


def load(name_or_path: str | os.PathLike) -> Manifest:
    """The manifest of that name in data_manifests/, or of a YAML file of one's own.

    UserError with file, line, key and the nearest known key where something is wrong.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = MANIFESTS / f"{name_or_path}.yaml"
        shipped = path.parent in (MANIFESTS, MANIFESTS / "generated")
        if not (shipped and os.path.isfile(path)):
            raise unknown("data set", str(name_or_path), names() + generated_names())
    return _parsed(path, yaml_lines.text(path))


@lru_cache(64)
def _parsed(path: Path, text: str) -> Manifest:
    content, lines = yaml_lines.parsed(path, text)
    try:
        # By way of JSON, whose lists the strict mode takes for the tuples they stand for.
        manifest = Manifest.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise UserError(_first(path, error, lines)) from error
    if manifest.name != (wanted := _name_by_file(path)):
        raise UserError(
            f"manifest {path}, line {lines['name',]}: name: {manifest.name!r} is not that of its "
            f"file, {wanted!r}; rename one of them"
        )
    return manifest


def _name_by_file(path: Path) -> str:
    """The file's stem, for one in data_manifests/ with the folders below that."""
    place, shipped = path.resolve(), MANIFESTS.resolve()
    below = place.relative_to(shipped) if place.is_relative_to(shipped) else Path(place.name)
    return below.with_suffix("").as_posix()


def _first(path: Path, error: ValidationError, lines: Mapping[tuple, int]) -> str:
    """The first fault in one line: file, line, key, what is wrong, the nearest known key."""
    faults = error.errors()
    # A misspelt key is also a missing one; its own name says more.
    fault = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
    # The parts of the location that the document has; pydantic adds the names of union members.
    where: tuple[Any, ...] = ()
    for part in fault["loc"]:
        if (*where, part) in lines:
            where = (*where, part)
    keys = [str(part) for part in where]
    if fault["type"] == "missing":
        keys.append(str(fault["loc"][-1]))
    place = f"manifest {path}, line {lines.get(where, 1)}: {'.'.join(keys)}".rstrip(": ")
    if fault["type"] == "string_type" and isinstance(fault["input"], bool | int | float):
        return f"{place}: no text to YAML (yes, no, on, off and numbers are not); quote it"
    if fault["type"] != "extra_forbidden":
        return f"{place}: {fault['msg'].removeprefix('Value error, ')}"
    key = str(fault["loc"][-1])
    if home := _home(key):
        return f"{place}: no key of this place; it belongs {home}"
    models: tuple[type[BaseModel], ...] = (Manifest, Files, Download, *LAYOUTS)
    known = sorted({name for model in models for name in _keys(model)})
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"{place}: unknown key." + (f" Did you mean {near[0]!r}?" if near else "")


def _home(key: str) -> str | None:
    """Where in a manifest a key belongs, in words; None if it is a key of no place."""
    if key in _keys(Manifest):
        return "at the top"
    if key in _keys(Files):
        return "under files:"
    # What Literal["table"] holds: "table".
    kinds = [get_args(_keys(x)["kind"].annotation)[0] for x in LAYOUTS if key in _keys(x)]
    if kinds:
        named = f" of kind {', '.join(kinds)}" if len(kinds) < len(LAYOUTS) else ""
        return f"under layout:{named}"
    return "under downloads:" if key in _keys(Download) else None


def _keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model as a file names them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}
