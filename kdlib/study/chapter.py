"""A chapter of the book: its studies, the runs they need, and the artifacts made of them."""

import importlib
import json
import os
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from kdlib.errors import UserError, unknown
from kdlib.runs.engine import run_all
from kdlib.runs.plan import plan
from kdlib.runs.spec import RunSpec
from kdlib.runs.store import RunRecord, run_key
from kdlib.study import artifacts, claims
from kdlib.study.setting import ROOT, Setting

BOOK = ROOT / "book"
Records = Mapping[Hashable, list[RunRecord]]
Value = pd.DataFrame | Figure


@dataclass(frozen=True)
class Study:
    """An artifact, the runs it is made of by label (a spec a seed), and how it is made.

    `make(records)` gets the records under the same labels; it never trains.
    """

    artifact: str
    title: str
    make: Callable[[Records], Value]
    runs: Mapping[Hashable, tuple[RunSpec, ...]] = field(default_factory=dict)

    def specs(self) -> list[RunSpec]:
        """All runs of all labels."""
        return [spec for specs in self.runs.values() for spec in specs]


class MissingRuns(UserError):
    """Runs that an artifact needs are not in the store, and training was not wanted here."""

    exit_code = 1


class Chapter:
    """One chapter at one setting; its `study.py` gives `PAPER` and `studies(setting)`."""

    def __init__(self, name: str, setting: Setting) -> None:
        if name not in chapter_names():
            raise unknown("CHAPTERS", name, chapter_names())
        self.name, self.setting = name, setting
        self.module = _load(name)
        self.studies = {study.artifact: study for study in self.module.studies(setting)}
        self._keys: dict[str, str] | None = None

    @property
    def folder(self) -> Path:
        """results/<profile>/<data>/<paper>."""
        return self.setting.folder / self.module.PAPER

    def specs(self) -> list[RunSpec]:
        """The runs of all studies."""
        return [spec for study in self.studies.values() for spec in study.specs()]

    @property
    def data_keys(self) -> dict[str, str]:
        """The key of each data set of this chapter, found once."""
        if self._keys is None:
            self._keys = self.setting.datasets.keys(self.specs())
        return self._keys

    def key(self, spec: RunSpec) -> str:
        """A run's key at this setting."""
        return run_key(spec, self.setting.device, self.data_keys)

    def study(self, artifact: str) -> Study:
        """The study of an artifact id; UserError with the nearest id otherwise."""
        if artifact not in self.studies:
            raise unknown("artifact", artifact, self.studies)
        return self.studies[artifact]

    def train(self, specs: Iterable[RunSpec]) -> None:
        """Train what is missing of these runs, behind a progress bar."""
        setting = self.setting
        todo, _ = plan(specs, setting.run_store, setting.device, self.data_keys)
        if todo and os.environ.get("KDLIB_TRAIN") == "never":
            raise MissingRuns(
                f"{len(todo)} runs failed or are missing, such as {todo[0].spec.title}"
            )
        outcome = run_all(
            todo, setting.run_store, setting.datasets, device=setting.device, jobs=setting.jobs
        )
        if outcome.failed:
            raise MissingRuns(next(iter(outcome.failed.values())).strip().splitlines()[-1])

    def records(self, artifact: str) -> dict[Hashable, list[RunRecord]]:
        """The records of an artifact's runs by label, trained now if they are missing."""
        study = self.study(artifact)
        self.train(study.specs())
        store = self.setting.run_store
        return {
            label: [record for spec in specs if (record := store.find(self.key(spec)))]
            for label, specs in study.runs.items()
        }

    def make(self, artifact: str) -> Value:
        """The table or figure of an artifact, also written below `folder` with its provenance."""
        study = self.study(artifact)
        records = self.records(artifact)
        value = study.make(records)
        path = self.setting.folder / artifact
        runs = [record for group in records.values() for record in group]
        artifacts.write(value, path, {**self.provenance(runs), "title": study.title})
        return value

    def claims(self) -> list[claims.Result]:
        """The chapter's claims, checked, and written to `claims.json`."""
        checks = importlib.import_module(f"book.{self.name}.checks")
        results = claims.check_all(BOOK / self.name / "claims.toml", checks, self)
        text = json.dumps([result.as_dict() for result in results], indent=1)
        artifacts.write_text(self.folder / "claims.json", text)
        return results

    def provenance(self, runs: Iterable[RunRecord]) -> dict[str, Any]:
        """Where an artifact comes from: setting, runs, devices, versions."""
        runs = list(runs)
        environments = [record.environment for record in runs]
        return {
            "profile": self.setting.profile,
            "evidence": self.setting.scale.evidence,
            "data": sorted({record.spec.data.name for record in runs}),
            "seeds": sorted({record.spec.seed for record in runs}),
            "runs": [record.path.name for record in runs],
            "devices": sorted({e["device"] for e in environments}),
            "commits": sorted({e["commit"] for e in environments}),
            "torch": sorted({e["packages"]["torch"] for e in environments}),
        }


def chapter_names() -> list[str]:
    """The chapters: the folders of `book/` that have a `study.py`."""
    return sorted(path.parent.name for path in BOOK.glob("*/study.py"))


def open_chapter(name: str, **setting: Any) -> Chapter:
    """A chapter for a notebook; keyword arguments are the fields of `Setting`."""
    allowed = Setting.__dataclass_fields__
    for field_name in setting:
        if field_name not in allowed:
            raise unknown("parameter", field_name, allowed)
    return Chapter(name, Setting(**setting))


def _load(name: str) -> ModuleType:
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    return importlib.import_module(f"book.{name}.study")
