"""A chapter of the book: its studies, the runs they need, and the artifacts made of them."""

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from kdlib.errors import UserError, unknown
from kdlib.runs.code import PACKAGE
from kdlib.runs.engine import run_all
from kdlib.runs.plan import plan
from kdlib.runs.spec import RunSpec
from kdlib.runs.store import RunRecord, run_key
from kdlib.study import artifacts, claims, readings, seal, stamp
from kdlib.study.checks import Check
from kdlib.study.published import telling_words
from kdlib.study.setting import ROLES, ROOT, Setting

BOOK = ROOT / "book"
Records = Mapping[Hashable, list[RunRecord]]
Value = pd.DataFrame | Figure


@dataclass(frozen=True)
class Study:
    """An artifact, the runs it is made of by label (a spec a seed), and how it is made.

    `make(records)` gets the records under the same labels; it never trains. `read(value, records)`
    says what can be read from what was made.
    """

    artifact: str
    title: str
    make: Callable[[Records], Value]
    runs: Mapping[Hashable, tuple[RunSpec, ...]] = field(default_factory=dict)
    read: Callable[[Value, Records], readings.Reading] | None = None

    def specs(self) -> list[RunSpec]:
        """All runs of all labels."""
        return [spec for specs in self.runs.values() for spec in specs]


class MissingRuns(UserError):
    """Runs that an artifact needs are not in the store, and training was not wanted here."""

    exit_code = 1


class Chapter:
    """One chapter at one setting; its `study.py` gives `PAPER`, `ROLES` and `studies(setting)`.

    UserError, with file and line, for whatever is wrong with the files of the chapter.

    paper: `PAPER`, the folder of its artifacts.
    roles: those of `setting.ROLES` that it reads where a real set is given for them.
    """

    def __init__(self, name: str, setting: Setting) -> None:
        if name not in chapter_names():
            raise unknown("CHAPTERS", name, chapter_names())
        self.name, self.setting = name, setting
        with placed(BOOK / name):
            self.module = _load(name)
            self.paper: str = self.module.PAPER
            self.roles: tuple[str, ...] = tuple(getattr(self.module, "ROLES", ()))
            for role in self.roles:
                if role not in ROLES:
                    raise unknown(f"ROLES of book/{name}/study.py", role, ROLES)
            self.studies = {study.artifact: study for study in self.module.studies(setting)}
            self.entries = claims.read(BOOK / name / "claims.toml")
            if controls := self._controls():
                self.studies[controls.artifact] = controls
            # Read now, when the code is: what is edited later did not make what is made here.
            self.text = _text(BOOK / name)
        self._keys: dict[str, str] | None = None

    @property
    def folder(self) -> Path:
        """results/<profile>/<data>/<paper>."""
        return self.setting.folder / self.paper

    @property
    def claims_name(self) -> str:
        """The name of the claims among what `made` returns."""
        return f"{self.paper}/claims"

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

    def leaves_out(self, artifact: str) -> bool:
        """Whether the chapter has an artifact only where all its clips are generated."""
        if artifact in self.studies or not self.setting.roles:
            return False
        generated = self.module.studies(replace(self.setting, dataset="generated"))
        return artifact in {study.artifact for study in generated}

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
        return self.write(artifact, self.records(artifact))

    def write(self, artifact: str, records: Records) -> Value:
        """`make`, of records that are at hand."""
        study = self.study(artifact)
        with telling_words(self.name):
            value = study.make(records)
        runs = [record for group in records.values() for record in group]
        artifacts.write(value, self.setting.folder / artifact, self.provenance(study, runs))
        return value

    def claims(self) -> list[claims.Result]:
        """All of `claims.toml`, checked, and written to `claims.json`, sealed by a file beside."""
        with telling_words(self.name):
            results = claims.check_all(self.entries, self._checks(), self)
        path = self.folder / "claims.json"
        seal.write_text(path, json.dumps([result.as_dict() for result in results], indent=1))
        seal.seal(self._sealed(self.claims_name), [path], {"made_of": self.digest()})
        return results

    def _checks(self) -> ModuleType:
        return importlib.import_module(f"book.{self.name}.checks")

    def _controls(self) -> Study | None:
        """The artifact of the positive controls, made of the runs of the artifacts they read."""
        controls = [entry for entry in self.entries if entry.kind == "control"]
        if not controls:
            return None
        runs: dict[Hashable, tuple[RunSpec, ...]] = {}
        for entry in controls:
            check = claims.check_of(entry, self._checks())
            if not isinstance(check, Check):
                raise UserError(
                    f"claims.toml of {self.name}, {entry.id}: the check of a control says what it "
                    "reads; make it with kdlib.study.checks, or as a Check"
                )
            for artifact in check.reads:
                for label, specs in self.study(artifact).runs.items():
                    parts = label if isinstance(label, tuple) else (label,)
                    runs[artifact, *parts] = specs

        def make(records: Records) -> pd.DataFrame:
            results = claims.check_all(controls, self._checks(), self)
            return claims.control_table(results, self.entries)

        title = "Positive controls: what must be there before the sentences can be tested"
        return Study(f"{self.paper}/controls", title, make, runs, readings.controls)

    def made(self) -> dict[str, dict[str, Any]]:
        """The provenance of each artifact, and of the claims (`claims_name`), that is written,
        intact, and made of the records, the code and the text of today."""
        wanted = {name: study.specs() for name, study in self.studies.items()}
        wanted[self.claims_name] = self.specs()
        found, made = self._found(self.specs()), {}
        for name, specs in wanted.items():
            content = seal.unseal(self._sealed(name))
            records = {r.path: r for spec in specs if (r := found.get(spec))}
            if content and content.get("made_of") == self._digest(name, records.values()):
                made[name] = content
        return made

    def provenance(self, study: Study, runs: Iterable[RunRecord]) -> dict[str, Any]:
        """Where an artifact comes from: setting, runs, devices, versions, days, command."""
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
            "trained": sorted({e["finished"][:10] for e in environments}),
            "command": stamp.command(self.setting, self.name),
            "title": study.title,
            "made_of": self._digest(study.artifact, runs),
        }

    def digest(self) -> str:
        """All that the chapter's claims and notebooks are made of: records, code and text."""
        return self._digest(self.claims_name, self._found(self.specs()).values())

    def _found(self, specs: Iterable[RunSpec]) -> dict[RunSpec, RunRecord]:
        store = self.setting.run_store
        keys = {spec: self.key(spec) for spec in dict.fromkeys(specs)}
        return {spec: record for spec, key in keys.items() if (record := store.find(key))}

    def _digest(self, name: str, records: Iterable[RunRecord]) -> str:
        # By their results too: a run that was trained again took other seconds.
        results = {r.path.name: seal.checksum(r.result) for r in records}
        setting = [self.setting.profile, self.setting.dataset]
        return seal.checksum([name, setting, self.text, results])

    def _sealed(self, name: str) -> Path:
        """The file that seals an artifact, or the claims: `claims.json` itself is their list."""
        ending = ".sealed.json" if name == self.claims_name else ".json"
        return self.setting.folder / f"{name}{ending}"


def chapter_names() -> list[str]:
    """The chapters: the folders of `book/` that have a `study.py`."""
    return sorted(path.parent.name for path in BOOK.glob("*/study.py"))


def check_roles(chapters: Sequence[Chapter]) -> None:
    """Refuse a real set for a role that none of these chapters, of one setting, reads."""
    for role, name in chapters[0].setting.roles.items():
        if not any(role in chapter.roles for chapter in chapters):
            reads = "; ".join(
                f"{chapter.name} reads {' and '.join(chapter.roles) or 'generated data only'}"
                for chapter in chapters
            )
            raise UserError(f"DATASET: nothing reads {name} as {role}; {reads}")


def _text(folder: Path) -> str:
    """A checksum of kdlib's code and of the code, the claims and the published numbers here."""
    parts = [
        *PACKAGE.rglob("*.py"),
        *(path for end in ("py", "toml", "csv") for path in folder.rglob(f"*.{end}")),
    ]
    return seal.checksum([[p.name, seal.sha256(p.read_bytes())] for p in sorted(parts)])


@contextmanager
def placed(folder: Path) -> Iterator[None]:
    """Turn whatever the code of a chapter raises into one line with the place in its folder."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        said = " ".join(str(error).split()) or "no reason given"
        raise UserError(f"{_place(error, folder)}: {type(error).__name__}: {said}") from error


def _place(error: BaseException, folder: Path) -> str:
    """The last line of a chapter that an error came through, as "book/x/study.py, line 3"."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [(frame.filename, frame.lineno) for frame in frames]
    if isinstance(error, SyntaxError):
        lines.append((str(error.filename), error.lineno))
    inside = [(Path(file), line) for file, line in lines if Path(file).is_relative_to(folder)]
    path, number = inside[-1] if inside else (folder / "study.py", None)
    return f"{path.relative_to(ROOT)}" + (f", line {number}" if number else "")


def _load(name: str) -> ModuleType:
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    return importlib.import_module(f"book.{name}.study")
