"""What a chapter tests: `claims.toml` names a function of its `checks.py` for each entry.

A `[[control]]` is an effect that must be there before anything else can be tested, a `[[claim]]` a
sentence of the paper, a `[[comparison]]` one of the book's own. The last two name the controls that
they require; where one does not hold, they are not testable here.
"""

import inspect
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from kdlib.analysis.statistics import LEVEL, Verdict, corrected
from kdlib.errors import UserError, unknown
from kdlib.study.checks import Check, Finding

Kind = Literal["control", "claim", "comparison"]
KINDS: tuple[Kind, ...] = get_args(Kind)
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class Entry:
    """What is said, where it stands, the function that checks it, and the controls it requires."""

    kind: Kind
    id: str
    text: str
    check: str
    source: str = "this book"
    requires: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """An entry, its finding (None if the check could not be made) and its verdict.

    reason: why there is no finding, or why the verdict is not the finding's. p_corrected: the
    finding's p among those of the chapter; None for controls and for what has no p.
    """

    entry: Entry
    finding: Finding | None
    verdict: Verdict
    reason: str = ""
    p_corrected: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `claims.json`; what is infinite becomes null."""
        found = self.finding
        return {
            **asdict(self.entry),
            "requires": list(self.entry.requires),
            "verdict": self.verdict,
            "reason": self.reason,
            "raw": found.verdict if found else None,
            "p": found.p if found else None,
            "p_corrected": self.p_corrected,
            "smallest": _finite(found.smallest) if found else None,
            "finding": found
            and {
                "effect": {name: _finite(value) for name, value in asdict(found.effect).items()},
                "unit": found.unit,
                "compared": found.compared,
                "floor": found.floor,
            },
        }


def read(path: Path) -> list[Entry]:
    """The entries of a `claims.toml`, controls first; UserError names the file and the fault."""
    file = f"{path.name} of {path.parent.name}"
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{file}: {error}") from None
    except (RecursionError, MemoryError):
        raise UserError(f"{file}: too much or too deeply nested to be a list of claims") from None
    for name, rows in tables.items():
        if name not in KINDS:
            raise unknown(f"{file}: entry", name, KINDS)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise UserError(f"{file}: {name}: an entry begins with [[{name}]]")
    found: list[Entry] = []
    for kind in KINDS:
        for number, row in enumerate(tables.get(kind, []), 1):
            try:
                found.append(TypeAdapter(Entry).validate_python({**row, "kind": kind}))
            except ValidationError as error:
                fault = error.errors()[0]
                where = ".".join(map(str, fault["loc"]))
                raise UserError(f"{file}, {kind} {number}: {where}: {fault['msg']}") from None
    _check_names(file, found)
    return found


def _check_names(file: str, entries: Sequence[Entry]) -> None:
    """Refuse ids that stand twice, and requirements that are no control."""
    ids = [entry.id for entry in entries]
    controls = [entry.id for entry in entries if entry.kind == "control"]
    for entry in entries:
        if ids.count(entry.id) > 1:
            raise UserError(f"{file}: the id {entry.id!r} stands twice; give each its own")
        if entry.kind == "control" and entry.requires:
            raise UserError(f"{file}, {entry.id}: requires: a control requires nothing; leave out")
        for name in entry.requires:
            if name not in controls:
                raise unknown(f"{file}, {entry.id}: requires", name, controls)


def check_all(entries: Sequence[Entry], module: ModuleType, chapter: Any) -> list[Result]:
    """Check every entry of a chapter, and judge what was found (`judged`)."""
    checks = {entry.id: check_of(entry, module) for entry in entries}
    findings: dict[str, Finding | str] = {}
    for name, check in checks.items():
        try:
            findings[name] = check(chapter)
        except UserError as error:
            findings[name] = str(error)
    profile = chapter.setting.profile
    if not chapter.setting.scale.evidence:
        return undecided(entries, findings, f"profile {profile} is no evidence")
    return judged(entries, findings)


def undecided(
    entries: Sequence[Entry], findings: Mapping[str, Finding | str], why: str
) -> list[Result]:
    """All inconclusive, for one reason."""
    results = []
    for entry in entries:
        found = findings[entry.id]
        if isinstance(found, Finding):
            found = replace(found, verdict="inconclusive")
            results.append(Result(entry, found, "inconclusive", why))
        else:
            results.append(Result(entry, None, "inconclusive", found))
    return results


def judged(entries: Sequence[Entry], findings: Mapping[str, Finding | str]) -> list[Result]:
    """The verdicts on what was found; for an entry without a finding, the reason is given.

    Controls have the verdict of their interval, and hold if it is supported. P-values of claims and
    comparisons are one family (`statistics.corrected`): where the corrected one is not below 0.05
    the verdict is inconclusive. What requires a control that does not hold is not testable here.
    """
    family = [
        (entry.id, found.p)
        for entry in entries
        if isinstance(found := findings[entry.id], Finding)
        and found.p is not None
        and entry.kind != "control"
    ]
    p_corrected = dict(
        zip([name for name, _ in family], corrected([p for _, p in family]), strict=True)
    )
    results: dict[str, Result] = {}
    for entry in entries:  # controls come first
        found, p = findings[entry.id], p_corrected.get(entry.id)
        failing = [results[c] for c in entry.requires if results[c].verdict != "supported"]
        if not isinstance(found, Finding):
            result = Result(entry, None, "inconclusive", found)
        elif p is not None and p >= LEVEL and found.verdict != "inconclusive":
            result = Result(entry, found, "inconclusive", "not after correction", p)
        else:
            result = Result(entry, found, found.verdict, "", p)
        if failing:
            why = "; ".join(f"it requires {c.entry.id}, which does not hold" for c in failing)
            result = replace(result, verdict="not testable here", reason=why)
        results[entry.id] = result
    return list(results.values())


def control_table(controls: Sequence[Result], entries: Sequence[Entry]) -> pd.DataFrame:
    """A row a control: its effect, whether it holds, and which of the entries rest on it."""
    rows = []
    for result in controls:
        found, name = result.finding, result.entry.id
        resting = [entry.id.split("/")[-1] for entry in entries if name in entry.requires]
        rows.append(
            {
                "control": name.split("/")[-1],
                "what must hold": result.entry.text,
                "effect": found and found.effect,
                "n": found and found.effect.n,
                "detects": found and _rounded(found.smallest),
                "unit": found and found.unit,
                "holds": "yes" if result.verdict == "supported" else "no",
                "rests on it": ", ".join(resting),
            }
        )
    return pd.DataFrame(rows, dtype=object)  # whole numbers stay whole beside missing ones


def check_of(entry: Entry, module: ModuleType) -> Callable[[Any], Finding]:
    """The check of an entry; UserError if `checks.py` has none of that name."""
    checks = checks_of(module)
    if entry.check not in checks:
        raise UserError(f"claims.toml, {entry.id}: checks.py has no function {entry.check!r}")
    return checks[entry.check]


def checks_of(module: ModuleType) -> dict[str, Callable[[Any], Finding]]:
    """The checks of a `checks.py`: what it makes, but for helpers (`_name`) and what it imports."""

    def made_there(value: object) -> bool:
        if isinstance(value, FunctionType):
            return value.__module__ == module.__name__
        return isinstance(value, Check)

    return {
        name: value
        for name, value in inspect.getmembers(module, made_there)
        if not name.startswith("_")
    }


def _finite(value: Any) -> Any:
    return value if not isinstance(value, float) or np.isfinite(value) else None


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(value, 1)
