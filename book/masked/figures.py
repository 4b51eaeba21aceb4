"""The figures of the masked chapter: accuracy against time, and features from frame to frame."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from book.masked import measured
from book.masked.runs import PIXELS, PRINTED, ROLES_OF, TASKS
from kdlib.analysis.plots import COLOURS, MARKERS, error_bars, panels
from kdlib.study import tables
from kdlib.study.chapter import Records
from kdlib.study.setting import Setting


def seconds(records: Records) -> dict[tuple[str, str], float]:
    """Seconds of training by name and epochs; of MVD also "MVD with teachers"."""
    spent = {
        label[1:]: group[0].result["cost"]["training_seconds"]  # type: ignore[index]
        for label, group in records.items()
        if label[0] == "pre-trained"  # type: ignore[index]
    }
    teachers = spent.pop(("teacher", "image")) + spent.pop(("teacher", "video"))
    with_teachers = {
        ("MVD with teachers", epochs): own + teachers
        for (name, epochs), own in spent.items()
        if name == "MVD"
    }
    return spent | with_teachers


def accuracy_and_time(records: Records) -> Figure:
    """Figure 4: accuracy after fine-tuning against the time of pre-training, a panel a task.

    Beside each point stand the epochs. Time is of one thread, fine-tuning excluded.
    """
    spent = seconds(records)
    figure, axes = panels(columns=len(ROLES_OF), width=8.6, height=3.8)
    lines = {
        PIXELS: ("pixels (VideoMAE)", COLOURS[0], "-"),
        "MVD": ("MVD, its teachers given", COLOURS[1], ":"),
        "MVD with teachers": ("MVD, its teachers included", COLOURS[1], "-"),
    }
    for plot, role in zip(axes[0], ROLES_OF, strict=True):
        for mark, (name, (_, colour, style)) in zip(MARKERS, lines.items(), strict=False):
            _curve(plot, records, role, name, spent, colour=colour, style=style, mark=mark)
        plot.set(xlabel="pre-training, s", title=f"{TASKS[role]} (for {PRINTED[role]})")
        plot.set_xlim(left=0)
        plot.margins(y=0.15)
    axes[0, 0].set_ylabel("top-1 %")
    handles = [
        Line2D([], [], color=colour, ls=style, marker=mark, label=label)
        for mark, (label, colour, style) in zip(MARKERS, lines.values(), strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _curve(
    plot: Axes,
    records: Records,
    role: str,
    name: str,
    spent: dict[tuple[str, str], float],
    *,
    colour: str,
    style: str,
    mark: str,
) -> None:
    epochs = [n for named, n in spent if named == name]
    trained = name.removesuffix(" with teachers")
    found = [tables.accuracy(records[role, trained, n]) for n in epochs]
    times = [spent[name, n] for n in epochs]
    heights = [interval.estimate for interval in found]
    plot.errorbar(
        times, heights, error_bars(found), color=colour, ls=style, marker=mark, ms=5, capsize=2
    )
    for time, height, n in zip(times, heights, epochs, strict=True):
        place = (4, -11) if name == "MVD" else (4, 4)  # at equal times both stay readable
        plot.annotate(n, (time, height), place, textcoords="offset points", fontsize=8)


def similarity_maps(records: Records, setting: Setting, names: Sequence[str]) -> Figure:
    """Figures 5 and 6: cosines of the features at every two times, the mean over held-out clips."""
    maps = {
        name: measured.similarities(records[name,][0].student(), setting).mean(0) for name in names
    }
    lowest = min(float(values.min()) for values in maps.values())
    figure, axes = panels(columns=len(maps), width=1.0 + 3.0 * len(maps), height=3.4)
    for plot, (name, values) in zip(axes[0], maps.items(), strict=True):
        shown = plot.imshow(values, cmap="viridis", vmin=lowest, vmax=1.0)
        for row, line in enumerate(values):
            for column, value in enumerate(line):
                dark = value < (lowest + 1) / 2
                plot.text(
                    column,
                    row,
                    f"{value:.2f}",
                    ha="center",
                    va="center",
                    fontsize=9 if len(values) <= 4 else 7,
                    color="white" if dark else "black",
                )
        ticks = np.arange(len(values))
        frames = [str(2 * tick + 1) for tick in ticks]
        plot.set_xticks(ticks, frames)
        plot.set_yticks(ticks, frames)
        plot.set(title=name, xlabel="frame")
        plot.grid(visible=False)
    axes[0, 0].set_ylabel("frame")
    figure.colorbar(shown, ax=axes, label="cosine")
    return figure
