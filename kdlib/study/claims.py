"""The papers' sentences as checks: `claims.toml` names a function of the chapter's `checks.py`."""

import inspect
import tomllib
from collections.abc import Callable, Hashable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from kdlib.analysis import statistics
from kdlib.analysis.statistics import Interval, Verdict
from kdlib.errors import UserError
from kdlib.study import tables


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class Claim:
    """A sentence of the paper, where it stands, and the function that checks it."""

    id: str
    text: str
    source: str
    check: str


@dataclass(frozen=True)
class Finding:
    """What a check found: the effect, its unit, the verdict and in words what was compared."""

    effect: Interval
    unit: str
    verdict: Verdict
    compared: str

    @classmethod
    def measured(cls, effect: Interval, compared: str, unit: str = "points") -> "Finding":
        """A finding on an effect that should be above 0; its interval gives the verdict."""
        return cls(effect, unit, statistics.verdict(effect), compared)

    @classmethod
    def counted(cls, value: float, unit: str, verdict: Verdict, compared: str) -> "Finding":
        """A finding that was counted: the number has no spread, and the check gives the verdict."""
        return cls(Interval(value, value, value, 1, "counted"), unit, verdict, compared)


Check = Callable[[Any], Finding]
"""What a chapter's `checks.py` has for each claim: of a `Chapter`, its finding."""


@dataclass(frozen=True)
class Result:
    """A claim and its finding, or the reason why there is none."""

    claim: Claim
    finding: Finding | None
    reason: str = ""

    @property
    def verdict(self) -> Verdict:
        """The verdict; inconclusive where the check could not be made."""
        return self.finding.verdict if self.finding else "inconclusive"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `claims.json`; an infinite bound becomes null."""
        finding = asdict(self.finding) if self.finding else None
        if finding:
            for bound in ("low", "high"):
                if abs(finding["effect"][bound]) == float("inf"):
                    finding["effect"][bound] = None
        return {
            **asdict(self.claim),
            "verdict": self.verdict,
            "reason": self.reason,
            "finding": finding,
        }


def read(path: Path) -> list[Claim]:
    """The claims of a `claims.toml`; UserError names the file and the faulty entry."""
    try:
        entries = tomllib.loads(path.read_text()).get("claim", [])
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path.name} of {path.parent.name}: {error}") from None
    found = []
    for number, entry in enumerate(entries, 1):
        try:
            found.append(TypeAdapter(Claim).validate_python(entry))
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"]))
            raise UserError(
                f"{path.name} of {path.parent.name}, claim {number}: {where}: {fault['msg']}"
            ) from None
    return found


def better(artifact: str, ours: Hashable, theirs: Hashable) -> Check:
    """The check that one training of an artifact beats another: top-1, paired by seed."""

    def check(chapter: Any) -> Finding:
        records = chapter.records(artifact)
        gain = tables.gain(records[ours], records[theirs])
        return Finding.measured(gain, f"{ours} against {theirs}, paired by seed")

    return check


def above_zero(differences: Iterable[float], compared: str, unit: str = "points") -> Finding:
    """That differences are above 0: their mean with a t interval over them."""
    interval = statistics.mean_interval(np.array(list(differences)))
    return Finding.measured(interval, compared, unit)


def check_all(path: Path, module: ModuleType, chapter: Any) -> list[Result]:
    """Check every claim of a chapter. Profiles without evidence leave all verdicts inconclusive."""
    checks = checks_of(module)
    results = []
    for claim in read(path):
        if claim.check not in checks:
            raise UserError(f"{path.name}, {claim.id}: checks.py has no function {claim.check!r}")
        try:
            finding, reason = checks[claim.check](chapter), ""
        except UserError as error:
            finding, reason = None, str(error)
        if finding and not chapter.setting.scale.evidence:
            finding = replace(finding, verdict="inconclusive")
            reason = f"profile {chapter.setting.profile} is no evidence"
        results.append(Result(claim, finding, reason))
    return results


def checks_of(module: ModuleType) -> dict[str, Check]:
    """The checks of a `checks.py`: the functions it makes, but for helpers (`_name`)."""

    def made_there(function: FunctionType) -> bool:
        # One that another function made, as `better` does, bears the module of its maker.
        return function.__module__ == module.__name__ or "<locals>" in function.__qualname__

    return {
        name: function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if made_there(function) and not name.startswith("_")
    }
