"""What a reproduction did: artifacts, verdicts, runs, failures, time."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdlib.study.chapter import Chapter


@dataclass
class Summary:
    """What a reproduction did; `failures` is empty if all went well.

    verdicts: of the papers' sentences. controls: how many positive controls hold, and do not.
    """

    artifacts: list[str] = field(default_factory=list)
    expected: int = 0
    trained: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    controls: Counter[bool] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    page: Path | None = None

    def count(self, chapter: Chapter, made: Mapping[str, Any]) -> None:
        """Count a chapter's artifacts and verdicts among what is `made` (`Chapter.made`)."""
        self.expected += len(chapter.studies)
        self.artifacts += [name for name in chapter.studies if name in made]
        self.failures += [f"{n} was not made" for n in chapter.studies if n not in made]
        if chapter.claims_name in made:
            for claim in claims_of(chapter):
                if claim["kind"] == "claim":
                    self.verdicts[claim["verdict"]] += 1
                elif claim["kind"] == "control":
                    self.controls[claim["verdict"] == "supported"] += 1
        else:
            self.failures.append(f"the claims of {chapter.name} were not checked")

    def text(self) -> str:
        """The closing lines of the command."""
        verdicts = ", ".join(f"{count} {name}" for name, count in sorted(self.verdicts.items()))
        tested = self.controls.total()
        lines = [
            f"artifacts  {len(self.artifacts)} of {self.expected}",
            f"claims     {verdicts or 'none'}",
            *([f"controls   {self.controls[True]} of {tested} hold"] if tested else []),
            f"trained    {self.trained} runs",
            f"time       {clock(self.seconds)}",
        ]
        if self.page:
            lines.append(f"open       {self.page}")
        lines += [f"FAILED     {failure}" for failure in self.failures]
        return "\n".join(lines)


def claims_of(chapter: Chapter) -> list[dict[str, Any]]:
    """The entries of `claims.json`; only for a chapter whose claims are among `Chapter.made`."""
    return json.loads((chapter.folder / "claims.json").read_text(encoding="utf-8"))


def clock(seconds: float) -> str:
    """Seconds as people read them: 48 s, 7 min 05 s, 3 h 20 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
