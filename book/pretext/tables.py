"""The tables of the pretext chapter."""

import pandas as pd

from book.pretext.printed import NETWORKS, SIZES, TARGETS, TASKS, numbers, published
from kdlib.study.chapter import Records


def benchmarks(records: Records) -> pd.DataFrame:
    """The supporting tables in one: a row a network and pre-training, a column a pretext task.

    All networks are fine-tuned, but for those of the linear probe.
    """
    rows = [
        *_rows("tasks", "by task", "50k of K400", "UCF101"),
        *_rows("sizes-ucf101", "by number of clips", "{row} of K400", "UCF101", network="R21D"),
        *_rows("sizes-hmdb51", "by number of clips", "{row} of K400", "HMDB51", network="R21D"),
        *_epochs(),
        *_rows("diving48", "other source", "30k of {row}", "Diving48", network="R21D"),
        *_rows("probe", "linear probe", "K400", "UCF101"),
    ]
    student = published("benchmarks-compared").iloc[0]
    for target in TARGETS:
        teachers = "not: its teachers, on 30k of K400"
        cells = {"RSPNet": student[target]}
        rows.append(_row("comparison with others", teachers, "ShuffleNet", target, cells))
    return pd.DataFrame(rows)


def _rows(
    name: str, title: str, source: str, target: str, network: str = ""
) -> list[dict[str, str]]:
    """A row of ours for each printed one, whose first cell is the network unless it is given."""
    rows = published(f"benchmarks-{name}").to_dict("records")
    first = [next(iter(row.values())) for row in rows]
    return [
        _row(title, source.format(row=name), network or name, target, row)
        for name, row in zip(first, rows, strict=True)
    ]


def _epochs() -> list[dict[str, str]]:
    """RSPNet by the length of pre-training: the accuracies of a network and size in one cell."""
    found = numbers("benchmarks-epochs")
    epochs = list(dict.fromkeys(row for row, _, _ in found))
    return [
        _row(
            f"after {', '.join(epochs)} epochs",
            f"{size} of K400",
            network,
            "UCF101",
            {"RSPNet": ", ".join(str(found[after, size, network]) for after in epochs)},
        )
        for network in NETWORKS
        for size in SIZES
    ]


def _row(
    title: str, source: str, network: str, target: str, cells: dict[str, str]
) -> dict[str, str]:
    accuracies = {f"top-1 %, as printed|{task}": cells.get(task, "–") for task in TASKS}
    return {
        "table": title,
        "pre-trained on": source,
        "network": network,
        "target": target,
        **accuracies,
    }
