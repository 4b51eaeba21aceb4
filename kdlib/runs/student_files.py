"""A student as one file: safetensors, and in its metadata all that decides what it is shown."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from kdlib import models
from kdlib.clips.pixels import IMAGENET_MEAN, IMAGENET_STD
from kdlib.clips.sampling import Sampling
from kdlib.errors import UserError, unknown
from kdlib.models.weights import check_weights
from kdlib.runs.spec import ModelSpec, parse
from kdlib.runs.students import Student

_NAME = "kdlib"  # of the metadata
_HEADER = 4_000_000  # bytes at most
_LARGEST = 4096  # whole number among an architecture's options
_SHOWN = 1 << 27  # pixels at most of all clips of a video together
Pixels = Annotated[int, Field(ge=1, le=4096)]
Triple = tuple[float, float, float]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Description:
    """The metadata of a student's file, JSON under the name "kdlib".

    architecture: of `kdlib.models`, by name and options. mean, std: (x / 255 - mean) / std is what
    the network sees of a byte. sha256: of the weights and of all else here. The rest is as
    `Student` has it.
    """

    architecture: ModelSpec
    classes: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=50_000)
    ]
    sampling: Sampling
    size: Pixels
    side: Pixels | None
    resolution: Pixels | None
    at_most: Annotated[int, Field(ge=1)] | None
    mean: Triple
    std: Triple
    sha256: str
    provenance: dict[str, Any]
    format: Literal[1] = 1


def save_student(student: Student, path: Path | str) -> Path:
    """Write a student to a `.safetensors` file, whole or not at all, and return its path.

    UserError if `kdlib.models.build` could not make its network again: of one that was adapted or
    changed, keep `state_dict()`.
    """
    path, network = Path(path), student.network
    if path.suffix != ".safetensors":
        raise UserError(f"file: a name that ends in .safetensors, not {path.name!r}")
    if network.architecture is None:
        raise UserError(
            f"student: a {type(network).__name__} that kdlib.models.build did not make cannot be "
            "made again from a file; keep its state_dict()"
        )
    state = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    name, options = network.architecture
    spec = parse(ModelSpec, {"name": name, "options": options})
    _check_architecture(spec, len(student.classes), state)
    kept = {k: v for k, v in vars(student).items() if k not in ("network", "sampling")}
    content = kept | {
        "format": 1,
        "architecture": {"name": name, "options": options},
        "sampling": asdict(student.sampling),
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "provenance": dict(student.provenance),
    }
    content["sha256"] = _digest(state, content)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".student-") as folder:
            Path(folder, path.name).write_bytes(save(state, {_NAME: json.dumps(content)}))
            os.replace(Path(folder, path.name), path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def load_student(path: Path | str) -> Student:
    """The student of a file that `save_student` or `kdlib export` wrote, in eval mode, on the CPU.

    It needs neither a store nor the data. `torch.export.export(student.network, (clips,))` makes of
    its network a program without this library: clips (B, 3, T, H, W), normalised, to logits.
    Nothing of a file is run. UserError for a file that is damaged, not of a student, of an unknown
    architecture, or whose weights are not those of its architecture.
    """
    path = Path(path)
    try:
        found, state = _read(path)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"{path}: no file of a student: {reason}") from None
    made = found.architecture
    network = models.build(made.name, len(found.classes), **made.options)
    network.load_state_dict(state)
    rest = (found.size, found.side, found.resolution, found.at_most, found.provenance)
    return Student(network.eval(), found.classes, found.sampling, *rest)


def _read(path: Path) -> tuple[Description, dict[str, Tensor]]:
    """What a file says of itself, and its weights: checked before they take memory."""
    if path.exists() and not path.is_file():
        raise ValueError("not a plain file")
    with path.open("rb") as file:
        if int.from_bytes(file.read(8), "little") > _HEADER:
            raise ValueError("its header is too long")
    with safe_open(path, "pt") as content:
        text = (content.metadata() or {}).get(_NAME, "")
        if not text:
            raise ValueError("it says nothing of a student, as `kdlib export` would")
        slices = {name: content.get_slice(name) for name in content.keys()}  # noqa: SIM118
        shapes = {n: torch.empty(s.get_shape(), device="meta") for n, s in slices.items()}
    described = json.loads(text)
    found = parse(Description, described, "student")
    if (found.mean, found.std) != (IMAGENET_MEAN, IMAGENET_STD):
        raise ValueError(
            f"it was normalised by {found.mean} and {found.std}, which nothing here is"
        )
    if not all(name.isprintable() for name in found.classes):
        raise ValueError("the name of a class cannot be printed")
    sampling, side = found.sampling, found.side or found.size
    if side < found.size:
        raise ValueError(f"its clips of {found.size} pixels are from videos of {side}")
    if sampling.frames * sampling.views * side**2 > _SHOWN:
        raise ValueError(
            f"{sampling.views} clips of {sampling.frames} frames of {side} are too many"
        )
    _check_architecture(found.architecture, len(found.classes), shapes)
    state = load_file(path)
    del described["sha256"]
    if _digest(state, described) != found.sha256:
        raise ValueError("what it says or its weights do not match their checksum")
    return found, state


def _check_architecture(
    architecture: ModelSpec, classes: int, tensors: Mapping[str, Tensor]
) -> None:
    """UserError unless these are the weights of the architecture, which is not built for that."""
    if architecture.name not in models.names():
        raise unknown("architecture", architecture.name, models.names())
    # No width or number of layers is beyond what the weights have.
    sizes = [size for tensor in tensors.values() if tensor.numel() for size in tensor.shape]
    most = min(max([64, len(tensors), *sizes]), _LARGEST)
    for option, value in architecture.options.items():
        if isinstance(value, int) and value > most:
            raise UserError(f"architecture.{option}: {value} is more than its weights have")
    try:
        with torch.device("meta"):
            expected = models.build(architecture.name, classes, **architecture.options).state_dict()
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        line = str(error).splitlines()[0]
        raise UserError(f"architecture: {architecture.name}: {line}") from None
    check_weights("weights", tensors, expected, f"not the weights of this {architecture.name}")


def _digest(state: Mapping[str, Tensor], described: Mapping[str, Any]) -> str:
    """SHA-256 of a description, as sorted JSON, and of the names and bytes of all weights."""
    found = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in sorted(state):
        found.update(name.encode())
        found.update(state[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
