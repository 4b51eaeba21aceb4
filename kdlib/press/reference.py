"""Reference results: measured on real data, kept with the project, shown beside one's own.

    results/reference/<profile>/<data>/
        about.json                machine and date; by hand, a `remark` why it is not to be compared
        <paper>/<artifact>.csv    tables
        <paper>/claims.json       verdicts
        <paper>/runs.jsonl        spec, environment and result of each run

They hold no weights and never satisfy a plan.
"""

import json
import os
import re
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from kdlib.data.manifest import Manifest, load
from kdlib.errors import UserError
from kdlib.runs.execute import processor
from kdlib.runs.spec import RunSpec
from kdlib.runs.store import RunRecord
from kdlib.study import artifacts, stamp
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

    def sets(self, media: Collection[str]) -> list[Manifest]:
        """Its data sets of these media; all where none is of them."""
        found = [load(name) for name in self.about["data"].values()]
        return [one for one in found if one.media in media] or found

    def short(self, media: Collection[str] = ()) -> str:
        """The titles of its data without what stands in brackets."""
        return ", ".join(_short(one) for one in self.sets(media))

    def note(self, media: Collection[str] = ()) -> str:
        """Which data, profile, machine and day these results are from, and what guessing gives."""
        about = self.about
        chance = " ".join(
            f"{_short(one)} has {one.class_count} classes: guessing is right in "
            f"{100 / one.class_count:.1f} %."
            for one in self.sets(media)
            if one.task == "classification"
        )
        made = (
            f"{self.short(media)}: reference results on real data, profile {about['profile']}, "
            f"{about['machine']}, {about['date']}."
        )
        return " ".join(filter(None, (made, about.get("remark"), chance)))


def _short(data: Manifest) -> str:
    return data.title.split(" (")[0]


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
        place = target / chapter.paper
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for path in tables:
            if path.exists():  # figures have none
                shutil.copyfile(path, place / path.name)
        shutil.copyfile(chapter.folder / "claims.json", place / "claims.json")
        keys = {chapter.key(spec) for spec in chapter.specs()}
        found = (setting.run_store.find(key) for key in keys)
        write_runs(place / "runs.jsonl", [record for record in found if record is not None])
    machine = f"{os.cpu_count()} cores of {processor()}"
    write_about(target, setting.profile, setting.roles, setting.device, machine)
    return target


def write_runs(path: Path, records: Iterable[RunRecord]) -> None:
    """Spec, environment and result of each run, a line each, by its key."""
    lines = [
        json.dumps(
            {
                "key": record.path.name,
                "spec": json.loads(record.spec.to_json()),
                "environment": record.environment,
                "result": record.result,
            },
            sort_keys=True,
        )
        for record in sorted(records, key=lambda record: record.path.name)
    ]
    write_text(path, "".join(f"{line}\n" for line in lines))


def write_about(
    folder: Path,
    profile: str,
    data: Mapping[str, str],
    device: str,
    machine: str,
    remark: str | None = None,
) -> None:
    """The `about.json` of a folder of reference results. data: by role the name of the set."""
    about = {
        "profile": profile,
        "data": dict(data),
        "device": device,
        "machine": machine,
        "date": date.today().isoformat(),
        **({"remark": remark} if remark else {}),
    }
    write_text(folder / "about.json", json.dumps(about, indent=1))


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
        path = reference.folder / chapter.paper / "claims.json"
        if path.exists():
            claims = _parsed(path)
            judged = {claim["id"]: claim["verdict"] for claim in claims if "kind" in claim}
            if judged:
                found[reference.short()] = judged
    return found


def beside(
    value: pd.DataFrame,
    artifact: str,
    setting: Setting,
    specs: Sequence[RunSpec],
    folder: Path = FOLDER,
) -> tuple[pd.DataFrame, list[str], dict[str, pd.DataFrame]]:
    """A table with columns from elsewhere, notes on them, and by their notes the tables that do not
    fit beside it.

    Columns are those of `SHOWN`, under the name of the data they are from. They stand beside ours
    only where all sizes are the same, which is so in one profile and without a remark; rows are
    matched by the columns before the first of `SHOWN`, which name them.
    """
    media = {load(spec.data.name).media for spec in specs}
    notes: list[str] = []
    folded: dict[str, pd.DataFrame] = {}
    added: list[tuple[str, pd.DataFrame]] = []
    for reference in references(setting, folder):
        path = reference.folder / f"{artifact}.csv"
        if not path.exists():
            continue
        theirs = _parsed(path)
        note = f"{reference.note(media)} {story(theirs)}".rstrip()
        columns = None
        if reference.about["profile"] == setting.profile and "remark" not in reference.about:
            columns = _matched(value, theirs)
        if columns is None:
            folded[note] = theirs
        else:
            notes.append(note)
            added.append((reference.short(media), columns))
    if added:
        own = stamp.data_text(specs)
        place = list(value.columns).index(SHOWN[-1]) + 1
        value = value.rename(columns={name: f"{own}|{name}" for name in SHOWN})
        for title, columns in reversed(added):
            for column in reversed(SHOWN):
                value.insert(place, f"{title}|{column}", columns[column].to_numpy())
    return value, notes, folded


def _matched(value: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame | None:
    """Their columns `SHOWN` in the order of our rows; None if no row is in both."""
    columns = list(value.columns)
    if not set(SHOWN) <= set(columns):
        return None
    names = columns[: columns.index(SHOWN[0])]
    if not {*names, *SHOWN} <= set(theirs.columns) or theirs.duplicated(names).any():
        return None
    found = value[names].astype(str).merge(theirs, on=names, how="left")
    return None if found[SHOWN[0]].isna().all() else found[SHOWN]


def story(theirs: pd.DataFrame) -> str:
    """Whether the teacher of a table knows what its student does not; "" where it has not both."""
    if SHOWN[0] not in theirs.columns:
        return ""
    levels = dict(zip(theirs.iloc[:, 0], theirs[SHOWN[0]].fillna("").astype(str), strict=True))
    teacher, student = (
        next((levels[name] for name in names if name in levels), "")
        for names in (("teacher",), ("direct", "student, labels alone"))
    )
    if not teacher or not student:
        return ""
    above, below = _bounds(teacher), _bounds(student)
    said = f"The teacher is right in {teacher} %, its student on labels alone in {student} %:"
    if above[0] > below[2]:
        return f"{said} it knows something that labels did not tell the student."
    if above[1] > below[1]:
        return f"{said} not clearly more, so there is little here that could be distilled."
    return f"{said} no more, so there is nothing here that could be distilled."


def _bounds(cell: str) -> tuple[float, float, float]:
    """Low, estimate and high of a cell such as "80.4 [73.5, 87.3]"; UserError if it is none."""
    found = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", cell)]
    if not found:
        raise UserError(f"results/reference: {cell!r} under {SHOWN[0]} is no number; restore it")
    estimate, *ends = found
    low, high = ends if len(ends) == 2 else (estimate, estimate)
    return low, estimate, high


def _parsed(path: Path) -> Any:
    """What a json or a csv file holds; UserError for a damaged one."""
    try:
        if path.suffix == ".csv":
            return artifacts.read(path)
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError, UserError) as error:
        reason = " ".join(str(error).split()).removeprefix(f"{path}: ")
        raise UserError(f"{path}: {reason}; restore it, or remove its folder") from None
