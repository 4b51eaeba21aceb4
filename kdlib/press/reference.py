"""Reference results: measured on real data, kept with the project, shown beside one's own.

    results/reference/<profile>/<data>/
        about.json                machine and date
        <paper>/<artifact>.csv    tables
        <paper>/claims.json       verdicts
        <paper>/runs.jsonl        spec, environment and result of each run

They hold no weights and never satisfy a plan.
"""

import json
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from kdlib.data.manifest import load
from kdlib.errors import UserError
from kdlib.study import artifacts
from kdlib.study.chapter import Chapter
from kdlib.study.seal import write_text
from kdlib.study.setting import ROOT, Setting

FOLDER = ROOT / "results" / "reference"
# The columns of a results table (`kdlib.study.tables.row`) that are shown from elsewhere.
SHOWN = ["top-1 %", "gain"]


class Reference(NamedTuple):
    """The results of one setting: what is said of it, and where it is."""

    about: dict[str, Any]
    folder: Path

    @property
    def short(self) -> str:
        """The titles of its data without what stands in brackets."""
        return ", ".join(load(name).title.split(" (")[0] for name in self.about["data"].values())

    @property
    def note(self) -> str:
        """Which data, profile, machine and day these results are from."""
        about = self.about
        return (
            f"{self.short}: reference results on real data, profile {about['profile']}, "
            f"{about['machine']}, {about['date']}."
        )


def keep(chapters: Sequence[Chapter], setting: Setting, folder: Path = FOLDER) -> Path:
    """Copy what was made of these chapters with real data into the reference results."""
    if not setting.roles:
        raise UserError("DATASET: reference results are those of real data; name a data set")
    target = folder / setting.profile / setting.data_name
    for chapter in chapters:
        if not set(chapter.roles) & set(setting.roles):
            continue
        made = chapter.made()
        tables = [
            setting.folder / f"{name}.csv"
            for name in chapter.studies
            if name in made and not all(n.startswith("generated/") for n in made[name]["data"])
        ]
        if not tables or chapter.claims_name not in made:
            raise UserError(f"{chapter.name}: nothing is made with these settings; reproduce first")
        place = target / chapter.module.PAPER
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for path in tables:
            if path.exists():  # figures have none
                shutil.copyfile(path, place / path.name)
        shutil.copyfile(chapter.folder / "claims.json", place / "claims.json")
        write_text(place / "runs.jsonl", "".join(_lines(chapter)))
    write_text(target / "about.json", json.dumps(_about(setting), indent=1))
    return target


def _lines(chapter: Chapter) -> Iterator[str]:
    keys = sorted({chapter.key(spec) for spec in chapter.specs()})
    for key in keys:
        record = chapter.setting.run_store.find(key)
        if record is not None:
            parts = {
                "key": key,
                "spec": json.loads(record.spec.to_json()),
                "environment": record.environment,
                "result": record.result,
            }
            yield json.dumps(parts, sort_keys=True) + "\n"


def _about(setting: Setting) -> dict[str, Any]:
    return {
        "profile": setting.profile,
        "data": setting.roles,
        "device": setting.device,
        "machine": f"{os.cpu_count()} cores of {_processor()}",
        "date": date.today().isoformat(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def references(setting: Setting, folder: Path = FOLDER) -> list[Reference]:
    """The reference results to show beside this setting's: those of other data."""
    found = []
    for path in sorted(folder.glob("*/*/about.json")):
        about = _parsed(path)
        if path.parent.name != setting.data_name:
            found.append(Reference(about, path.parent))
    return found


def verdicts(chapter: Chapter, folder: Path = FOLDER) -> dict[str, dict[str, str]]:
    """The verdicts of the reference results on a chapter's entries, by data set and id.

    Those without a `kind` are left out: they were judged before claims had controls, by other rules
    than today's.
    """
    found = {}
    for reference in references(chapter.setting, folder):
        path = reference.folder / chapter.module.PAPER / "claims.json"
        if path.exists():
            claims = _parsed(path)
            judged = {claim["id"]: claim["verdict"] for claim in claims if "kind" in claim}
            if judged:
                found[reference.short] = judged
    return found


def with_columns(
    value: pd.DataFrame, artifact: str, references: Sequence[Reference]
) -> tuple[pd.DataFrame, list[str]]:
    """A results table with the columns `SHOWN` from elsewhere before its `n`, and notes on them.

    Rows are matched by the columns before the first of `SHOWN`, which name them.
    """
    notes: list[str] = []
    columns = list(value.columns)
    if not set(SHOWN) <= set(columns):
        return value, notes
    value, names = value.copy(), columns[: columns.index(SHOWN[0])]
    rows = value[names].astype(str)
    for reference in references:
        path = reference.folder / f"{artifact}.csv"
        theirs = _parsed(path) if path.exists() else pd.DataFrame()
        if not {*names, *SHOWN} <= set(theirs.columns) or theirs.duplicated(names).any():
            continue
        theirs = rows.merge(theirs, on=names, how="left")
        if theirs[SHOWN[0]].isna().all():
            continue
        place = list(value.columns).index("n") if "n" in value.columns else len(value.columns)
        for offset, column in enumerate(SHOWN):
            value.insert(place + offset, f"{reference.short}|{column}", theirs[column].to_numpy())
        notes.append(reference.note)
    return value, notes


def whole_tables(
    value: pd.DataFrame, artifact: str, references: Sequence[Reference]
) -> dict[str, pd.DataFrame]:
    """By their notes, the tables from elsewhere of an artifact that `with_columns` cannot match."""
    if set(SHOWN) <= set(value.columns):
        return {}
    found = {}
    for reference in references:
        path = reference.folder / f"{artifact}.csv"
        if path.exists():
            found[reference.note] = _parsed(path)
    return found


def _parsed(path: Path) -> Any:
    """What a json or a csv file holds; UserError for a damaged one."""
    try:
        if path.suffix == ".csv":
            return artifacts.read(path)
        return json.loads(path.read_bytes())
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: {reason}; restore it, or remove its folder") from None
