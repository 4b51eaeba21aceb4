"""Checkpoints: where an interrupted training left off, bound to the training they belong to."""

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import torch

from kdlib.notes import note

_HEADER = 512  # bytes: a line of JSON, padded


def save(path: Path, state: dict[str, Any], belongs_to: str) -> None:
    """Write a state of tensors and plain values, whole or not at all.

    belongs_to: names the training; `load` refuses the state of another.
    """
    content = io.BytesIO()
    torch.save(state, content)
    header = {"belongs_to": belongs_to, "sha256": _hash(content.getbuffer())}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(json.dumps(header).encode().ljust(_HEADER))
            file.write(content.getbuffer())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path, belongs_to: str, device: torch.device) -> dict[str, Any] | None:
    """The state; None where there is none. A damaged or foreign one is set aside, with a note."""
    if not path.is_file():
        return None
    data = path.read_bytes()
    try:
        if why := _fault(data, belongs_to):
            raise ValueError(why)
        content = memoryview(data)[_HEADER:]
        return torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except Exception as error:
        aside = path.with_suffix(".damaged")
        os.replace(path, aside)
        note(f"set aside a checkpoint ({error}): {aside}")
        return None


def fault(path: Path, belongs_to: str) -> str | None:
    """What is wrong with a checkpoint; None if it is whole, and belongs to this training."""
    try:
        return _fault(path.read_bytes(), belongs_to)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"


def _fault(data: bytes, belongs_to: str) -> str | None:
    header = json.loads(data[:_HEADER])
    if header["belongs_to"] != belongs_to:
        return "it belongs to another training"
    if header["sha256"] != _hash(memoryview(data)[_HEADER:]):
        return "its content does not match its checksum"
    return None


def _hash(content: memoryview) -> str:
    return hashlib.sha256(content).hexdigest()
