"""List files as their owners publish them: lines, csv and json, with faults named by line."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kdlib.data import patterns
from kdlib.data.manifest import inside
from kdlib.errors import UserError, unknown

# A list of a whole data set is some megabytes; what is larger is no list.
_LIMIT = 1 << 30


def text(path: Path) -> str:
    """The content of a UTF-8 file, a byte order mark removed. UserError if it is not text."""
    try:
        if path.stat().st_size > _LIMIT:
            raise UserError(f"{path}: larger than {_LIMIT:,} bytes; not read as a list")
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    if "\0" in content:
        raise UserError(f"{path}: not text; it holds zero bytes")
    return content


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, stripped, with their numbers from 1."""
    # Not splitlines(): it also cuts at signs that may stand in a clip's name.
    for number, line in enumerate(text(path).split("\n"), start=1):
        if stripped := line.strip(" \t\r\ufeff"):
            yield number, stripped


def rows(path: Path, columns: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a csv with a heading, by column, with line numbers; all of `columns` are there."""
    reader = csv.DictReader(io.StringIO(text(path)), strict=True)
    try:
        known = reader.fieldnames or ()
        for column in columns:
            if column not in known:
                raise unknown(f"{path}: column", column, known)
        for row in reader:
            if None in row or None in row.values():
                raise UserError(f"{path}, line {reader.line_num}: not {len(known)} values")
            yield reader.line_num, row
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}") from error


def bare_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a csv without a heading, with line numbers."""
    reader = csv.reader(io.StringIO(text(path)), strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}") from error


def content(path: Path) -> Any:
    """What a json file holds."""
    try:
        return json.loads(text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: no readable json ({error})") from error


def clip_path(where: str, path: str) -> str:
    """A clip's path, if it stays below its folder; UserError that begins with `where` if not."""
    try:
        return inside(path)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


def group(where: str, pattern: str | None, name: str) -> str:
    """What the last group of a pattern finds in a name; the name itself without a pattern."""
    if pattern is None:
        return name
    found = patterns.found(where, "layout.group", pattern, name)
    if found is None:
        raise UserError(f"{where}: layout.group finds nothing in {name!r}")
    return found
