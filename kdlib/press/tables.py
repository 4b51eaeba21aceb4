"""Tables as HTML: headings by group, cells that wrap where they may, nothing out of sight.

A column "group|name" stands under its group's heading. A table that is too wide for a page becomes
several, among which its groups are shared out.
"""

import html
import re
from itertools import groupby
from math import ceil

import numpy as np
import pandas as pd

from kdlib.study import artifacts, claims

WIDEST = 13  # columns that fit beside each other, on a page and on paper
NARROW = 4  # columns that fit on a telephone
_NUMBER = re.compile(r"[+−-]?[\d.,]+(e[+-]?\d+)?( ?(%|s|×|± ?[\d.]+|\[[−\-\d., ]+\]))?")
_BOUNDS = re.compile(r"(\S+) (\[[−\-\d., ]+\])( .*)?")


def table(value: pd.DataFrame) -> str:
    """A table of at least one row, or several of at most about `WIDEST` columns.

    Verdicts become chips, missing cells a dash. The first column names the rows. Each cell says
    which column it is of, so that a narrow screen may stack them.
    """
    return "".join(map(_table, _parts(value)))


def _parts(value: pd.DataFrame) -> list[pd.DataFrame]:
    """The table; if it is too wide, its columns without a group beside some of its groups."""
    columns = [str(name) for name in value.columns]
    own = [name for name in columns if "|" not in name]
    groups = [list(names) for group, names in groupby(columns, _group) if group]
    grouped = len(columns) - len(own)
    if len(columns) <= WIDEST or len(groups) < 2:
        return [value]
    count = min(ceil(grouped / max(WIDEST - len(own), 1)), len(groups))
    shares = np.array_split(np.arange(len(groups)), count)
    shown = [{*own, *(name for k in share for name in groups[k])} for share in shares]
    return [value[[name for name in columns if name in some]] for some in shown]


def _group(column: str) -> str:
    return column.rpartition("|")[0]


def _table(value: pd.DataFrame) -> str:
    names = [str(name) for name in value.columns]
    texts = [[artifacts.text(cell) for cell in row] for row in value.itertuples(index=False)]
    numeric = [_is_numeric([row[k] for row in texts]) for k in range(len(names))]
    head, body = _head(names, numeric), "".join(_row(row, names, numeric) for row in texts)
    wide = " kd-wide" if len(names) > NARROW else ""
    return (
        f'<div class="kd-scroll{wide}" tabindex="0"><table class="kd-table">'
        f"<thead>{head}</thead><tbody>{body}</tbody></table></div>"
    )


def _head(names: list[str], numeric: list[bool]) -> str:
    """One row of headings, or two: those of groups, and below them those of their columns."""
    if not any(map(_group, names)):
        return f"<tr>{''.join(map(_heading, names, numeric))}</tr>"
    above, below = "", ""
    at = 0
    for group, members in groupby(names, _group):
        for number, name in enumerate(members):
            if group:
                below += _heading(name.removeprefix(f"{group}|"), numeric[at], start=not number)
            else:
                above += _heading(name, numeric[at], spans=' rowspan="2"')
            at += 1
        if group:
            title = html.escape(group).replace("|", ", ")
            above += f'<th class="kd-group" colspan="{number + 1}" scope="colgroup">{title}</th>'
    return f"<tr>{above}</tr><tr>{below}</tr>"


def _heading(name: str, number: bool, *, start: bool = False, spans: str = "") -> str:
    kinds = " ".join(["num"] * number + ["kd-start"] * start)
    return f'<th scope="col" class="{kinds}"{spans}>{_with_unit(name)}</th>'


def _row(texts: list[str], names: list[str], numeric: list[bool]) -> str:
    cells, before = "", ""
    for k, (text, name) in enumerate(zip(texts, names, strict=True)):
        group = _group(name)
        kinds = " ".join(["num"] * numeric[k] + ["kd-start"] * bool(group and group != before))
        label = html.escape(name.replace("|", ", "))
        tag, scope = ("td", "") if k else ("th", ' scope="row"')
        cells += f'<{tag}{scope} class="{kinds}" data-label="{label}">{_cell(text)}</{tag}>'
        before = group
    return f"<tr>{cells}</tr>"


def _is_numeric(texts: list[str]) -> bool:
    found = [text for text in texts if text not in ("–", "-", "")]
    return bool(found) and all(map(_NUMBER.fullmatch, found))


def _cell(text: str) -> str:
    """A chip for a verdict; the bounds of an interval hold together, and may wrap."""
    if text in claims.VERDICTS:
        return f'<span class="verdict verdict-{text.replace(" ", "-")}">{text}</span>'
    if found := _BOUNDS.fullmatch(text):
        estimate, bounds, rest = (html.escape(part or "") for part in found.groups())
        return f'{estimate} <span class="kd-bounds">{bounds}</span>{rest}'
    return _with_unit(text)


def _with_unit(text: str) -> str:
    """The text, escaped, on one line with the unit that it ends with."""
    return re.sub(r" (%|s)$", r"&nbsp;\1", html.escape(text))
