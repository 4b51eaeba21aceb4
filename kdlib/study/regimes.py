"""Where an effect lives: differences of two trainings, with intervals, over two axes of settings.

Records come by (row, column, training): the values of both axes, and a name.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from seaborn.utils import relative_luminance

from kdlib.analysis.plots import panels
from kdlib.analysis.statistics import Interval
from kdlib.runs.store import RunRecord
from kdlib.study import readings, tables
from kdlib.study.readings import Reading

Cells = Mapping[tuple[Hashable, Hashable, str], Sequence[RunRecord]]
Pairs = Mapping[str, tuple[str, str]]
"""By what the difference is called, the trainings of which it is one: the first less the second."""


def regime_table(records: Cells, pairs: Pairs, down: str, across: str) -> pd.DataFrame:
    """A row a cell of the map, a column a difference; down and across name the axes."""
    rows = [
        {down: row, across: column}
        | {name: _difference(records, row, column, pair) for name, pair in pairs.items()}
        | {"n": len(records[row, column, next(iter(pairs.values()))[0]])}
        for row, column in _cells(records)
    ]
    return pd.DataFrame(rows)


def regime_map(records: Cells, pairs: Pairs, down: str, across: str) -> Figure:
    """A panel a difference: its estimate as colour, and in words with its 95 % interval.

    Bold where the interval leaves out 0.
    """
    rows = list(dict.fromkeys(row for row, _ in _cells(records)))
    columns = list(dict.fromkeys(column for _, column in _cells(records)))
    # A cell has room for its interval in bold.
    width = 1.2 + max(2.9, 1.15 * len(columns)) * len(pairs)
    figure, axes = panels(1, len(pairs), width=width, height=3.0, sharey=True)
    found = {
        name: [[_difference(records, row, column, pair) for column in columns] for row in rows]
        for name, pair in pairs.items()
    }
    ends = max(abs(cell.estimate) for grid in found.values() for line in grid for cell in line)
    ends = ends or 1.0  # where nothing differs there is no scale
    for plot, (name, grid) in zip(axes[0], found.items(), strict=True):
        shown = plot.imshow(
            [[cell.estimate for cell in line] for line in grid],
            cmap="PuOr_r",
            vmin=-ends,
            vmax=ends,
            aspect="auto",
        )
        for y, line in enumerate(grid):
            for x, cell in enumerate(line):
                colour = shown.to_rgba(cell.estimate)
                clear = np.isfinite(cell.low) and (cell.low > 0 or cell.high < 0)
                plot.text(
                    x,
                    y,
                    format(cell).replace(" [", "\n["),
                    ha="center",
                    va="center",
                    fontsize=8.5,
                    fontweight="bold" if clear else "normal",
                    # Where black and white have the same contrast, 4.6 (WCAG).
                    color="black" if relative_luminance(colour) > 0.179 else "white",
                )
        plot.set_xticks(range(len(columns)), [str(column) for column in columns])
        plot.set_yticks(range(len(rows)), [str(row) for row in rows])
        plot.set_xlabel(across)
        plot.set_title(name, fontsize=10)
        plot.grid(visible=False)
    axes[0, 0].set_ylabel(down)
    figure.colorbar(shown, ax=axes, label="difference in top-1, points")
    return figure


def regime_reading(value: Any, records: Cells, pairs: Pairs, why: str) -> Reading:
    """How many cells of each difference lie clear of 0, and between which ones it ranges."""
    said: list[str] = []
    compared: dict[str, tuple[tables.Group, tables.Group]] = {}
    for name, (ours, theirs) in pairs.items():
        found = {
            f"{row}, {column}": (records[row, column, ours], records[row, column, theirs])
            for row, column in _cells(records)
        }
        effects = {cell: tables.gain(*groups) for cell, groups in found.items()}
        above = sum(effect.low > 0 for effect in effects.values())
        below = sum(effect.high < 0 for effect in effects.values())
        span = readings.span({cell: round(e.estimate, 1) for cell, e in effects.items()}, "points")
        said.append(
            f"{name}: {span}; of {len(effects)} intervals {above} lie above 0, {below} below"
        )
        compared |= {f"{name}, {cell}": groups for cell, groups in found.items()}
    return Reading(f"{'. '.join(said)}.", why, readings.power(compared))


def _cells(records: Cells) -> list[tuple[Hashable, Hashable]]:
    return list(dict.fromkeys((row, column) for row, column, _ in records))


def _difference(records: Cells, row: Hashable, column: Hashable, pair: tuple[str, str]) -> Interval:
    ours, theirs = (records[row, column, name] for name in pair)
    return tables.gain(ours, theirs)
