"""The tables of the adaptive chapter: ours beside what was printed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from book.adaptive.runs import STAND_INS
from kdlib import models
from kdlib.data import manifest
from kdlib.data.generated.spec import TASKS
from kdlib.models.cost import cost, frames_per_second
from kdlib.runs.store import RunRecord
from kdlib.study import tables
from kdlib.study.chapter import Records

PUBLISHED = Path(__file__).parent / "published"


def published(number: int) -> pd.DataFrame:
    """A table of the appendix as printed, all cells text."""
    return pd.read_csv(PUBLISHED / f"table-{number:02}.csv", dtype=str)


def top1(records: Sequence[RunRecord]) -> float:
    """Mean top-1 in per cent of the last epoch."""
    return float(tables.accuracies(records).mean())


def spread(records: Sequence[RunRecord]) -> str:
    """Top-1 in per cent and half of its 95 % interval, over seeds or one seed's test samples."""
    found = tables.accuracy(records)
    return f"{found.estimate:.1f} ± {(found.high - found.low) / 2:.1f}"


def top5(records: Sequence[RunRecord]) -> float:
    """Mean top-5 in per cent of the last epoch."""
    return float(np.mean([100 * record.result["last"]["video_top5"] for record in records]))


def epoch_seconds(record: RunRecord) -> float:
    """Mean seconds of an epoch, selection included, without the first, which warms up.

    Where samples are selected every few epochs, whole cycles are counted.
    """
    interval = int(record.spec.method.options.get("interval", 1))
    seconds = record.history.seconds
    kept = seconds.iloc[interval:] if len(seconds) > interval else seconds
    return float(kept.iloc[: len(kept) // interval * interval or None].mean())


def training_seconds(record: RunRecord) -> float:
    """Seconds of the training, selection included, as if there were no warm-up."""
    return epoch_seconds(record) * record.spec.recipe.epochs


def data_table(records: Records) -> pd.DataFrame:
    """Table 1: what was printed, what the manifests have, and where they differ."""
    names = {
        "UCF101": "ucf101",
        "Kinetics-400": "kinetics400",
        "Sth-Sth v2": "ssv2",
        "CIFAR-100": "cifar100",
        "ImageNet": "imagenet",
    }
    why = {
        "Kinetics-400": "the paper counts the clips it could download",
        "ImageNet": "the paper rounds",
    }
    rows = []
    for printed in published(1).itertuples(index=False):
        found = manifest.load(names[printed[0]])
        counts = dict(found.official)
        if "train" not in counts:
            counts = dict(found.splits["split1"])
        for part, place in (("train", 2), ("validation", 4), ("test", 6)):
            ours, theirs = counts.get(part), printed[place].replace(",", "")
            if ours is None and theirs == "-":
                continue
            differs = str(ours or "-") != theirs
            rows.append(
                {
                    "data set": printed[0],
                    "part": part,
                    "classes": f"{found.class_count:,}",
                    "manifest": "–" if ours is None else f"{ours:,}",
                    "paper": printed[place],
                    "why they differ": _reason(printed[0], part, ours, why) if differs else "",
                }
            )
    for task in ("mix12", "image"):
        rows.append(
            {
                "data set": f"generated/{task}",
                "part": "any number",
                "classes": f"{len(TASKS[task])}",
                "manifest": "–",
                "paper": "–",
                "why they differ": "made here",
            }
        )
    return pd.DataFrame(rows)


def _reason(name: str, part: str, ours: int | None, why: dict[str, str]) -> str:
    if name == "Kinetics-400" and part == "test":
        return "the paper does not use it"
    return why.get(name, "" if ours else "not stated by the owners")


def method_table(records: Records, pairs: Sequence[str], number: int, time: str) -> pd.DataFrame:
    """Tables 4 and 5: a row a method and type, of which the paper lacks the controls."""
    printed = published(number).set_index(["Method", "Type"])
    rows = []
    # Every label begins with a pair; the rows are those of the first.
    for label in [label for label in records if label.startswith(f"{pairs[0]}|")]:
        _, method, kind = label.split("|")
        shown = f"{method} (stand-in)" if method in STAND_INS else method
        cells: dict[str, object] = {"method": shown, "type": kind, "r": "100 %"}
        for pair in pairs:
            name = f"{pair}|" if len(pairs) > 1 else ""
            group = records[f"{pair}|{method}|{kind}"]
            ratio = group[0].spec.method.options.get("ratio")
            cells["r"] = f"{ratio:.0%}" if ratio else "100 %"
            paper = f"{_printed_pair(pair)}|"
            in_print = (method, kind) in printed.index
            cells |= {
                f"{name}top-1 %": spread(group),
                f"{name}top-5 %": round(top5(group), 1),
                f"{name}train s": round(float(np.mean([*map(training_seconds, group)])), 1),
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
    """Tables 6 to 15: a row a value of the setting, four pairs of networks, one seed."""
    printed = published(number)
    name = printed.columns[0]
    sets = {"SlowFast": "UCF101", "VideoST": "UCF101", "ResNet": "CIFAR-100", "WRN": "CIFAR-100"}
    rows = []
    for index, value in enumerate(printed[name]):
        cells: dict[str, object] = {name: value}
        for pair in pairs:
            group = records[f"{pair}|{value}"]
            cells |= {
                f"{pair}|top-1 %": spread(group),
                f"{pair}|paper": printed[f"{sets[pair]}|Top-1|{_case(printed, pair)}"][index],
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


def control_table(records: Records) -> pd.DataFrame:
    """A row a training; gains are over vanilla KD on all samples, paired by seed."""
    baseline = records["KD, all samples"]
    rows = []
    for name, group in records.items():
        row = tables.row(group, None if group is baseline else baseline)
        seconds = float(np.mean([sum(record.history.seconds) for record in group]))
        steps = int(group[0].history.samples.sum() // group[0].spec.recipe.batch_size)
        rows.append(
            {
                "training": name,
                "top-1 %": row["top-1 %"],
                "gain": row["gain"],
                "n": row["n"],
                "steps": steps,
                "train s": round(seconds, 1),
                "select s": round(_selecting(group), 1),
            }
        )
    return pd.DataFrame(rows)


def _selecting(group: Sequence[RunRecord]) -> float:
    return float(np.mean([record.history.seconds_before.sum() for record in group]))


# Table 3: each row's network, classes, frames, and what its printed numbers count.
TRUE_SIZE = {
    "TPN-f32s2": ("tpn", {"backbone": "r101_f32s2"}, 400, 32, ""),
    "TPN-f8s8": ("tpn", {"backbone": "r50_f8s8"}, 400, 32, "FLOPs of 32 frames, though it takes 8"),
    "SF16×8": ("slowfast", {"backbone": "r101_16x8"}, 101, 32, ""),
    "SF8×8": ("slowfast", {"backbone": "r50_8x8"}, 400, 32, "400 classes, the others 101"),
    "SF4×16": ("slowfast", {"backbone": "r50_4x16"}, 101, 32, ""),
    "SwinS": (
        "swin3d",
        {"backbone": "swin3d_s"},
        400,
        32,
        "no position tables, no attention",
    ),
    "SwinT": (
        "swin3d",
        {"backbone": "swin3d_t"},
        400,
        32,
        "no position tables, no attention",
    ),
    "WRN40-2": ("wrn", {"depth": 40, "widen": 2}, 100, 1, ""),
    "WRN40-1": ("wrn", {"depth": 40, "widen": 1}, 100, 1, ""),
    "WRN16-2": ("wrn", {"depth": 16, "widen": 2}, 100, 1, ""),
    "RN110": ("resnet_cifar", {"depth": 110}, 100, 1, ""),
    "RN56": ("resnet_cifar", {"depth": 56}, 100, 1, ""),
    "RN32×4": ("resnet_cifar", {"depth": 32, "width": 64, "stem": 32}, 100, 1, ""),
    "RN32": ("resnet_cifar", {"depth": 32}, 100, 1, ""),
    "RN20": ("resnet_cifar", {"depth": 20}, 100, 1, ""),
    "RN8×4": ("resnet_cifar", {"depth": 8, "width": 64, "stem": 32}, 100, 1, ""),
}


def speed_table(records: Records, *, videos: bool) -> pd.DataFrame:
    """Table 3: `size_table`, and frames a second of one thread here; of images alone if not videos.

    The seven video networks take about a minute.
    """
    table = size_table()
    speeds = []
    for model, options, classes, frames, _ in TRUE_SIZE.values():
        shape = (3, frames, *[224 if frames > 1 else 32] * 2)
        timed = videos or frames == 1
        speeds.append(frames_per_second(model, classes, shape, **options) if timed else np.nan)
    table.insert(len(table.columns) - 1, "frames/s", [f"{x:.1f}" if x > 0 else "–" for x in speeds])
    table.insert(len(table.columns) - 1, "paper|FPS", published(3)["FPS"])
    return table


def size_table() -> pd.DataFrame:
    """Table 3 without its speeds: parameters and multiply-accumulates, counted and printed."""
    printed = published(3).set_index("Backbone")
    parameters, rows = parameter_counts(), []
    for name, (model, options, classes, frames, note) in TRUE_SIZE.items():
        side = 224 if frames > 1 else 32
        gmacs = cost(model, classes, (3, frames, side, side), **options)["gmacs"]
        if model == "swin3d":
            gmacs -= _attention_gmacs(classes, frames, **options)
        rows.append(
            {
                "network": name,
                "classes": classes,
                "frames": frames,
                "parameters (M)": round(parameters[name], 2),
                "paper|Params (M)": printed["Params (M)"][name],
                "GMACs": round(gmacs, 2),
                "paper|GFLOPs": printed["GFLOPs"][name],
                "the printed numbers": note,
            }
        )
    return pd.DataFrame(rows)


def parameter_counts() -> pd.Series:
    """Millions of parameters by network as Table 3 counts them: without Swin's position tables."""
    counts = {}
    for name, (model, options, classes, _, _) in TRUE_SIZE.items():
        with torch.device("meta"):
            named = models.build(model, classes, **options).named_parameters()
        counted = (p for n, p in named if "relative_position_bias_table" not in n)
        counts[name] = sum(p.numel() for p in counted) / 1e6
    return pd.Series(counts)


def _attention_gmacs(classes: int, frames: int, **options: str) -> float:
    """Giga multiply-accumulates of the two products of Swin's attention."""
    with torch.device("meta"):
        model = models.build("swin3d", classes, **options).eval()
        clip = torch.empty(1, 3, frames, 224, 224)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(clip)
    products = counter.get_flop_counts()["Global"][torch.ops.aten.bmm]
    return products / 2e9
