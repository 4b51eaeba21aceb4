"""The tables of the adaptive chapter: ours beside what was printed."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from book.adaptive.runs import STAND_INS
from kdlib.data import manifest
from kdlib.data.generated.spec import TASKS
from kdlib.runs.store import RunRecord
from kdlib.study import tables
from kdlib.study.chapter import Records


def published(number: int) -> pd.DataFrame:
    """A table of the appendix as printed, all cells text."""
    return tables.published("adaptive", f"table-{number:02}")


def top5(records: Sequence[RunRecord]) -> float:
    """Mean top-5 in per cent of the last epoch."""
    return float(np.mean([100 * record.result["last"]["video_top5"] for record in records]))


def epoch_seconds(record: RunRecord) -> float:
    """Mean seconds of an epoch, selection included, without the first, which warms up.

    Where a method's work repeats every few epochs only, whole cycles are counted.
    """
    cycle = record.result["cycle"]
    seconds = record.history.seconds
    kept = seconds.iloc[cycle:] if len(seconds) > cycle else seconds
    return float(kept.iloc[: len(kept) // cycle * cycle or None].mean())


def training_seconds(record: RunRecord) -> float:
    """Seconds of the training, selection included, as if there were no warm-up."""
    return epoch_seconds(record) * record.spec.recipe.epochs


# The manifest of each printed data set, and why its counts differ from the printed ones.
MANIFESTS = {
    "UCF101": ("ucf101", ""),
    "Kinetics-400": ("kinetics400", "the paper counts the clips it could download"),
    "Sth-Sth v2": ("ssv2", ""),
    "CIFAR-100": ("cifar100", ""),
    "ImageNet": ("imagenet", "the paper rounds"),
}


def data_table(records: Records) -> pd.DataFrame:
    """Table 1: what was printed, what the manifests have, and where they differ."""
    generated = [
        {
            "data set": f"generated/{task}",
            "part": "any number",
            "classes": f"{len(TASKS[task])}",
            "manifest": "–",
            "paper": "–",
            "why they differ": "made here",
        }
        for task in ("mix12", "image")
    ]
    printed = published(1).itertuples(index=False)
    return pd.DataFrame([row for line in printed for row in _parts(line)] + generated)


def _parts(printed: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of one printed data set, a row a part that the paper or the manifest has."""
    name = printed[0]
    found = manifest.load(MANIFESTS[name][0])
    counts = found.official if "train" in found.official else found.splits["split1"]
    rows = []
    for part, place in (("train", 2), ("validation", 4), ("test", 6)):
        ours, theirs = counts.get(part), printed[place]
        if ours is None and theirs == "-":
            continue
        differs = str(ours or "-") != theirs.replace(",", "")
        rows.append(
            {
                "data set": name,
                "part": part,
                "classes": f"{found.class_count:,}",
                "manifest": "–" if ours is None else f"{ours:,}",
                "paper": theirs,
                "why they differ": _reason(name, part, ours) if differs else "",
            }
        )
    return rows


def _reason(name: str, part: str, ours: int | None) -> str:
    if name == "Kinetics-400" and part == "test":
        return "the paper does not use it"
    return MANIFESTS[name][1] or ("" if ours else "not stated by the owners")


def method_table(records: Records, pairs: Sequence[str], number: int, time: str) -> pd.DataFrame:
    """Tables 4 and 5: a row a method and type, of which the paper lacks the controls."""
    printed = published(number).set_index(["Method", "Type"])
    rows = []
    # Every label begins with a pair; the rows are those of the first. Of a pair of networks that
    # this profile does not train there is what was printed.
    for method, kind in [label[1:] for label in records if label[0] == pairs[0]]:
        shown = f"{method} (stand-in)" if method in STAND_INS else method
        ratio = records[pairs[0], method, kind][0].spec.method.options.get("ratio")
        cells = {"method": shown, "type": kind, "r": f"{ratio:.0%}" if ratio else "100 %"}
        for pair in pairs:
            name, paper = f"{pair}|" if len(pairs) > 1 else "", f"{_printed_pair(pair)}|"
            group = records.get((pair, method, kind))
            if group:
                cells |= {
                    f"{name}top-1 %": tables.accuracy(group),
                    f"{name}top-5 %": round(top5(group), 1),
                    f"{name}train s": round(float(np.mean([*map(training_seconds, group)])), 1),
                }
            in_print = (method, kind) in printed.index
            cells |= {
                f"{name}paper top-1": printed[f"{paper}Top-1"][method, kind] if in_print else "–",
                f"{name}paper {time} an epoch": printed[f"{paper}{time}"][method, kind]
                if in_print
                else "–",
            }
        rows.append(cells)
    return pd.DataFrame(rows)


def _printed_pair(pair: str) -> str:
    return {"ResNet34→18": "ResNet34→ResNet18"}.get(pair, pair)


def ablation_table(
    records: Records, pairs: Sequence[str], number: int, *, times: bool = False
) -> pd.DataFrame:
    """Tables 6 to 15: a row a value of the setting.

    Of a pair of networks that this profile does not train, what was printed.
    """
    printed = published(number)
    name = printed.columns[0]
    sets = {"SlowFast": "UCF101", "VideoST": "UCF101", "ResNet": "CIFAR-100", "WRN": "CIFAR-100"}
    rows = []
    for index, value in enumerate(printed[name]):
        cells: dict[str, object] = {name: value}
        for pair in pairs:
            paper = printed[f"{sets[pair]}|Top-1|{_case(printed, pair)}"][index]
            if (pair, value) not in records:
                cells[f"{pair}|paper"] = paper
                continue
            group = records[pair, value]
            cells |= {
                f"{pair}|top-1 %": tables.accuracy(group),
                f"{pair}|paper": paper,
                f"{pair}|top-5 %": round(top5(group), 1),
            }
            if times:
                cells[f"{pair}|s an epoch"] = round(epoch_seconds(group[0]), 2)
        rows.append(cells)
    return pd.DataFrame(rows)


def _case(printed: pd.DataFrame, pair: str) -> str:
    """A pair's name as the printed columns spell it."""
    last = {column.split("|")[-1] for column in printed.columns}
    return next(name for name in last if name.lower() == pair.lower())


def selection_table(records: Records) -> pd.DataFrame:
    """A row a training; gains are over vanilla KD on all samples, paired by seed."""
    baseline = records["KD, all samples"]
    rows = []
    for name, group in records.items():
        seconds = float(np.mean([sum(record.history.seconds) for record in group]))
        steps = int(group[0].history.samples.sum() // group[0].spec.recipe.batch_size)
        rows.append(
            {
                "training": name,
                "top-1 %": tables.accuracy(group),
                "gain": None if group is baseline else tables.gain(group, baseline),
                "n": len(group),
                "steps": steps,
                "train s": round(seconds, 1),
                "select s": round(_selecting(group), 1),
            }
        )
    return pd.DataFrame(rows)


def _selecting(group: Sequence[RunRecord]) -> float:
    return float(np.mean([record.history.seconds_before.sum() for record in group]))
