"""Writing tables and figures: csv, md and tex, or svg and png, sealed with their provenance.

The cells of a table are numbers, texts, `Interval`s, or None. Pages, md and tex show them as `text`
does; a csv has them as numbers, an interval in the columns x, "x low" and "x high".
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kdlib.analysis import plots  # noqa: F401  (sets the look that files are saved with)
from kdlib.analysis.statistics import Interval
from kdlib.data.disk import disk_errors
from kdlib.study.published import read_table
from kdlib.study.seal import replacing, seal, write_text


def write(value: pd.DataFrame | Figure, path: Path, provenance: Mapping[str, Any]) -> None:
    """Write an artifact to `path` plus each ending, then its sealed provenance (`seal`) as json."""
    with disk_errors(path.parent, "RESULTS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        seal(path.with_suffix(".json"), _files(value, path), provenance)


def _files(value: pd.DataFrame | Figure, path: Path) -> list[Path]:
    files = []
    if isinstance(value, Figure):
        # A fixed salt and no date: the same figure gives the same bytes.
        for ending, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
            files.append(path.with_suffix(f".{ending}"))
            with replacing(files[-1]) as temporary:
                value.savefig(
                    temporary, format=ending, dpi=200, bbox_inches="tight", metadata=metadata
                )
    else:
        shown = value.map(text)
        texts = {
            "csv": numbers(value).to_csv(index=False),
            "md": shown.to_markdown(index=False, disable_numparse=True) + "\n",
            "tex": shown.to_latex(index=False, escape=True),
        }
        for ending, content in texts.items():
            files.append(path.with_suffix(f".{ending}"))
            write_text(files[-1], content)
    return files


def text(cell: Any) -> str:
    """A cell as it is shown: "80.4 [73.5, 87.3]", "1,234.5"; a dash where there is none."""
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return "–"
    return f"{cell:,}" if isinstance(cell, float) else str(cell)


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """The table with each column of intervals as three of numbers; an unknown bound is missing."""
    columns: dict[str, Any] = {}
    for name, cells in table.items():
        if not any(isinstance(cell, Interval) for cell in cells):
            columns[str(name)] = cells
            continue
        for part, end in (("estimate", ""), ("low", " low"), ("high", " high")):
            found = [getattr(cell, part) if cell is not None else np.nan for cell in cells]
            columns[f"{name}{end}"] = [round(x, 4) if np.isfinite(x) else None for x in found]
    return pd.DataFrame(columns)


def read(path: Path) -> pd.DataFrame:
    """A written csv as texts, its intervals as `text` shows them; one of texts as it is.

    UserError, or ValueError for an interval that is none, where it is damaged.
    """
    table = read_table(path)
    for name in table.columns:
        ends = [f"{name} {end}" for end in ("low", "high")]
        if set(ends) <= set(table.columns):
            signed = name.split("|")[-1] == "gain"
            rows = table[[name, *ends]].astype(float).to_numpy()
            table[name] = [text(_interval(row, signed)) for row in rows]
            table = table.drop(columns=ends)
    return table


def _interval(row: np.ndarray, signed: bool) -> Interval | None:
    estimate, low, high = map(float, row)
    if np.isnan(estimate):
        return None
    return Interval(estimate, low, high, 0, "paired" if signed else "")
