"""The published tables of the masked chapter as texts and as numbers, and what follows from them.

Numbers of references are left out. A cell that spans several columns stands in each of them; a tick
in the column "extra labels" or "masked input" is ✓, a cross ×.
"""

import pandas as pd

from kdlib.study import tables

VIDEO_SETS = ("K400", "SSv2")
SIZES = ("B", "L", "H")


def published(name: str) -> pd.DataFrame:
    """A table as printed, all cells text: "table-10" to "table-16"."""
    return tables.published("masked", name)


def accuracies(name: str) -> dict[tuple[str, str], float]:
    """Top-1 accuracies in per cent of tables 11 to 14, by row and data set.

    A row is named by its first cell, one of Table 11 by its first two: "per-token distillation ×".
    """
    table, found = published(name), {}
    for row in table.to_dict("records"):
        mark = row.get("masked input", "")
        named = f"{next(iter(row.values()))} {mark}".strip()
        for column, cell in row.items():
            heading, _, data = str(column).partition("|")
            if heading == "top-1 accuracy":
                found[named, data] = float(cell.split()[0])
    return found


def detection() -> dict[tuple[str, str], float]:
    """Table 10: mAP by method and by whether labels of Kinetics were used, ✓ or ×."""
    rows = published("table-10").to_dict("records")
    return {(row["method"], row["extra labels"]): float(row["mAP"]) for row in rows}


def over_videomae() -> dict[tuple[str, str], float]:
    """Table 10, by size and labels: MVD less VideoMAE in points; of ViT-B that of Teacher-B."""
    found = detection()
    return {
        (size, labels): found[f"MVD-{size} (Teacher-{size})", labels]
        - found[f"VideoMAE vit-{size}", labels]
        for size in SIZES
        for labels in ("×", "✓")
    }


def arrows() -> dict[str, float]:
    """Table 14: the gains printed behind the accuracies, by data set, in points."""
    row = published("table-14").iloc[1]
    cells = {c.partition("|")[2]: row[c] for c in row.index if "|" in c}
    return {data: float(cell.split("↑")[1]) for data, cell in cells.items()}


def gains_of_features() -> dict[str, float]:
    """Table 14: features less pixels by data set, in points, from the accuracies."""
    found = accuracies("table-14")
    return {
        data: found["features", data] - found["pixels", data] for data in ("IN-1K", "K400", "SSv2")
    }


def over_scratch() -> dict[tuple[str, str], float]:
    """Table 12, by teacher and data set: a student that starts from it less one from scratch."""
    found = accuracies("table-12")
    return {
        (teacher, data): found[f"{teacher} teacher", data] - found["from scratch", data]
        for teacher in ("image", "video")
        for data in VIDEO_SETS
    }


def one_student() -> dict[str, dict[str, float]]:
    """ViT-B after 400 epochs of two ViT-B teachers, by data set and the table that prints it."""
    start, target = accuracies("table-12"), accuracies("table-14")
    return {
        data: {"Table 12": start["from scratch", data], "Table 14": target["features", data]}
        for data in VIDEO_SETS
    }
