"""Pages of the public API, for Sphinx's autodoc: one a package, made of the docstrings.

The docstrings are plain prose with `name: text` lines. `restructured` makes of them what Sphinx
reads; `book/_site/conf.py` connects it.
"""

import pkgutil
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from kdlib.study.seal import checksum, sha256

PACKAGE = Path(__file__).parents[1]
_TOOLS = ("press", "cli")  # what makes the book and the commands: nobody imports them
_ENTRY = re.compile(r"([a-z*][\w.]*(?:, [a-z*][\w.]*)*): (.*)")


def pages() -> dict[str, str]:
    """The pages' reStructuredText by name: `library/losses` and so on."""
    found = (module.name for module in pkgutil.iter_modules([str(PACKAGE)]) if module.ispkg)
    return {f"library/{name}": _page(f"kdlib.{name}") for name in found if name not in _TOOLS}


def code() -> str:
    """A checksum of all that the pages are made of."""
    files = sorted(PACKAGE.rglob("*.py"))
    return checksum([[str(p.relative_to(PACKAGE)), sha256(p.read_bytes())] for p in files])


def _page(package: str) -> str:
    parts = [_heading(package, "="), _automodule(package)]
    for module in _modules(package):
        parts += [_heading(module.removeprefix("kdlib."), "-"), _automodule(module)]
    return "\n".join(parts)


def _modules(package: str) -> Iterator[str]:
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    for module in pkgutil.iter_modules(folders or []):
        yield f"{package}.{module.name}"
        yield from _modules(f"{package}.{module.name}") if module.ispkg else ()


def _heading(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"


def _automodule(module: str) -> str:
    return f".. automodule:: {module}\n   :members:\n   :ignore-module-all:\n"


def restructured(lines: list[str]) -> list[str]:
    """A docstring as reStructuredText: code stays code, and `name: text` lines become a list."""
    found: list[str] = []
    text = "\n".join(lines).rstrip()
    for block in re.split(r"\n\s*\n", text) if text else ():
        rows = block.splitlines()
        if all(row.startswith("    ") for row in rows):
            found += [".. code-block:: text", "", *rows, ""]
            continue
        for named, text in _entries(rows, first=not found):
            found += [f"- **{_plain(named)}**: {_plain(text)}" if named else _plain(text), ""]
    return found


def _entries(rows: list[str], *, first: bool) -> Iterator[tuple[str, str]]:
    """The prose of a paragraph (named ""), then what it says of each name.

    first: it begins with the docstring's summary, which is prose though it may look otherwise.
    """
    named, texts = "", list[str]()
    for number, row in enumerate(rows):
        if (entry := _ENTRY.fullmatch(row)) and not (first and number == 0):
            if texts:
                yield named, " ".join(texts)
            named, texts = entry[1], [entry[2]]
        else:
            texts.append(row.strip())
    yield named, " ".join(texts)


def _plain(text: str) -> str:
    """Text without markup but for `code`."""
    parts = re.split(r"`([^`]+)`", text)
    parts[::2] = [re.sub(r"([\\*_|`])", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [f"``{part}``\\ " for part in parts[1::2]]
    return "".join(parts)
