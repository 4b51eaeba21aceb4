"""One look for all figures: a colour-blind-safe palette, light grid, readable sizes.

Importing this module sets matplotlib's defaults to that look.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kdlib.analysis.statistics import Interval

COLOURS = seaborn.color_palette("colorblind").as_hex()
MARKERS = ("o", "s", "D", "^", "v", "P")
matplotlib.rcParams.update(
    {
        **seaborn.axes_style("whitegrid"),
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.edgecolor": "0.6",
        "grid.color": "0.9",
        "legend.frameon": False,
        "svg.hashsalt": "kdlib",  # the same figure, the same bytes
        "svg.fonttype": "path",
    }
)


def panels(
    rows: int = 1, columns: int = 1, *, width: float = 7.0, height: float = 4.0, **options: Any
) -> tuple[Figure, np.ndarray]:
    """A figure in inches with its axes (rows, columns); free of pyplot, so nothing is left open."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def picture(axes: Axes, image: np.ndarray, title: str, **options: Any) -> None:
    """An image or map without ticks, its title above."""
    axes.imshow(image, interpolation="nearest", **options)
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)


def error_bars(intervals: Sequence[Interval]) -> np.ndarray:
    """The distances (2, N) from estimates down and up to their ends; 0 where they are unknown."""
    ends = np.array([[i.estimate - i.low, i.high - i.estimate] for i in intervals]).T
    return np.where(np.isfinite(ends), ends, 0.0)


def layer_maps(maps: Mapping[str, pd.DataFrame], columns: int = 3) -> Figure:
    """Maps of layers against layers by title, such as `CKAMap.to_frame` gives, on one scale.

    The first layer is at the lower left. As many names as can be read stand at the axes; the names
    of index and columns, if any, label them. Hatched grey: NaN. The scale reaches from 0, or from
    the lowest value if it is negative, to 1.
    """
    columns = min(columns, len(maps))
    rows = -(-len(maps) // columns)
    figure, axes = panels(rows, columns, width=0.8 + 4.0 * columns, height=4.2 * rows)
    lowest = min(frame.min().min() for frame in maps.values())
    for plot in axes.flat[len(maps) :]:
        plot.set_axis_off()
    for plot, (title, frame) in zip(axes.flat, maps.items(), strict=False):
        shown = plot.imshow(
            frame,
            cmap="magma",
            vmin=np.fmin(lowest, 0.0),
            vmax=1.0,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
        )
        plot.set_box_aspect(1)
        plot.patch.set(facecolor="0.85", edgecolor="0.6", hatch="////")
        plot.set_title(title)
        plot.set_xlabel(frame.columns.name or "")
        plot.set_ylabel(frame.index.name or "")
        plot.set_xticks(*_thinned(list(frame.columns)), rotation=90, fontsize=7)
        plot.set_yticks(*_thinned(list(frame.index)), fontsize=7)
        plot.grid(visible=False)
    figure.colorbar(shown, ax=axes, label="CKA", shrink=0.6)
    return figure


def _thinned(names: Sequence[str], most: int = 12) -> tuple[list[int], list[str]]:
    """Places and names of at most so many layers, evenly apart, with the first and the last.

    Nearly all layers of a `VideoModel` are of its backbone; that need not be read.
    """
    places = np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int)
    return places.tolist(), [names[p].removeprefix("backbone.") or "(all)" for p in places]
