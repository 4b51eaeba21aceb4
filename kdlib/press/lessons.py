"""A chapter's notebooks: which executed copies are stale, and executing those."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdlib.errors import UserError
from kdlib.press import notebooks, reference
from kdlib.study.chapter import BOOK, Chapter
from kdlib.study.seal import checksum, sha256

TIMEOUT_SECONDS = {"smoke": 300.0, "laptop": 900.0, "gpu": 900.0, "paper": 3600.0}


@dataclass
class Executed:
    """The executed copies that are whole, how many were executed just now, and what failed."""

    copies: list[Path]
    count: int = 0
    failures: list[str] = field(default_factory=list)


def sources(chapter: str) -> list[Path]:
    """The chapter's notebooks."""
    return sorted((BOOK / chapter).glob("*.ipynb"))


def execute(chapter: Chapter, made: Mapping[str, Any], failed: Iterable[str]) -> Executed:
    """Execute the stale notebooks of a chapter, `jobs` at once.

    made: what is written and true already (`Chapter.made`); if anything is missing all notebooks
    are stale, since none says what it makes. failed: keys of the runs that failed just now.
    """
    setting = chapter.setting
    key = content_key(chapter, failed)
    folder = setting.folder / "notebooks" / chapter.name
    complete = {*chapter.studies, chapter.claims_name} <= set(made)

    def run(source: Path) -> str | None:
        output = folder / source.name
        try:
            notebooks.execute(
                source,
                output,
                parameters(chapter),
                timeout_s=TIMEOUT_SECONDS[setting.profile],
                key=key,
            )
        except notebooks.NotebookFailed as error:
            output.unlink(missing_ok=True)
            return f"{error} (its copy: {error.path})"
        except UserError as error:  # of a file that is no notebook, say
            output.unlink(missing_ok=True)
            return str(error)
        return None

    outputs = {source: folder / source.name for source in sources(chapter.name)}
    stale = [s for s, out in outputs.items() if not (complete and notebooks.fresh(out, key))]
    # What a kernel must know besides its notebook's parameters. Nothing is trained in a kernel
    # here: what is missing failed just now.
    environment = {
        "KDLIB_TRAIN": "never",
        "KDLIB_STORE": _absolute(setting.store),
        "KDLIB_RESULTS": _absolute(setting.results),
    }
    with notebooks.environment(environment), ThreadPoolExecutor(setting.jobs) as pool:
        try:
            failures = [failure for failure in pool.map(run, stale) if failure]
        except KeyboardInterrupt:
            notebooks.stop()
            raise
    copies = [path for path in outputs.values() if path.exists()]
    return Executed(copies, len(stale), failures)


def parameters(chapter: Chapter) -> dict[str, Any]:
    """The values for the `parameters` cell of the chapter's notebooks."""
    setting = chapter.setting
    return {
        "profile": setting.profile,
        "dataset": setting.dataset,
        "data": _absolute(setting.data),
        "seeds": setting.seeds,
        "device": setting.device,
    }


def content_key(chapter: Chapter, failed: Iterable[str]) -> str:
    """All that an executed notebook depends on: text, code, records, parameters, failures."""
    shown = [*sources(chapter.name), *sorted(reference.FOLDER.rglob("*"))]
    files = [[path.name, sha256(path.read_bytes())] for path in shown if path.is_file()]
    return checksum([chapter.digest(), files, parameters(chapter), sorted(failed)])


def _absolute(path: str) -> str:
    """The path as a kernel that works elsewhere must have it; an empty one stays the default."""
    return str(Path(path).resolve()) if path else ""
