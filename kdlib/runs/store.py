"""Where runs are kept: one folder a run, written whole or not at all, never overwritten."""

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from safetensors.torch import load_file, save_file
from torch import Tensor

from kdlib import methods
from kdlib.errors import UserError
from kdlib.models.base import VideoModel
from kdlib.runs.build import method_of, model_of
from kdlib.runs.code import code_hash
from kdlib.runs.spec import RunSpec, parse
from kdlib.training.checkpoint import fault

FORMAT = 4
CHECKSUMS = "checksums.json"
_KEY = re.compile("[0-9a-f]{24}")
FILES = {
    *("spec.json", "env.json", "metrics.jsonl", "result.json", "traces.npz"),
    *("student.safetensors", "own.safetensors"),
}


@dataclass(frozen=True)
class RunRecord:
    """A finished run: `spec.json`, `env.json`, `metrics.jsonl`, `result.json`, `traces.npz`,
    `student.safetensors`, `own.safetensors` (decoders, projectors) and the checksums of them all,
    with the run's key."""

    path: Path

    @cached_property
    def spec(self) -> RunSpec:
        """The run's specification."""
        return parse(RunSpec, json.loads((self.path / "spec.json").read_text()))

    @cached_property
    def result(self) -> dict[str, Any]:
        """What the task judged at the last and at the validation-chosen epoch, and cost."""
        return json.loads((self.path / "result.json").read_text())

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, device and commit."""
        return json.loads((self.path / "env.json").read_text())

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row an epoch."""
        return pd.read_json(self.path / "metrics.jsonl", lines=True)

    @cached_property
    def traces(self) -> dict[str, np.ndarray]:
        """Arrays by name: test logits and labels, and what the method recorded."""
        with np.load(self.path / "traces.npz", allow_pickle=False) as arrays:
            return dict(arrays)

    def student(self) -> VideoModel:
        """The trained student of the last epoch, on the CPU, in eval mode."""
        model = model_of(self.spec, len(self.result["classes"]))
        model.load_state_dict(load_file(self.path / "student.safetensors"))
        return model.eval()

    def method(self, teachers: Sequence["RunRecord"] = ()) -> methods.Method:
        """The trained method of the last epoch with all that is its own, in eval mode.

        teachers: the records of `spec.method.teachers`.
        """
        method = method_of(self.spec.method, self.student(), [t.student() for t in teachers])
        method.load_own_state(load_file(self.path / "own.safetensors"))
        return method.eval()


class RunStore:
    """All records below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, key: str) -> RunRecord | None:
        """The record of this key; a damaged one is set aside with a warning and not returned."""
        path = self.root / "runs" / key
        if not path.exists() and not path.is_symlink():
            return None
        fault = self.fault(key)
        if fault is None:
            return RunRecord(path)
        aside = Path(tempfile.mkdtemp(prefix=f"{key[:24]}-", dir=self._folder("set-aside")))
        try:
            os.replace(path, aside / "record")
        except FileNotFoundError:  # another process was faster
            aside.rmdir()
            return None
        print(f"kdlib: set aside a damaged record ({fault}): {aside}", file=sys.stderr)
        return None

    def fault(self, key: str) -> str | None:
        """What is wrong with the record of a key; None if it is whole, and the one of this key."""
        path = self.root / "runs" / key
        try:
            stored = json.loads(_text(path / CHECKSUMS))
            if stored["key"] != key:
                return f"it is the record of {stored['key']!r:.40}"
            if stored["files"].keys() != FILES:
                lacking = ", ".join(sorted(FILES - stored["files"].keys()))
                return f"it lacks checksums of {lacking or 'nothing, but has others'}"
            for name, expected in stored["files"].items():
                if not (path / name).is_file() or _sha256(path / name) != expected:
                    return f"{name} does not match its checksum"
        except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
            return f"{type(error).__name__}: {error}"
        return None

    def write(
        self,
        key: str,
        *,
        texts: Mapping[str, str],
        traces: Mapping[str, np.ndarray],
        student: Mapping[str, Tensor],
        own: Mapping[str, Tensor],
    ) -> RunRecord:
        """Write a record into a temporary folder, then rename it into place."""
        temporary = Path(tempfile.mkdtemp(prefix=key, dir=self._folder("temporary")))
        try:
            for name, text in texts.items():
                (temporary / name).write_text(text)
            np.savez_compressed(temporary / "traces.npz", **dict(traces))  # type: ignore[arg-type]
            for name, state in (("student", student), ("own", own)):
                contiguous = {part: value.contiguous() for part, value in state.items()}
                save_file(contiguous, temporary / f"{name}.safetensors")
            sums = {path.name: _sha256(path) for path in sorted(temporary.iterdir())}
            (temporary / CHECKSUMS).write_text(json.dumps({"key": key, "files": sums}, indent=1))
            os.replace(temporary, self._folder("runs") / key)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return RunRecord(self.root / "runs" / key)

    def sweep(self) -> None:
        """Remove what killed processes left half-written, of keys that nobody trains now."""
        halves = [*self.root.glob("temporary/*"), *self.root.glob("checkpoints/*.[0-9]*")]
        for path in halves:
            if not (key := _KEY.match(path.name)):
                continue
            with suppress(Timeout, OSError), self.lock(key[0]).acquire(timeout=0):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def lock(self, key: str) -> FileLock:
        """The lock that whoever trains this key holds."""
        return FileLock(self._folder("locks") / f"{key}.lock")

    def checkpoint(self, key: str) -> Path:
        """Where an interrupted training of this key left off."""
        return self.root / "checkpoints" / f"{key}.pt"

    def checkpoint_fault(self, key: str) -> str | None:
        """What is wrong with the checkpoint of a key; None if it is whole, and of this key."""
        return fault(self.checkpoint(key), key)

    def check_writable(self) -> None:
        """UserError if nothing can be written here."""
        try:
            with tempfile.NamedTemporaryFile(dir=self._folder("temporary")) as probe:
                probe.write(b"0" * 4096)
        except OSError as error:
            raise UserError(
                f"STORE: cannot write to {self.root} ({error.strerror}); free space or name another"
            ) from None

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def run_key(spec: RunSpec, device: str, data_keys: Mapping[str, str]) -> str:
    """The run's identity: spec, device type, data, code and the identities of what it needs.

    data_keys: by `DataSpec.source`, the key of the bytes (`kdlib.runs.datasets.Datasets.keys`).
    """
    parts = {
        "format": FORMAT,
        "spec": spec.digest,
        "device": device.split(":")[0],
        "data": data_keys[spec.data.source],
        "code": code_hash(frozenset(modules(spec))),
        "needs": [run_key(needed, device, data_keys) for needed in spec.needs],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def modules(spec: RunSpec) -> list[str]:
    """The modules that a run begins with, by name; with what they import, they are its code."""
    data = ["kdlib.data.generated.store"] if spec.data.generated else ["kdlib.data.real"]
    if "flow" in spec.data.known and not spec.data.generated:
        data.append("kdlib.data.flow_cache")
    return [
        "kdlib.runs.execute",
        *data,
        f"kdlib.models.{spec.model.name}",
        f"kdlib.tasks.{spec.data.asked}",
        *map(methods.module_name, spec.method.names),
    ]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _text(path: Path) -> str:
    if not path.is_file():  # what is no file might never end
        raise FileNotFoundError(f"no file {path.name}")
    return path.read_text(encoding="utf-8")
