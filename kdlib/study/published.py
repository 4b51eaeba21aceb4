"""Tables of a chapter's paper as they were printed: `book/<chapter>/published/<name>.csv`."""

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from kdlib.errors import UserError, plain
from kdlib.study.setting import ROOT

# Between two numbers of a cell, such as "61.9/24.4" and "82.0 (↑1.3)".
_PARTS = re.compile(r"[\s/↑()]+")
# What float(), int() and pandas say of a word.
_WORD = re.compile(
    r"(?:could not convert string to float|invalid literal for int\(\).*?): '(.*?)'(?:$|: )"
)


def published(chapter: str, name: str) -> pd.DataFrame:
    """A table as printed: all text, and NaN where a cell is empty."""
    return read_table(ROOT / "book" / chapter / "published" / f"{name}.csv")


def read_table(path: Path) -> pd.DataFrame:
    """A csv as text. UserError, with file and line, where it is none: every row has as many cells
    as the heading, all headings differ, and quotes are closed."""
    heading = _rows(path)[1][0]
    if repeated := {name for name in heading if heading.count(name) > 1}:
        raise UserError(f"{_shown(path)}, line 1: the heading {min(repeated)!r} stands twice")
    return pd.read_csv(path, dtype=str)


@contextmanager
def telling_words(chapter: str) -> Iterator[None]:
    """Where a number is made of a word in a table of a chapter, say which, and where."""
    try:
        yield
    except ValueError as error:
        found = _WORD.search(str(error))
        for path in sorted((ROOT / "book" / chapter).rglob("*.csv")) if found else ():
            numbers, rows = _rows(path)
            for number, row in zip(numbers, rows, strict=True):
                for name, cell in zip(rows[0], row, strict=True):
                    parts = {cell, *cell.split("/"), *filter(None, _PARTS.split(cell))}
                    if found and found[1] in parts:
                        raise UserError(
                            f"{_shown(path)}, line {number}, {name}: {cell!r} is no number"
                        ) from error
        raise


def _rows(path: Path) -> tuple[list[int], list[list[str]]]:
    """The rows of a csv, and the line each ends on."""
    numbers: list[int] = []
    rows: list[list[str]] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if row:
                    numbers.append(reader.line_num)
                    rows.append(row)
    except OSError as error:
        raise UserError(f"{_shown(path)}: {plain(error)}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{_shown(path)}: {error}; save it as UTF-8") from None
    except csv.Error as error:
        line = numbers[-1] + 1 if numbers else 1
        raise UserError(f"{_shown(path)}, the row that begins in line {line}: {error}") from None
    if not rows:
        raise UserError(f"{_shown(path)}: it is empty")
    for number, row in zip(numbers, rows, strict=True):
        if len(row) != len(rows[0]):
            raise UserError(
                f"{_shown(path)}, line {number}: {len(row)} cells, but {len(rows[0])} headings"
            )
    return numbers, rows


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
