"""The tables of the resolution chapter."""

from typing import Any

import pandas as pd

from book.resolution import recipes
from kdlib.models.cost import cost
from kdlib.runs.spec import ModelSpec
from kdlib.runs.store import RunRecord
from kdlib.study import tables
from kdlib.study.chapter import Records

LOW_TEACHER = "teacher's clips, low resolution"


def target_table(records: Records) -> pd.DataFrame:
    """A row a training; gains are over the directly trained student, paired by seed."""
    rows = []
    for name, group in records.items():
        baseline = None if name in ("teacher", LOW_TEACHER, "direct") else records["direct"]
        rows.append({"training": name, "px": pixels(group[0]), **tables.row(group, baseline)})
    return pd.DataFrame(rows)


def gain_table(records: Records, heading: str) -> pd.DataFrame:
    """A row a training beside the directly trained student, by what `heading` says they vary."""
    return pd.DataFrame(
        [
            {heading: name, **tables.row(group, records["direct"])}
            for name, group in records.items()
            if name != "direct"
        ]
    )


def resolution_table(records: Records) -> pd.DataFrame:
    """A row a resolution and training; gains are over direct training at the same resolution."""
    rows = []
    for (kind, size), group in records.items():
        baseline = records["direct", size] if kind == "KD" else None
        rows.append({"px": size, "training": kind, **tables.row(group, baseline)})
    return pd.DataFrame(rows)


def backbone_table(records: Records) -> pd.DataFrame:
    """A row a training of each pair of networks."""
    rows = []
    for (pair, kind), group in records.items():
        target = group[0].spec.method.options.get("target", "–")
        baseline = records[pair, "direct"] if kind == "KD" else None
        cells = tables.row(group, baseline)
        rows.append({"pair": pair, "training": kind, "target": target, **cells})
    return pd.DataFrame(rows)


def recipe_table(records: Records) -> pd.DataFrame:
    """Every setting the appendix prints beside the one the paper profile would train with."""
    table = tables.published("resolution", "recipes")
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
        full, low = full_and_low(model, frames)
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


def full_and_low(model: ModelSpec, frames: int) -> list[dict[str, float]]:
    """The cost of a clip of 224 and of one of 112 pixels, 400 classes."""
    return [cost(model.name, 400, (3, frames, size, size), **model.options) for size in (224, 112)]


def pixels(record: RunRecord) -> int:
    """The resolution that a run's student saw."""
    return record.result["input"][-1]
