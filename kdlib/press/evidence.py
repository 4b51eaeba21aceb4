"""What stands below an artifact: its files, its command, its runs, and what it says.

The files lie in the site's own folder, `FOLDER` beside those of the chapters, so that a book that
is moved takes them along (`files`). Their links are hidden where no style sheet shows them, as in
JupyterLab: there are no such files there.
"""

import html
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from kdlib.press import tables
from kdlib.runs.store import RunRecord
from kdlib.study import stamp
from kdlib.study.chapter import Chapter, Records, Study, Value
from kdlib.study.readings import Reading

FOLDER = "artifacts"
KINDS = {"csv": "CSV", "tex": "LaTeX", "svg": "SVG", "png": "PNG", "json": "JSON"}


def files(chapters: Iterable[Chapter]) -> dict[str, bytes]:
    """By their place in the site, the files of these chapters' artifacts that are made."""
    found = {}
    for chapter in chapters:
        made = chapter.made()
        wanted = [f"{name}.{end}" for name in chapter.studies if name in made for end in KINDS]
        wanted += [f"{chapter.claims_name}.json"] * (chapter.claims_name in made)
        for name in wanted:
            path: Path = chapter.setting.folder / name
            if path.exists():
                found[f"{FOLDER}/{name}"] = path.read_bytes()
    return found


def below(
    chapter: Chapter,
    study: Study,
    value: Value,
    reading: Reading | None,
    records: Records,
    elsewhere: Mapping[str, pd.DataFrame] | None = None,
) -> str:
    """HTML that stands below an artifact on a chapter's page; elsewhere: folded tables by title."""
    ends = ("csv", "tex", "json") if isinstance(value, pd.DataFrame) else ("svg", "png", "json")
    box = _box(reading) if reading else ""
    folded = "".join(
        f'<details class="kd-folded"><summary>{html.escape(title)}</summary>{tables.table(other)}'
        "</details>"
        for title, other in (elsewhere or {}).items()
    )
    return _line(chapter, study.artifact, ends) + box + folded + _runs(records)


def of_claims(chapter: Chapter) -> str:
    """HTML that stands below the verdicts of a chapter."""
    return _line(chapter, chapter.claims_name, ("json",))


def _box(reading: Reading) -> str:
    titles = ("What was found", "Why", "To see more")
    parts = (
        f"<p><strong>{title}.</strong> {html.escape(text)}</p>"
        for title, text in zip(titles, reading, strict=True)
        if text
    )
    return f'<div class="kd-reading">{"".join(parts)}</div>'


def _line(chapter: Chapter, name: str, ends: Iterable[str]) -> str:
    links = " · ".join(
        f'<a href="../{FOLDER}/{html.escape(name)}.{end}">{KINDS[end]}</a>' for end in ends
    )
    command = html.escape(stamp.command(chapter.setting, chapter.name))
    explained = ""
    if name != chapter.claims_name:
        explained = f" · its runs: <code>python -m kdlib explain {html.escape(name)}</code>"
    return (
        f'<div class="kd-evidence"><span class="kd-files" style="display: none">{links} · </span>'
        f"made by <code>{command}</code>{explained}</div>"
    )


def _runs(records: Records) -> str:
    """A folded table, a row a run."""
    rows = [_run(label, record) for label, group in records.items() for record in group]
    if not rows:
        return ""
    count = len({row["key"] for row in rows})
    title = "The run it is made of" if count == 1 else f"The {count} runs it is made of"
    body = tables.table(pd.DataFrame(rows))
    return f'<details class="kd-folded kd-runs"><summary>{title}</summary>{body}</details>'


def _run(label: object, record: RunRecord) -> dict[str, object]:
    environment = record.environment
    judged = record.result.get("last", {})
    return {
        "row": " ".join(map(str, label)) if isinstance(label, tuple) else str(label),
        "run": record.spec.title.rpartition(", seed")[0],
        "seed": record.spec.seed,
        "score %": round(100 * judged["score"], 1) if "score" in judged else None,
        "seconds": round(record.result["cost"]["seconds"], 1),
        "key": record.path.name,
        "processor": environment["device"],
        "commit": environment["commit"],
        "day": environment["finished"][:10],
    }
