"""The resolution chapter (ResKD): the artifacts, how each is made, and the checks of its claims."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from book.resolution import figures, recipes
from book.resolution.runs import GRID, TUNING_SEED, WEIGHTS, Runs
from kdlib.analysis.statistics import Interval, verdict
from kdlib.models.cost import cost
from kdlib.study import tables
from kdlib.study.chapter import Chapter, Records, Study
from kdlib.study.claims import Finding
from kdlib.study.setting import Setting

PAPER = "reskd"
ROLES = ("target",)
PUBLISHED = Path(__file__).parent / "published"


def studies(setting: Setting) -> list[Study]:
    """All artifacts of the chapter with their runs at this setting."""
    runs = Runs(setting)
    seeds = setting.seed_list(headline=True)
    few = setting.seed_list(headline=False)
    teacher = tuple(runs.teacher(s) for s in seeds)
    direct = tuple(runs.direct(s) for s in seeds)
    feature = tuple(runs.distilled(s) for s in seeds)
    frozen = tuple(runs.distilled(s, teacher_batchnorm="running") for s in seeds)
    by_resolution = {
        f"{kind} {pixels}": tuple(make(s, resolution=pixels) for s in few)
        for pixels in runs.scale.sweep
        for kind, make in (("direct", runs.direct), ("KD", runs.distilled))
    }
    return [
        Study(
            "reskd/figure-5",
            "What feature, logit and pixel-level logit KD ask the student to imitate, on one clip",
            partial(figures.supervision_signals, setting),
            {"teacher": teacher[:1], "student": feature[:1]},
        ),
        Study(
            "reskd/recipes", "The published recipes and ours for the paper profile", recipe_table
        ),
        Study(
            "reskd/targets",
            "What to distil: a low-resolution student under three targets, and its controls",
            target_table,
            {
                "teacher": teacher,
                "direct": direct,
                "direct, twice the epochs": tuple(runs.direct(s, times=2) for s in seeds),
                "feature KD": feature,
                "logit KD": tuple(runs.distilled(s, target="logit") for s in seeds),
                "pixel-level logit KD": tuple(runs.distilled(s, target="pixel") for s in seeds),
            },
        ),
        Study(
            "reskd/common-start",
            "A teacher that started from the student's weights, or from others",
            start_table,
            {
                "direct": direct,
                "common start": feature,
                "other start": tuple(runs.distilled(s, teacher=runs.stranger(s)) for s in seeds),
            },
        ),
        Study(
            "reskd/batchnorm",
            "The teacher's batch norm: batch statistics (unfrozen) or running ones (frozen)",
            batchnorm_table,
            {"direct": direct, "unfrozen": feature, "frozen": frozen},
        ),
        Study(
            "reskd/resolutions",
            "Accuracy and cost at each resolution, with and without distillation",
            resolution_table,
            by_resolution,
        ),
        Study(
            "reskd/resolution-sweep",
            "Accuracy against the cost of one clip",
            figures.resolution_sweep,
            by_resolution,
        ),
        Study(
            "reskd/backbones",
            "Other pairs of networks",
            backbone_table,
            {
                f"{name}|{kind}": specs
                for name, pair in runs.backbones().items()
                for kind, specs in (
                    ("teacher", tuple(runs.teacher(s, pair) for s in few)),
                    ("direct", tuple(runs.direct(s, pair=pair) for s in few)),
                    ("KD", tuple(runs.distilled(s, pair=pair, target=pair.target) for s in few)),
                )
            },
        ),
        Study(
            "reskd/weights",
            "The weight of the distillation term, by accuracy on validation clips",
            weight_table,
            {
                f"{target}|{weight:g}": (runs.distilled(TUNING_SEED, target=target, weight=weight),)
                for target, grid in GRID.items()
                for weight in grid
            },
        ),
        Study("reskd/true-size", "The paper's own networks: parameters and cost", true_size_table),
    ]


# Tables


def target_table(records: Records) -> pd.DataFrame:
    """A row a training; gains are over the directly trained student, paired by seed."""
    rows = []
    for name, group in records.items():
        baseline = None if name in ("teacher", "direct") else records["direct"]
        rows.append({"training": name, "px": pixels(group), **tables.row(group, baseline)})
    return pd.DataFrame(rows)


def start_table(records: Records) -> pd.DataFrame:
    """A row a kind of teacher, for feature KD."""
    return pd.DataFrame(
        [
            {"feature KD from a teacher of": name, **tables.row(records[name], records["direct"])}
            for name in ("common start", "other start")
        ]
    )


def batchnorm_table(records: Records) -> pd.DataFrame:
    """A row a mode of the teacher's batch norm."""
    return pd.DataFrame(
        [
            {
                "teacher's batch norm": name,
                **tables.row(records[name], records["direct"]),
            }
            for name in ("unfrozen", "frozen")
        ]
    )


def resolution_table(records: Records) -> pd.DataFrame:
    """A row a resolution and training; gains are over direct training at the same resolution."""
    rows = []
    for name, group in records.items():
        kind, size = name.split()
        baseline = records[f"direct {size}"] if kind == "KD" else None
        rows.append({"px": int(size), "training": kind, **tables.row(group, baseline)})
    return pd.DataFrame(rows)


def backbone_table(records: Records) -> pd.DataFrame:
    """A row a training of each pair of networks."""
    rows = []
    for name, group in records.items():
        pair, kind = name.split("|")
        target = group[0].spec.method.options.get("target", "–")
        baseline = records[f"{pair}|direct"] if kind == "KD" else None
        cells = tables.row(group, baseline)
        rows.append({"pair": pair, "training": kind, "target": target, **cells})
    return pd.DataFrame(rows)


def weight_table(records: Records) -> pd.DataFrame:
    """A row a weight: accuracy on validation clips, and which weight the chapter uses."""
    rows = []
    for name, group in records.items():
        target, weight = name.split("|")
        last = 100 * group[0].history.validation_accuracy.iloc[-1]
        rows.append(
            {
                "target": target,
                "weight": float(weight),
                "validation top-1 %": round(last, 1),
                "used here": "yes" if float(weight) == WEIGHTS[target] else "",
                "paper's": "yes" if float(weight) in (100.0, 500.0) else "",
            }
        )
    return pd.DataFrame(rows)


def recipe_table(records: Records) -> pd.DataFrame:
    """Every setting the appendix prints beside the one the paper profile would train with."""
    table = pd.read_csv(PUBLISHED / "recipes.csv", dtype=str)
    specs = recipes.published()
    ours = [_setting_of(specs[row.training], row.field) for row in table.itertuples()]
    table["paper profile"] = [str(value) for value in ours]
    same = [_equal(a, b) for a, b in zip(table["published"], ours, strict=True)]
    table["agree"] = ["yes" if value else "no" for value in same]
    return table[["training", "field", "published", "paper profile", "agree", "source"]]


def _setting_of(spec: Any, field: str) -> Any:
    if hasattr(spec.recipe, field):
        return getattr(spec.recipe, field)
    return getattr(recipes.method_of(spec), field)


def _equal(printed: str, value: Any) -> bool:
    try:
        return float(printed) == float(value)
    except ValueError:
        return printed == str(value)


def true_size_table(records: Records) -> pd.DataFrame:
    """Parameters and multiply-accumulates at 224 and 112 pixels, one clip, 400 classes."""
    rows = []
    for name, model, frames in (
        ("TSN ResNet-152", recipes.tsn("resnet152"), 8),
        ("TSN ResNet-50", recipes.tsn("resnet50"), 8),
        *((n, s.model, s.data.frames) for n, s in recipes.students().items() if n != "TSN"),
        ("Swin teacher", recipes.students()["Video Swin"].method.teachers[0].model, 32),
    ):
        full, low = (
            cost(model.name, 400, (3, frames, size, size), **model.options) for size in (224, 112)
        )
        rows.append(
            {
                "network": name,
                "frames": frames,
                "parameters (M)": round(full["parameters"] / 1e6, 2),
                "GMACs at 224": round(full["gmacs"], 2),
                "GMACs at 112": round(low["gmacs"], 2),
                "times cheaper": round(full["gmacs"] / low["gmacs"], 2),
            }
        )
    return pd.DataFrame(rows)


def pixels(group: list) -> int:
    """The resolution a run's student saw."""
    spec = group[0].spec
    return int(spec.method.options.get("resolution") or spec.data.size)


# Checks of the claims in claims.toml


def _better(artifact: str, ours: str, theirs: str) -> Callable[[Chapter], Finding]:
    """The check that one training of an artifact beats another, paired by seed."""

    def check(chapter: Chapter) -> Finding:
        records = chapter.records(artifact)
        gain = tables.gain(records[ours], records[theirs])
        compared = f"{ours} against {theirs}, paired by seed"
        return Finding(gain, "points", verdict(gain), compared)

    return check


feature_beats_direct = _better("reskd/targets", "feature KD", "direct")
feature_beats_logit = _better("reskd/targets", "feature KD", "logit KD")
pixel_beats_logit = _better("reskd/targets", "pixel-level logit KD", "logit KD")
pixel_beats_direct = _better("reskd/targets", "pixel-level logit KD", "direct")
unfrozen_beats_frozen = _better("reskd/batchnorm", "unfrozen", "frozen")


def pixel_needs_no_module(chapter: Chapter) -> Finding:
    """Pixel-level logit KD between unequal widths: extra learnable parameters, counted."""
    pair = "TSN, wider teacher" if chapter.setting.profile != "paper" else "Video Swin"
    record = chapter.records("reskd/backbones")[f"{pair}|KD"][0]
    alone = record.student()
    extra = record.result["cost"]["parameters"] - sum(p.numel() for p in alone.parameters())
    exact = Interval(extra, extra, extra, 1, "counted")
    name = "supported" if extra == 0 else "contradicted"
    return Finding(exact, "parameters added", name, "a student and a wider teacher, trained above")


def saving_is_spatial(chapter: Chapter) -> Finding:
    """The saving from 224 to 112 pixels at 8 and at 32 frames: equal, so frames are not saved."""
    model = recipes.tsn("resnet50")
    ratios = []
    for frames in (8, 32):
        full, low = (
            cost(model.name, 400, (3, frames, size, size), **model.options)["gmacs"]
            for size in (224, 112)
        )
        ratios.append(full / low)
    change = ratios[1] - ratios[0]
    name = "supported" if abs(change) < 0.01 * ratios[0] else "contradicted"
    exact = Interval(change, change, change, 1, "counted")
    compared = f"TSN ResNet-50 is {ratios[0]:.2f} times cheaper at 8 frames, {ratios[1]:.2f} at 32"
    return Finding(exact, "change of the ratio", name, compared)
