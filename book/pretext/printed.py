"""The published tables of the pretext chapter as texts and as numbers, and what follows from them.

The first column names the rows; its heading is ours where none was printed. A heading such as
"10k|UCF101/HMDB51" says what the two numbers of each of its cells are.
"""

import pandas as pd

from kdlib.study import tables

TASKS = ("RotNet", "VCOP", "PRP", "CVRL", "TDL", "RSPNet")
NETWORKS = ("ShuffleNet", "R21D")
TARGETS = ("UCF101", "HMDB51")
SIZES = ("10k", "30k", "50k", "100k")
LEVELS = ("T1", "T2", "T3")  # the teachers of Table 2, each of a harder task
SOURCES = ("K400 (T1)", "SSv2 (T2)")

Cell = tuple[str, str, str]
"""Row, column, and which of two numbers: a network, a target, or "" where there is one number."""


def published(name: str) -> pd.DataFrame:
    """A table as printed, all cells text: "table-1" to "table-4", "benchmarks-tasks" and so on."""
    return tables.published("pretext", name)


def numbers(name: str) -> dict[Cell, float]:
    """The accuracies of a published table, in per cent; names of tasks and the like are left out.

    Such as ("T2", "30k", "HMDB51") of table-1, ("S", "PRP", "R21D") of table-2 and
    ("VCOP", "Student", "") of table-3.
    """
    table, found = published(name), {}
    for column in table.columns[1:]:
        heading, _, parts = column.partition("|")
        for row, cell in zip(table.iloc[:, 0], table[column], strict=True):
            for part, text in zip(parts.split("/"), cell.split("/"), strict=True):
                if text not in TASKS:
                    found[row, heading, part] = float(text)
    return found


# Differences of printed accuracies, in points.


def over_both_teachers() -> dict[tuple[str, str], float]:
    """Table 1, by size and target: the student less its better teacher."""
    found = numbers("table-1")
    return {
        (size, target): found["ST", size, target]
        - max(found[teacher, size, target] for teacher in ("T1", "T2"))
        for target in TARGETS
        for size in SIZES
    }


def over_three_teachers() -> dict[tuple[str, str], float]:
    """Table 2, by task and network: the student less its best teacher."""
    found = numbers("table-2")
    return {
        (task, network): found["S", task, network]
        - max(found[level, task, network] for level in LEVELS)
        for network in NETWORKS
        for task in ("RotNet", "VCOP", "PRP")
    }


def over_mean_teacher() -> dict[str, float]:
    """Table 3, by task: the student less the mean of its two teachers."""
    found = numbers("table-3")
    return {
        task: found[task, "Student", ""] - sum(found[task, source, ""] for source in SOURCES) / 2
        for task, column, _ in found
        if column == "Student"
    }


def over_one_task(network: str) -> dict[str, float]:
    """Table 4, by category: the student less this network after pre-training on one task of space
    and time at once, PRP (non-contrastive) or RSPNet (contrastive), by the supporting tables."""
    students, alone = numbers("table-4"), numbers("benchmarks-tasks")
    return {
        "contrastive": students["Contrastive", "ST", ""] - alone[network, "RSPNet", ""],
        "non-contrastive": students["Non-contrastive", "ST", ""] - alone[network, "PRP", ""],
    }


def mixed_over_single() -> dict[str, float]:
    """The ShuffleNet student of a RotNet and a VCOP teacher (Table 4) less that of three teachers
    of RotNet, and less that of three of VCOP (Table 2)."""
    mixed, single = numbers("table-4"), numbers("table-2")
    return {
        task: mixed["Non-contrastive", "ST", ""] - single["S", task, "ShuffleNet"]
        for task in ("RotNet", "VCOP")
    }


def three_clips_over_more() -> dict[str, float]:
    """Table 2, by network: VCOP of three clips less the better of four and five."""
    found = numbers("table-2")
    return {
        network: found["T1", "VCOP", network]
        - max(found[level, "VCOP", network] for level in LEVELS[1:])
        for network in NETWORKS
    }


def other_source() -> dict[str, dict[str, float]]:
    """By task, on each target: R21D pre-trained on SSv2 less the same on K400."""
    ucf101, diving48 = numbers("table-3"), numbers("benchmarks-diving48")
    return {
        task: {
            "UCF101": ucf101[task, SOURCES[1], ""] - ucf101[task, SOURCES[0], ""],
            "Diving48": diving48["SSv2", task, ""] - diving48["K400", task, ""],
        }
        for task in ("RotNet", "VCOP", "CVRL", "RSPNet")
    }
