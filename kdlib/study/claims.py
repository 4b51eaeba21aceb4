"""The papers' sentences as checks: `claims.toml` names a function of the chapter's `study.py`."""

import inspect
import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from kdlib.analysis.statistics import Interval, Verdict
from kdlib.errors import UserError


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


def check_all(path: Path, module: ModuleType, chapter: Any) -> list[Result]:
    """Check every claim of a chapter. Profiles without evidence leave all verdicts inconclusive."""
    results = []
    for claim in read(path):
        check = getattr(module, claim.check, None)
        if not inspect.isfunction(check):
            raise UserError(f"{path.name}, {claim.id}: study.py has no function {claim.check!r}")
        try:
            finding, reason = check(chapter), ""
        except UserError as error:
            finding, reason = None, str(error)
        if finding and not chapter.setting.scale.evidence:
            finding = replace(finding, verdict="inconclusive")
            reason = f"profile {chapter.setting.profile} is no evidence"
        results.append(Result(claim, finding, reason))
    return results
