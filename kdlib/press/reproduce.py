"""`make reproduce`: plan, train, execute notebooks, build the book, and say what came out."""

import importlib
import importlib.metadata
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from kdlib.data.disk import disk_errors
from kdlib.errors import UserError, unknown
from kdlib.press import evidence, lessons, library, notebooks, present, scratch, site
from kdlib.press.site import SiteFailed
from kdlib.press.summary import Summary, claims_of, clock
from kdlib.runs.engine import run_all
from kdlib.runs.plan import estimate_seconds, plan
from kdlib.runs.worker import Planned
from kdlib.study import stamp
from kdlib.study.chapter import BOOK, Chapter, chapter_names, check_roles, placed
from kdlib.study.seal import checksum, seal, sha256, unseal, write_text
from kdlib.study.setting import Setting

T = TypeVar("T")
PATIENCE_S = 60  # a chapter that took longer is to be read while the next one trains


def open_chapters(
    names: Sequence[str], setting: Setting, *, to_train: bool = False
) -> tuple[list[Chapter], list[str]]:
    """These chapters, or all of them, in the order of the book; and why others are left out.

    to_train: leave out, too, a chapter with a missing run that could not be trained. UserError for
    a name that is no chapter's, where no chapter is left, and for a real set that none of them
    reads.
    """
    for name in names:
        if name not in chapter_names():
            raise unknown("CHAPTERS", name, chapter_names())
    wanted = site.ordered(BOOK, dict.fromkeys(names or chapter_names()))
    chapters, left_out = _each(wanted, lambda name: Chapter(name, setting))
    check_roles(chapters)
    if to_train:
        setting.datasets.keys(spec for chapter in chapters for spec in chapter.specs())
        _, refused = _each(
            [chapter.name for chapter in chapters],
            lambda name: todo([c for c in chapters if c.name == name], setting),
        )
        chapters = [chapter for chapter in chapters if chapter.name not in refused]
        left_out |= refused
    return chapters, [f"chapter {name} is left out: {why}" for name, why in left_out.items()]


def _each(names: Iterable[str], act: Callable[[str], T]) -> tuple[list[T], dict[str, UserError]]:
    """What `act` gives for these chapters, and the errors of others; UserError if for none."""
    found: list[T] = []
    refused: dict[str, UserError] = {}
    for name in names:
        try:
            found.append(act(name))
        except UserError as error:
            refused[name] = error
    if refused and not found:
        raise next(iter(refused.values()))
    for name, why in refused.items():
        print(f"kdlib: chapter {name} is left out: {why}", file=sys.stderr)
    return found, refused


def todo(chapters: Sequence[Chapter], setting: Setting) -> tuple[list[Planned], int]:
    """The missing runs of these chapters, each once, and the number of runs found."""
    specs = [spec for chapter in chapters for spec in chapter.specs()]
    return plan(specs, setting.run_store, setting.device, setting.datasets.keys(specs))


def plan_text(chapters: Sequence[Chapter], setting: Setting) -> str:
    """What would be done, in two lines."""
    missing, found = todo(chapters, setting)
    seconds = estimate_seconds(missing, setting.jobs)
    count = sum(len(chapter.studies) for chapter in chapters)
    specs = [spec for chapter in chapters for spec in chapter.specs()]
    return (
        f"{stamp.chapter_text(setting, specs)}\n"
        f"{count} artifacts of {', '.join(chapter.name for chapter in chapters)}; "
        f"{found} runs in the store, {len(missing)} to train"
        + (f", about {clock(max(seconds, 1))} with {setting.jobs} workers." if missing else ".")
    )


def reproduce(names: Sequence[str], setting: Setting) -> Summary:
    """Regenerate every artifact of these chapters.

    What took long is readable as soon as it is done, and the whole book at the end.
    """
    started = built = time.perf_counter()
    chapters, left_out = open_chapters(names, setting, to_train=True)
    summary = Summary(failures=left_out)
    print(plan_text(chapters, setting), flush=True)
    scratch.sweep()
    notebooks.warm(("kdlib.study.opening", "kdlib.press.present"))
    executed: dict[str, list[Path]] = {}
    claims: dict[str, list[dict[str, Any]]] = {}
    for chapter in chapters:
        missing, _ = todo([chapter], setting)
        outcome = run_all(
            missing,
            setting.run_store,
            setting.datasets,
            device=setting.device,
            jobs=setting.jobs,
        )
        summary.trained += len(outcome.trained)
        summary.failures += [failure.strip() for failure in outcome.failed.values()]
        # Two reproductions of one setting take turns; the second finds everything fresh.
        setting.folder.mkdir(parents=True, exist_ok=True)
        with disk_errors(setting.folder, "RESULTS"), FileLock(setting.folder / ".lock"):
            scratch.sweep_results(setting.folder)
            made = chapter.made()
            done = lessons.execute(chapter, made, outcome.failed)
            summary.failures += done.failures
            executed[chapter.name] = done.copies
            if done.count:
                made = chapter.made()
            summary.count(chapter, made)
            if chapter.claims_name in made:
                claims[chapter.name] = claims_of(chapter)
            # Of a book of which nothing is new only the whole is looked at, once.
            last = chapter is chapters[-1]
            if last or (done.count and time.perf_counter() - built > PATIENCE_S):
                built = time.perf_counter()
                try:
                    summary.page = build_book(chapters, executed, claims, with_library=last)
                except (SiteFailed, UserError) as error:
                    summary.failures.append(str(error))
    summary.seconds = time.perf_counter() - started
    return summary


def build_book(
    chapters: Sequence[Chapter],
    executed: dict[str, list[Path]],
    claims: dict[str, list[dict[str, Any]]],
    *,
    with_library: bool,
) -> Path:
    """The site of what is done so far; the pages of the library take longest, and come last."""
    setting = chapters[0].setting
    stamps = {
        chapter.name: stamp.chapter_text(setting, chapter.specs())
        for chapter in chapters
        if chapter.name in executed
    }
    return site.build(
        BOOK,
        executed,
        setting.folder / "book",
        title="Distilling video",
        stamp=setting.stamp,
        stamps=stamps,
        extra_pages={
            "verdicts": verdicts_page(claims, stamps),
            "how-we-test": how_we_test(setting.datasets.cache),
        },
        attached=evidence.files(chapter for chapter in chapters if chapter.name in executed),
        with_library=with_library,
    )


def verdicts_page(claims: dict[str, list[dict[str, Any]]], stamps: dict[str, str]) -> str:
    """These claims by chapter, with the chapter's stamp, as Markdown."""
    parts = [
        "# All verdicts",
        "All that the chapters check, with what was found: see the front page for how to read it.",
    ]
    for name, found in claims.items():
        table = present.claims_tables(found).data.replace("\n", "")
        parts += [f"## {name.capitalize()}", stamps[name], table]
    return "\n\n".join(parts)


def how_we_test(cache: Path) -> str:
    """The page on the tests themselves, with what each planted fault turns red, tried once with
    this code and kept in the cache."""
    with placed(BOOK):
        faults = importlib.import_module("book.faults")
    code = [library.code(), sha256(Path(str(faults.__file__)).read_bytes())]
    key = checksum([*code, importlib.metadata.version("torch")])
    kept, sealed = cache / "faults" / f"{key}.html", cache / "faults" / f"{key}.json"
    if not unseal(sealed):
        write_text(kept, present.table(faults.table()).data.replace("\n", ""))
        seal(sealed, [kept], {})
    text = (BOOK / "how-we-test.md").read_text(encoding="utf-8")
    return text.replace("[[faults]]", kept.read_text(encoding="utf-8"))
