"""Checkpoints: where an interrupted training left off, bound to the training they belong to."""

import hashlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

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
    if not path.exists():
        return None
    data = path.read_bytes()
    try:
        header, content = json.loads(data[:_HEADER]), memoryview(data)[_HEADER:]
        if header["belongs_to"] != belongs_to:
            raise ValueError("it belongs to another training")
        if header["sha256"] != _hash(content):
            raise ValueError("its content does not match its checksum")
        return torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except Exception as error:
        aside = path.with_suffix(".damaged")
        os.replace(path, aside)
        print(f"kdlib: note: set aside a checkpoint ({error}): {aside}", file=sys.stderr)
        return None


def _hash(content: memoryview) -> str:
    return hashlib.sha256(content).hexdigest()
