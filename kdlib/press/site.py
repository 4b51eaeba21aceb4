"""The HTML book: executed notebooks and chapter pages rendered by Sphinx, readable offline.

Nothing is executed here. The chapters are the folders of `book/` that have an `index.md`; their
order is the `order:` in its front matter, then the name.
"""

import hashlib
import html
import importlib.metadata
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from kdlib.press import library, pages
from kdlib.study.seal import seal, unseal

IMAGES = {".png", ".svg", ".jpg", ".gif", ".webp"}
PACKAGES = (
    "sphinx",
    "myst-nb",
    "sphinx-book-theme",
    "sphinx-mathjax-offline",
    "sphinxcontrib-bibtex",
)
KEY = ".key.json"  # what the site was made of, and the checksums of its files
_FAULT = re.compile(r"\S*(Error|Exception|error|ERROR|WARNING)\b.*: ")
NOT_RUN = "\n\n> **Note.** The notebooks of this chapter were not run for this copy of the book.\n"


class SiteFailed(Exception):
    """The book was not built: why, in one line. An earlier one is left as it was."""


def build(
    book: Path,
    executed: Mapping[str, Sequence[Path]],
    output: Path,
    *,
    title: str,
    stamp: str,
    stamps: Mapping[str, str] | None = None,
    extra_pages: Mapping[str, str] | None = None,
    attached: Mapping[str, bytes] | None = None,
    with_library: bool = False,
    strict: bool = False,
) -> Path:
    """Build the book into the folder `output` and return its `index.html`.

    `executed` has, for each chapter, the executed notebooks in reading order (a `*.failed.ipynb`
    gets a page too). `stamp` is the line on top of every page that says where the numbers are from.
    `extra_pages` are generated pages, {name: markdown}, listed before the chapters with the pages
    of `book` itself, which they may replace. `attached` are
    files that pages link to, by their place in the site. `with_library` adds the pages of kdlib's
    API, which takes about 20 seconds. The new site replaces the old one only when it is whole; with
    unchanged content nothing is done. Warnings of Sphinx go to stderr; `strict` makes them errors.
    Raises `SiteFailed`.
    """
    api = library.pages() if with_library else {}
    files = dict(_sources(book, executed, extra_pages or {}, api))
    escaped = {name: html.escape(text) for name, text in (stamps or {}).items()}
    files["stamps.json"] = json.dumps(escaped).encode()  # which conf.py reads
    attached = attached or {}
    key = _key({**files, **attached}, title, stamp, library.code() if with_library else "")
    index = output / "index.html"
    sealed = unseal(output / KEY)
    if sealed and sealed.get("key") == key:
        return index
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as folder:
        work = Path(folder)
        _write(work / "book", files)
        _sphinx(work, title, stamp, strict, output.with_suffix(".log"))
        for page in (work / "html").rglob("*.html"):
            page.write_text(pages.accessible(page.read_text(encoding="utf-8")), encoding="utf-8")
        _write(work / "html", attached)
        made = [path for path in sorted((work / "html").rglob("*")) if path.is_file()]
        seal(work / "html" / KEY, made, {"key": key})
        if output.exists():
            os.replace(output, work / "old")
        os.replace(work / "html", output)
    return index


def ordered(book: Path, names: Iterable[str]) -> list[str]:
    """These chapters' folder names in reading order; one without a page comes last."""
    return sorted(names, key=lambda name: (_order(book / name / "index.md"), name))


def _order(page: Path) -> float:
    if not page.exists():
        return float("inf")
    try:
        lines = _text(page).split("---\n")
        front = yaml.safe_load(lines[1]) if len(lines) > 2 and not lines[0] else {}
        return float(front.get("order", "inf"))
    except (SiteFailed, yaml.YAMLError, AttributeError, TypeError, ValueError, RecursionError):
        return float("inf")  # what is wrong with it is said when the book is built


def _text(page: Path) -> str:
    try:
        return page.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SiteFailed(f"{page}: {error}; save it as UTF-8") from None


def _sources(
    book: Path,
    executed: Mapping[str, Sequence[Path]],
    extra_pages: Mapping[str, str],
    api: Mapping[str, str],
) -> Iterator[tuple[str, bytes]]:
    """Every file of Sphinx's source folder: (name, content)."""
    names = ordered(book, (page.parent.name for page in book.glob("[!_.]*/index.md")))
    if unknown := set(executed) - set(names):
        raise ValueError(f"executed: no chapter {sorted(unknown)} with an index.md in {book}")
    yield "conf.py", (book / "_site" / "conf.py").read_bytes()
    for path in sorted((book / "_site" / "static").iterdir()):
        yield f"_static/{path.name}", path.read_bytes()
    for path in sorted((book / "_site" / "templates").glob("*.html")):
        yield f"_templates/{path.name}", path.read_bytes()
    yield "_static/mathjax.js", _mathjax().read_bytes()

    own = {page.stem: _text(page) for page in sorted(book.glob("*.md"))}
    for path in sorted(book.glob("*.bib")):
        yield path.name, path.read_bytes()
    landing = own.pop("index")
    extra_pages = {**own, **extra_pages}
    landing += _toctree(list(extra_pages), caption="Results", hidden=True)
    landing += _toctree([f"{name}/index" for name in names], caption="Chapters", hidden=True)
    landing += _toctree(list(api), caption="Library", hidden=True)
    yield "index.md", landing.encode()
    for name, text in api.items():
        yield f"{name}.rst", text.encode()
    for name, text in extra_pages.items():
        yield f"{name}.md", text.encode()
    for name in names:
        notebooks = {_page(path): path for path in executed.get(name, ())}
        text = _text(book / name / "index.md")
        text += _toctree(list(notebooks), heading="In this chapter") if notebooks else NOT_RUN
        yield f"{name}/index.md", text.encode()
        for page, path in notebooks.items():
            yield f"{name}/{page}.ipynb", pages.folded(path.read_bytes())
        for path in sorted((book / name).iterdir()):
            if path.suffix in IMAGES:
                yield f"{name}/{path.name}", path.read_bytes()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _page(notebook: Path) -> str:
    return notebook.name.removesuffix(".ipynb").removesuffix(".failed")


def _toctree(
    pages: Sequence[str], *, caption: str = "", heading: str = "", hidden: bool = False
) -> str:
    if not pages:
        return ""
    options = [f":caption: {caption}"] * bool(caption) + [":hidden:"] * hidden
    lines = [f"## {heading}\n"] * bool(heading)
    return "\n".join(["", "", *lines, "```{toctree}", ":maxdepth: 1", *options, *pages, "```", ""])


def _mathjax() -> Path:
    """MathJax in one file that draws SVG: it needs no fonts, so it works over file:// too."""
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise SiteFailed("the package sphinx-mathjax-offline is not installed: run `make setup`")
    return Path(spec.origin).parent / "static" / "mathjax" / "tex-svg-full.js"


def _key(files: Mapping[str, bytes], *settings: str) -> str:
    """What the site is made of: pages, settings, this code and the packages that render."""
    digest = hashlib.sha256(Path(__file__).read_bytes() + Path(pages.__file__).read_bytes())
    for name, content in files.items():
        digest.update(f"{name} {len(content)}\n".encode() + content)
    versions = [importlib.metadata.version(package) for package in PACKAGES]
    digest.update(repr((settings, versions)).encode())
    return digest.hexdigest()


def _sphinx(work: Path, title: str, stamp: str, strict: bool, log: Path) -> None:
    """Render `work`/book into `work`/html; `log` gets what a Sphinx says that fails."""
    settings = {
        "project": title,
        "html_title": title,
        "html_theme_options.announcement": html.escape(stamp),
    }
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-d", "doctrees"]
    command += ["-W", "--keep-going"] if strict else []
    command += [argument for item in settings.items() for argument in ("-D", "=".join(item))]
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "NO_COLOR": "1", "TMPDIR": str(work)}
    done = subprocess.run(
        [*command, "book", "html"], cwd=work, env=environment, text=True, capture_output=True
    )
    said = (done.stdout + done.stderr).replace(f"{work.resolve()}{os.sep}", "").strip()
    if not done.returncode:
        if said:
            print(said, file=sys.stderr)
        return
    log.write_text(said, encoding="utf-8")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        why = f"Sphinx was killed by {name}, perhaps for want of memory"
    else:
        faults = [line.strip() for line in said.splitlines() if _FAULT.match(line.strip())]
        why = faults[-1] if faults else f"Sphinx ended with exit status {done.returncode}"
    raise SiteFailed(f"the book was not built: {why}; all that Sphinx said: {log}")
