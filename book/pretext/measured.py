"""The tables of the pretext chapter that are made of runs: ours beside what was printed."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from book.pretext.printed import numbers, published
from book.pretext.runs import SCALES
from kdlib.clips.batches import ordered_batches
from kdlib.runs.build import clip_source
from kdlib.runs.store import RunRecord
from kdlib.study import tables
from kdlib.study.chapter import Records
from kdlib.study.setting import Setting, scale_of

# The printed targets, by the role that stands for each.
TARGETS = {"target": "UCF101", "target2": "HMDB51"}
BASELINE = ("student, labels alone",)
ALONE = {"ShuffleNet": BASELINE, "R21D": ("R21D, labels alone",)}
Place = tuple[dict[str, str], str, float]
"""Where a training stands: the first cells of its row, its column, the printed number there."""


def subset_table(records: Records) -> pd.DataFrame:
    """Table 1: a row a target and network, a column a subset of the pre-training."""
    printed = numbers("table-1")

    def place(role: str, subset: str, network: str) -> Place:
        target = TARGETS[role]
        row = {"target": target, "network": network}
        return row, subset, printed[network, subset, target]

    return _beside_print(records, place)


def difficulty_table(records: Records) -> pd.DataFrame:
    """Table 2: a row a network and task, a column a teacher, and the student."""
    printed = numbers("table-2")

    def place(network: str, task: str, who: str) -> Place:
        return {"network": network, "task": task}, who, printed[who, task, network]

    return _beside_print(records, place)


def source_table(records: Records) -> pd.DataFrame:
    """Table 3: a row a task, a column a teacher's source, and the student."""
    printed = numbers("table-3")
    columns = {"T1": "K400 (T1)", "T2": "SSv2 (T2)", "S": "Student"}

    def place(task: str, who: str) -> Place:
        return {"task": task}, columns[who], printed[task, columns[who], ""]

    return _beside_print(records, place)


def _beside_print(records: Records, place: Callable[..., Place]) -> pd.DataFrame:
    """Each training at its place, with what was printed there."""
    rows: dict[tuple[str, ...], dict[str, object]] = {}
    for label, group in records.items():
        first, column, paper = place(*label)  # type: ignore[misc]
        row = rows.setdefault(tuple(first.values()), {**first})
        row |= {f"{column}|top-1 %": tables.accuracy(group), f"{column}|paper": paper}
    return pd.DataFrame(list(rows.values()))


def category_table(records: Records) -> pd.DataFrame:
    """Table 4: a row a category, its two teachers and the student; printed is the student alone."""
    rows = []
    for line in published("table-4").itertuples(index=False):
        category, first, second, student = line
        cells: dict[str, object] = {"category": category}
        for who, task in (("T1", first), ("T2", second)):
            cells[f"{who}|task"] = task
            cells[f"{who}|top-1 %"] = tables.accuracy(records[category, who])
        cells["student|top-1 %"] = tables.accuracy(records[category, "S"])
        cells["student|paper"] = student
        rows.append(cells)
    return pd.DataFrame(rows)


def task_table(records: Records, setting: Setting) -> pd.DataFrame:
    """A row a pretext task: what of its questions on held-out clips ShuffleNet answers; fine-tuned.

    Printed is ShuffleNet's accuracy on UCF101 after 50k clips of Kinetics-400.
    """
    printed, rows = numbers("benchmarks-tasks"), []
    for task in dict.fromkeys(task for task, _ in records):
        (record,) = records[task, "pre-trained"]
        _, answered, chance = answers(record, setting)
        rows.append(
            {
                "task": task,
                "answered %": round(100 * float(answered.mean()), 1),
                "chance %": round(100 * float(chance.mean()), 1),
                "videos": record.spec.data.train,
                "pre-training s": round(record.result["cost"]["training_seconds"], 1),
                "fine-tuned|top-1 %": tables.accuracy(records[task, "fine-tuned"]),
                "fine-tuned|paper": printed["ShuffleNet", task, ""],
            }
        )
    return pd.DataFrame(rows)


def answers(
    record: RunRecord, setting: Setting, seed: int = 0, asked: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A pre-trained network's questions on held-out clips: scene, answered, chance, each (N,).

    They are the clips that its training is watched by, and more of other scenes.
    seed: of what is drawn, such as turns. asked: so many clips; 0 leaves them to the profile.
    """
    asked = asked or scale_of("pretext", SCALES, setting).asked
    data = replace(record.spec.data, validation=asked)
    videos = setting.datasets.load(data)["validation"]
    source, method = clip_source(videos, data, "validation"), record.method().eval()
    scenes, answered, chances = [], [], []
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        for batch in ordered_batches(source, torch.device("cpu")):
            right, chance = method.solved(batch)
            scenes.append(_scenes(videos.groups[batch.indices], len(right)))
            answered.append(right.numpy())
            chances.append(chance.numpy())
    return np.concatenate(scenes), np.concatenate(answered), np.concatenate(chances)


def _scenes(groups: np.ndarray, questions: int) -> np.ndarray:
    """The scene of each question, of which every video may have several, one list after another."""
    return np.tile(groups, questions // len(groups))


def pretraining_table(records: Records) -> pd.DataFrame:
    """A row a network: from random weights, fine-tuned after RSPNet, the gain paired by seed."""
    return pd.DataFrame(
        {
            "network": network,
            "from random weights|top-1 %": tables.accuracy(records[network, "random"]),
            "fine-tuned|top-1 %": tables.accuracy(records[network, "fine-tuned"]),
            "gain": tables.gain(records[network, "fine-tuned"], records[network, "random"]),
            "n": len(records[network, "random"]),
        }
        for network in dict.fromkeys(network for network, _ in records)
    )


def ensemble_table(records: Records) -> pd.DataFrame:
    """A row a training of the comparisons that the paper lacks; gains are over labels alone."""
    baseline = records[BASELINE]
    return pd.DataFrame(
        {
            "training": label[0],
            "top-1 %": tables.accuracy(group),
            "gain": None if group is baseline else tables.gain(group, baseline),
            "n": len(group),
            "weights": _weights(group),
            "train s": round(_seconds(group), 1),
        }
        for label, group in records.items()
    )


def _weights(group: Sequence[RunRecord]) -> str:
    """The teachers' mean weights over the training."""
    history = pd.concat([record.history for record in group])
    names = sorted(column for column in history if column.startswith("weight_"))
    return " / ".join(f"{history[name].mean():.2f}" for name in names) or "–"


def _seconds(group: Sequence[RunRecord]) -> float:
    return float(np.mean([record.result["cost"]["training_seconds"] for record in group]))
