"""One look for all figures: a colour-blind-safe palette, light grid, readable sizes.

Importing this module sets matplotlib's defaults to that look.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
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
