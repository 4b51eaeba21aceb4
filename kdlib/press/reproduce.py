"""`make reproduce`: plan, train, execute notebooks, build the book, and say what came out."""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from kdlib.press import notebooks, present, site
from kdlib.runs.code import PACKAGE
from kdlib.runs.engine import Outcome, run_all
from kdlib.runs.plan import estimate_seconds, plan
from kdlib.runs.worker import Planned
from kdlib.study.chapter import BOOK, Chapter, chapter_names
from kdlib.study.setting import Setting

NOTEBOOK_SECONDS = {"smoke": 300.0, "laptop": 900.0, "gpu": 900.0, "paper": 3600.0}


@dataclass
class Summary:
    """What a reproduction did; `failures` is empty if all went well."""

    artifacts: list[str] = field(default_factory=list)
    expected: int = 0
    trained: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    page: Path | None = None

    def text(self) -> str:
        """The closing lines of the command."""
        verdicts = ", ".join(f"{count} {name}" for name, count in sorted(self.verdicts.items()))
        lines = [
            f"artifacts  {len(self.artifacts)} of {self.expected}",
            f"claims     {verdicts or 'none'}",
            f"trained    {self.trained} runs",
            f"time       {clock(self.seconds)}",
        ]
        if self.page:
            lines.append(f"open       {self.page}")
        lines += [f"FAILED     {failure}" for failure in self.failures]
        return "\n".join(lines)


def clock(seconds: float) -> str:
    """Seconds as people read them: 48 s, 7 min 05 s, 3 h 20 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def open_chapters(names: Sequence[str], setting: Setting) -> list[Chapter]:
    """These chapters, or all of them, in the order of the book."""
    return [Chapter(name, setting) for name in site.ordered(BOOK, names or chapter_names())]


def todo(chapters: Sequence[Chapter], setting: Setting) -> tuple[list[Planned], int]:
    """The missing runs of these chapters, each once, and the number of runs found."""
    specs = [spec for chapter in chapters for spec in chapter.specs()]
    return plan(specs, setting.run_store, setting.device, setting.datasets.keys(specs))


def plan_text(chapters: Sequence[Chapter], setting: Setting) -> str:
    """What would be done, in three lines."""
    missing, found = todo(chapters, setting)
    seconds = estimate_seconds(missing, setting.jobs)
    count = sum(len(chapter.studies) for chapter in chapters)
    return (
        f"{setting.stamp}\n"
        f"{count} artifacts of {', '.join(chapter.name for chapter in chapters)}; "
        f"{found} runs in the store, {len(missing)} to train"
        + (f", about {clock(seconds)} with {setting.jobs} workers." if missing else ".")
    )


def reproduce(names: Sequence[str], setting: Setting) -> Summary:
    """Regenerate every artifact of these chapters; each is readable as soon as it is done."""
    started = time.perf_counter()
    summary = Summary()
    chapters = open_chapters(names, setting)
    print(plan_text(chapters, setting), flush=True)
    notebooks.warm(("kdlib.study.chapter", "kdlib.press.present"))
    executed: dict[str, list[Path]] = {}
    for chapter in chapters:
        missing, _ = todo([chapter], setting)
        outcome = run_all(
            missing,
            setting.run_store,
            setting.datasets,
            device=setting.device,
            jobs=setting.jobs,
        )
        summary.trained += len(outcome.done)
        summary.failures += [failure.strip() for failure in outcome.failed.values()]
        # Two reproductions of one setting take turns; the second finds everything fresh.
        setting.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(setting.folder / ".lock"):
            executed[chapter.name] = execute_notebooks(chapter, outcome, summary)
            summary.page = site.build(
                BOOK,
                executed,
                setting.folder / "book",
                title="Distilling video",
                stamp=setting.stamp,
                extra_pages={"verdicts": verdicts_page(chapters)},
            )
        _count(chapter, summary)
    summary.seconds = time.perf_counter() - started
    return summary


def execute_notebooks(chapter: Chapter, outcome: Outcome, summary: Summary) -> list[Path]:
    """Execute the chapter's stale notebooks, two at once; failures go into the summary."""
    setting = chapter.setting
    parameters = {
        "profile": setting.profile,
        "dataset": setting.dataset,
        "data": _absolute(setting.data),
        "seeds": setting.seeds,
        "device": setting.device,
        "store": _absolute(setting.store),
        "results": _absolute(setting.results),
    }
    key = _content_key(chapter, parameters, outcome)
    done = []

    def execute(source: Path) -> str | None:
        output = setting.folder / "notebooks" / chapter.name / source.name
        done.append(output)
        if notebooks.fresh(output, key) and _all_written(chapter):
            return None
        try:
            notebooks.execute(
                source, output, parameters, timeout_s=NOTEBOOK_SECONDS[setting.profile], key=key
            )
        except notebooks.NotebookFailed as error:
            output.unlink(missing_ok=True)
            return f"{error} (its copy: {error.path})"
        return None

    os.environ["KDLIB_TRAIN"] = "never"
    try:
        with ThreadPoolExecutor(setting.jobs) as pool:
            summary.failures += filter(None, pool.map(execute, sources(chapter.name)))
    except KeyboardInterrupt:
        notebooks.stop()
        raise
    finally:
        del os.environ["KDLIB_TRAIN"]
    return sorted(path for path in done if path.exists())


def _absolute(path: str) -> str:
    """The path as a kernel that works elsewhere must have it; an empty one stays the default."""
    return str(Path(path).resolve()) if path else ""


def verdicts_page(chapters: Sequence[Chapter]) -> str:
    """All claims checked so far, by chapter, as Markdown."""
    parts = ["# All verdicts", "Every sentence that the chapters check, with what was found."]
    for chapter in chapters:
        path = chapter.folder / "claims.json"
        if path.exists():
            table = present.claims_table(json.loads(path.read_text())).data
            parts += [f"## {chapter.name.capitalize()}", table.replace("\n", "")]
    return "\n\n".join(parts)


def sources(chapter: str) -> list[Path]:
    """The chapter's notebooks."""
    return sorted((BOOK / chapter).glob("*.ipynb"))


def _content_key(chapter: Chapter, parameters: dict, outcome: Outcome) -> str:
    """All that an executed notebook depends on: sources, library, parameters, runs, failures."""
    digest = hashlib.sha256()
    parts = [*PACKAGE.rglob("*.py")]
    for ending in ("py", "ipynb", "toml", "csv"):
        parts += (BOOK / chapter.name).rglob(f"*.{ending}")
    for path in sorted(parts):
        digest.update(path.name.encode() + path.read_bytes())
    keys = sorted(chapter.key(spec) for spec in chapter.specs())
    digest.update(json.dumps([parameters, keys, sorted(outcome.failed)]).encode())
    return digest.hexdigest()


def _all_written(chapter: Chapter) -> bool:
    written = [
        *(chapter.setting.folder / name for name in chapter.studies),
        chapter.folder / "claims",
    ]
    return all(path.with_suffix(".json").exists() for path in written)


def _count(chapter: Chapter, summary: Summary) -> None:
    """Count artifacts and verdicts; an artifact older than its runs is not counted as made."""
    summary.expected += len(chapter.studies)
    for name, study in chapter.studies.items():
        path = chapter.setting.folder / f"{name}.json"
        wanted = {chapter.key(spec) for spec in study.specs()}
        if path.exists() and set(json.loads(path.read_text())["runs"]) == wanted:
            summary.artifacts.append(name)
        else:
            summary.failures.append(f"{name} was not made")
    path = chapter.folder / "claims.json"
    if path.exists():
        summary.verdicts.update(claim["verdict"] for claim in json.loads(path.read_text()))
