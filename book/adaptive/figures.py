"""The figures of the adaptive chapter, from the traces of its runs."""

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from book.adaptive.ablations import RATES
from kdlib.analysis.plots import COLOURS, panels, picture
from kdlib.methods.adaptive.interruption import interruption_rate
from kdlib.runs.store import RunRecord
from kdlib.study import tables
from kdlib.study.chapter import Records
from kdlib.study.setting import Setting


def beta_curves(records: Records, epochs: int = 50, threshold: float = 0.5) -> Figure:
    """Figure 1: beta(n) of the three functions, cut at the threshold and, dashed, beyond it."""
    figure, axes = panels(width=5.5, height=3.4)
    numbers = np.arange(epochs + 1)
    for kind, colour in zip(RATES.values(), COLOURS, strict=False):
        rates = np.array([interruption_rate(kind, n, epochs) for n in numbers])
        axes[0, 0].plot(numbers, rates, "--", color=colour, alpha=0.5)
        axes[0, 0].plot(numbers, np.minimum(rates, threshold), color=colour, label=kind)
    axes[0, 0].axhline(threshold, color="0.6", linewidth=0.8)
    axes[0, 0].set(xlabel="epoch n", ylabel="β(n)")
    axes[0, 0].legend()
    return figure


def mean_strength(records: Records) -> Figure:
    """Figure 2: mean strength of the selected samples at each evaluation, KD and CrossKD.

    The paper's points were read off its figure, to 0.005; its 50 epochs are scaled to ours.
    """
    figure, axes = panels(columns=len(records), width=7.0, height=3.0, sharey=True)
    printed = tables.published("adaptive", "figure-2").astype(float)
    for ax, (name, group) in zip(axes[0], records.items(), strict=True):
        for record in group:
            ax.plot(
                evaluations(record), strengths(record), marker="o", color=COLOURS[0], label="here"
            )
        scale = group[0].spec.recipe.epochs / 50
        label = "published, read off"
        ax.plot(printed["epoch"] * scale, printed[name], "s--", color="0.5", ms=4, label=label)
        ax.axhline(0.5, color="0.6", linewidth=0.8)
        ax.set(title=name, xlabel="epoch", ylim=(0, 1))
    axes[0, 0].set_ylabel("mean strength α")
    axes[0, -1].legend(fontsize=8, loc="lower right")
    return figure


def evaluations(record: RunRecord) -> np.ndarray:
    """The epochs, from 1, at which samples were selected."""
    return 1 + record.traces["evaluated"]


def strengths(record: RunRecord) -> np.ndarray:
    """Mean strength of the selected samples at each evaluation."""
    chosen = record.traces["was_selected"]
    values = record.traces["had_strength"].astype(np.float64)
    return (values * chosen).sum(1) / chosen.sum(1)


def moments(record: RunRecord) -> dict[int, np.ndarray]:
    """Which samples were selected at an early, a middle and a late evaluation, by epoch from 1."""
    chosen, epochs = record.traces["was_selected"], evaluations(record)
    # Epochs 6, 26 and 46 of 50 in the paper.
    places = [round(share * (len(epochs) - 1)) for share in (0.1, 0.5, 0.9)]
    return {int(epochs[place]): chosen[place] for place in dict.fromkeys(places)}


def by_class(setting: Setting, record: RunRecord) -> pd.DataFrame:
    """Selected samples by class (rows) and moment (columns)."""
    videos = setting.datasets.load(record.spec.data)["train"]
    counts = {
        f"epoch {epoch}": np.bincount(videos.labels[chosen], minlength=len(videos.classes))
        for epoch, chosen in moments(record).items()
    }
    return pd.DataFrame(counts, index=list(videos.classes))


def selected_bars(setting: Setting, records: Records) -> Figure:
    """Figure 3: selected samples of each class at three epochs."""
    counts = by_class(setting, next(iter(records.values()))[0])
    figure, axes = panels(width=7.0, height=0.3 * len(counts) + 1.2)
    places = np.arange(len(counts))
    height = 0.8 / len(counts.columns)
    for k, (name, values) in enumerate(counts.items()):
        axes[0, 0].barh(places + k * height, values, height, label=name, color=COLOURS[k])
    axes[0, 0].set_yticks(places + 0.4 - height / 2, counts.index, fontsize=8)
    axes[0, 0].invert_yaxis()
    axes[0, 0].set_xlabel("selected samples")
    axes[0, 0].legend()
    return figure


def change_pies(setting: Setting, records: Records) -> Figure:
    """Figure 5: how many classes gain or lose how many selected samples between the epochs."""
    counts = by_class(setting, next(iter(records.values()))[0])
    pairs = list(pairwise(counts.columns)) or [(counts.columns[0],) * 2]
    figure, axes = panels(columns=len(pairs), width=7.0, height=3.2)
    for ax, (before, after) in zip(axes[0], pairs, strict=True):
        change = counts[after] - counts[before]
        bins = pd.cut(
            change,
            [-np.inf, -6, -1, 0, 5, np.inf],
            labels=["−6 or less", "−5 to −1", "0", "1 to 5", "6 or more"],
        )
        shares = bins.value_counts(sort=False)
        shares = shares[shares > 0]
        ax.pie(shares, labels=[f"{n} ({c})" for n, c in shares.items()], colors=COLOURS)
        ax.set_title(f"{before} to {after.removeprefix('epoch ')}", fontsize=9)
    return figure


def most_selected(setting: Setting, records: Records) -> Figure:
    """Figure 4: a selected sample of each of the six most selected classes, at three epochs."""
    record = next(iter(records.values()))[0]
    counts = by_class(setting, record)
    rows = {
        f"epoch {epoch}": (counts[f"epoch {epoch}"].nlargest(6), chosen)
        for epoch, chosen in moments(record).items()
    }
    return _frames(setting, record, rows)


def most_changed(setting: Setting, records: Records) -> Figure:
    """Figure 6: a sample of each of the six classes that changed most between the epochs."""
    record = next(iter(records.values()))[0]
    counts, chosen = by_class(setting, record), moments(record)
    names = [f"epoch {epoch}" for epoch in chosen]
    rows = {}
    for before, after in pairwise(names):
        change = counts[after] - counts[before]
        six = change.loc[change.abs().nlargest(6).index]
        mask = chosen[int(after.split()[1])] | chosen[int(before.split()[1])]
        rows[f"{before} to {after.removeprefix('epoch ')}"] = (six, mask)
    if not rows:
        rows[names[0]] = (counts[names[0]].nlargest(6), next(iter(chosen.values())))
    return _frames(setting, record, rows, signed=True)


def _frames(
    setting: Setting,
    record: RunRecord,
    rows: dict[str, tuple[pd.Series, np.ndarray]],
    *,
    signed: bool = False,
) -> Figure:
    """The middle frame of the first chosen sample of each class, a row a moment."""
    videos = setting.datasets.load(record.spec.data)["train"]
    figure, axes = panels(rows=len(rows), columns=6, width=7.0, height=1.6 * len(rows) + 0.2)
    for line, (title, (numbers, chosen)) in zip(axes, rows.items(), strict=True):
        for ax in line:
            ax.axis("off")
        for ax, (label, number) in zip(line, numbers.items(), strict=False):
            of_class = videos.labels == videos.classes.index(str(label))
            index = int(np.argmax(of_class & chosen if (of_class & chosen).any() else of_class))
            frame = videos.frames[videos.starts[index] + videos.lengths[index] // 2]
            ax.axis("on")
            picture(ax, frame, f"{label}\n{number:+d}" if signed else f"{label}\n{number}")
            ax.title.set_fontsize(6)
        line[0].set_ylabel(title, fontsize=7)
    return figure
